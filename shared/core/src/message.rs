//! Messages to the workers: what a change calls for, as data.
//!
//! A change of a record puts its messages into the new state, or they follow from that state: an attempt at its time,
//! the next page of a job, a notification, a domain event. A message may arrive twice, late, or out of order. Each
//! names the step it is for, so that a repetition is recognised. The truth is always in the store, never in a message.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, DeliveryId, EventId, WebhookId};

/// A message and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledMessage {
    /// The message.
    pub message: Message,
    /// Must not be handled before this time.
    pub due: Timestamp,
}

impl ScheduledMessage {
    /// The message, with a mark if it is an attempt at one of these webhooks, which were slow lately.
    #[must_use]
    pub(crate) fn marked_slow(mut self, slow: &[WebhookId]) -> Self {
        if let Message::Attempt(attempt) = &mut self.message {
            attempt.slow = slow.contains(&attempt.webhook_id);
        }
        self
    }
}

/// What a worker has to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// Make an attempt.
    Attempt(AttemptMessage),
    /// Work on the next page of a webhook's job.
    Job(JobMessage),
    /// Notify the account's engineers.
    Notify(NotifyMessage),
    /// Publish a domain event.
    Event(EventMessage),
}

/// The queue a message waits in. They are separate, so that none delays another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueName {
    /// First attempts. Nothing else may delay them.
    First,
    /// Retries, redeliveries and the deliveries of a drain.
    Retry,
    /// Jobs, notifications and domain events.
    Upkeep,
}

impl Message {
    /// The queue it waits in.
    pub fn queue(&self) -> QueueName {
        match self {
            Message::Attempt(AttemptMessage { key: AttemptKey { round: 1, number: 1 }, .. }) => {
                QueueName::First
            }
            Message::Attempt(_) => QueueName::Retry,
            Message::Job(_) | Message::Notify(_) | Message::Event(_) => QueueName::Upkeep,
        }
    }

    /// The account it concerns. Messages of one account must not hold up another's.
    pub fn account_id(&self) -> AccountId {
        match self {
            Message::Attempt(message) => message.account_id,
            Message::Job(message) => message.account_id,
            Message::Notify(message) => message.account_id,
            Message::Event(message) => message.account_id,
        }
    }

    /// The webhook it concerns. Messages of one webhook must not hold up another's.
    pub fn webhook_id(&self) -> WebhookId {
        match self {
            Message::Attempt(message) => message.webhook_id,
            Message::Job(message) => message.webhook_id,
            Message::Notify(message) => message.webhook_id,
            Message::Event(message) => message.webhook_id,
        }
    }
}

/// Identifies an attempt by round and number, so that a repeated message is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// How often the ladder was started: 1, and one more for each resume or redelivery.
    pub round: u32,
    /// The attempt within the round, 1 to 5.
    pub number: u8,
}

/// Asks for an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptMessage {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The account that owns the webhook.
    pub account_id: AccountId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The event.
    pub event_id: EventId,
    /// The attempt.
    pub key: AttemptKey,
    /// Whether its receiver was slow lately. A deployment may let such first attempts wait in a queue of their own, so
    /// that they delay no others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slow: bool,
    /// The event's payload, so that a first attempt need not read the event. Empty if it is too large for the message.
    #[serde(with = "text", default, skip_serializing_if = "Bytes::is_empty")]
    pub body: Bytes,
}

/// Asks for a page of a webhook's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobMessage {
    /// The account that owns the webhook.
    pub account_id: AccountId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The webhook's generation when the job began.
    pub generation: u64,
    /// The page, from 0.
    pub page: u32,
}

/// Asks for a notification to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyMessage {
    /// The account that owns the webhook.
    pub account_id: AccountId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The notification's id.
    pub notification: u64,
}

/// Asks for a domain event to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMessage {
    /// The account that owns the webhook.
    pub account_id: AccountId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: DomainEventKind,
}

/// What happened to a webhook or a delivery, for customers' automation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainEvent {
    /// The account that owns the webhook.
    pub account_id: AccountId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: DomainEventKind,
}

/// The kinds of domain events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum DomainEventKind {
    /// A webhook was paused.
    #[serde(rename = "webhook.paused")]
    Paused {
        /// The reason's name on the wire.
        reason: String,
        /// The error of the attempt that caused the pause, as a sentence; `None` for a pause by hand.
        last_error: Option<String>,
    },
    /// A paused webhook was resumed.
    #[serde(rename = "webhook.resumed")]
    Resumed,
    /// A delivery was given up: its ladder ended while other payloads got through, or its destination will never accept
    /// it.
    #[serde(rename = "delivery.failed")]
    DeliveryFailed {
        /// The delivery.
        delivery_id: DeliveryId,
        /// The event.
        event_id: EventId,
        /// Its incident.
        incident_id: String,
        /// Why its last attempt failed, as a sentence.
        last_error: Option<String>,
    },
}

impl DomainEventKind {
    /// The name on the bus.
    pub fn name(&self) -> &'static str {
        match self {
            DomainEventKind::Paused { .. } => "webhook.paused",
            DomainEventKind::Resumed => "webhook.resumed",
            DomainEventKind::DeliveryFailed { .. } => "delivery.failed",
        }
    }
}

/// Serialises a payload as a string: it is JSON, so it is UTF-8.
mod text {
    use std::borrow::Cow;

    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(body: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(std::str::from_utf8(body).map_err(serde::ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        Cow::<'de, str>::deserialize(from).map(|text| Bytes::from(text.into_owned()))
    }
}
