//! What an owner may set on a webhook: read from a request's body, each field checked, all errors at once.

use std::collections::BTreeMap;

use crate::destination::{Destination, RoutingKey};
use crate::error::Result;
use crate::event::{EventType, check_groups};
use crate::fields::Fields;
use crate::limits;
use crate::target::{AllowedDomains, EndpointUrl, TargetPolicy};
use crate::webhook::{Headers, Settings};

/// Who may be registered.
#[derive(Debug, Clone, Copy)]
pub(super) struct TargetRules<'a> {
    pub(super) policy: &'a TargetPolicy,
    pub(super) domains: &'a AllowedDomains,
    /// Where PagerDuty takes events.
    pub(super) pagerduty: &'a EndpointUrl,
}

/// The settings of a new webhook.
pub(super) fn parse_new(body: &[u8], rules: TargetRules<'_>) -> Result<Settings> {
    let mut fields = Fields::of_body(body)?;
    let target = target(&mut fields, rules);
    let events = events(&mut fields);
    let events = fields.require("events", events);
    let monitor_groups = monitor_groups(&mut fields).unwrap_or_default();
    let description = description(&mut fields);
    let headers = headers(&mut fields).unwrap_or_default();
    fields.refuse_rest();
    fields.finish()?;
    match (target, events) {
        (Some((destination, url)), Some(events)) => {
            Ok(Settings { url, destination, events, monitor_groups, description, headers })
        }
        _ => Err(crate::Error::invalid("/url", "is required")),
    }
}

/// What a change sets; `None` leaves as it is.
#[derive(Debug)]
pub(super) struct Patch {
    url: Option<EndpointUrl>,
    routing_key: Option<RoutingKey>,
    events: Option<Vec<EventType>>,
    monitor_groups: Option<Vec<String>>,
    description: Option<Option<String>>,
    headers: Option<Headers>,
}

impl Patch {
    pub(super) fn parse(body: &[u8], destination: &Destination, rules: TargetRules<'_>) -> Result<Self> {
        let mut fields = Fields::of_body(body)?;
        for name in ["url", "routing_key", "events"] {
            if fields.has(name) && is_null(body, name) {
                fields.refuse(name, "cannot be removed");
            }
        }
        let clears = |name: &str, fields: &Fields<'_>| fields.has(name);
        let (clears_groups, clears_text, clears_headers) =
            (clears("monitor_groups", &fields), clears("description", &fields), clears("headers", &fields));
        let (url, routing_key) = match destination {
            Destination::Json | Destination::Slack => (url(&mut fields, rules), None),
            Destination::PagerDuty(_) => (None, routing_key(&mut fields)),
        };
        refuse_foreign(&mut fields, destination.name());
        let patch = Self {
            url,
            routing_key,
            events: events(&mut fields),
            monitor_groups: monitor_groups(&mut fields).or_else(|| clears_groups.then(Vec::new)),
            description: clears_text.then(|| description(&mut fields)),
            headers: headers(&mut fields).or_else(|| clears_headers.then(Headers::default)),
        };
        fields.refuse_rest();
        fields.finish()?;
        Ok(patch)
    }

    pub(super) fn apply(&self, settings: &mut Settings) {
        if let Some(url) = &self.url {
            settings.url = url.clone();
        }
        if let Some(key) = &self.routing_key {
            settings.destination = Destination::PagerDuty(key.clone());
        }
        if let Some(events) = &self.events {
            settings.events.clone_from(events);
        }
        if let Some(groups) = &self.monitor_groups {
            settings.monitor_groups.clone_from(groups);
        }
        if let Some(description) = &self.description {
            settings.description.clone_from(description);
        }
        if let Some(headers) = &self.headers {
            settings.headers.clone_from(headers);
        }
    }
}

fn is_null(body: &[u8], name: &str) -> bool {
    Fields::of_body(body).is_ok_and(|mut fields| fields.raw(name).is_none())
}

fn url(fields: &mut Fields<'_>, rules: TargetRules<'_>) -> Option<EndpointUrl> {
    let text = fields.text("url")?;
    match EndpointUrl::parse(&text, rules.policy) {
        Ok(url) if rules.domains.admits(url.host_text()) => Some(url),
        Ok(_) => {
            fields.refuse("url", "its domain is not on the account's list of allowed domains");
            None
        }
        Err(refused) => {
            fields.refuse("url", refused.detail);
            None
        }
    }
}

