//! An event of an incident, and the envelope it is published in.
//!
//! The payload is delivered byte for byte as it was published: numbers keep their digits, keys keep their order, and
//! every attempt has the same body. It is checked here and never rewritten.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::error::{Error, Refusals, Result};
use crate::fields::Fields;
use crate::ids::{AccountId, EventId};
use crate::limits;
use crate::surrogates::Readable;

/// The event types that a webhook can receive.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, EnumString, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum EventType {
    /// An incident began.
    IncidentOpened,
    /// Its status changed.
    IncidentUpdated,
    /// It ended.
    IncidentResolved,
}

impl EventType {
    /// All of them.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// The type with this name. The error says which names are allowed.
    pub fn parse(name: &str) -> std::result::Result<Self, String> {
        Self::from_name(name).ok_or_else(|| format!("must be one of {}", Self::names()))
    }

    /// All names, for error texts.
    pub fn names() -> String {
        Self::ALL.iter().map(|each| each.name()).collect::<Vec<_>>().join(", ")
    }

    /// A sample payload of this type.
    pub fn sample(self) -> &'static str {
        match self {
            EventType::IncidentOpened => {
                r#"{
  "event_type": "incident_opened",
  "incident_id": "INC-8842-ALPHA",
  "monitor_name": "checkout-api-prod",
  "status": "investigating",
  "triggered_at": "2024-03-15T14:22:01Z",
  "details": {
    "endpoint": "https://api.yourcompany.com/v2/checkout",
    "response_code": 503,
    "latency_ms": 1240,
    "region": "us-east-1"
  }
}"#
            }
            EventType::IncidentUpdated => {
                r#"{
  "event_type": "incident_updated",
  "incident_id": "INC-8842-ALPHA",
  "monitor_name": "checkout-api-prod",
  "status": "identified",
  "updated_at": "2024-03-15T14:31:12Z",
  "details": {
    "previous_status": "investigating",
    "message": "Cache nodes are being replaced",
    "response_code": 503,
    "latency_ms": 980,
    "region": "us-east-1"
  }
}"#
            }
            EventType::IncidentResolved => {
                r#"{
  "event_type": "incident_resolved",
  "incident_id": "INC-8842-ALPHA",
  "monitor_name": "checkout-api-prod",
  "status": "resolved",
  "resolved_at": "2024-03-15T15:05:44Z",
  "details": {
    "downtime_duration_seconds": 2623,
    "final_response_code": 200,
    "auto_resolved": true,
    "engineer_notes": "Cache flush restored connectivity"
  }
}"#
            }
        }
    }

    /// The payload field with the time of the event.
    pub fn time_field(self) -> &'static str {
        match self {
            EventType::IncidentOpened => "triggered_at",
            EventType::IncidentUpdated => "updated_at",
            EventType::IncidentResolved => "resolved_at",
        }
    }

    /// The allowed values of `status`.
    pub fn statuses(self) -> &'static [&'static str] {
        match self {
            EventType::IncidentOpened | EventType::IncidentUpdated => {
                &["investigating", "identified", "monitoring"]
            }
            EventType::IncidentResolved => &["resolved"],
        }
    }

    /// The known fields of `details`, and their kinds. Each is optional: a check that got no answer has no response
    /// code. Unknown fields are kept.
    pub fn details(self) -> &'static [(&'static str, Kind)] {
        match self {
            EventType::IncidentOpened => &[
                ("endpoint", Kind::Text),
                ("response_code", Kind::Number),
                ("latency_ms", Kind::Number),
                ("region", Kind::Text),
            ],
            EventType::IncidentUpdated => &[
                ("previous_status", Kind::Text),
                ("message", Kind::Text),
                ("response_code", Kind::Number),
                ("latency_ms", Kind::Number),
                ("region", Kind::Text),
            ],
            EventType::IncidentResolved => &[
                ("downtime_duration_seconds", Kind::Number),
                ("final_response_code", Kind::Number),
                ("auto_resolved", Kind::Truth),
                ("engineer_notes", Kind::Text),
            ],
        }
    }
}

/// The kind of a value in `details`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A number.
    Number,
    /// True or false.
    Truth,
}

impl Kind {
    fn fits(self, value: &RawValue) -> bool {
        let first = value.get().as_bytes().first().copied().unwrap_or_default();
        match self {
            Kind::Text => first == b'"',
            Kind::Number => first == b'-' || first.is_ascii_digit(),
            Kind::Truth => first == b't' || first == b'f',
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Kind::Text => "must be a string",
            Kind::Number => "must be a number",
            Kind::Truth => "must be true or false",
        }
    }
}

/// An accepted event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Unique id: `webhook-id` on the wire.
    pub id: EventId,
    /// The account it was published for.
    pub account_id: AccountId,
    /// Its type.
    pub event_type: EventType,
    /// The incident it belongs to.
    pub incident_id: String,
    /// The monitor groups it concerns.
    pub monitor_groups: Vec<String>,
    /// The payload, byte for byte.
    pub body: Bytes,
    /// Digest that shows whether a repeated call has the same content.
    pub fingerprint: [u8; 32],
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

/// What a publisher sends: the payload, and which webhooks it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The account, if the caller's key does not name it.
    pub account_id: Option<AccountId>,
    /// The monitor groups it concerns.
    pub monitor_groups: Vec<String>,
    /// The event's type.
    pub event_type: EventType,
    /// The incident it belongs to.
    pub incident_id: String,
    /// The payload, byte for byte.
    pub body: Bytes,
}

