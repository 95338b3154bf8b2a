//! Reads the request bodies of `/v1/webhooks` into commands of the core.

use statuspulse_core::admin::commands::{NewSecret, NewWebhook, WebhookPatch};
use statuspulse_core::admin::pause::HeldDeliveries;
use statuspulse_core::admin::preview::PreviewOf;
use statuspulse_core::admin::probe::TestSecrets;
use statuspulse_core::error::Result;
use statuspulse_core::event::{EventType, Payload};
use statuspulse_core::fields::Fields;
use statuspulse_core::rotation::RotationStyle;

pub(super) fn new_webhook(body: &[u8]) -> Result<NewWebhook> {
    let mut fields = Fields::of_body(body)?;
    let destination = fields.text("destination").map(String::from);
    let secret = fields.text("secret").map(String::from);
    Ok(NewWebhook { destination, secret, once: None, settings: settings(fields) })
}

pub(super) fn patch(body: &[u8]) -> Result<WebhookPatch> {
    let mut fields = Fields::of_body(body)?;
    for name in ["url", "routing_key", "events"] {
        if fields.is_null(name) {
            fields.refuse(name, "cannot be removed");
        }
    }
    Ok(settings(fields))
}

/// A `null` for `monitor_groups`, `description` or `headers` clears the field.
fn settings(mut fields: Fields<'_>) -> WebhookPatch {
    WebhookPatch {
        url: fields.text("url").map(String::from),
        routing_key: fields.text("routing_key").map(String::from),
        events: fields.texts("events"),
        monitor_groups: fields
            .has("monitor_groups")
            .then(|| fields.texts("monitor_groups").unwrap_or_default()),
        description: fields.has("description").then(|| fields.text("description").map(String::from)),
        headers: fields.has("headers").then(|| headers(&mut fields)),
        refused: fields.into_refused(),
    }
}

fn headers(fields: &mut Fields<'_>) -> Vec<(String, String)> {
    let mut headers = vec![];
    for (name, value) in fields.object("headers").unwrap_or_default() {
        match serde_json::from_str(value.get()) {
            Ok(value) => headers.push((name.into_owned(), value)),
            Err(_) => fields.refuse_key("headers", &name, "must be a string"),
        }
    }
    headers
}

pub(super) fn held(body: &[u8]) -> Result<HeldDeliveries> {
    let mut fields = Fields::of_body(body)?;
    let choices = [("deliver", HeldDeliveries::Deliver), ("discard", HeldDeliveries::Discard)];
    let held = chosen(&mut fields, "held", &choices);
    fields.finish()?;
    Ok(held)
}

pub(super) fn new_secret(body: &[u8]) -> Result<NewSecret> {
    let mut fields = Fields::of_body(body)?;
    let [joined, split] =
        [RotationStyle::Joined, RotationStyle::Split].map(|style| (style.name(), Some(style)));
    let style = chosen(&mut fields, "style", &[("auto", None), joined, split]);
    let secret = fields.text("secret").map(String::from);
    Ok(NewSecret { style, secret, once: None, refused: fields.into_refused() })
}

/// The value of the field `name`, which is one of these choices. An absent field gives the default.
fn chosen<T: Copy + Default>(fields: &mut Fields<'_>, name: &str, choices: &[(&str, T)]) -> T {
    let chosen = fields.text(name).and_then(|text| {
        let choice = choices.iter().find(|(known, _)| *known == text);
        let names = || choices.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(" or ");
        fields.check(name, choice.ok_or_else(|| format!("must be {}", names())))
    });
    chosen.map_or_else(T::default, |(_, value)| *value)
}

pub(super) fn test(body: &[u8]) -> Result<(Option<EventType>, TestSecrets)> {
    let mut fields = Fields::of_body(body)?;
    let event_type = event_type(&mut fields);
    let choices = [("valid", TestSecrets::AsDeliveries), ("new", TestSecrets::New)];
    let secrets = chosen(&mut fields, "secrets", &choices);
    fields.finish()?;
    Ok((event_type, secrets))
}

pub(super) fn preview(body: &[u8]) -> Result<PreviewOf<'_>> {
    let mut fields = Fields::of_body(body)?;
    let event_type = event_type(&mut fields);
    let payload = fields
        .raw("payload")
        .and_then(|raw| Payload::parse(raw).map_err(|refused| fields.refused.extend(refused)).ok());
    if event_type.is_some() && payload.is_some() {
        fields.refuse("event", "cannot be combined with a payload, which has an event type of its own");
    }
    fields.finish()?;
    Ok(match (payload, event_type) {
        (Some(payload), _) => PreviewOf::Payload(payload),
        (None, Some(event_type)) => PreviewOf::Type(event_type),
        (None, None) => PreviewOf::FirstType,
    })
}

fn event_type(fields: &mut Fields<'_>) -> Option<EventType> {
    let name = fields.text("event")?;
    fields.check("event", EventType::parse(&name))
}
