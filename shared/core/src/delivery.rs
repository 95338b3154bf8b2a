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

use jiff::Timestamp;

use crate::attempt::{Attempt, Trigger};
use crate::event::{Event, EventType};
use crate::ids::{DeliveryId, EventId, WebhookId};
use crate::limits;
use crate::ports::Step;

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
            state: State::Scheduled { number: 1, at: event.accepted_at },
            attempts: vec![],
            version: 0,
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

    /// The attempt that is due next, if one is.
    pub fn next_step(&self) -> Option<(Step, Timestamp)> {
        match self.state {
            State::Scheduled { number, at } => Some((Step { round: self.round, number }, at)),
            _ => None,
        }
    }

    /// Goes on after an attempt: records it and takes the new state.
    #[must_use]
    pub fn attempted(mut self, attempt: Attempt, failed_in: Option<FailedIn>, state: State) -> Self {
        if self.attempts.len() >= limits::ATTEMPTS_KEPT {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
        Self { failed_in, ..self }.moved(state)
    }

    /// Takes a new state that needs no attempt. What is held waits for a resume.
    #[must_use]
    pub fn moved(self, state: State) -> Self {
        let trigger = if state == State::Held { Trigger::Resume } else { self.trigger };
        Self { state, trigger, ..self }
    }

    /// Is held because its owner wants it once more.
    #[must_use]
    pub fn asked_again(self) -> Self {
        Self { state: State::Held, trigger: Trigger::Redelivery, ..self }
    }

    /// Takes its turn, now that its lane is free.
    #[must_use]
    pub fn promoted(self, now: Timestamp) -> Self {
        self.moved(State::Scheduled { number: 1, at: now })
    }

    /// Makes an attempt sooner than the ladder has it: one more, as the ladder's own is made at its time if this one fails.
    /// `None` if none is due, if it was brought forward before, or if it failed after the outage had ended.
    #[must_use]
    pub fn brought_forward(self, at: Timestamp, outage_ended: u32) -> Option<Self> {
        let failed_before = self.failed_in.is_some_and(|failed| failed.last <= outage_ended);
        match (self.state, self.attempts.last()) {
            (State::Scheduled { number, .. }, Some(last)) if last.number + 1 == number && failed_before => {
                Some(self.moved(State::Scheduled { number, at }))
            }
            _ => None,
        }
    }

    /// Lets go of what is held: begins the ladder afresh, in a round of its own.
    #[must_use]
    pub fn begun_again(self, now: Timestamp) -> Self {
        Self { round: self.round + 1, failed_in: None, ..self }.promoted(now)
    }
}
