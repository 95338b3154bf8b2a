//! Checks the settings of a webhook. All wrong fields are reported at once.

use std::collections::BTreeMap;

use super::commands::{NewWebhook, WebhookPatch};
use crate::destination::{self, Address, Destination, Format, RoutingKey};
use crate::error::{Refusals, Result};
use crate::event::{EventType, check_groups};
use crate::fields::escape;
use crate::limits;
use crate::secret::Secret;
use crate::target::{AllowedDomains, EndpointUrl, TargetPolicy};
use crate::webhook::{Headers, Settings};

/// Which endpoints can be registered.
#[derive(Debug, Clone, Copy)]
pub(super) struct TargetRules<'a> {
    pub(super) policy: &'a TargetPolicy,
    pub(super) domains: &'a AllowedDomains,
    /// The URL for destinations with a routing key.
    pub(super) pagerduty: &'a EndpointUrl,
    /// The URL at which this deployment is reached, which no webhook may call.
    pub(super) public_url: &'a str,
}

/// The settings of a new webhook, and its secret if its owner brings it.
pub(super) fn new(asked: NewWebhook, rules: TargetRules<'_>) -> Result<(Settings, Option<Secret>)> {
    let format = match asked.destination.as_deref() {
        None => Some(Destination::default().format()),
        Some(name) => destination::format(name),
    };
    let (patch, mut refused) = Patch::checked(asked.settings, format, rules);
    let target = match format.map(|format| (format, format.address())) {
        Some((format, Address::Url | Address::SecretUrl)) => {
            refused.require("/url", patch.url).map(|url| (format, None, url))
        }
        Some((format, Address::RoutingKey)) => refused
            .require("/routing_key", patch.routing_key)
            .map(|key| (format, Some(key), rules.pagerduty.clone())),
        None => {
            refused.add(
                "/destination",
                format!("must be one of {}", destination::ALL.map(Format::name).join(", ")),
            );
            None
        }
    };
    let target = target.and_then(|(format, key, url)| {
        refused.check("/destination", Destination::new(format, key)).map(|destination| (destination, url))
    });
    let secret = asked.secret.and_then(|text| refused.check("/secret", Secret::parse(&text)));
    let events = refused.require("/events", patch.events);
    let ((destination, url), events) = accept(refused, target.zip(events))?;
    let settings = Settings {
        url,
        destination,
        events,
        monitor_groups: patch.monitor_groups.unwrap_or_default(),
        description: patch.description.flatten(),
        headers: patch.headers.unwrap_or_default(),
    };
    Ok((settings, secret))
}

fn accept<T>(refused: Refusals, value: Option<T>) -> Result<T> {
    let order = NewWebhook::FIELDS.map(|name| format!("/{name}"));
    refused.accept(value, &order.each_ref().map(String::as_str))
}

/// The checked settings of a change. `None` leaves a setting as it is.
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
    pub(super) fn of(asked: WebhookPatch, destination: &Destination, rules: TargetRules<'_>) -> Result<Self> {
        let (patch, refused) = Self::checked(asked, Some(destination.format()), rules);
        accept(refused, Some(patch))
    }

    /// An unknown format is refused by its name, so the fields for it are only parsed.
    fn checked(asked: WebhookPatch, format: Option<&dyn Format>, rules: TargetRules<'_>) -> (Self, Refusals) {
        let address = format.map(Format::address);
        let WebhookPatch {
            url: asked_url,
            routing_key: key,
            events: names,
            monitor_groups,
            description,
            headers: named,
            mut refused,
        } = asked;
        let patch = Self {
            url: asked_url.and_then(|text| refused.check("/url", url(&text, address, rules))),
            routing_key: key.and_then(|text| refused.check("/routing_key", routing_key(&text, address))),
            events: names.map(|names| events(&names, &mut refused)),
            monitor_groups: monitor_groups.inspect(|groups| {
                refused.check("/monitor_groups", check_groups(groups));
            }),
            description: description.inspect(|text| {
                refused.check("/description", check_description(text.as_deref().unwrap_or_default()));
            }),
            headers: named.map(|named| headers(named, &mut refused)),
        };
        (patch, refused)
    }

    pub(super) fn apply(&self, settings: &mut Settings) {
        let Self { url, routing_key, events, monitor_groups, description, headers } = self;
        if let Some(url) = url {
            settings.url = url.clone();
        }
        if let Some(key) = routing_key {
            settings.destination = settings.destination.clone().with_routing_key(key.clone());
        }
        if let Some(events) = events {
            settings.events.clone_from(events);
        }
        if let Some(groups) = monitor_groups {
            settings.monitor_groups.clone_from(groups);
        }
        if let Some(description) = description {
            settings.description.clone_from(description);
        }
        if let Some(headers) = headers {
            settings.headers.clone_from(headers);
        }
    }
}

