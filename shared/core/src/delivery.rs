//! A delivery: one event for one webhook.
//!
//! ```text
//!                    +--- lane is free ---> Scheduled(1) -- fails --> Scheduled(2..5) -- fails --> Held | Failed
//! accepted --+       |                        |    |                                                ^
//!            +-- Waiting                      |    +-- 2xx --> Delivered                            |
//!            +-- Held  <----- webhook paused -+-----------------------------------------------------+
//! Held -- resume --> Scheduled(1) of the next round | Waiting          any unfinished -- webhook deleted --> Cancelled
//! Held -- resume, discard --> Discarded             Failed, Delivered -- redeliver --> Scheduled(1) of the next round
//! ```
//!
//! Only the worker that holds the claim ([`Deliveries::claim`](crate::ports::Deliveries::claim)) may change a scheduled
//! delivery. In other states a compare-and-set is enough.

mod timing;

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::attempt::{Attempt, Began, Class, Trigger};
use crate::destination::Consequence;
use crate::event::{Event, EventType};
use crate::ids::{AccountId, DeliveryId, EventId, WebhookId};
use crate::limits;
use crate::message::{AttemptKey, AttemptMessage, DomainEventKind, EventMessage, Message, ScheduledMessage};
use crate::retry::Ladder;
use crate::time::{later, since};
use crate::webhook::Webhook;

pub use self::timing::Timing;

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Unique id, derived from event and webhook. Ids sort by the time of acceptance.
    pub id: DeliveryId,
    /// The event that is delivered.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// The event's incident. Together with the webhook it identifies the lane.
    pub incident_id: String,
    /// The account that owns the webhook.
    pub account_id: AccountId,
    /// The webhook it goes to.
    pub webhook_id: WebhookId,
    /// When the event was accepted.
    pub accepted_at: Timestamp,
    /// How often the ladder was started: 1 for a new delivery.
    pub round: u32,
    /// Why the current round was started. For a held delivery: why the next one will be.
    pub trigger: Trigger,
    /// The outages of the webhook in which this round failed; `None` if it has not failed.
    pub failed_in: Option<FailedIn>,
    /// What happens to it next, or how it ended.
    pub state: State,
    /// Whether the attempt that is due could not be made for a reason on our side, and was put back.
    pub delayed: bool,
    /// The latest attempts, oldest first: at most [`ATTEMPTS_KEPT`](limits::ATTEMPTS_KEPT).
    pub attempts: Vec<Attempt>,
    /// Incremented with each save, for compare-and-set.
    pub version: u64,
    /// When this worker's claim expires; `None` if the delivery was read without a claim. Not stored: the store
    /// compares it with the current claim, and refuses the save if they differ.
    pub claimed_until: Option<Timestamp>,
}

/// The outages of its webhook ([`Health::outage`](crate::webhook::Health)) in which a round of a delivery failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedIn {
    /// Outage number at the first failure.
    pub first: u32,
    /// Outage number at the latest failure.
    pub last: u32,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Behind an unfinished delivery of its lane, whose end promotes it.
    Waiting,
    /// Has an attempt at a set time, and a message for it.
    Scheduled {
        /// Place on the ladder, 1 to 5.
        number: u8,
        /// When the attempt is due.
        at: Timestamp,
        /// How this time relates to the ladder.
        timing: Timing,
    },
    /// Waits until the webhook is resumed.
    Held,
    /// Accepted by the receiver.
    Delivered,
    /// Given up: its ladder ended while other payloads got through, or its destination will never accept it.
    Failed,
    /// Dropped at a resume, or its event is no longer stored.
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

/// The states without their data, as shown in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, EnumString, VariantArray)]
#[strum(serialize_all = "snake_case")]
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
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// Which deliveries a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// Only those with this status.
    pub status: Option<Status>,
    /// Only those of this type.
    pub event_type: Option<EventType>,
    /// Only those of this incident.
    pub incident_id: Option<String>,
    /// Only those accepted at this time or later.
    pub since: Option<Timestamp>,
    /// Only those accepted before this time.
    pub until: Option<Timestamp>,
    /// Only those with a certain attempt.
    pub attempts: AttemptFilter,
}

