//! Notifications to an account's engineers about one webhook: it is failing, was paused, or answers again.
//!
//! A webhook has one notification at a time. A newer one replaces it, sent or not. Its progress is in its state, so
//! nothing has to be inferred from times: see [`NotificationState`].

use std::time::Duration;

use jiff::Timestamp;

use crate::limits;
use crate::time::later;
use crate::webhook::pause::PauseReason;

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Identifies it among the webhook's notifications: the version of the record that raised it.
    pub id: u64,
    /// What happened.
    pub kind: NotificationKind,
    /// When it happened.
    pub at: Timestamp,
    /// Progress of sending it.
    pub state: NotificationState,
    /// Failures and pauses only: the webhook has answered again, which will be reported when the current job ends.
    pub answered: bool,
}

/// What happened to the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotificationKind {
    /// A second retry in a row failed.
    Failing {
        /// The error as a sentence.
        last_error: String,
    },
    /// It was paused, and not by hand.
    Paused {
        /// Why.
        reason: PauseReason,
        /// The error of the attempt that caused the pause, as a sentence.
        last_error: String,
    },
    /// It answers again.
    Recovered {
        /// How many waiting deliveries were released.
        drained: u64,
    },
}

/// The progress of sending a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationState {
    /// Not claimed by a worker yet.
    Pending,
    /// Being sent: a worker has claimed a try, or the next try is scheduled.
    Sending {
        /// Number of tries, including one that is running.
        tries: u32,
        /// When the claim or the wait ends, and the next try may begin.
        until: Timestamp,
    },
    /// Sent, or given up after the last try.
    Sent,
}

/// The outcome of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    /// Slack accepted it.
    Accepted,
    /// Slack did not accept it, and asked for this wait (or zero).
    Refused(Duration),
}

impl Notification {
    /// A new notification, raised by this version of the webhook.
    pub(crate) fn new(kind: NotificationKind, version: u64, at: Timestamp) -> Self {
        Self { id: version, kind, at, state: NotificationState::Pending, answered: false }
    }

    /// Whether it reports a failure or a pause, whose end is reported too.
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

    /// Whether a try could have begun before this time.
    pub(crate) fn was_due(&self, time: Timestamp) -> bool {
        match self.state {
            NotificationState::Pending => self.at < time,
            NotificationState::Sending { until, .. } => until < time,
            NotificationState::Sent => false,
        }
    }

    /// Number of tries so far.
    pub fn tries(&self) -> u32 {
        match self.state {
            NotificationState::Sending { tries, .. } => tries,
            NotificationState::Pending | NotificationState::Sent => 0,
        }
    }

    /// Claims one more try, for the time of a claim.
    pub(crate) fn claimed(self, now: Timestamp) -> Self {
        let state = NotificationState::Sending { tries: self.tries() + 1, until: later(now, limits::CLAIM) };
        Self { state, ..self }
    }

    /// The notification after a try: sent, waiting for the next try, or given up.
    pub(crate) fn after_try(self, outcome: SendOutcome, now: Timestamp) -> Self {
        let tries = self.tries();
        let state = match outcome {
            SendOutcome::Refused(asked) if tries < limits::NOTIFICATION_TRIES => {
                NotificationState::Sending { tries, until: later(now, wait_after(tries).max(asked)) }
            }
            SendOutcome::Accepted | SendOutcome::Refused(_) => NotificationState::Sent,
        };
        Self { state, ..self }
    }
}

/// How long to wait after this many tries.
fn wait_after(tries: u32) -> Duration {
    let waits = limits::NOTIFICATION_WAITS;
    waits[usize::try_from(tries).unwrap_or(usize::MAX).clamp(1, waits.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    #[test]
    fn a_try_is_due_once_it_may_begin_and_was_due_before_a_later_time() {
        let raised = Notification::new(NotificationKind::Recovered { drained: 0 }, 1, at(100));
        let tried = raised.clone().claimed(at(100));
        let sent = tried.clone().after_try(SendOutcome::Accepted, at(101));
        let until = at(100 + 30);
        // The notification, when its next try may begin, and its name.
        for (notification, since, name) in
            [(&raised, Some(at(100)), "pending"), (&tried, Some(until), "sending"), (&sent, None, "sent")]
        {
            for time in [at(99), at(100), at(101), at(129), at(130), at(131)] {
                let was_due = since.is_some_and(|since| since < time);
                assert_eq!(notification.was_due(time), was_due, "{name} at {time}");
            }
        }
        assert!(!tried.is_due(at(129)) && tried.is_due(until) && !sent.is_due(at(999)));
    }
}
