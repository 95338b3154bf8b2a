//! Destinations: the formats that events are sent in, and what their answers mean. A customer's own endpoint gets the
//! payload unchanged; PagerDuty and Slack get their own formats.
//!
//! | destination | delivered | retried on the ladder | the delivery is given up | the webhook is paused at once |
//! |---|---|---|---|---|
//! | `json` | 2xx | everything else | - | 410 (`gone`) |
//! | `pagerduty` | 202 | everything else: 429, 5xx, no answer | 400 | 400 that names the routing key (`permanent`) |
//! | `slack` | 200 with `ok` | everything else: 429, 5xx, no answer | - | 400, 403, 404, 410 (`permanent`) |
//!
//! Only retried failures count towards the four that pause a webhook. [`Format::verdict`] implements the table.
//!
//! Everything the other modules need to know about a destination is in its [`Format`]. To add one, implement the trait
//! in a file of its own and add it to [`ALL`].

mod json;
mod pagerduty;
mod shown;
pub(crate) mod slack;

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;

pub use pagerduty::{RoutingKey, RoutingKeyRefused};
pub(crate) use shown::shortened;

use crate::attempt::{Failure, Reply};
use crate::event::EventType;
use crate::ids::WebhookId;
use crate::webhook::pause::PauseReason;

/// PagerDuty's URL for events, outside of its EU region.
pub const PAGERDUTY_EVENTS: &str = "https://events.pagerduty.com/v2/enqueue";

/// All formats. The first is the default.
pub const ALL: [&dyn Format; 3] = [&json::Json, &slack::Slack, &pagerduty::PagerDuty];

/// A format that events are sent in, and everything else that differs between destinations.
pub trait Format: Debug + Send + Sync {
    /// The name on the wire.
    fn name(&self) -> &'static str;
    /// What it is, for the form of the dashboard.
    fn label(&self) -> &'static str;
    /// What a webhook needs to be sent there.
    fn address(&self) -> Address;
    /// The status that a handshake must be answered with.
    fn handshake_status(&self) -> u16;
    /// Its limit of messages; `None` if each delivery is sent as soon as it is due.
    fn limit(&self) -> Option<RateLimited>;
    /// The body of a delivery.
    fn event(&self, event: &Outgoing<'_>) -> Bytes;
    /// The body of a call that is not a delivery.
    fn probe(&self, probe: Probe, to: &ProbeTarget<'_>) -> Bytes;
    /// What an answer means.
    fn verdict(&self, reply: &Reply) -> Verdict;
    /// Adds to the failure of a handshake what only a customer's own endpoint needs to know.
    fn handshake_hint(&self) -> Option<String> {
        None
    }
}

/// What a webhook needs so that events can be sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// A URL.
    Url,
    /// A URL whose path is a secret. It is sealed in the store, and never shown again.
    SecretUrl,
    /// A routing key. The URL is the deployment's.
    RoutingKey,
}

/// A destination that accepts few messages. Deliveries that are due between two messages are sent together, as a burst.
#[derive(Debug, Clone, Copy)]
pub struct RateLimited {
    /// The time between two messages.
    pub interval: Duration,
    /// Renders a burst.
    pub burst: RenderBurst,
}

/// The body for a burst, from the types of all its events and the payloads of the first few.
pub type RenderBurst = fn(&[EventType], &[(EventType, Bytes)]) -> Bytes;

/// An event on its way to a destination.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Its type.
    pub event_type: EventType,
    /// The payload as published.
    pub payload: &'a Bytes,
    /// The webhook's routing key; empty if the destination needs none.
    pub routing_key: &'a str,
    /// The monitor groups of the webhook.
    pub monitor_groups: &'a [String],
    /// The URL of the webhook's page in the dashboard.
    pub page: &'a str,
}

/// The webhook that a probe is for.
#[derive(Debug)]
pub struct ProbeTarget<'a> {
    /// Its id.
    pub webhook: WebhookId,
    /// Its routing key; empty if the destination needs none.
    pub routing_key: &'a str,
    /// The current time.
    pub now: Timestamp,
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

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is delivered.
    Taken,
    /// It failed, with this consequence.
    Failed(Failure, Consequence),
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

impl Verdict {
    /// What the result of a call means.
    pub fn of(format: &dyn Format, result: &Result<Reply, Failure>) -> Self {
        match result {
            Ok(reply) => format.verdict(reply),
            Err(failure) => Verdict::Failed(failure.clone(), Consequence::Climb),
        }
    }

    /// Why it failed; `None` if it was delivered.
    pub fn failure(self) -> Option<Failure> {
        match self {
            Verdict::Taken => None,
            Verdict::Failed(failure, _) => Some(failure),
        }
    }
}

