//! Notifications of Alertmanager and Grafana: several alerts in one body. Grafana sends what Alertmanager does, and links
//! to its pages.
//!
//! | alert | event |
//! |---|---|
//! | fires | `incident_opened` |
//! | fires still, and says something else | `incident_updated` |
//! | is resolved | `incident_resolved` |
//!
//! The incident is the alert's fingerprint (a digest of its labels) and its start. What else a notification has is left
//! out; new versions of the senders may add to it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Alert, Words, groups, put};
use crate::destination::shortened;
use crate::error::{Refusals, Result};
use crate::event::EventType;
use crate::fields::{Fields, parse_time};
use crate::limits;
use crate::surrogates::Readable;

/// The system that sent a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Prometheus' Alertmanager.
    Alertmanager,
    /// Grafana's own alerting.
    Grafana,
}

impl Sender {
    /// All of them.
    pub const ALL: [Sender; 2] = [Sender::Alertmanager, Sender::Grafana];

    /// Its name, as paths and incident ids have it.
    pub fn name(self) -> &'static str {
        match self {
            Sender::Alertmanager => "alertmanager",
            Sender::Grafana => "grafana",
        }
    }
}

/// The labels whose values are monitor groups. `monitor_group` may list several, separated by commas.
pub const GROUP_LABELS: [&str; 3] = ["monitor_group", "service", "team"];

/// The alerts of a notification.
///
/// # Errors
/// Names every field that is missing or wrong.
pub fn alerts(sender: Sender, body: &[u8], now: Timestamp) -> Result<Vec<Alert>> {
    let readable = Readable::of(body);
    let mut fields = Fields::of_body(&readable)?;
    let listed = fields.get::<Vec<&RawValue>>("alerts", "a list of alerts");
    let listed = fields.require("alerts", listed).unwrap_or_default();
    if listed.len() > limits::ALERTS {
        fields.refuse("alerts", format!("must have at most {} alerts", limits::ALERTS));
    }
    let mut alerts = vec![];
    for (place, raw) in listed.into_iter().take(limits::ALERTS).enumerate() {
        match Notified::read(&format!("/alerts/{place}"), raw) {
            Ok(alert) => alerts.push(alert.into_events(sender, now)),
            Err(refused) => fields.refused.extend(refused),
        }
    }
    fields.refused.accept(Some(alerts), &[])
}

/// An alert of a notification.
struct Notified {
    is_resolved: bool,
    fingerprint: String,
    starts_at: Timestamp,
    /// Senders use a time before the start for "not resolved yet".
    ends_at: Option<Timestamp>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    links: Vec<(&'static str, String)>,
}

impl Notified {
    fn read(pointer: &str, raw: &RawValue) -> std::result::Result<Self, Refusals> {
        let mut fields = Fields::of_value(pointer, raw)?;
        let status = fields.text("status");
        let status = fields.require("status", status);
        let is_resolved = status.and_then(|status| fields.check("status", is_resolved(&status)));
        let fingerprint = fields.text("fingerprint");
        let fingerprint = fields.require("fingerprint", fingerprint);
        let fingerprint =
            fingerprint.and_then(|text| fields.check("fingerprint", checked_fingerprint(&text)));
        let starts_at = fields.timestamp("startsAt");
        let starts_at = fields.require("startsAt", starts_at);
        let ends_at = fields.text("endsAt").and_then(|text| parse_time(&text).ok());
        let labels = texts(&mut fields, "labels");
        let annotations = texts(&mut fields, "annotations");
        let mut links = vec![];
        for (field, name) in LINKS {
            links.extend(fields.text(field).map(|link| (name, link.into_owned())));
        }
        match (is_resolved, fingerprint, starts_at) {
            (Some(is_resolved), Some(fingerprint), Some(starts_at)) if fields.refused.is_empty() => {
                Ok(Self { is_resolved, fingerprint, starts_at, ends_at, labels, annotations, links })
            }
            _ => Err(fields.refused),
        }
    }

