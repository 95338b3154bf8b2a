//! One event to one webhook.
//!
//! ```text
//!                    +--- lane is free ---> Scheduled(1) -- fails --> Scheduled(2..5) -- fails --> Held | Failed
//! accepted --+       |                        |    |                                                ^
//!            +-- Waiting                      |    +-- 2xx --> Delivered                            |
//!            +-- Held  <----- webhook paused -+-----------------------------------------------------+
//! Held -- resume --> Scheduled(1) of the next round | Waiting          any unfinished -- webhook deleted --> Cancelled
//! Held -- resume, discard --> Discarded                 Failed, Delivered -- redeliver --> Scheduled(1) of the next round
//! ```
//!
//! A scheduled delivery is changed only by who holds its claim
//! ([`Deliveries::claim`](crate::ports::Deliveries::claim)); the others by compare-and-set.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::attempt::{Attempt, Trigger};
use crate::destination::Consequence;
use crate::event::{Event, EventType};
use crate::ids::{DeliveryId, EventId, WebhookId};
use crate::limits;
use crate::message::{AttemptKey, AttemptMessage, DomainEventKind, EventMessage, Message, ScheduledMessage};
use crate::retry::Ladder;
use crate::time::later;
use crate::webhook::Webhook;

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, derived from event and webhook; ids sort by the time of acceptance.
    pub id: DeliveryId,
    /// What is delivered.
    pub event_id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// Its incident; with the webhook, the lane.
    pub incident_id: String,
    /// To whom.
    pub webhook_id: WebhookId,
    /// When the event was accepted.
    pub accepted_at: Timestamp,
    /// How often the ladder was begun.
    pub round: u32,
    /// Why it was begun the last time; of a held delivery also why it will be.
    pub trigger: Trigger,
    /// The webhook's outages in which this round failed; `None` if it has not failed.
    pub failed_in: Option<FailedIn>,
    /// Where it stands.
    pub state: State,
    /// The attempts so far, oldest first.
    pub attempts: Vec<Attempt>,
    /// Counts its changes, for the store's compare-and-set.
    pub version: u64,
    /// When this worker's claim ends; `None` if the delivery was read without a claim. It is not stored: the store compares it
    /// with the current claim, and refuses the save if they differ.
    pub claimed_until: Option<Timestamp>,
}

/// In which of its webhook's outages ([`Health::outage`](crate::webhook::Health)) a round of a delivery failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedIn {
    /// For the first time.
    pub first: u32,
    /// For the last time.
    pub last: u32,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Behind an unfinished delivery of its incident, which will wake it.
    Waiting,
    /// An attempt is due at a time; a message will wake it.
    Scheduled {
        /// Which attempt of the ladder, 1 to 5.
        number: u8,
        /// When.
        at: Timestamp,
        /// Whether that is the ladder's own time.
        timing: Timing,
    },
    /// Kept until the webhook is resumed.
    Held,
    /// Taken by the receiver.
    Delivered,
    /// Given up: its ladder ended while other payloads got through.
    Failed,
    /// Dropped by its owner at a resume.
    Discarded,
    /// Its webhook was deleted.
    Cancelled,
}

impl State {
    /// The first attempt of a round, at this time.
    pub fn first_attempt(at: Timestamp) -> Self {
        State::Scheduled { number: 1, at, timing: Timing::OnTime }
    }
}

/// How an attempt's time relates to the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// It is the ladder's own.
    OnTime,
    /// It is early, because an outage has ended: one attempt more. The ladder's own stays where it is.
    Early {
        /// When the ladder has its own attempt of this number.
        ladder_at: Timestamp,
    },
    /// It is the ladder's own, and an early attempt of this number failed before. A second one is not made.
    AfterEarly,
}

impl Timing {
    /// The name in a store.
    pub fn name(self) -> &'static str {
        match self {
            Timing::OnTime => "on_time",
            Timing::Early { .. } => "early",
            Timing::AfterEarly => "after_early",
        }
    }

    /// The ladder's own time, where the attempt is early.
    pub fn ladder_at(self) -> Option<Timestamp> {
        match self {
            Timing::Early { ladder_at } => Some(ladder_at),
            Timing::OnTime | Timing::AfterEarly => None,
        }
    }

    /// The timing of that name.
    pub fn from_parts(name: &str, ladder_at: Option<Timestamp>) -> Option<Self> {
        match (name, ladder_at) {
            ("on_time", None) => Some(Timing::OnTime),
            ("early", Some(ladder_at)) => Some(Timing::Early { ladder_at }),
            ("after_early", None) => Some(Timing::AfterEarly),
            _ => None,
        }
    }
}