impl Envelope {
    /// Parses and checks an envelope. The payload's bytes are a slice of the input.
    pub fn parse(input: &Bytes) -> Result<Self> {
        // Only to read it. The body keeps its bytes.
        let readable = Readable::of(input);
        let mut fields = Fields::of_body(&readable)?;
        let account_id = account_field(&mut fields);
        let monitor_groups = fields.texts("monitor_groups").unwrap_or_default();
        if let Err(detail) = check_groups(&monitor_groups) {
            fields.refuse("monitor_groups", detail);
        }
        let raw = fields.raw("payload");
        let raw = fields.require("payload", raw);
        if let Some(bytes) = raw.map(|raw| raw.get().len()).filter(|bytes| *bytes > limits::PAYLOAD_BYTES) {
            let limit = limits::PAYLOAD_BYTES;
            return Err(Error::TooLarge { what: "the payload", pointer: "/payload", bytes, limit });
        }
        let payload =
            raw.and_then(|raw| Payload::parse(raw).map_err(|refused| fields.refused.extend(refused)).ok());
        let Payload { event_type, incident_id, text } = fields.into_refused().accept(payload, &[])?;
        let at = text.as_ptr().addr() - readable.as_ptr().addr();
        let body = input.slice(at..at + text.len());
        Ok(Self { account_id, monitor_groups, event_type, incident_id, body })
    }

    /// Digest of the monitor groups and the payload: the same for two calls with the same content.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for group in &self.monitor_groups {
            digest.update(group.len().to_be_bytes());
            digest.update(group.as_bytes());
        }
        digest.update([0xff]);
        digest.update(&self.body);
        digest.finalize().into()
    }
}

fn account_field(fields: &mut Fields<'_>) -> Option<AccountId> {
    let text = fields.text("account_id")?;
    fields.check("account_id", text.parse().map_err(|_| "must be an account id"))
}

/// Checks the names of monitor groups. They are exact and case-sensitive, so almost anything is allowed.
pub(crate) fn check_groups(groups: &[String]) -> std::result::Result<(), String> {
    if groups.len() > limits::MONITOR_GROUPS {
        return Err(format!("must have at most {} groups", limits::MONITOR_GROUPS));
    }
    let wrong = |group: &&String| {
        group.trim().is_empty()
            || group.chars().count() > limits::MONITOR_GROUP_CHARS
            || group.chars().any(char::is_control)
    };
    match groups.iter().find(wrong) {
        Some(group) => Err(format!(
            "contains {group:?}; a name must have 1 to {} characters, and no control characters",
            limits::MONITOR_GROUP_CHARS
        )),
        None => Ok(()),
    }
}

/// A payload that was checked against the shape of its type. It may have other fields too.
#[derive(Debug, Clone)]
pub struct Payload<'a> {
    pub(crate) event_type: EventType,
    pub(crate) incident_id: String,
    /// As received, byte for byte.
    pub(crate) text: &'a str,
}

impl<'a> Payload<'a> {
    /// Checks a payload against the shape of its type.
    ///
    /// # Errors
    /// Returns every invalid field, with its pointer below `/payload`.
    pub fn parse(raw: &'a RawValue) -> std::result::Result<Self, Refusals> {
        let mut fields = Fields::of_value("/payload", raw)?;
        let name = fields.text("event_type");
        let event_type = fields.require("event_type", name);
        let event_type = event_type.and_then(|name| fields.check("event_type", EventType::parse(&name)));
        let Some(event_type) = event_type else { return Err(fields.refused) };
        let incident_id = fields.text("incident_id");
        let incident_id = fields.require("incident_id", incident_id).map(|id| {
            if id.trim().is_empty() || id.chars().count() > limits::INCIDENT_ID_CHARS {
                let limit = limits::INCIDENT_ID_CHARS;
                fields.refuse("incident_id", format!("must have 1 to {limit} characters"));
            }
            id.into_owned()
        });
        let monitor = fields.text("monitor_name");
        if fields.require("monitor_name", monitor).is_some_and(|name| name.trim().is_empty()) {
            fields.refuse("monitor_name", "must not be empty");
        }
        let status = fields.text("status");
        if let Some(status) = fields.require("status", status)
            && !event_type.statuses().contains(&&*status)
        {
            fields.refuse("status", format!("must be one of {}", event_type.statuses().join(", ")));
        }
        for name in EventType::ALL.iter().map(|each| each.time_field()) {
            let time = fields.utc(name);
            if name == event_type.time_field() {
                fields.require(name, time);
            }
        }
        let details = fields.raw("details");
        if let Some(details) = fields.require("details", details) {
            fields.refused.extend(check_details(event_type, details));
        }
        fields.check_nested(limits::PAYLOAD_LEVELS - 1);
        match incident_id {
            Some(incident_id) if fields.refused.is_empty() => {
                Ok(Self { event_type, incident_id, text: raw.get() })
            }
            _ => Err(fields.refused),
        }
    }
}

fn check_details(event_type: EventType, raw: &RawValue) -> Refusals {
    let mut fields = match Fields::of_value("/payload/details", raw) {
        Ok(fields) => fields,
        Err(refused) => return refused,
    };
    for (name, kind) in event_type.details() {
        if let Some(value) = fields.raw(name)
            && !kind.fits(value)
        {
            fields.refuse(name, kind.expected());
        }
    }
    fields.check_nested(limits::PAYLOAD_LEVELS - 2);
    fields.refused
}
