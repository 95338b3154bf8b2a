//! PagerDuty's Events API v2: <https://developer.pagerduty.com/docs/events-api-v2/overview/>. An event opens an
//! incident there, and `resolve` with the same `dedup_key` ends it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::format::{Address, Consequence, Format, Outgoing, Probe, ProbeTarget, RateLimited, Verdict, body};
use super::shown::{Details, ShownFields, shortened};
use crate::attempt::{Class, Failure, Reply, judge, response_text};
use crate::event::EventType;
use crate::limits;
use crate::surrogates::Readable;
use crate::webhook::pause::PauseReason;

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

    /// A key that belongs to no service.
    pub(super) fn sample() -> Self {
        Self("0123456789abcdef0123456789ABCDEF".to_owned())
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

/// PagerDuty's Events API.
#[derive(Debug)]
pub(super) struct PagerDuty;

impl Format for PagerDuty {
    fn name(&self) -> &'static str {
        "pagerduty"
    }

    fn label(&self) -> &'static str {
        "PagerDuty service: a routing key"
    }

    fn address(&self) -> Address {
        Address::RoutingKey
    }

    fn handshake_status(&self) -> u16 {
        202
    }

    fn limit(&self) -> Option<RateLimited> {
        None
    }

    /// `group` is the webhook's monitor group, if it has exactly one. The link opens the incident's deliveries in the
    /// dashboard.
    fn event(&self, event: &Outgoing<'_>) -> Bytes {
        let Outgoing { event_type, payload, routing_key, monitor_groups, webhook, deployment } = *event;
        let payload = Readable::of(payload);
        let shown = ShownFields::of(&payload);
        let details = shown.details();
        let group = match monitor_groups {
            [only] => Some(only.as_str()),
            _ => None,
        };
        body(&Event {
            routing_key,
            event_action: match event_type {
                EventType::IncidentOpened | EventType::IncidentUpdated => "trigger",
                EventType::IncidentResolved => "resolve",
            },
            dedup_key: &shown.incident_id,
            client: "StatusPulse",
            client_url: format!(
                "{}/deliveries?incident={}",
                deployment.page_of(webhook),
                in_query(&shown.incident_id)
            ),
            payload: Payload {
                summary: shortened(&summary(event_type, &shown, &details), limits::PAGERDUTY_SUMMARY_CHARS),
                source: &shown.monitor_name,
                severity: severity(details.response_code()),
                timestamp: shown.at(),
                component: details.endpoint(),
                group,
                class: event_type.name(),
                custom_details: shown.details,
            },
        })
    }

    /// A handshake resolves an incident that does not exist, which pages no one and proves the form of the key. A test
    /// event opens one with the lowest severity.
    fn probe(&self, probe: Probe, to: &ProbeTarget<'_>) -> Bytes {
        let dedup_key = format!("statuspulse-{}-{}", probe.name(), to.webhook);
        body(&match probe {
            Probe::Handshake => {
                json!({"routing_key": to.routing_key, "event_action": "resolve", "dedup_key": dedup_key})
            }
            Probe::Test => json!({
                "routing_key": to.routing_key,
                "event_action": "trigger",
                "dedup_key": dedup_key,
                "client": "StatusPulse",
                "payload": {
                    "summary": "Test event from StatusPulse: nothing is wrong, resolve it by hand",
                    "source": "StatusPulse",
                    "severity": "info",
                    "timestamp": to.now.to_string(),
                },
            }),
        })
    }

    fn verdict(&self, reply: &Reply) -> Verdict {
        verdict(reply)
    }
}

fn in_query(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn summary(event_type: EventType, shown: &ShownFields<'_>, details: &Details<'_>) -> String {
    let monitor = &shown.monitor_name;
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
            Some(words) => format!("{monitor}: {}. {words}", shown.status),
            None => format!("{monitor}: {}", shown.status),
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

/// PagerDuty's answer to an event that it rejects.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    message: String,
    errors: Vec<String>,
}

fn verdict(reply: &Reply) -> Verdict {
    match reply.status {
        202 => Verdict::Accepted,
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
            Verdict::Failed(failure, Consequence::Retry)
        }
    }
}
