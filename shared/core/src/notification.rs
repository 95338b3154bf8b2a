//! What an account's engineers are told about one webhook: it fails, it was paused, it answers again.
//!
//! A webhook has one notification at a time; a newer one replaces an older one, sent or not. Its state says how far it is
//! sent, so nothing has to be inferred from times: see [`NotificationState`].

use std::time::Duration;

use jiff::Timestamp;

use crate::limits;
use crate::time::later;
use crate::webhook::PauseReason;

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Tells it from the webhook's other notifications: the version of the record that raised it.
    pub id: u64,
    /// What happened.
    pub kind: NotificationKind,
    /// When it happened.
    pub at: Timestamp,
    /// How far it is sent.
    pub state: NotificationState,
    /// Of trouble: the webhook answers again, which is told when what waited meanwhile is let go.
    pub answered: bool,
}

/// What engineers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotificationKind {
    /// A second retry in a row failed.
    Failing {
        /// Why, in words.
        last_error: String,
    },
    /// It was paused, and not by hand.
    Paused {
        /// Why.
        reason: PauseReason,
        /// Why the attempt failed that led to it, in words.
        last_error: String,
    },
    /// It answers again after trouble.
    Recovered {
        /// How many deliveries that waited were let go.
        drained: u64,
    },
}

/// How far a notification is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationState {
    /// No worker has begun to send it.
    Pending,
    /// Tried this often, a try under way included. Until then it is that worker's, or waits for its next try.
    Sending {
        /// How often it was tried.
        tries: u32,
        /// When the next try may begin.
        until: Timestamp,
    },
    /// Sent, or given up after the last try.
    Sent,
}

/// What came of a try to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    /// Slack took it.
    Taken,
    /// Slack did not take it, and asked to be left alone for this long.
    Refused(Duration),
}

impl Notification {
    /// A new one, raised by this version of the webhook.
    pub(crate) fn new(kind: NotificationKind, version: u64, at: Timestamp) -> Self {
        Self { id: version, kind, at, state: NotificationState::Pending, answered: false }
    }

    /// Whether its end is to be told too.
    pub(crate) fn is_trouble(&self) -> bool {
        !matches!(self.kind, NotificationKind::Recovered { .. })
    }

    /// Whether a try may begin.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        match self.state {
            NotificationState::Pending => true,
            NotificationState::Sending { until, .. } => until <= now,
            NotificationState::Sent => false,
        }
    }

    /// How often it was tried.
    pub fn tries(&self) -> u32 {
        match self.state {
            NotificationState::Sending { tries, .. } => tries,
            NotificationState::Pending | NotificationState::Sent => 0,
        }
    }

    /// One more try begins: it is this worker's for as long as a claim.
    pub(crate) fn claimed(self, now: Timestamp) -> Self {
        let state = NotificationState::Sending { tries: self.tries() + 1, until: later(now, limits::CLAIM) };
        Self { state, ..self }
    }

    /// After a try: sent, to be tried again, or given up.
    pub(crate) fn after_try(self, outcome: SendOutcome, now: Timestamp) -> Self {
        let tries = self.tries();
        let state = match outcome {
            SendOutcome::Refused(asked) if tries < limits::NOTICE_TRIES => {
                NotificationState::Sending { tries, until: later(now, wait_after(tries).max(asked)) }
            }
            SendOutcome::Taken | SendOutcome::Refused(_) => NotificationState::Sent,
        };
        Self { state, ..self }
    }
}

/// How long to wait after so many tries.
fn wait_after(tries: u32) -> Duration {
    let waits = limits::NOTICE_WAITS;
    waits[usize::try_from(tries).unwrap_or(usize::MAX).clamp(1, waits.len()) - 1]
}
