//! Messages to ourselves: what wakes a delivery, a sweep or a notice.
//!
//! A message may come twice, late, or out of order. Each says which step it is for, so that one that comes
//! again is recognised; none is needed to know what is true: that stands in the store.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::delivery::Delivery;
use crate::ids::{DeliveryId, EventId, WebhookId};
use crate::ports::Step;

/// A message and when it is for.
#[derive(Debug, Clone)]
pub struct Wakeup {
    /// What is to be done.
    pub message: Message,
    /// Not before this time.
    pub due: Timestamp,
}

impl Wakeup {
    /// What a scheduled delivery waits for; `body` is its event's payload.
    pub(crate) fn of_attempt(delivery: &Delivery, body: &Bytes) -> Option<Self> {
        let (step, due) = delivery.next_step()?;
        let message = AttemptMessage {
            delivery_id: delivery.id,
            webhook_id: delivery.webhook_id,
            event_id: delivery.event_id,
            step,
            body: body.clone(),
        };
        Some(Self { message: Message::Attempt(message), due })
    }
}

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// Make an attempt.
    Attempt(AttemptMessage),
    /// Go on with a webhook's sweep: hold, release, discard or cancel its deliveries.
    Sweep(SweepMessage),
    /// Tell the account's engineers how a webhook is.
    Notice(NoticeMessage),
    /// Tell whoever listens what became of a webhook or a delivery.
    Announcement(AnnouncementMessage),
}

/// Where a message waits. Each kind has its own place, so that none delays another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// First attempts. Nothing else may ever stand before them.
    First,
    /// Retries, redeliveries and what a drain lets go.
    Retry,
    /// Sweeps, notices and announcements.
    Upkeep,
}

impl Message {
    /// Where it waits.
    pub fn queue(&self) -> Queue {
        match self {
            Message::Attempt(AttemptMessage { step: Step { round: 1, number: 1 }, .. }) => Queue::First,
            Message::Attempt(_) => Queue::Retry,
            Message::Sweep(_) | Message::Notice(_) | Message::Announcement(_) => Queue::Upkeep,
        }
    }

    /// The webhook it concerns: messages of one webhook must not hold up another's.
    pub fn webhook_id(&self) -> WebhookId {
        match self {
            Message::Attempt(message) => message.webhook_id,
            Message::Sweep(message) => message.webhook_id,
            Message::Notice(message) => message.webhook_id,
            Message::Announcement(message) => message.webhook_id,
        }
    }
}

/// An attempt that is due.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttemptMessage {
    /// Of which delivery.
    pub delivery_id: DeliveryId,
    /// To which webhook.
    pub webhook_id: WebhookId,
    /// Of which event.
    pub event_id: EventId,
    /// Which step of which ladder.
    pub step: Step,
    /// The event's payload: the happy path reads it from nowhere else. Empty where it was too large to travel.
    #[serde(with = "text", default, skip_serializing_if = "Bytes::is_empty")]
    pub body: Bytes,
}

/// A step of a webhook's sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepMessage {
    /// Whose sweep.
    pub webhook_id: WebhookId,
    /// Which change of the webhook's state began it.
    pub epoch: u64,
    /// Which step of it.
    pub step: u32,
}

/// A notice to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeMessage {
    /// Of which webhook.
    pub webhook_id: WebhookId,
    /// Which alert of the webhook's it is: when that was. Messages of old say something else, and find none.
    #[serde(default)]
    pub at: Timestamp,
}

/// News for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncementMessage {
    /// Of which webhook.
    pub webhook_id: WebhookId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub news: News,
}

/// What others may want to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum News {
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

impl News {
    /// The name on the bus.
    pub fn name(&self) -> &'static str {
        match self {
            News::Paused { .. } => "webhook.paused",
            News::Resumed => "webhook.resumed",
            News::DeliveryFailed { .. } => "delivery.failed",
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