    fn into_events(self, sender: Sender, now: Timestamp) -> Alert {
        let (name, started) = (sender.name(), self.starts_at.strftime("%Y%m%dT%H%M%SZ"));
        let incident_id = format!("{name}-{}-{started}", self.fingerprint);
        let key = |of: &str| format!("{incident_id}:{of}");
        let mut words = Words {
            incident_id: incident_id.clone(),
            monitor_name: self.monitor_name(),
            monitor_groups: self.monitor_groups(),
            details: self.details(sender),
        };
        if self.is_resolved {
            let ended = self.ends_at.filter(|at| *at >= self.starts_at).unwrap_or(now);
            let seconds = ended.as_second().saturating_sub(self.starts_at.as_second());
            words.details.insert("downtime_duration_seconds".to_owned(), json!(seconds));
            words.details.insert("auto_resolved".to_owned(), json!(true));
            let event = words.event(EventType::IncidentResolved, ended, key("resolved"));
            return Alert { event, if_known: None };
        }
        let event = words.event(EventType::IncidentOpened, self.starts_at, key("opened"));
        let content = URL_SAFE_NO_PAD.encode(Sha256::digest(&event.payload));
        let update = words.event(EventType::IncidentUpdated, now, key(&format!("updated:{content}")));
        Alert { event, if_known: Some(update) }
    }

    /// The alert's name and the instance. Grafana names alerts about its own troubles by the trouble, and has the rule's
    /// name in another label.
    fn monitor_name(&self) -> String {
        let label = |name| self.labels.get(name).map(String::as_str).filter(|text| !text.trim().is_empty());
        let name = ["rulename", "alertname"].into_iter().find_map(label).unwrap_or("alert");
        let name = match label("instance") {
            Some(instance) => format!("{name} ({instance})"),
            None => name.to_owned(),
        };
        shortened(&name, limits::ALERT_NAME_UNITS)
    }

    fn monitor_groups(&self) -> Vec<String> {
        let values = GROUP_LABELS.iter().filter_map(|label| Some((*label, self.labels.get(*label)?)));
        groups(values.flat_map(|(label, value)| {
            let several = label == GROUP_LABELS[0];
            value.split(move |c| several && c == ',')
        }))
    }

    fn details(&self, sender: Sender) -> Map<String, Value> {
        let mut details = Map::new();
        put(&mut details, "source", Some(sender.name()));
        put(&mut details, "endpoint", self.labels.get("instance").map(String::as_str));
        for name in ["region", "severity"] {
            put(&mut details, name, self.labels.get(name).map(String::as_str));
        }
        let annotation = |name: &str| self.annotations.get(name).map(String::as_str);
        let message = ["summary", "message", "description"].into_iter().find_map(annotation);
        put(&mut details, "message", message);
        put(&mut details, "description", annotation("description"));
        put(&mut details, "runbook_url", annotation("runbook_url"));
        for (name, link) in &self.links {
            put(&mut details, name, Some(link));
        }
        details.insert("labels".to_owned(), json!(self.labels));
        details.insert("annotations".to_owned(), json!(self.annotations));
        details
    }
}

/// The links of an alert, and what they are called in the details.
const LINKS: [(&str, &str); 4] = [
    ("generatorURL", "source_url"),
    ("dashboardURL", "dashboard_url"),
    ("panelURL", "panel_url"),
    ("silenceURL", "silence_url"),
];

fn is_resolved(status: &str) -> std::result::Result<bool, &'static str> {
    match status {
        "firing" => Ok(false),
        "resolved" => Ok(true),
        _ => Err("must be firing or resolved"),
    }
}

/// It becomes part of ids.
fn checked_fingerprint(text: &str) -> std::result::Result<String, String> {
    let most = limits::FINGERPRINT_CHARS;
    if text.is_empty() || text.len() > most || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!("must have 1 to {most} letters and digits"));
    }
    Ok(text.to_owned())
}

/// An object of texts. Values of another kind stay as they are written.
fn texts(fields: &mut Fields<'_>, name: &str) -> BTreeMap<String, String> {
    let text = |raw: &RawValue| serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
    let entries = fields.object(name).unwrap_or_default();
    entries.into_iter().map(|(key, raw)| (key.into_owned(), text(raw))).collect()
}