/// The attempts that a delivery must have to be listed. `class` and `status_code` may match different attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttemptFilter {
    /// Whether an attempt failed.
    pub failed: Option<bool>,
    /// An attempt failed with this class.
    pub class: Option<Class>,
    /// An attempt got this status code.
    pub status_code: Option<u16>,
}

impl DeliveryFilter {
    /// Whether the list shows this delivery.
    pub fn matches(&self, delivery: &Delivery) -> bool {
        let Self { status, event_type, incident_id, since, until, attempts } = self;
        status.is_none_or(|status| delivery.status() == status)
            && event_type.is_none_or(|event_type| delivery.event_type == event_type)
            && incident_id.as_ref().is_none_or(|incident| delivery.incident_id == *incident)
            && since.is_none_or(|since| delivery.accepted_at >= since)
            && until.is_none_or(|until| delivery.accepted_at < until)
            && attempts.matches(&delivery.attempts)
    }
}

impl AttemptFilter {
    /// Whether a delivery with these attempts matches.
    pub fn matches(&self, attempts: &[Attempt]) -> bool {
        let Self { failed, class, status_code } = *self;
        let failures = || attempts.iter().filter_map(|attempt| attempt.failure.as_ref());
        failed.is_none_or(|failed| failures().next().is_some() == failed)
            && class.is_none_or(|class| failures().any(|failure| failure.class == class))
            && status_code.is_none_or(|code| attempts.iter().any(|each| each.status_code == Some(code)))
    }
}

impl Delivery {
    /// A new delivery, due now.
    pub fn new(event: &Event, webhook_id: WebhookId) -> Self {
        Self {
            id: DeliveryId::derive(event.id, event.accepted_at, webhook_id),
            event_id: event.id,
            event_type: event.event_type,
            incident_id: event.incident_id.clone(),
            account_id: event.account_id,
            webhook_id,
            accepted_at: event.accepted_at,
            round: 1,
            trigger: Trigger::Event,
            failed_in: None,
            state: State::first_attempt(event.accepted_at),
            delayed: false,
            attempts: vec![],
            version: 0,
            claimed_until: None,
        }
    }

    /// The state as shown in the API.
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

