//! Destinations: the form a webhook is sent in, and what its answers mean. A customer's own endpoint gets the payload
//! unchanged; PagerDuty and Slack get their own formats.
//!
//! | destination | delivered | retried on the ladder | the delivery is given up | the webhook is paused at once |
//! |---|---|---|---|---|
//! | `json` | 2xx | everything else | - | 410 (`gone`) |
//! | `pagerduty` | 202 | everything else: 429, 5xx, no answer | 400 | 400 that names the routing key (`permanent`) |
//! | `slack` | 200 with `ok` | everything else: 429, 5xx, no answer | - | 400, 403, 404, 410 (`permanent`) |
//!
//! Only retried failures count towards the four that pause a webhook. [`Destination::verdict`] implements the table.

mod pagerduty;
mod slack;
mod told;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;

pub use pagerduty::{RoutingKey, RoutingKeyRefused};
pub(crate) use slack::{burst as slack_burst, escaped, text as slack_text};
pub(crate) use told::shortened;

use crate::attempt::{Failure, Reply, judge};
use crate::event::EventType;
use crate::ids::WebhookId;
use crate::target::AllowedDomains;
use crate::webhook::{PauseReason, Settings};

/// PagerDuty's URL for events, outside of its EU region.
pub const PAGERDUTY_EVENTS: &str = "https://events.pagerduty.com/v2/enqueue";

/// The form a webhook is sent in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Destination {
    /// The unchanged payload, signed.
    #[default]
    Json,
    /// An event of PagerDuty's Events API v2, for the service with this key.
    PagerDuty(RoutingKey),
    /// A message in a Slack channel, by an incoming webhook. Its URL is a secret.
    Slack,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is delivered.
    Taken,
    /// It failed, with this consequence.
    Failed(Failure, Consequence),
}

impl Verdict {
    /// Why it failed; `None` if it was delivered.
    pub fn failure(self) -> Option<Failure> {
        match self {
            Verdict::Taken => None,
            Verdict::Failed(failure, _) => Some(failure),
        }
    }
}

/// What follows from a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// The next rung of the ladder. At the end of the ladder the webhook is paused, or the delivery is given up.
    Climb,
    /// The destination will never accept this payload: the delivery is given up, and others continue.
    GiveUp,
    /// The destination accepts nothing until the customer changes something: the webhook is paused.
    Pause(PauseReason),
}

/// A call that is not a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Proves the endpoint.
    Handshake,
    /// Shows the owner that events arrive.
    Test,
}

impl Probe {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Probe::Handshake => "handshake",
            Probe::Test => "test",
        }
    }
}

impl Destination {
    /// The name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Destination::Json => "json",
            Destination::PagerDuty(_) => "pagerduty",
            Destination::Slack => "slack",
        }
    }

    /// What the result of a call means.
    pub fn verdict(&self, result: &Result<Reply, Failure>) -> Verdict {
        match result {
            Ok(reply) => self.verdict_of(reply),
            Err(failure) => Verdict::Failed(failure.clone(), Consequence::Climb),
        }
    }

    fn verdict_of(&self, reply: &Reply) -> Verdict {
        match self {
            Destination::Json => match judge(reply.status) {
                None => Verdict::Taken,
                Some(failure) if reply.status == 410 => {
                    Verdict::Failed(failure, Consequence::Pause(PauseReason::Gone))
                }
                Some(failure) => Verdict::Failed(failure, Consequence::Climb),
            },
            Destination::PagerDuty(_) => pagerduty::verdict(reply),
            Destination::Slack => slack::verdict(reply),
        }
    }

    /// Why a handshake failed; `None` if it proves the endpoint. `json` needs exactly 200: after a redirect, a login
    /// page or a proxy's 204, another server may have answered.
    pub fn handshake_refusal(&self, result: &Result<Reply, Failure>) -> Option<String> {
        match (self.verdict(result), result, self) {
            (Verdict::Taken, Ok(reply), Destination::Json) if reply.status != 200 => {
                Some(format!("The endpoint answered {}; a handshake needs exactly 200.", reply.status))
            }
            (Verdict::Taken, ..) => None,
            (Verdict::Failed(failure, _), Ok(_), Destination::Json) => {
                Some(format!("{} A handshake needs exactly 200.", failure.reason))
            }
            (Verdict::Failed(failure, _), ..) => Some(failure.reason),
        }
    }
}

impl Settings {
    /// The body of a delivery of this payload: the same bytes at every attempt, as long as the settings are the same.
    /// (A Slack channel may get the delivery as part of a burst instead.) `page` returns the URL of the webhook's page
    /// in the dashboard.
    pub fn render(&self, event_type: EventType, payload: &Bytes, page: impl FnOnce() -> String) -> Bytes {
        match &self.destination {
            Destination::Json => payload.clone(),
            Destination::PagerDuty(key) => {
                pagerduty::event(key, event_type, payload, &self.monitor_groups, &page())
            }
            Destination::Slack => slack::message(event_type, payload),
        }
    }

    /// The body of a call that is not a delivery.
    pub(crate) fn render_probe(&self, probe: Probe, webhook: WebhookId, now: Timestamp) -> Bytes {
        match &self.destination {
            Destination::Json => {
                let name = probe.name();
                Bytes::from(format!(
                    r#"{{"event_type":"{name}","webhook_id":"{webhook}","sent_at":"{now}"}}"#
                ))
            }
            Destination::PagerDuty(key) => pagerduty::probe(key, probe, webhook, now),
            Destination::Slack => slack::probe(probe),
        }
    }

    /// Whether a handshake with one endpoint also proves the other.
    pub(crate) fn same_endpoint(&self, other: &Settings) -> bool {
        self.url == other.url && self.destination == other.destination
    }

    /// Whether these settings keep to an account's allowed domains. PagerDuty's URL is the deployment's, so it always
    /// does.
    pub(crate) fn keeps_to(&self, domains: &AllowedDomains) -> bool {
        matches!(self.destination, Destination::PagerDuty(_)) || domains.admits(self.url.host_text())
    }

    /// The URL as it may be shown. The path of a Slack URL is secret and is hidden.
    pub fn shown_url(&self) -> String {
        match self.destination {
            Destination::Json | Destination::PagerDuty(_) => self.url.as_str().to_owned(),
            Destination::Slack => self.url.redacted(),
        }
    }
}

/// Serialises a body.
fn body(value: &impl serde::Serialize) -> Bytes {
    // Values of strings, numbers and raw JSON, with strings as keys, always serialise.
    Bytes::from(serde_json::to_vec(value).unwrap_or_else(|_| json!({}).to_string().into_bytes()))
}
