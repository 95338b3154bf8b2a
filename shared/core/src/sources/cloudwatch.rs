//! State changes of CloudWatch alarms, as EventBridge reports them.
//!
//! | from | to | event |
//! |---|---|---|
//! | any other state | `ALARM` | `incident_opened` |
//! | `ALARM` | `ALARM`, `INSUFFICIENT_DATA` | `incident_updated` |
//! | `ALARM`, `INSUFFICIENT_DATA` | `OK` | `incident_resolved` |
//!
//! All others change no incident. Only the state before is reported, and not when the alarm began, so the incident is the
//! alarm: each of its outages is one more `incident_opened` of the same incident, in order. A new alarm goes from
//! `INSUFFICIENT_DATA` to `OK` without an outage, so that is left out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, json};
use sha2::{Digest, Sha256};

use super::{Alert, Words, groups, put};
use crate::destination::shortened;
use crate::error::{Error, Result};
use crate::event::EventType;
use crate::fields::parse_time;
use crate::limits;

/// The `detail-type` of these events.
pub const DETAIL_TYPE: &str = "CloudWatch Alarm State Change";

/// The reason of a new alarm's first state.
const NEW: &str = "Unchecked: Initial alarm creation";

#[derive(Deserialize)]
struct StateChange {
    account: String,
    region: String,
    resources: Vec<String>,
    detail: Detail,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    alarm_name: String,
    #[serde(default)]
    configuration: Configuration,
    previous_state: State,
    state: State,
}

#[derive(Deserialize, Default)]
struct Configuration {
    description: Option<String>,
    #[serde(default)]
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    metric_stat: Option<MetricStat>,
}

#[derive(Deserialize)]
struct MetricStat {
    metric: MetricName,
}

#[derive(Deserialize)]
struct MetricName {
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct State {
    value: String,
    #[serde(default)]
    reason: String,
    timestamp: String,
}

impl State {
    fn at(&self) -> std::result::Result<Timestamp, String> {
        Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", &self.timestamp)
            .or_else(|_| parse_time(&self.timestamp))
    }
}

/// What a state change becomes; `None` if it changes no incident.
///
/// # Errors
/// Names what is missing or wrong.
pub fn alert(event: &[u8]) -> Result<Option<Alert>> {
    let change: StateChange =
        serde_json::from_slice(event).map_err(|error| Error::invalid("/detail", error.to_string()))?;
    let Some(event_type) = change.event_type() else { return Ok(None) };
    let wrong = |pointer| move |why| Error::invalid(pointer, why);
    let at = change.detail.state.at().map_err(wrong("/detail/state/timestamp"))?;
    let alarm = change.resources.first().ok_or_else(|| Error::invalid("/resources", "is empty"))?;
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(alarm));
    let key = format!("cloudwatch:{digest}:{}:{}", at.as_millisecond(), change.detail.state.value);
    let mut words = change.words(incident_id(alarm, &digest));
    if event_type == EventType::IncidentResolved {
        if change.detail.previous_state.value == "ALARM" {
            let since =
                change.detail.previous_state.at().map_err(wrong("/detail/previousState/timestamp"))?;
            let seconds = at.as_second().saturating_sub(since.as_second());
            words.details.insert("downtime_duration_seconds".to_owned(), json!(seconds));
        }
        words.details.insert("auto_resolved".to_owned(), json!(true));
    }
    Ok(Some(Alert { event: words.event(event_type, at, key), if_known: None }))
}

impl StateChange {
    fn event_type(&self) -> Option<EventType> {
        let Detail { previous_state, state, .. } = &self.detail;
        match (&*previous_state.value, &*state.value) {
            ("ALARM", "ALARM" | "INSUFFICIENT_DATA") => Some(EventType::IncidentUpdated),
            (_, "ALARM") => Some(EventType::IncidentOpened),
            ("INSUFFICIENT_DATA", "OK") if previous_state.reason.starts_with(NEW) => None,
            ("ALARM" | "INSUFFICIENT_DATA", "OK") => Some(EventType::IncidentResolved),
            _ => None,
        }
    }

    fn words(&self, incident_id: String) -> Words {
        let Detail { alarm_name, configuration, state, .. } = &self.detail;
        let mut details = Map::new();
        put(&mut details, "source", Some("cloudwatch"));
        put(&mut details, "region", Some(&self.region));
        put(&mut details, "message", Some(&state.reason));
        put(&mut details, "description", configuration.description.as_deref());
        put(&mut details, "alarm_state", Some(&state.value));
        put(&mut details, "alarm_arn", self.resources.first().map(String::as_str));
        put(&mut details, "aws_account", Some(&self.account));
        let namespace = |metric: &'_ Metric| metric.metric_stat.as_ref()?.metric.namespace.clone();
        let namespaces: Vec<String> = configuration.metrics.iter().filter_map(namespace).collect();
        Words {
            incident_id,
            monitor_name: shortened(alarm_name, limits::ALERT_NAME_UNITS),
            monitor_groups: groups(
                std::iter::once(&**alarm_name).chain(namespaces.iter().map(|name| &**name)),
            ),
            details,
        }
    }
}

/// The alarm's ARN. A long one is cut, and its digest makes it different from others.
fn incident_id(alarm: &str, digest: &str) -> String {
    if alarm.chars().count() <= limits::INCIDENT_ID_CHARS {
        return alarm.to_owned();
    }
    let kept = limits::INCIDENT_ID_CHARS - digest.len() - 1;
    format!("{}-{digest}", alarm.chars().take(kept).collect::<String>())
}