    /// Whether it has ended: it is only attempted again if its owner asks for a redelivery.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Delivered | State::Failed | State::Discarded | State::Cancelled)
    }

    /// Whether its last attempt was slow.
    pub(crate) fn was_slow(&self) -> bool {
        self.attempts.last().is_some_and(|attempt| attempt.duration >= limits::SLOW_FROM)
    }

    /// Whether it shares no message with others any more, because one that it shared was refused.
    pub(crate) fn goes_alone(&self) -> bool {
        let mut failures = self.attempts.iter().filter_map(|attempt| attempt.failure.as_ref());
        failures.any(|failure| failure.class == Class::RefusedTogether)
    }

    /// Whether it was released by a resume or a redelivery, and no attempt was recorded since.
    pub fn is_released(&self) -> bool {
        self.round > 1 && matches!(self.state, State::Scheduled { number: 1, .. })
    }

    /// Whether nothing has changed since it was accepted: its first attempt is still due. The publisher's call sends
    /// the message for it, or is repeated.
    pub fn is_as_accepted(&self) -> bool {
        self.version == 0 && matches!(self.state, State::Scheduled { number: 1, .. })
    }

    /// How its current attempt begins at this time. It was put back for a reason on our side if it is `delayed`: then it
    /// had nothing else to wait for.
    pub(crate) fn began(&self, at: Timestamp) -> Began {
        let State::Scheduled { number: 1, at: due, .. } = self.state else { return Began::Retry };
        if self.round > 1 || (due > self.accepted_at && !self.delayed) {
            Began::FirstAfterWait(since(due, at))
        } else {
            Began::First(since(self.accepted_at, at))
        }
    }

    /// The next attempt and its time; `None` if the delivery is not scheduled.
    pub fn due_attempt(&self) -> Option<(AttemptKey, Timestamp)> {
        match self.state {
            State::Scheduled { number, at, .. } => Some((AttemptKey { round: self.round, number }, at)),
            _ => None,
        }
    }

    // --- What its state calls for ------------------------------------------------------------------------

    /// The message for the next attempt; `None` if the delivery is not scheduled. `body` is the event's payload.
    pub fn attempt_message(&self, body: &Bytes) -> Option<ScheduledMessage> {
        let (key, due) = self.due_attempt()?;
        Some(ScheduledMessage { message: self.message_for(key, body), due })
    }

    /// The first message of an accepted delivery. A waiting delivery gets one too, because it must be held if its
    /// webhook is paused.
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

    /// A message by which a worker checks the delivery at this time, whatever its state is then.
    pub(crate) fn recheck_message(&self, due: Timestamp) -> ScheduledMessage {
        let first = AttemptKey { round: self.round, number: 1 };
        let key = self.due_attempt().map_or(first, |(key, _)| key);
        ScheduledMessage { message: self.message_for(key, &Bytes::new()), due }
    }

    fn message_for(&self, key: AttemptKey, body: &Bytes) -> Message {
        Message::Attempt(AttemptMessage {
            delivery_id: self.id,
            account_id: self.account_id,
            webhook_id: self.webhook_id,
            event_id: self.event_id,
            key,
            slow: false,
            body: body.clone(),
        })
    }

    /// The message that publishes `delivery.failed`; `None` unless the delivery was given up.
    pub fn failed_event(&self) -> Option<ScheduledMessage> {
        let last = self.attempts.last().filter(|_| self.state == State::Failed)?;
        let event = DomainEventKind::DeliveryFailed {
            delivery_id: self.id,
            event_id: self.event_id,
            incident_id: self.incident_id.clone(),
            last_error: last.failure.as_ref().map(|failure| failure.reason.clone()),
        };
        let (account_id, webhook_id) = (self.account_id, self.webhook_id);
        let message = EventMessage { account_id, webhook_id, at: last.at, event };
        Some(ScheduledMessage { message: Message::Event(message), due: last.at })
    }

    /// When the last attempt of its ladder will be made, if all before it fail. `None` if it is not on the ladder.
    pub(crate) fn ladder_ends_at(&self, ladder: &Ladder) -> Option<Timestamp> {
        let State::Scheduled { number: number @ 2.., at, .. } = self.state else { return None };
        let own = self.ladder_at().unwrap_or(at);
        let waits = (number..).map_while(|number| ladder.wait_after(number, None));
        Some(later(own, waits.sum()))
    }

    // --- Changes -----------------------------------------------------------------------------------------

    /// The delivery after a successful attempt.
    #[must_use]
    pub fn delivered(self, attempt: Attempt) -> Self {
        self.with_attempt(attempt).with_state(State::Delivered)
    }

    /// The delivery after a failed attempt: on the next rung, given up, or held or cancelled with its webhook.
    /// `webhook` is the webhook after this failure.
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
            // The webhook was paused and resumed since this round first failed: start the ladder again, like a held
            // delivery.
            Some(webhook) if failed_in.first < webhook.resumed_in => State::Held,
            Some(_) => self.next_attempt(number, failure, now).unwrap_or(State::Failed),
        };
        // The others of the message may have caused this failure.
        let failed_in =
            if failure.consequence == Consequence::SendAlone { self.failed_in } else { Some(failed_in) };
        Self { failed_in, ..self.with_attempt(attempt) }.with_state(state)
    }

    fn next_attempt(&self, number: u8, failure: AfterFailure<'_>, now: Timestamp) -> Option<State> {
        match (failure.consequence, self.state) {
            (Consequence::GiveUp, _) => return None,
            (Consequence::SendAlone, State::Scheduled { timing, .. }) => {
                return Some(State::Scheduled { number, at: now, timing });
            }
            _ => {}
        }
        match self.own_attempt_after(now) {
            Some(ladder_at) => {
                let at = ladder_at.max(later(now, failure.retry_after.unwrap_or_default()));
                Some(State::Scheduled { number, at, timing: Timing::AfterEarly })
            }
            // Waits count from the end of the attempt, so that a slow attempt does not make the next one early.
            None => {
                let own = self.ladder_at().map_or(now, |ladder_at| ladder_at.max(now));
                let wait = failure.ladder.wait_after(number, failure.retry_after)?;
                Some(State::Scheduled { number: number + 1, at: later(own, wait), timing: Timing::OnTime })
            }
        }
    }

    /// The time of the ladder's own attempt, if the current one is early.
    fn ladder_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Scheduled { timing, .. } => timing.ladder_at(),
            _ => None,
        }
    }

    /// When the ladder's own attempt follows, if the current one is additional to it. An early attempt that ends shortly
    /// before that time takes its place.
    pub(crate) fn own_attempt_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.ladder_at().filter(|ladder_at| *ladder_at > later(now, limits::CLAIM))
    }

    fn with_attempt(mut self, attempt: Attempt) -> Self {
        if self.attempts.len() >= limits::ATTEMPTS_KEPT {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
        let mut bytes = 0;
        for attempt in self.attempts.iter_mut().rev() {
            bytes += attempt.answer_bytes();
            if bytes > limits::ANSWERS_KEPT_BYTES {
                attempt.drop_answer();
            }
        }
        self
    }

    /// The delivery in another state. A held delivery will be started again by a resume.
    #[must_use]
    pub fn with_state(self, state: State) -> Self {
        let trigger = if state == State::Held { Trigger::Resume } else { self.trigger };
        Self { state, trigger, delayed: false, ..self }
    }

    /// Holds a finished delivery for a redelivery that its owner asked for.
    #[must_use]
    pub fn requested_again(self) -> Self {
        Self { state: State::Held, trigger: Trigger::Redelivery, ..self }
    }

    /// Schedules the first attempt, because the lane is free.
    #[must_use]
    pub fn promoted(self, now: Timestamp) -> Self {
        self.with_state(State::first_attempt(now))
    }

    /// Schedules an early attempt in addition to the ladder's own, which keeps its time. Returns `None` if no retry is
    /// scheduled, if there was an early one on this rung before, or if the delivery failed in a later outage than the
    /// one that ended.
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

    /// Schedules an additional attempt right away, because the owner asks for it. Like
    /// [`retried_early`](Self::retried_early), but any number of times. Returns `None` if no retry is scheduled, or if it
    /// is due already.
    #[must_use]
    pub fn retried_now(self, now: Timestamp) -> Option<Self> {
        match self.state {
            State::Scheduled { number, at, timing } if number > 1 && at > now => {
                let timing = Timing::Early { ladder_at: timing.ladder_at().unwrap_or(at) };
                Some(self.with_state(State::Scheduled { number, at: now, timing }))
            }
            _ => None,
        }
    }

    /// Starts the ladder again, in a new round.
    #[must_use]
    pub fn restarted(self, now: Timestamp) -> Self {
        Self { round: self.round + 1, failed_in: None, ..self }.promoted(now)
    }
}

/// What [`Delivery::after_failure`] needs to know besides the attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AfterFailure<'a> {
    /// What follows from the failure.
    pub(crate) consequence: Consequence,
    /// The wait that the receiver asked for.
    pub(crate) retry_after: Option<Duration>,
    /// The waits between attempts.
    pub(crate) ladder: &'a Ladder,
}

#[cfg(test)]
mod tests;
