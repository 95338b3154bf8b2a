//! An event of an incident, and the envelope it is published in.
//!
//! The payload is delivered as the very bytes it was published as: numbers keep their digits, keys their
//! order, and every attempt carries the same body. It is checked here, never rewritten.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::error::{Error, FieldError, Result};
use crate::fields::Fields;
use crate::ids::{AccountId, EventId};
use crate::limits;

/// The kinds of event a webhook can be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    pub const ALL: [EventType; 3] =
        [EventType::IncidentOpened, EventType::IncidentUpdated, EventType::IncidentResolved];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            EventType::IncidentOpened => "incident_opened",
            EventType::IncidentUpdated => "incident_updated",
            EventType::IncidentResolved => "incident_resolved",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The names, for an error that says what would be right.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// A payload of this type, to show what it looks like.
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

    /// The field that says when it happened.
    pub fn time_field(self) -> &'static str {
        match self {
            EventType::IncidentOpened => "triggered_at",
            EventType::IncidentUpdated => "updated_at",
            EventType::IncidentResolved => "resolved_at",
        }
    }

    /// The values `status` may have.
    pub fn statuses(self) -> &'static [&'static str] {
        match self {
            EventType::IncidentOpened | EventType::IncidentUpdated => {
                &["investigating", "identified", "monitoring"]
            }
            EventType::IncidentResolved => &["resolved"],
        }
    }

    /// What `details` may hold, and of which kind. Each may be missing: a probe that got no answer has no
    /// response code. What else stands there is kept.
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

/// What kind of value a field of `details` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
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
            Kind::Text => "must be a text",
            Kind::Number => "must be a number",
            Kind::Truth => "must be true or false",
        }
    }
}

/// An accepted event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id: `webhook-id` on the wire.
    pub id: EventId,
    /// Whose it is.
    pub account_id: AccountId,
    /// Which kind.
    pub event_type: EventType,
    /// Which incident it belongs to.
    pub incident_id: String,
    /// The monitor groups it concerns.
    pub monitor_groups: Vec<String>,
    /// The payload, byte for byte.
    pub body: Bytes,
    /// Tells whether a repeated call brings the same content.
    pub fingerprint: [u8; 32],
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

/// What a publisher sends: the payload and whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Whose event it is, where the caller's key does not say.
    pub account_id: Option<AccountId>,
    /// The monitor groups it concerns.
    pub monitor_groups: Vec<String>,
    /// Which kind.
    pub event_type: EventType,
    /// Which incident it belongs to.
    pub incident_id: String,
    /// The payload, byte for byte.
    pub body: Bytes,
}

impl Envelope {
    /// Reads and checks an envelope. The payload's bytes are a slice of the input.
    pub fn parse(input: &Bytes) -> Result<Self> {
        let mut fields = Fields::of_body(input)?;
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
        let payload = raw.and_then(|raw| match check_payload(raw) {
            Ok(payload) => Some(payload),
            Err(errors) => {
                fields.extend(errors);
                None
            }
        });
        fields.refuse_rest();
        fields.finish()?;
        let (Some(raw), Some((event_type, incident_id))) = (raw, payload) else {
            return Err(Error::invalid("/payload", "is required"));
        };
        let body = input.slice_ref(raw.get().as_bytes());
        Ok(Self { account_id, monitor_groups, event_type, incident_id, body })
    }

    /// What is the same in two calls with the same content.
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
    let id = text.parse().ok();
    if id.is_none() {
        fields.refuse("account_id", "must be an account's id");
    }
    id
}

/// Names of monitor groups: exact and case-sensitive, so almost anything goes.
pub(crate) fn check_groups(groups: &[String]) -> std::result::Result<(), String> {
    if groups.len() > limits::MONITOR_GROUPS {
        return Err(format!("may name {} groups at most", limits::MONITOR_GROUPS));
    }
    let wrong = |group: &&String| {
        group.trim().is_empty()
            || group.chars().count() > limits::MONITOR_GROUP_CHARS
            || group.chars().any(char::is_control)
    };
    match groups.iter().find(wrong) {
        Some(group) => Err(format!(
            "has the name {group:?}; a name has 1 to {} characters, none of them a control character",
            limits::MONITOR_GROUP_CHARS
        )),
        None => Ok(()),
    }
}

/// Checks a payload against its type's shape; what it does not know it lets pass.
pub(crate) fn check_payload(raw: &RawValue) -> std::result::Result<(EventType, String), Vec<FieldError>> {
    let mut fields = Fields::of_value("/payload", raw).map_err(|error| vec![error])?;
    let name = fields.text("event_type");
    let Some(name) = fields.require("event_type", name) else { return Err(fields.into_errors()) };
    let Some(event_type) = EventType::from_name(&name) else {
        fields.refuse("event_type", format!("must be one of {}", EventType::names()));
        return Err(fields.into_errors());
    };
    let incident_id = fields.text("incident_id");
    let incident_id = fields.require("incident_id", incident_id).map(|id| {
        if id.trim().is_empty() || id.chars().count() > limits::INCIDENT_ID_CHARS {
            fields.refuse("incident_id", format!("must have 1 to {} characters", limits::INCIDENT_ID_CHARS));
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
    for name in EventType::ALL.map(EventType::time_field) {
        let time = fields.timestamp(name);
        if name == event_type.time_field() {
            fields.require(name, time);
        }
    }
    let details = fields.raw("details");
    if let Some(details) = fields.require("details", details) {
        fields.extend(check_details(event_type, details));
    }
    let errors = fields.into_errors();
    match incident_id {
        Some(incident_id) if errors.is_empty() => Ok((event_type, incident_id)),
        _ => Err(errors),
    }
}

fn check_details(event_type: EventType, raw: &RawValue) -> Vec<FieldError> {
    let mut fields = match Fields::of_value("/payload/details", raw) {
        Ok(fields) => fields,
        Err(error) => return vec![error],
    };
    for (name, kind) in event_type.details() {
        if let Some(value) = fields.raw(name)
            && !kind.fits(value)
        {
            fields.refuse(name, kind.expected());
        }
    }
    fields.into_errors()
}
