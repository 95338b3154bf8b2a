//! What differs between destinations.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::attempt::{Class, Failure, Reply};
use crate::deployment::Deployment;
use crate::event::EventType;
use crate::ids::WebhookId;
use crate::webhook::pause::PauseReason;

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
    /// Adds to the failure of a handshake, which was answered with this status, what only a customer's own endpoint needs
    /// to know.
    fn handshake_hint(&self, _status: u16) -> Option<String> {
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
    /// The webhook.
    pub webhook: WebhookId,
    /// The deployment, for links to its dashboard.
    pub deployment: &'a Deployment,
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
    Accepted,
    /// It failed, with this consequence.
    Failed(Failure, Consequence),
}

/// What follows from a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// The next rung of the ladder. At the end of the ladder the webhook is paused, or the delivery is given up.
    Retry,
    /// The destination will never accept this payload: the delivery is given up, and others continue.
    GiveUp,
    /// One of the deliveries that shared a message may be one that the destination will never accept: each is sent alone
    /// now. This attempt does not count.
    SendAlone,
    /// The destination accepts nothing until the customer changes something: the webhook is paused.
    Pause(PauseReason),
}

impl Verdict {
    /// What the result of a call means.
    pub fn of(format: &dyn Format, result: &Result<Reply, Failure>) -> Self {
        match result {
            Ok(reply) => format.verdict(reply),
            Err(failure) => Verdict::Failed(failure.clone(), Consequence::Retry),
        }
    }

    /// What it means for each delivery of a message that several shared.
    #[must_use]
    pub(crate) fn of_shared_message(self) -> Self {
        match self {
            Verdict::Failed(failure, Consequence::GiveUp) => {
                let reason =
                    format!("{} It was sent together with others, and is sent alone now.", failure.reason);
                Verdict::Failed(Failure::new(Class::RefusedTogether, reason), Consequence::SendAlone)
            }
            other => other,
        }
    }

    /// Why it failed; `None` if it was delivered.
    pub fn failure(self) -> Option<Failure> {
        match self {
            Verdict::Accepted => None,
            Verdict::Failed(failure, _) => Some(failure),
        }
    }
}

/// Serialises a body.
pub(super) fn body(value: &impl serde::Serialize) -> Bytes {
    // Values of strings, numbers and raw JSON, with strings as keys, always serialise.
    let text = serde_json::to_vec(value).unwrap_or_else(|_| RawValue::NULL.get().into());
    Bytes::from(text)
}