fn url(
    text: &str,
    address: Option<Address>,
    rules: TargetRules<'_>,
) -> std::result::Result<EndpointUrl, String> {
    if address == Some(Address::RoutingKey) {
        return Err("cannot be set: the deployment decides this destination's URL".to_owned());
    }
    let url = EndpointUrl::parse(text, rules.policy).map_err(|refused| refused.detail)?;
    if EndpointUrl::restore(rules.public_url).is_ok_and(|own| own.has_host_of(&url)) {
        return Err("is the address of this StatusPulse deployment".to_owned());
    }
    if rules.domains.admits(url.host_text()) {
        Ok(url)
    } else {
        Err("its domain is not on the account's list of allowed domains".to_owned())
    }
}

fn routing_key(text: &str, address: Option<Address>) -> std::result::Result<RoutingKey, String> {
    if matches!(address, Some(Address::Url | Address::SecretUrl)) {
        let names = destination::names_with(Address::RoutingKey).join(" or ");
        return Err(format!("can only be set for the destination {names}"));
    }
    RoutingKey::parse(text).map_err(|refused| refused.to_string())
}

fn events(names: &[String], refused: &mut Refusals) -> Vec<EventType> {
    let mut events = vec![];
    for (index, name) in names.iter().enumerate() {
        let event = refused.check(&format!("/events/{index}"), EventType::parse(name));
        events.extend(event.filter(|event| !events.contains(event)));
    }
    if names.is_empty() {
        refused.add("/events", format!("must name at least one of {}", EventType::names()));
    }
    events
}

fn check_description(text: &str) -> std::result::Result<(), String> {
    let limit = limits::DESCRIPTION_CHARS;
    if text.chars().count() > limit || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(format!("must have at most {limit} characters, and no control characters but newlines"));
    }
    Ok(())
}

fn headers(named: Vec<(String, String)>, refused: &mut Refusals) -> Headers {
    if named.len() > limits::CUSTOM_HEADERS {
        refused.add("/headers", format!("must have at most {} headers", limits::CUSTOM_HEADERS));
    }
    let mut headers = BTreeMap::new();
    for (name, value) in named {
        let pointer = format!("/headers/{}", escape(&name));
        if refused.check(&pointer, check_header(&name, &value)).is_none() {
            continue;
        }
        // Header names are case-insensitive: two spellings would be one header sent twice.
        if headers.keys().any(|known: &String| known.eq_ignore_ascii_case(&name)) {
            refused.add(pointer, "appears more than once");
        } else {
            headers.insert(name, value);
        }
    }
    Headers(headers)
}

/// Headers that StatusPulse sets, that control the framing and routing of a request, or that browsers and proxies use to
/// identify a caller. A customer who could set them could split requests, or impersonate StatusPulse or another user.
const RESERVED: [&str; 22] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-real-ip",
];
const RESERVED_PREFIXES: [&str; 4] = ["x-statuspulse-", "webhook-", "sec-", "x-forwarded-"];

fn check_header(name: &str, value: &str) -> std::result::Result<(), String> {
    // RFC 9110, section 5.6.2.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > limits::HEADER_NAME_BYTES || !name.bytes().all(is_token) {
        return Err("is not a valid header name".to_owned());
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    {
        return Err("is set by StatusPulse or by the protocol, and cannot be replaced".to_owned());
    }
    // Visible ASCII and inner spaces only: no line breaks, no NUL, nothing that receivers may interpret differently.
    let visible = value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && value.trim() == value;
    if value.len() > limits::HEADER_VALUE_BYTES || value.is_empty() || !visible {
        let limit = limits::HEADER_VALUE_BYTES;
        return Err(format!("must have a value of 1 to {limit} visible ASCII characters"));
    }
    Ok(())
}