/// The states by their names on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// [`State::Waiting`]
    Waiting,
    /// [`State::Scheduled`]: a first attempt that is due now, or a retry.
    Retrying,
    /// [`State::Delivered`]
    Delivered,
    /// [`State::Held`]
    Held,
    /// [`State::Failed`]
    Failed,
    /// [`State::Discarded`]
    Discarded,
    /// [`State::Cancelled`]
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 7] = [
        Status::Waiting,
        Status::Retrying,
        Status::Delivered,
        Status::Held,
        Status::Failed,
        Status::Discarded,
        Status::Cancelled,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Status::Waiting => "waiting",
            Status::Retrying => "retrying",
            Status::Delivered => "delivered",
            Status::Held => "held",
            Status::Failed => "failed",
            Status::Discarded => "discarded",
            Status::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Which of a webhook's deliveries a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// Only those that stand so.
    pub status: Option<Status>,
    /// Only those of this type.
    pub event_type: Option<EventType>,
    /// Only those of this incident.
    pub incident_id: Option<String>,
    /// Only those accepted at this time or later.
    pub since: Option<Timestamp>,
    /// Only those accepted before this time.
    pub until: Option<Timestamp>,
}

impl Delivery {
    /// The delivery of an event to a webhook, due now.
    pub fn new(event: &Event, webhook_id: WebhookId) -> Self {
        Self {
            id: DeliveryId::derive(event.id, event.accepted_at, webhook_id),
            event_id: event.id,
            event_type: event.event_type,
            incident_id: event.incident_id.clone(),
            webhook_id,
            accepted_at: event.accepted_at,
            round: 1,
            trigger: Trigger::Event,
            failed_in: None,
            state: State::first_attempt(event.accepted_at),
            attempts: vec![],
            version: 0,
            claimed_until: None,
        }
    }

    /// Where it stands, as shown.
    pub fn status(&self) -> Status {
        match self.state {
            State::Waiting => Status::Waiting,
            State::Scheduled { .. } => Status::Retrying,
            State::Held => Status::Held,
            State::Delivered => Status::Delivered,
            State::Failed => Status::Failed,
            State::Discarded => Status::Discarded,
            State::Cancelled => Status::Cancelled,
        }
    }

