//! The form that creates or changes a webhook. If a field is invalid, the form is shown again with the input, and each
//! error is at its field.

use askama::Template;
use axum::body::Body;
use axum::response::IntoResponse;
use http::StatusCode;
use statuspulse_core::access::Urls;
use statuspulse_core::admin::commands::{NewWebhook, WebhookPatch};
use statuspulse_core::destination::{self, Address, Destination, Format};
use statuspulse_core::error::{Error, FieldError, Refusals};
use statuspulse_core::event::EventType;
use statuspulse_core::ids::WebhookId;
use statuspulse_core::webhook::{Settings, Webhook};

use crate::Answer;
use crate::flash::Flash;
use crate::forms::{Form, Path, id};
use crate::guard::{html, see};
use crate::session::{Manager, Viewer};
use crate::show::{Frame, millis, name_of};

#[derive(Template)]
#[template(path = "edit.html")]
struct EditPage {
    frame: Frame,
    /// `None` for a new webhook.
    id: Option<String>,
    name: String,
    filled: Filled,
    errors: Errors,
    egress: Vec<String>,
}

/// The content of the form.
struct Filled {
    destination: String,
    /// What the chosen destination needs.
    needs_key: bool,
    url: String,
    /// The current URL, which is kept if the field is empty. If it is a secret, its path is hidden.
    kept_url: Option<String>,
    events: Vec<(&'static str, &'static str, bool)>,
    groups: String,
    description: String,
    headers: String,
    /// The names of the current headers, which are kept if the field is empty.
    kept_headers: Vec<String>,
}

/// The errors, by field.
struct Errors(Vec<FieldError>);

impl Errors {
    fn of(&self, field: &str) -> Vec<&str> {
        let pointer = format!("/{field}");
        self.0.iter().filter(|error| error.is_at(&pointer)).map(|error| error.detail.as_str()).collect()
    }