fn events(fields: &mut Fields<'_>) -> Option<Vec<EventType>> {
    let names = fields.texts("events")?;
    let mut events = vec![];
    for (index, name) in names.iter().enumerate() {
        match EventType::from_name(name) {
            Some(event) if !events.contains(&event) => events.push(event),
            Some(_) => {}
            None => fields.refuse_item("events", index, format!("must be one of {}", EventType::names())),
        }
    }
    if names.is_empty() {
        fields.refuse("events", format!("must name at least one of {}", EventType::names()));
    }
    Some(events)
}

/// In which form, and where.
fn target(fields: &mut Fields<'_>, rules: TargetRules<'_>) -> Option<(Destination, EndpointUrl)> {
    let destination = fields.text("destination");
    let target = match destination.as_deref() {
        None | Some("json") => {
            let url = url(fields, rules);
            fields.require("url", url).map(|url| (Destination::Json, url))
        }
        Some("slack") => {
            let url = url(fields, rules);
            fields.require("url", url).map(|url| (Destination::Slack, url))
        }
        Some("pagerduty") => {
            let key = routing_key(fields);
            let key = fields.require("routing_key", key);
            key.map(|key| (Destination::PagerDuty(key), rules.pagerduty.clone()))
        }
        Some(_) => {
            // What belongs to it cannot be told.
            let _ = (url(fields, rules), routing_key(fields));
            fields.refuse("destination", "must be one of json, slack, pagerduty");
            return None;
        }
    };
    refuse_foreign(fields, destination.as_deref().unwrap_or("json"));
    target
}

/// What another destination has and this one has not.
fn refuse_foreign(fields: &mut Fields<'_>, destination: &str) {
    let (name, detail) = match destination {
        "pagerduty" => ("url", "cannot be set: PagerDuty's address is that of the deployment"),
        _ => ("routing_key", "is for the destination pagerduty alone"),
    };
    if fields.raw(name).is_some() {
        fields.refuse(name, detail);
    }
}

fn routing_key(fields: &mut Fields<'_>) -> Option<RoutingKey> {
    let text = fields.text("routing_key")?;
    match RoutingKey::parse(&text) {
        Ok(key) => Some(key),
        Err(refused) => {
            fields.refuse("routing_key", refused.to_string());
            None
        }
    }
}

fn monitor_groups(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let groups = fields.texts("monitor_groups")?;
    if let Err(detail) = check_groups(&groups) {
        fields.refuse("monitor_groups", detail);
    }
    Some(groups)
}

fn description(fields: &mut Fields<'_>) -> Option<String> {
    let text = fields.text("description")?;
    if text.chars().count() > limits::DESCRIPTION_CHARS || text.chars().any(|c| c.is_control() && c != '\n') {
        let limit = limits::DESCRIPTION_CHARS;
        fields.refuse(
            "description",
            format!("may have {limit} characters at most, none of them a control character"),
        );
    }
    Some(text.into_owned())
}

fn headers(fields: &mut Fields<'_>) -> Option<Headers> {
    let object = fields.object("headers")?;
    if object.len() > limits::CUSTOM_HEADERS {
        fields.refuse("headers", format!("may name {} headers at most", limits::CUSTOM_HEADERS));
    }
    let mut headers = BTreeMap::new();
    for (name, value) in object {
        let checked = match serde_json::from_str::<String>(value.get()) {
            Err(_) => Err("must be a text".to_owned()),
            Ok(value) => check_header(&name, &value).map(|()| value),
        };
        match checked {
            // Names are the same in any case: two spellings would be one header sent twice.
            Ok(_) if headers.keys().any(|known: &String| known.eq_ignore_ascii_case(&name)) => {
                fields.refuse_key("headers", &name, "stands twice");
            }
            Ok(value) => {
                headers.insert(name.into_owned(), value);
            }
            Err(detail) => fields.refuse_key("headers", &name, detail),
        }
    }
    Some(Headers(headers))
}

/// Headers that are ours, or that say how a message is framed or routed: whoever sets those may split a request
/// or pass for us.
const RESERVED: [&str; 21] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];
const RESERVED_PREFIXES: [&str; 2] = ["x-statuspulse-", "webhook-"];

fn check_header(name: &str, value: &str) -> std::result::Result<(), String> {
    // RFC 9110, section 5.6.2.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > limits::HEADER_NAME_BYTES || !name.bytes().all(is_token) {
        return Err("is not a header's name".to_owned());
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    {
        return Err("is set by StatusPulse or by the protocol, and cannot be replaced".to_owned());
    }
    // Visible ASCII, and spaces inside: no line breaks, no NUL, nothing receivers read differently.
    let visible = value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && value.trim() == value;
    if value.len() > limits::HEADER_VALUE_BYTES || value.is_empty() || !visible {
        let limit = limits::HEADER_VALUE_BYTES;
        return Err(format!("must have a value of 1 to {limit} visible ASCII characters"));
    }
    Ok(())
}