    /// Whether nothing more is to come of it by itself.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Delivered | State::Failed | State::Discarded | State::Cancelled)
    }

    /// Whether it was let go by a resume or a redelivery, and no attempt was recorded since.
    pub fn is_released(&self) -> bool {
        self.round > 1 && matches!(self.state, State::Scheduled { number: 1, .. })
    }

    /// Whether its first attempt is due since it was accepted: whoever accepted it sends its message, or is asked once more to
    /// accept it.
    pub fn is_as_accepted(&self) -> bool {
        self.version == 0 && matches!(self.state, State::Scheduled { number: 1, .. })
    }

    /// The attempt that is due next, and when, if one is.
    pub fn due_attempt(&self) -> Option<(AttemptKey, Timestamp)> {
        match self.state {
            State::Scheduled { number, at, .. } => Some((AttemptKey { round: self.round, number }, at)),
            _ => None,
        }
    }

    // --- What its state calls for ------------------------------------------------------------------------

    /// The message that a scheduled delivery waits for; `body` is its event's payload.
    pub fn attempt_message(&self, body: &Bytes) -> Option<ScheduledMessage> {
        let (key, due) = self.due_attempt()?;
        Some(ScheduledMessage { message: self.message_for(key, body), due })
    }

    /// The message that a delivery is accepted with. One that waits for another of its incident has one too: it is held if
    /// its webhook is paused.
    pub fn accepted_message(&self, body: &Bytes) -> Option<ScheduledMessage> {
        match self.state {
            State::Waiting => {
                let key = AttemptKey { round: self.round, number: 1 };
                Some(ScheduledMessage { message: self.message_for(key, body), due: self.accepted_at })
            }
            _ if self.attempts.is_empty() => self.attempt_message(body),
            _ => None,
        }
    }

    fn message_for(&self, key: AttemptKey, body: &Bytes) -> Message {
        Message::Attempt(AttemptMessage {
            delivery_id: self.id,
            webhook_id: self.webhook_id,
            event_id: self.event_id,
            key,
            body: body.clone(),
        })
    }

    /// The event that a delivery's failure is for others.
    pub fn failed_event(&self) -> Option<ScheduledMessage> {
        let last = self.attempts.last().filter(|_| self.state == State::Failed)?;
        let event = DomainEventKind::DeliveryFailed {
            delivery_id: self.id,
            event_id: self.event_id,
            incident_id: self.incident_id.clone(),
            last_error: last.failure.as_ref().map(|failure| failure.reason.clone()),
        };
        let message = EventMessage { webhook_id: self.webhook_id, at: last.at, event };
        Some(ScheduledMessage { message: Message::Event(message), due: last.at })
    }

    // --- Changes -----------------------------------------------------------------------------------------

    /// After an attempt that its receiver took.
    #[must_use]
    pub fn delivered(self, attempt: Attempt) -> Self {
        self.with_attempt(attempt).with_state(State::Delivered)
    }

    /// After an attempt that failed: on the ladder's next step, if it has one and its webhook is as before. `webhook` is the
    /// webhook after the failure.
    #[must_use]
    pub(crate) fn after_failure(
        self,
        attempt: Attempt,
        failure: AfterFailure<'_>,
        webhook: Option<&Webhook>,
        now: Timestamp,
    ) -> Self {
        let number = attempt.number;
        let last = webhook.map_or(0, |webhook| webhook.health.outage);
        let failed_in = FailedIn { first: self.failed_in.map_or(last, |failed| failed.first), last };
        let state = match webhook {
            None => State::Cancelled,
            Some(webhook) if webhook.is_deleted() => State::Cancelled,
            Some(webhook) if !webhook.is_active() => State::Held,
            // The ladder lived through a pause and a resume: like all that was held it begins afresh.
            Some(webhook) if failed_in.first < webhook.resumed_in => State::Held,
            Some(_) => self.next_attempt(number, failure, now).unwrap_or(State::Failed),
        };
        Self { failed_in: Some(failed_in), ..self.with_attempt(attempt) }.with_state(state)
    }

    fn next_attempt(&self, number: u8, failure: AfterFailure<'_>, now: Timestamp) -> Option<State> {
        if failure.consequence == Consequence::GiveUp {
            return None;
        }
        let early_for = match self.state {
            State::Scheduled { timing, .. } => timing.ladder_at(),
            _ => None,
        };
        let asked = failure.retry_after.unwrap_or_default();
        match early_for {
            // The ladder's own attempt stays where it is.
            Some(ladder_at) if ladder_at > later(now, limits::CLAIM) => {
                let at = ladder_at.max(later(now, asked));
                Some(State::Scheduled { number, at, timing: Timing::AfterEarly })
            }
            // From the end of the attempt: never early, however long it hung.
            _ => {
                let own = early_for.map_or(now, |ladder_at| ladder_at.max(now));
                let wait = failure.ladder.wait_after(number, failure.retry_after)?;
                Some(State::Scheduled { number: number + 1, at: later(own, wait), timing: Timing::OnTime })
            }
        }
    }

    fn with_attempt(mut self, attempt: Attempt) -> Self {
        if self.attempts.len() >= limits::ATTEMPTS_KEPT {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
        self
    }

    /// Takes a new state that needs no attempt. What is held waits for a resume.
    #[must_use]
    pub fn with_state(self, state: State) -> Self {
        let trigger = if state == State::Held { Trigger::Resume } else { self.trigger };
        Self { state, trigger, ..self }
    }

    /// Is held because its owner wants it once more.
    #[must_use]
    pub fn requested_again(self) -> Self {
        Self { state: State::Held, trigger: Trigger::Redelivery, ..self }
    }

    /// Takes its turn, now that its lane is free.
    #[must_use]
    pub fn promoted(self, now: Timestamp) -> Self {
        self.with_state(State::first_attempt(now))
    }

    /// Makes an attempt before the ladder does: one more, as the ladder's own is made at its time if this one fails.
    /// `None` if none is on the ladder, if an early one was made before, or if it failed in a later outage than the one that
    /// ended.
    #[must_use]
    pub fn retried_early(self, at: Timestamp, outage: u32) -> Option<Self> {
        let failed_before = self.failed_in.is_some_and(|failed| failed.last <= outage);
        match self.state {
            State::Scheduled { number, at: ladder_at, timing: Timing::OnTime }
                if number > 1 && failed_before =>
            {
                Some(self.with_state(State::Scheduled { number, at, timing: Timing::Early { ladder_at } }))
            }
            _ => None,
        }
    }

    /// Lets go of what is held: begins the ladder afresh, in a round of its own.
    #[must_use]
    pub fn restarted(self, now: Timestamp) -> Self {
        Self { round: self.round + 1, failed_in: None, ..self }.promoted(now)
    }
}

/// What [`Delivery::after_failure`] needs to know beside the attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AfterFailure<'a> {
    /// What the answer means.
    pub(crate) consequence: Consequence,
    /// How long the receiver asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// The waits between attempts.
    pub(crate) ladder: &'a Ladder,
}

#[cfg(test)]
mod tests;