    /// The errors that belong to no field of the form.
    fn others(&self) -> Vec<&str> {
        let is_other = |error: &&FieldError| {
            !error.pointer.split('/').nth(1).is_some_and(|name| NewWebhook::FIELDS.contains(&name))
        };
        self.0.iter().filter(is_other).map(|error| error.detail.as_str()).collect()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The event types with their names, in words, and whether they are chosen.
fn types(is_chosen: impl Fn(EventType) -> bool) -> Vec<(&'static str, &'static str, bool)> {
    let words = |event_type| match event_type {
        EventType::IncidentOpened => "A monitor is down.",
        EventType::IncidentUpdated => "An incident was updated.",
        EventType::IncidentResolved => "The monitor is up again.",
    };
    let choice = |event_type: &EventType| (event_type.name(), words(*event_type), is_chosen(*event_type));
    EventType::ALL.iter().map(choice).collect()
}

pub(super) async fn new(Manager(viewer, _): Manager) -> Answer {
    let filled = Filled {
        destination: Destination::default().name().to_owned(),
        needs_key: false,
        url: String::new(),
        kept_url: None,
        events: types(|_| true),
        groups: String::new(),
        description: String::new(),
        headers: String::new(),
        kept_headers: vec![],
    };
    form_page(&viewer, None, filled, vec![]).await
}

pub(super) async fn create(Manager(viewer, by): Manager, body: Body) -> Answer {
    let form = Form::read(body).await?;
    let destination = form.text("destination").to_owned();
    // The form hides the field that the destination does not need; what was typed there before is not sent on.
    let needs_key = destination::format(&destination).is_some_and(needs_key);
    let url = (!needs_key).then(|| form.text("url").to_owned());
    let settings = WebhookPatch { url, ..settings(&form) };
    let secret = Some(form.text("secret").trim().to_owned()).filter(|text| !text.is_empty());
    let asked = NewWebhook { destination: Some(destination), secret, once: None, settings };
    match viewer.admin.register(by, asked).await {
        Ok(webhook) => {
            let shaken = match &webhook.handshake.reason {
                None => "The handshake passed. The webhook is active.",
                Some(_) => "The handshake failed. See below.",
            };
            let text = format!("{shaken} This is its secret; it is shown only once.");
            let flash =
                Flash { good: webhook.handshake.ok, ..Flash::secret(text, webhook.keys.current().reveal()) };
            Ok(flash.on(see(&format!("webhooks/{}", webhook.id))))
        }
        Err(error) => wrong(&viewer, None, &form, error).await,
    }
}

pub(super) async fn edit(Manager(viewer, _): Manager, path: Path<String>) -> Answer {
    let id: WebhookId = id(&path, "webhook")?;
    let webhook = viewer.admin.webhook(viewer.account, id).await?;
    let Settings { url, destination, events, monitor_groups, description, headers } = &webhook.settings;
    let filled = Filled {
        destination: destination.name().to_owned(),
        needs_key: needs_key(destination.format()),
        url: kept_url(&webhook).map_or_else(|| url.as_str().to_owned(), |_| String::new()),
        kept_url: kept_url(&webhook),
        events: types(|event_type| events.contains(&event_type)),
        groups: monitor_groups.join("\n"),
        description: description.clone().unwrap_or_default(),
        headers: String::new(),
        kept_headers: headers.0.keys().cloned().collect(),
    };
    form_page(&viewer, Some(&webhook), filled, vec![]).await
}

pub(super) async fn update(Manager(viewer, by): Manager, path: Path<String>, body: Body) -> Answer {
    let id: WebhookId = id(&path, "webhook")?;
    let webhook = viewer.admin.webhook(viewer.account, id).await?;
    let form = Form::read(body).await?;
    let mut patch = settings(&form);
    // An empty field keeps a value that the form does not show.
    let keeps_url = form.text("url").is_empty() && kept_url(&webhook).is_some();
    if !keeps_url && !needs_key(webhook.settings.destination.format()) {
        patch.url = Some(form.text("url").to_owned());
    }
    if form.lines("headers").is_empty() && form.text("remove_headers") != "yes" {
        patch.headers = None;
    }
    match viewer.admin.update(by, id, patch).await {
        Ok(_) => Ok(Flash::good("Changes saved.").on(see(&format!("webhooks/{id}")))),
        Err(error) => wrong(&viewer, Some(&webhook), &form, error).await,
    }
}

/// The URL as shown, for destinations whose URL is not filled in, because it is secret or the deployment's.
fn kept_url(webhook: &Webhook) -> Option<String> {
    let is_open = webhook.settings.destination.format().address() == Address::Url;
    (!is_open).then(|| webhook.settings.shown_url(Urls::Whole))
}

fn needs_key(format: &dyn Format) -> bool {
    format.address() == Address::RoutingKey
}

/// The fields that new and changed webhooks have in common. The URL differs.
fn settings(form: &Form) -> WebhookPatch {
    let given = |name| Some(form.text(name).to_owned()).filter(|text| !text.is_empty());
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        (name.trim().to_owned(), value.trim().to_owned())
    };
    WebhookPatch {
        url: None,
        routing_key: given("routing_key"),
        events: Some(form.all("events").into_iter().map(str::to_owned).collect()),
        monitor_groups: Some(form.lines("groups").into_iter().map(str::to_owned).collect()),
        description: Some(given("description")),
        headers: Some(form.lines("headers").into_iter().map(header).collect()),
        refused: Refusals::default(),
    }
}

/// The form again, with its input and the errors.
async fn wrong(viewer: &Viewer, webhook: Option<&Webhook>, form: &Form, error: Error) -> Answer {
    let errors = match error {
        Error::Invalid(errors) => errors,
        Error::HandshakeFailed { reason, after } => {
            let words =
                format!("Nothing was changed: the handshake failed after {}. {reason}", millis(after));
            vec![FieldError::new("/url", words)]
        }
        refused @ Error::Conflict { .. } => vec![FieldError::new("", refused.to_string())],
        error => return Err(error.into()),
    };
    let chosen = form.all("events");
    let destination =
        webhook.map_or_else(|| form.text("destination"), |webhook| webhook.settings.destination.name());
    let filled = Filled {
        destination: destination.to_owned(),
        needs_key: destination::format(destination).is_some_and(needs_key),
        url: form.text("url").to_owned(),
        kept_url: webhook.and_then(kept_url),
        events: types(|event_type| chosen.contains(&event_type.name())),
        groups: form.text("groups").to_owned(),
        description: form.text("description").to_owned(),
        headers: form.text("headers").to_owned(),
        kept_headers: webhook
            .map(|webhook| webhook.settings.headers.0.keys().cloned().collect())
            .unwrap_or_default(),
    };
    form_page(viewer, webhook, filled, errors).await
}

async fn form_page(
    viewer: &Viewer,
    webhook: Option<&Webhook>,
    filled: Filled,
    errors: Vec<FieldError>,
) -> Answer {
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = EditPage {
        frame: viewer.frame().await?,
        id: webhook.map(|webhook| webhook.id.to_string()),
        name: webhook.map(|webhook| name_of(webhook, viewer.urls)).unwrap_or_default(),
        filled,
        errors: Errors(errors),
        egress: viewer.admin.deployment.egress_ips.clone(),
    };
    Ok(viewer.said((status, html(&page)).into_response()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_shows_the_errors_of_every_field() {
        let template = include_str!("../../templates/edit.html");
        for name in NewWebhook::FIELDS {
            assert!(
                template.contains(&format!("errors.of(\"{name}\")")),
                "edit.html does not show those of {name}"
            );
        }
    }
}
