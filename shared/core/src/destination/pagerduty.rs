//! PagerDuty's Events API v2: <https://developer.pagerduty.com/docs/events-api-v2/overview/>. An event opens an
//! incident there, and `resolve` with the same `dedup_key` ends it.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::told::{Details, Told, shortened};
use super::{Consequence, Probe, Verdict, body};
use crate::attempt::{Class, Failure, Reply, judge, response_text};
use crate::event::EventType;
use crate::ids::WebhookId;
use crate::limits;
use crate::webhook::PauseReason;

/// The integration key of a PagerDuty service. It is a secret, because it is enough to page. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct RoutingKey(String);

/// The text is not a routing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the 32 letters and digits of an Events API v2 integration key")]
pub struct RoutingKeyRefused;

impl RoutingKey {
    /// Parses a key.
    ///
    /// # Errors
    /// Returns an error if the text does not have the form of a key.
    pub fn parse(text: &str) -> Result<Self, RoutingKeyRefused> {
        let fits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits { Ok(Self(text.to_owned())) } else { Err(RoutingKeyRefused) }
    }

    /// The key itself, for sending and sealing.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for RoutingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RoutingKey")
    }
}

#[derive(Serialize)]
struct Event<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: &'a str,
    client: &'static str,
    client_url: String,
    payload: Payload<'a>,
}

#[derive(Serialize)]
struct Payload<'a> {
    summary: String,
    source: &'a str,
    severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_details: Option<&'a RawValue>,
}

/// The event for a payload. `group` is the webhook's monitor group, if it has exactly one. The link opens the
/// incident's deliveries in the dashboard.
pub(super) fn event(
    key: &RoutingKey,
    event_type: EventType,
    payload: &Bytes,
    groups: &[String],
    page: &str,
) -> Bytes {
    let told = Told::of(payload);
    let details = told.details();
    let group = match groups {
        [only] => Some(only.as_str()),
        _ => None,
    };
    body(&Event {
        routing_key: key.reveal(),
        event_action: match event_type {
            EventType::IncidentOpened | EventType::IncidentUpdated => "trigger",
            EventType::IncidentResolved => "resolve",
        },
        dedup_key: &told.incident_id,
        client: "StatusPulse",
        client_url: format!("{page}/deliveries?incident={}", in_query(&told.incident_id)),
        payload: Payload {
            summary: shortened(&summary(event_type, &told, &details), limits::PAGERDUTY_SUMMARY_CHARS),
            source: &told.monitor_name,
            severity: severity(details.response_code()),
            timestamp: told.at(),
            component: details.endpoint(),
            group,
            class: event_type.name(),
            custom_details: told.details,
        },
    })
}

fn in_query(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn summary(event_type: EventType, told: &Told<'_>, details: &Details<'_>) -> String {
    let monitor = &told.monitor_name;
    match event_type {
        EventType::IncidentOpened => {
            let mut text = format!("{monitor} is down");
            if let Some(code) = details.response_code() {
                text.push_str(&format!(": answered {code}"));
            }
            if let Some(region) = details.region() {
                text.push_str(&format!(" in {region}"));
            }
            text
        }
        EventType::IncidentUpdated => match details.words() {
            Some(words) => format!("{monitor}: {}. {words}", told.status),
            None => format!("{monitor}: {}", told.status),
        },
        EventType::IncidentResolved => format!("{monitor} is up again"),
    }
}

/// The severity, from what the monitored system answered: no answer or a 5xx is critical, a 4xx is an error, all else
/// is a warning.
fn severity(response_code: Option<&str>) -> &'static str {
    match response_code.and_then(|digits| digits.parse::<f64>().ok()) {
        None => "critical",
        Some(code) if !(100.0..500.0).contains(&code) => "critical",
        Some(code) if code >= 400.0 => "error",
        Some(_) => "warning",
    }
}

/// A handshake resolves an incident that does not exist, which pages no one and proves the form of the key. A test
/// event opens one with the lowest severity.
pub(super) fn probe(key: &RoutingKey, probe: Probe, webhook: WebhookId, now: Timestamp) -> Bytes {
    let dedup_key = format!("statuspulse-{}-{webhook}", probe.name());
    body(&match probe {
        Probe::Handshake => {
            json!({"routing_key": key.reveal(), "event_action": "resolve", "dedup_key": dedup_key})
        }
        Probe::Test => json!({
            "routing_key": key.reveal(),
            "event_action": "trigger",
            "dedup_key": dedup_key,
            "client": "StatusPulse",
            "payload": {
                "summary": "Test event from StatusPulse: nothing is wrong, resolve it by hand",
                "source": "StatusPulse",
                "severity": "info",
                "timestamp": now.to_string(),
            },
        }),
    })
}

/// PagerDuty's answer to an event that it rejects.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    message: String,
    errors: Vec<String>,
}

pub(super) fn verdict(reply: &Reply) -> Verdict {
    match reply.status {
        202 => Verdict::Taken,
        400 => {
            let refusal: Refusal = serde_json::from_slice(&reply.body).unwrap_or_default();
            let words = [vec![refusal.message], refusal.errors].concat().join(": ");
            let words = response_text(words.as_bytes()).unwrap_or_else(|| "it gave no reason".to_owned());
            let failure =
                Failure::new(Class::Http4xx, format!("PagerDuty did not accept the event: {words}."));
            let key_is_wrong = words.contains("routing_key") || words.to_lowercase().contains("routing key");
            let consequence =
                if key_is_wrong { Consequence::Pause(PauseReason::Permanent) } else { Consequence::GiveUp };
            Verdict::Failed(failure, consequence)
        }
        status => {
            let failure = judge(status).unwrap_or_else(|| {
                Failure::new(
                    Class::BadResponse,
                    format!(
                        "The answer was {status}; PagerDuty answers 202. Another server answers in its place."
                    ),
                )
            });
            Verdict::Failed(failure, Consequence::Climb)
        }
    }
}
