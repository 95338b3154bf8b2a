//! Alerts of other systems, and the events that they become.
//!
//! Each mapping is pure. An alert has an identity and a start, from which its incident id and its idempotency keys are
//! made: Alertmanager repeats an alert while it fires, and EventBridge delivers at least once.

pub mod cloudwatch;
pub mod notification;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::destination::shortened;
use crate::event::{EventType, check_groups};
use crate::ids::AccountId;
use crate::limits;

/// An alert, as events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What is published.
    pub event: Draft,
    /// What is published if this event was published before, with other words.
    pub if_known: Option<Draft>,
}

/// An event that is not published yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its type.
    pub event_type: EventType,
    /// The incident it belongs to.
    pub incident_id: String,
    /// The monitor groups it concerns.
    pub monitor_groups: Vec<String>,
    /// The payload.
    pub payload: String,
    /// Makes it one event, however often the alert comes.
    pub idempotency_key: String,
}

impl Draft {
    /// The body of a call that publishes it. `account` is only needed if the caller's key does not name it.
    pub fn envelope(&self, account: Option<AccountId>) -> Bytes {
        let (account, groups, payload) = (json(&account), json(&self.monitor_groups), &self.payload);
        Bytes::from(format!(r#"{{"account_id":{account},"monitor_groups":{groups},"payload":{payload}}}"#))
    }
}

/// What an alert says, in our words.
struct Words {
    incident_id: String,
    monitor_name: String,
    monitor_groups: Vec<String>,
    details: Map<String, Value>,
}

impl Words {
    fn event(&self, event_type: EventType, at: Timestamp, idempotency_key: String) -> Draft {
        Draft {
            event_type,
            incident_id: self.incident_id.clone(),
            monitor_groups: self.monitor_groups.clone(),
            payload: self.payload(event_type, at),
            idempotency_key,
        }
    }

    fn payload(&self, event_type: EventType, at: Timestamp) -> String {
        #[derive(Serialize)]
        struct Payload<'a> {
            event_type: &'static str,
            incident_id: &'a str,
            monitor_name: &'a str,
            status: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            triggered_at: Option<Timestamp>,
            #[serde(skip_serializing_if = "Option::is_none")]
            updated_at: Option<Timestamp>,
            #[serde(skip_serializing_if = "Option::is_none")]
            resolved_at: Option<Timestamp>,
            details: &'a Map<String, Value>,
        }
        let time_of = |wanted| (event_type == wanted).then_some(at);
        let write = |details: &Map<String, Value>| {
            json(&Payload {
                event_type: event_type.name(),
                incident_id: &self.incident_id,
                monitor_name: &self.monitor_name,
                status: event_type.statuses()[0],
                triggered_at: time_of(EventType::IncidentOpened),
                updated_at: time_of(EventType::IncidentUpdated),
                resolved_at: time_of(EventType::IncidentResolved),
                details,
            })
        };
        let whole = write(&self.details);
        if whole.len() <= limits::PAYLOAD_BYTES {
            return whole;
        }
        let mut shorter = self.details.clone();
        for name in ["labels", "annotations", "description"] {
            shorter.remove(name);
        }
        shorter.insert("shortened".to_owned(), Value::Bool(true));
        write(&shorter)
    }
}

/// Sets a detail, unless it is empty.
fn put(details: &mut Map<String, Value>, name: &str, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
        let text = shortened(text, limits::ALERT_TEXT_UNITS);
        details.insert(name.to_owned(), Value::String(text));
    }
}

/// The names that can be monitor groups, once each.
fn groups<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut groups: Vec<String> = vec![];
    for name in names {
        let name = name.trim().to_owned();
        if !groups.contains(&name) && check_groups(std::slice::from_ref(&name)).is_ok() {
            groups.push(name);
        }
    }
    groups.truncate(limits::MONITOR_GROUPS);
    groups
}

fn json(value: &impl Serialize) -> String {
    // Strings, numbers and objects with strings as keys always serialise.
    serde_json::to_string(value).unwrap_or_default()
}
