//! Messages to ourselves: what a change calls for, as data.
//!
//! A change of a record returns the messages it calls for, or they follow from the state it returns: an attempt at its time,
//! the next page of a job, a notification, an event for others. A message may come twice, late, or out of order. Each says
//! which step it is for, so that one that comes again is recognised; none is needed to know what is true: that stands in
//! the store.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, DeliveryId, EventId, WebhookId};

/// A message, and when it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledMessage {
    /// What is to be done.
    pub message: Message,
    /// Not before this time.
    pub due: Timestamp,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// Make an attempt.
    Attempt(AttemptMessage),
    /// Work on the next page of a webhook's job.
    Job(JobMessage),
    /// Notify the account's engineers.
    Notify(NotifyMessage),
    /// Publish an event about a webhook or a delivery.
    Event(EventMessage),
}

/// Where a message waits. Each kind has its own place, so that none delays another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueName {
    /// First attempts. Nothing else may ever stand before them.
    First,
    /// Retries, redeliveries and what a drain lets go.
    Retry,
    /// Jobs, notifications and events.
    Upkeep,
}

impl Message {
    /// Where it waits.
    pub fn queue(&self) -> QueueName {
        match self {
            Message::Attempt(AttemptMessage { key: AttemptKey { round: 1, number: 1 }, .. }) => {
                QueueName::First
            }
            Message::Attempt(_) => QueueName::Retry,
            Message::Job(_) | Message::Notify(_) | Message::Event(_) => QueueName::Upkeep,
        }
    }

    /// The webhook it concerns: messages of one webhook must not hold up another's.
    pub fn webhook_id(&self) -> WebhookId {
        match self {
            Message::Attempt(message) => message.webhook_id,
            Message::Job(message) => message.webhook_id,
            Message::Notify(message) => message.webhook_id,
            Message::Event(message) => message.webhook_id,
        }
    }
}

/// Which attempt of which round of the ladder: what makes a repeated message recognisable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// How often the ladder was begun: 1, and one more for each resume or redelivery.
    pub round: u32,
    /// The attempt within it, 1 to 5.
    pub number: u8,
}

/// An attempt that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptMessage {
    /// Of which delivery.
    pub delivery_id: DeliveryId,
    /// To which webhook.
    pub webhook_id: WebhookId,
    /// Of which event.
    pub event_id: EventId,
    /// Which attempt.
    pub key: AttemptKey,
    /// The event's payload: the happy path reads it from nowhere else. Empty where it was too large to travel.
    #[serde(with = "text", default, skip_serializing_if = "Bytes::is_empty")]
    pub body: Bytes,
}

/// A page of a webhook's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobMessage {
    /// Whose job.
    pub webhook_id: WebhookId,
    /// Which change of the webhook's state began it.
    pub generation: u64,
    /// Which page of it.
    pub page: u32,
}

/// A notification to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyMessage {
    /// Of which webhook.
    pub webhook_id: WebhookId,
    /// Which of its notifications.
    pub notification: u64,
}

/// An event to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMessage {
    /// Of which webhook.
    pub webhook_id: WebhookId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: DomainEventKind,
}

/// What happened to a webhook or a delivery, for customers' automation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainEvent {
    /// Whose webhook it is.
    pub account_id: AccountId,
    /// Which webhook.
    pub webhook_id: WebhookId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: DomainEventKind,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum DomainEventKind {
    /// A webhook was paused.
    #[serde(rename = "webhook.paused")]
    Paused {
        /// Why: the name on the wire.
        reason: String,
        /// The failure that led to it, in words.
        last_error: Option<String>,
    },
    /// A paused webhook was resumed.
    #[serde(rename = "webhook.resumed")]
    Resumed,
    /// A delivery was given up: its ladder ended while others got through.
    #[serde(rename = "delivery.failed")]
    DeliveryFailed {
        /// Which delivery.
        delivery_id: DeliveryId,
        /// Of which event.
        event_id: EventId,
        /// Of which incident.
        incident_id: String,
        /// Why its last attempt failed, in words.
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

/// A payload is JSON, so it travels as text.
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