/// The destination of a webhook: a format, with the routing key if the format needs one.
#[derive(Clone)]
pub struct Destination {
    format: &'static dyn Format,
    routing_key: Option<RoutingKey>,
}

/// There is no such destination, or a routing key is missing or superfluous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such destination, or a routing key that is missing or that it does not need")]
pub struct DestinationRefused;

impl Destination {
    /// The destination with this format and key.
    ///
    /// # Errors
    /// Returns an error if the format needs a key and there is none, or the other way round.
    pub fn new(
        format: &'static dyn Format,
        routing_key: Option<RoutingKey>,
    ) -> Result<Self, DestinationRefused> {
        let needs_key = format.address() == Address::RoutingKey;
        if needs_key == routing_key.is_some() {
            Ok(Self { format, routing_key })
        } else {
            Err(DestinationRefused)
        }
    }

    /// One destination of each format.
    pub fn samples() -> Vec<Self> {
        ALL.into_iter()
            .map(|format| {
                let needs_key = format.address() == Address::RoutingKey;
                Self { format, routing_key: needs_key.then(RoutingKey::sample) }
            })
            .collect()
    }

    /// The format.
    pub fn format(&self) -> &'static dyn Format {
        self.format
    }

    /// The routing key, if the format needs one.
    pub fn routing_key(&self) -> Option<&RoutingKey> {
        self.routing_key.as_ref()
    }

    /// The same destination with another routing key. Changes nothing if the format needs none.
    #[must_use]
    pub(crate) fn with_routing_key(self, key: RoutingKey) -> Self {
        let routing_key = self.routing_key.is_some().then_some(key);
        Self { routing_key, ..self }
    }

    /// The name on the wire.
    pub fn name(&self) -> &'static str {
        self.format.name()
    }

    /// What the result of a call means.
    pub fn verdict(&self, result: &Result<Reply, Failure>) -> Verdict {
        Verdict::of(self.format, result)
    }

    /// The body of a delivery.
    pub(crate) fn render(
        &self,
        event_type: EventType,
        payload: &Bytes,
        monitor_groups: &[String],
        page: &str,
    ) -> Bytes {
        self.format.event(&Outgoing {
            event_type,
            payload,
            routing_key: self.revealed_key(),
            monitor_groups,
            page,
        })
    }

    /// The body of a call that is not a delivery.
    pub(crate) fn render_probe(&self, probe: Probe, webhook: WebhookId, now: Timestamp) -> Bytes {
        self.format.probe(probe, &ProbeTarget { webhook, routing_key: self.revealed_key(), now })
    }

    fn revealed_key(&self) -> &str {
        self.routing_key.as_ref().map_or("", RoutingKey::reveal)
    }

    /// Why a handshake failed; `None` if it proves the endpoint. Other successes than the expected one do not: after a
    /// redirect, a login page or a proxy's 204, another server may have answered.
    pub fn handshake_refusal(&self, result: &Result<Reply, Failure>) -> Option<String> {
        let needed = self.format.handshake_status();
        match (self.verdict(result), result) {
            (Verdict::Taken, Ok(reply)) if reply.status != needed => {
                Some(format!("The endpoint answered {}; a handshake needs exactly {needed}.", reply.status))
            }
            (Verdict::Taken, _) => None,
            (Verdict::Failed(failure, _), Err(_)) => Some(failure.reason),
            (Verdict::Failed(failure, _), Ok(_)) => Some(match self.format.handshake_hint() {
                Some(hint) => format!("{} {hint}", failure.reason),
                None => failure.reason,
            }),
        }
    }
}

impl Default for Destination {
    fn default() -> Self {
        Self { format: ALL[0], routing_key: None }
    }
}

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.routing_key == other.routing_key
    }
}

impl Eq for Destination {}

impl Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The format with this name.
pub fn format(name: &str) -> Option<&'static dyn Format> {
    ALL.into_iter().find(|format| format.name() == name)
}

/// The names of the formats that need this address.
pub fn names_with(address: Address) -> Vec<&'static str> {
    ALL.into_iter().filter(|format| format.address() == address).map(Format::name).collect()
}

/// What a handshake must be answered with, such as "200 (`pagerduty`: 202)".
pub fn handshake_statuses() -> String {
    let usual = ALL[0].handshake_status();
    let others: Vec<String> = ALL
        .into_iter()
        .filter(|format| format.handshake_status() != usual)
        .map(|format| format!("`{}`: {}", format.name(), format.handshake_status()))
        .collect();
    format!("{usual} ({})", others.join(", "))
}

/// Serialises a body.
fn body(value: &impl serde::Serialize) -> Bytes {
    // Values of strings, numbers and raw JSON, with strings as keys, always serialise.
    let text = serde_json::to_vec(value).unwrap_or_else(|_| RawValue::NULL.get().into());
    Bytes::from(text)
}
