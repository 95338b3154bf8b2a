//! Messages in the memory of a queue.

use bytes::Bytes;
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::message::{AttemptMessage, Message};

/// Messages, and the bytes of their bodies.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Load {
    pub(crate) fn of(bytes: usize) -> Self {
        Self { messages: 1, bytes }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }

    pub(crate) fn remove(&mut self, other: Self) {
        *self = self.less(other);
    }

    pub(crate) fn part(self, divisor: usize) -> Self {
        Self { messages: self.messages / divisor, bytes: self.bytes / divisor }
    }

    pub(crate) fn less(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// Whose message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) account: AccountId,
    pub(crate) webhook: WebhookId,
}

/// A message in its queue.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) seq: i64,
    pub(crate) receives: u32,
    /// Bytes of the event's body, in the message or in the store.
    pub(crate) body_bytes: usize,
    pub(crate) message: Message,
}

impl Entry {
    pub(crate) fn owner(&self) -> Owner {
        Owner { account: self.message.account_id(), webhook: self.message.webhook_id() }
    }

    pub(crate) fn load(&self) -> Load {
        Load::of(self.body_bytes)
    }

    /// What it takes in memory. A body that is not in the message is read when the message is processed.
    pub(crate) fn memory(&self) -> Load {
        Load::of(body_of(&self.message).map_or(0, |body| body.len()))
    }
}

/// The body that travels in a message.
fn body_of(message: &Message) -> Option<&Bytes> {
    match message {
        Message::Attempt(attempt) => Some(&attempt.body),
        Message::Job(_) | Message::Notify(_) | Message::Event(_) => None,
    }
}

/// Messages to load from disk: those of `owner` past `after`, up to `to`, at most `limit`. Rows past `to` are about to
/// be pushed, so reading them here would deliver them twice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) owner: Owner,
    pub(crate) after: i64,
    pub(crate) to: i64,
    pub(crate) limit: usize,
}

/// The message without its body. Its worker reads the body from the event.
pub(crate) fn without_body(message: Message) -> Message {
    match message {
        Message::Attempt(attempt) => Message::Attempt(AttemptMessage { body: Bytes::new(), ..attempt }),
        other => other,
    }
}
