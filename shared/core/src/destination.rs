//! Destinations: the formats that events are sent in, and what their answers mean. A customer's own endpoint gets the
//! payload unchanged; others get their own formats.
//!
//! | destination | delivered | retried on the ladder | the delivery is given up | the webhook is paused at once |
//! |---|---|---|---|---|
//! | `json` | 2xx | everything else | - | 410 (`gone`) |
//! | `pagerduty` | 202 | everything else: 429, 5xx, no answer | 400 | 400 that names the routing key (`permanent`) |
//! | `slack` | 200 with `ok` | everything else: 429, 5xx, no answer | 400 | 403, 404, 410, 400 about the channel (`permanent`) |
//! | `discord` | 204, or 200 with the message | everything else: 429, 5xx, no answer | 400 | 401, 404 (`permanent`) |
//!
//! If several deliveries shared a message that would be given up, each is sent alone instead.
//!
//! Only retried failures count towards the four that pause a webhook. [`Format::verdict`] implements the table.
//!
//! Everything the other modules need to know about a destination is in its [`Format`]. How to add one:
//! `docs/changing.md`.

mod discord;
mod format;
mod json;
mod pagerduty;
mod shown;
pub(crate) mod slack;

use std::fmt::Debug;

use bytes::Bytes;
use jiff::Timestamp;

pub use format::{
    Address, Consequence, Format, Outgoing, Probe, ProbeTarget, RateLimited, RenderBurst, Verdict,
};
pub use pagerduty::{RoutingKey, RoutingKeyRefused};
pub(crate) use shown::shortened;

use crate::attempt::{Failure, Reply};
use crate::ids::WebhookId;

/// PagerDuty's URL for events, outside of its EU region.
pub const PAGERDUTY_EVENTS: &str = "https://events.pagerduty.com/v2/enqueue";

/// All formats. The first is the default.
pub const ALL: [&dyn Format; 4] = [&json::Json, &slack::Slack, &pagerduty::PagerDuty, &discord::Discord];

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

    /// The routing key as text; empty if the format needs none.
    pub(crate) fn revealed_key(&self) -> &str {
        self.routing_key.as_ref().map_or("", RoutingKey::reveal)
    }

    /// The body of a call that is not a delivery.
    pub(crate) fn render_probe(&self, probe: Probe, webhook: WebhookId, now: Timestamp) -> Bytes {
        self.format.probe(probe, &ProbeTarget { webhook, routing_key: self.revealed_key(), now })
    }

    /// Why a handshake failed; `None` if it proves the endpoint. Other successes than the expected one do not: after a
    /// redirect, a login page or a proxy's 204, another server may have answered.
    pub fn handshake_refusal(&self, result: &Result<Reply, Failure>) -> Option<String> {
        let needed = self.format.handshake_status();
        match (self.verdict(result), result) {
            (Verdict::Accepted, Ok(reply)) if reply.status != needed => {
                Some(format!("The endpoint answered {}; a handshake needs exactly {needed}.", reply.status))
            }
            (Verdict::Accepted, _) => None,
            (Verdict::Failed(failure, _), Err(_)) => Some(failure.reason),
            (Verdict::Failed(failure, _), Ok(reply)) => {
                Some(match self.format.handshake_hint(reply.status) {
                    Some(hint) => format!("{} {hint}", failure.reason),
                    None => failure.reason,
                })
            }
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
