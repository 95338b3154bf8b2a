//! What the engineers of an account are told of a webhook, and how far they are told.

use jiff::Timestamp;

use crate::webhook::PauseReason;

/// News of a webhook that its account's engineers are told. There is one at a time: what is newer takes the place of what is
/// older, told or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What happened.
    pub kind: AlertKind,
    /// When; also what tells it from the webhook's other alerts.
    pub at: Timestamp,
    /// How far it is told.
    pub notice: Notice,
    /// Of trouble: that the webhook answers again, which is told when what waited meanwhile is through.
    pub answered: bool,
}

/// What engineers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertKind {
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
    Well {
        /// How many deliveries that waited were let go.
        drained: u64,
    },
}

/// How far an alert is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// To be sent.
    Due,
    /// Tried this often; nobody tries again before that time. Either a worker is at it, which has crashed if it is
    /// not done by then, or Slack did not take it.
    Sending {
        /// How often it was tried, the try on its way included.
        tries: u32,
        /// When the next try may begin.
        until: Timestamp,
    },
    /// Sent, or given up after the last try.
    Done,
}

impl Alert {
    /// One that is still to be told.
    pub(crate) fn new(kind: AlertKind, at: Timestamp) -> Self {
        Self { kind, at, notice: Notice::Due, answered: false }
    }

    /// Whether there is an end of it to be told.
    pub(crate) fn is_trouble(&self) -> bool {
        !matches!(self.kind, AlertKind::Well { .. })
    }

    /// Whether it is the same news, told as far.
    pub(crate) fn stands_like(&self, other: &Alert) -> bool {
        (&self.kind, self.at, self.notice) == (&other.kind, other.at, other.notice)
    }
}
