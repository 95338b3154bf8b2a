//! In which form a webhook is told, and what its answers mean: a customer's own endpoint gets the payload as it is,
//! PagerDuty and Slack what they understand.
//!
//! | destination | taken | retried on the ladder | the delivery is given up | the webhook is paused at once |
//! |---|---|---|---|---|
//! | `json` | 2xx | all else | - | 410 (`gone`) |
//! | `pagerduty` | 202 | all else: 429, 5xx, no answer | 400 | 400 that names the routing key (`permanent`) |
//! | `slack` | 200 with `ok` | all else: 429, 5xx, no answer | - | 400, 403, 404, 410 (`permanent`) |
//!
//! Only what is retried counts towards the four failures that pause a webhook. The table is [`Destination::verdict`].

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

/// Where PagerDuty takes events, outside its EU region.
pub const PAGERDUTY_EVENTS: &str = "https://events.pagerduty.com/v2/enqueue";

/// In which form a webhook is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Destination {
    /// The payload as it is, signed.
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
    /// It failed, and this follows.
    Failed(Failure, Consequence),
}

impl Verdict {
    /// Why it failed, if it did.
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
    /// The next rung of the ladder; at its end the webhook's pause.
    Climb,
    /// This payload will never be taken: it is given up, and the others go on.
    GiveUp,
    /// Nothing will be taken any more until somebody acts.
    Pause(PauseReason),
}

/// A call that is no delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Proves the endpoint.
    Handshake,
    /// Its owner wants to see something arrive.
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

    /// What came of a call, and what it means.
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

    /// Why what came of a handshake does not prove the endpoint; `None` if it does. Exactly 200: a redirect, a login page or a
    /// proxy's 204 would mean that somebody else answers.
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
    /// The body of a delivery of this payload: the same bytes at every attempt, as long as the settings are the same. Only a
    /// Slack channel may be told of it among others, by a burst's one message.
    /// `page` is the webhook's in the dashboard.
    pub fn render(&self, event_type: EventType, payload: &Bytes, page: impl FnOnce() -> String) -> Bytes {
        match &self.destination {
            Destination::Json => payload.clone(),
            Destination::PagerDuty(key) => {
                pagerduty::event(key, event_type, payload, &self.monitor_groups, &page())
            }
            Destination::Slack => slack::message(event_type, payload),
        }
    }

    /// The body of a call that is no delivery.
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

    /// Whether a handshake with the one is a handshake with the other.
    pub(crate) fn same_endpoint(&self, other: &Settings) -> bool {
        self.url == other.url && self.destination == other.destination
    }

    /// Whether it may be called where an account calls listed domains alone. PagerDuty's address is the deployment's.
    pub(crate) fn keeps_to(&self, domains: &AllowedDomains) -> bool {
        matches!(self.destination, Destination::PagerDuty(_)) || domains.admits(self.url.host_text())
    }

    /// The URL as it may be shown: of Slack's the path is the secret.
    pub fn shown_url(&self) -> String {
        match self.destination {
            Destination::Json | Destination::PagerDuty(_) => self.url.as_str().to_owned(),
            Destination::Slack => self.url.redacted(),
        }
    }
}

/// A body of our own making.
fn body(value: &impl serde::Serialize) -> Bytes {
    // A tree of texts, numbers and raw JSON with texts for keys always has a form.
    Bytes::from(serde_json::to_vec(value).unwrap_or_else(|_| json!({}).to_string().into_bytes()))
}
