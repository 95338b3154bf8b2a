//! A registered endpoint: what it wants, whether it may be called, and how it has been doing.
//!
//! # States, and who may change them
//!
//! ```text
//!            handshake passed                  4th failed retry | 410 | by hand | permanent
//! Pending ---------------------------> Active ----------------------------------> Paused
//!                                         ^                                          |
//!                                         +------------------- resume ---------------+
//! any ---- delete ----> Deleted
//! ```
//!
//! - only a handshake makes a pending webhook active;
//! - only an active webhook is paused, and only a paused one resumed;
//! - a deleted one stays as a tombstone until its deliveries are cancelled, and never changes again.
//!
//! Each change of state counts up the webhook's `generation`: messages that belong to an older one are recognised.
//!
//! # Changes say what they call for
//!
//! A change is a pure function from one state to the next. What it calls for (the next page of a job, a notification, an
//! event) is in the new state's `outbox`: the store sends it in the transaction that saves the state, or
//! [`Outbox`](crate::outbox::Outbox) does so right after, and strikes it off. Whoever finds it unsent sends it.

mod job;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::attempt::Failure;
use crate::audit::{AuditLog, Change};
use crate::destination::{Consequence, Destination};
use crate::event::{Event, EventType};
use crate::ids::{AccountId, KeyId, WebhookId};
use crate::message::{DomainEventKind, EventMessage, Message, NotifyMessage, ScheduledMessage};
use crate::notification::{Notification, NotificationKind, NotificationState, SendOutcome};
use crate::retry;
use crate::signature::SigningKeys;
use crate::target::EndpointUrl;

pub use job::{BulkJob, JobKind};
pub(crate) use job::{PageClaim, PageResult};

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub account_id: AccountId,
    /// What its owner set.
    pub settings: Settings,
    /// What its deliveries are signed with.
    pub keys: SigningKeys,
    /// Whether it may be called.
    pub state: State,
    /// How it has been doing.
    pub health: Health,
    /// How its last handshake went.
    pub handshake: Handshake,
    /// The outage number with which it was last resumed. Ladders whose first failure has a smaller one begin afresh.
    pub resumed_in: u32,
    /// What is being done to its deliveries since the last change of state.
    pub job: Option<BulkJob>,
    /// What its account's engineers are told last.
    pub notification: Option<Notification>,
    /// What its changes called for and is not known to be sent. Empty in a store that sends in the same transaction.
    pub outbox: Vec<ScheduledMessage>,
    /// Who did what to it.
    pub audit: AuditLog,
    /// Counts the changes of state.
    pub generation: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner last changed it, or its state changed.
    pub updated_at: Timestamp,
    /// Since when its requests are made as they are now: to where, with which headers, signed with which keys.
    pub requests_since: Timestamp,
    /// Counts its changes, for the store's compare-and-set.
    pub version: u64,
}

/// What an owner sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where deliveries go.
    pub url: EndpointUrl,
    /// In which form.
    pub destination: Destination,
    /// Which types of event it wants: one at least.
    pub events: Vec<EventType>,
    /// Which monitor groups it wants; empty for all.
    pub monitor_groups: Vec<String>,
    /// What its owner calls it.
    pub description: Option<String>,
    /// Headers sent with every delivery. Often credentials, so their values are never shown again.
    pub headers: Headers,
}

/// Custom headers by name. `Debug` shows no value.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(pub BTreeMap<String, String>);

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Whether a webhook may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Has not passed its handshake.
    Pending,
    /// Gets what it wants.
    Active,
    /// Gets nothing for now; what it wants is held.
    Paused(Pause),
    /// Gets nothing any more.
    Deleted,
}

/// Why and since when a webhook is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Why.
    pub reason: PauseReason,
    /// Since when.
    pub since: Timestamp,
    /// The failure that led to it, in words.
    pub last_error: Option<String>,
    /// Since when the webhook had been failing.
    pub failing_since: Option<Timestamp>,
}

/// Why a webhook is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// Four consecutive failures.
    Failures,
    /// It answered 410 Gone.
    Gone,
    /// Its owner paused it.
    Manual,
    /// It answered that it will take nothing any more: see [`Destination::verdict`].
    Permanent,
}

impl PauseReason {
    /// All of them.
    pub const ALL: [PauseReason; 4] =
        [PauseReason::Failures, PauseReason::Gone, PauseReason::Manual, PauseReason::Permanent];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            PauseReason::Failures => "failures",
            PauseReason::Gone => "gone",
            PauseReason::Manual => "manual",
            PauseReason::Permanent => "permanent",
        }
    }

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// How a webhook has been doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Counts the outages that have ended. So two failures belong to one outage exactly if they have the same number:
    /// no clock is asked.
    pub outage: u32,
    /// The first failure since the last 2xx.
    pub failing_since: Option<Timestamp>,
    /// Failed retries on end, 0 to 4; see [`retry`].
    pub consecutive_failures: u8,
}

impl Health {
    /// After a 2xx, a resume or a new endpoint: what failed before is over.
    #[must_use]
    pub fn recovered(self) -> Self {
        Self { outage: self.outage + 1, ..Self::default() }
    }

    /// Whether something failed since the last 2xx.
    pub fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }
}

/// How a handshake went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Whether it was answered with exactly 200.
    pub ok: bool,
    /// What was answered, if anything was.
    pub status_code: Option<u16>,
    /// What to fix, if it failed.
    pub reason: Option<String>,
    /// When it was made.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
}

/// Why an event does not reach a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwanted {
    /// It has not passed its handshake, or is deleted.
    Status,
    /// The event's type is not among those it is bound to.
    EventType,
    /// The event shares no monitor group with it.
    MonitorGroups,
}

impl Webhook {
    /// A webhook as it is registered: it has not passed its handshake, and nothing has happened to it.
    pub fn new(
        id: WebhookId,
        account_id: AccountId,
        settings: Settings,
        keys: SigningKeys,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            account_id,
            settings,
            keys,
            state: State::Pending,
            health: Health::default(),
            handshake: Handshake {
                ok: false,
                status_code: None,
                reason: None,
                at: now,
                duration: Duration::ZERO,
            },
            resumed_in: 0,
            job: None,
            notification: None,
            outbox: vec![],
            audit: AuditLog::default(),
            generation: 0,
            created_at: now,
            updated_at: now,
            requests_since: now,
            version: 0,
        }
    }

    /// Whether an event of this type and these groups becomes a delivery to this webhook; if not, which rule
    /// said no.
    pub fn wants(&self, event_type: EventType, groups: &[String]) -> Result<(), Unwanted> {
        if matches!(self.state, State::Pending | State::Deleted) {
            return Err(Unwanted::Status);
        }
        if !self.settings.events.contains(&event_type) {
            return Err(Unwanted::EventType);
        }
        let wanted = &self.settings.monitor_groups;
        if wanted.is_empty() || wanted.iter().any(|name| groups.contains(name)) {
            Ok(())
        } else {
            Err(Unwanted::MonitorGroups)
        }
    }

    /// Whether this event becomes a delivery to this webhook.
    pub fn wants_event(&self, event: &Event) -> bool {
        self.wants(event.event_type, &event.monitor_groups).is_ok()
    }

    /// Whether an attempt may start.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// Whether it does not exist any more for its owner.
    pub fn is_deleted(&self) -> bool {
        self.state == State::Deleted
    }

    /// The notification that may be sent now. That of a pause waits until what is due is held, so that its count is right.
    pub(crate) fn sendable_notification(&self, now: Timestamp) -> Option<&Notification> {
        let notification = self.notification.as_ref().filter(|notification| notification.is_due(now))?;
        (!self.is_holding_for(notification)).then_some(notification)
    }

    fn is_holding_for(&self, notification: &Notification) -> bool {
        let holds = self.job.is_some_and(|job| job.kind == JobKind::Hold);
        holds && matches!(notification.kind, NotificationKind::Paused { .. })
    }

    // --- Changes: each returns the new state, and what it calls for in its outbox -------------------------

    /// After an attempt got a 2xx; `None` if that changes nothing, as on every ordinary day.
    ///
    /// With `recover` the end of an outage begins to retry early what waits on the ladder. An outage is one in which a retry
    /// failed too, and nothing got through in between: a poison payload among others that are taken is none.
    #[must_use]
    pub(crate) fn after_success(&self, recover: bool, now: Timestamp) -> Option<Self> {
        // Once it answers the end of the job is awaited, whose count is told; one that failed meanwhile has to answer again.
        let is_awaited = |notification: &Notification| notification.answered && self.job.is_some();
        let is_news = self
            .notification
            .as_ref()
            .is_some_and(|notification| notification.is_trouble() && !is_awaited(notification));
        if !self.is_active() || !self.health.is_failing() && !is_news {
            return None;
        }
        let mut next = self.clone();
        if self.health.is_failing() {
            next.health = self.health.recovered();
        }
        if recover && self.health.consecutive_failures > 0 && next.job.is_none() {
            next.generation += 1;
            next.begin_job(JobKind::Recover, 0, now);
        }
        match &mut next.notification {
            Some(notification) if is_news && next.job.is_some() => notification.answered = true,
            Some(_) if is_news => next.notify_recovered(0, now),
            _ => {}
        }
        Some(next)
    }

    /// After an attempt failed; `None` if that changes nothing.
    #[must_use]
    pub(crate) fn after_failure(&self, failed: FailedAttempt<'_>, now: Timestamp) -> Option<Self> {
        if !self.is_active() || failed.consequence == Consequence::GiveUp {
            return None;
        }
        let failing_since = self.health.failing_since.unwrap_or(now);
        let nothing_got_through = failed.first_outage.is_none_or(|outage| outage == self.health.outage);
        let climbed = if nothing_got_through { retry::rung(failed.number) } else { 0 };
        let consecutive_failures = self.health.consecutive_failures.max(climbed);
        let health = Health { failing_since: Some(failing_since), consecutive_failures, ..self.health };
        let reason = if let Consequence::Pause(reason) = failed.consequence {
            Some(reason)
        } else if consecutive_failures >= retry::FAILURES_TO_PAUSE {
            Some(PauseReason::Failures)
        } else {
            None
        };
        if reason.is_none() && health == self.health {
            return None;
        }
        let mut next = Self { health, ..self.clone() };
        let last_error = failed.failure.reason.clone();
        let is_known = next
            .notification
            .as_ref()
            .is_some_and(|known| matches!(known.kind, NotificationKind::Failing { .. }));
        if let Some(reason) = reason {
            next.pause(reason, Some(last_error.clone()), None, now);
            next.notify(NotificationKind::Paused { reason, last_error }, now);
        } else if consecutive_failures >= retry::FAILURES_TO_WARN && !is_known {
            next.notify(NotificationKind::Failing { last_error }, now);
        }
        Some(next)
    }

    /// Pauses an active webhook; without anybody's key it is its failures that do.
    pub(crate) fn pause(
        &mut self,
        reason: PauseReason,
        last_error: Option<String>,
        by: Option<KeyId>,
        now: Timestamp,
    ) {
        self.audit.add(Change::Paused, by, now);
        // If it answered, that news does not wait for the rest to be let go, which is held now.
        let let_go = self.job.map_or(0, |job| job.let_go);
        self.end_job(let_go, now);
        let failing_since = self.health.failing_since;
        let event =
            DomainEventKind::Paused { reason: reason.name().to_owned(), last_error: last_error.clone() };
        self.enter(State::Paused(Pause { reason, since: now, last_error, failing_since }), now);
        self.begin_job(JobKind::Hold, 0, now);
        self.publish(event, now);
    }

    /// Makes a webhook active that was paused: it starts with a clean slate, and its held deliveries, so many, are let go
    /// or dropped.
    pub(crate) fn resume(&mut self, kind: JobKind, held: u64, by: KeyId, now: Timestamp) {
        let drops = kind == JobKind::Discard;
        self.audit.add(if drops { Change::ResumedDiscarding } else { Change::Resumed }, Some(by), now);
        self.health = self.health.recovered();
        self.resumed_in = self.health.outage;
        self.enter(State::Active, now);
        self.begin_job(kind, if kind == JobKind::Release { held } else { 0 }, now);
        self.publish(DomainEventKind::Resumed, now);
        self.stop_notifying_of_pause();
    }

    /// Whoever resumed it knows that it was paused.
    fn stop_notifying_of_pause(&mut self) {
        let Some(notification) = &mut self.notification else { return };
        match (&notification.kind, notification.state) {
            (NotificationKind::Paused { .. }, NotificationState::Pending) => self.notification = None,
            (NotificationKind::Paused { .. }, NotificationState::Sending { .. }) => {
                notification.state = NotificationState::Sent;
            }
            _ => {}
        }
    }

    /// Makes a pending webhook active; `false` if it was no pending one.
    pub(crate) fn verified(&mut self, now: Timestamp) -> bool {
        let is_news = self.state == State::Pending;
        if is_news {
            self.enter(State::Active, now);
        }
        is_news
    }

    /// Deletes it; its deliveries are cancelled.
    pub(crate) fn delete(&mut self, now: Timestamp) {
        self.enter(State::Deleted, now);
        self.begin_job(JobKind::Cancel, 0, now);
        self.notification = None;
    }

    /// Begins to let go of what is held; `None` if it is not active, or a job is under way, which looks again at its end.
    #[must_use]
    pub(crate) fn with_release(&self, now: Timestamp) -> Option<Self> {
        if !self.is_active() || self.job.is_some() {
            return None;
        }
        let mut next = Self { generation: self.generation + 1, ..self.clone() };
        next.begin_job(JobKind::Release, 0, now);
        Some(next)
    }

    /// Begins a try to send its notification; `None` if that is another one by now, or may not be sent yet.
    #[must_use]
    pub(crate) fn with_notification_claimed(&self, id: u64, now: Timestamp) -> Option<Self> {
        let notification = self.sendable_notification(now).filter(|notification| notification.id == id)?;
        let claimed = notification.clone().claimed(now);
        Some(Self { notification: Some(claimed), ..self.clone() })
    }

    /// After a try to send the notification that was claimed; `None` if it is another's, or another one by now.
    #[must_use]
    pub(crate) fn after_notification(
        &self,
        claimed: &Notification,
        outcome: SendOutcome,
        now: Timestamp,
    ) -> Option<Self> {
        let same = |latest: &&Notification| latest.id == claimed.id && latest.state == claimed.state;
        let notification = self.notification.as_ref().filter(same)?.clone().after_try(outcome, now);
        Some(Self { notification: Some(notification), ..self.clone() })
    }

    /// After these messages were sent.
    #[must_use]
    pub(crate) fn without_sent(&self, sent: &[ScheduledMessage]) -> Self {
        let outbox = self.outbox.iter().filter(|owed| !sent.contains(owed)).cloned().collect();
        Self { outbox, ..self.clone() }
    }

    fn enter(&mut self, state: State, now: Timestamp) {
        self.state = state;
        self.generation += 1;
        self.updated_at = now;
        self.job = None;
        if let Some(notification) = &mut self.notification {
            notification.answered = false;
        }
    }

    fn begin_job(&mut self, kind: JobKind, let_go: u64, now: Timestamp) {
        let job = BulkJob::new(kind, self.health.outage.saturating_sub(1), let_go, now);
        self.job = Some(job);
        self.outbox.push(job.message(self));
    }

    /// Ends the job. What waited for its end is told now.
    fn end_job(&mut self, let_go: u64, now: Timestamp) {
        self.job = None;
        let Some(notification) = &self.notification else { return };
        if notification.answered && !self.health.is_failing() {
            self.notify_recovered(let_go, now);
        } else if let NotificationKind::Paused { .. } = notification.kind
            && notification.state == NotificationState::Pending
        {
            let message = self.notify_message(notification, now);
            self.outbox.push(message);
        }
    }

    /// Who was told of no trouble is not told of its end.
    fn notify_recovered(&mut self, drained: u64, now: Timestamp) {
        let told =
            self.notification.as_ref().is_some_and(|trouble| trouble.state != NotificationState::Pending);
        self.notification = None;
        if told {
            self.notify(NotificationKind::Recovered { drained }, now);
        }
    }

    /// Raises a notification. It is sent at once, but for one that waits for the end of a job.
    fn notify(&mut self, kind: NotificationKind, now: Timestamp) {
        let notification = Notification::new(kind, self.version, now);
        if !self.is_holding_for(&notification) {
            let message = self.notify_message(&notification, now);
            self.outbox.push(message);
        }
        self.notification = Some(notification);
    }

    /// The message that its notification waits for.
    pub(crate) fn notify_message(&self, notification: &Notification, due: Timestamp) -> ScheduledMessage {
        let message = NotifyMessage { webhook_id: self.id, notification: notification.id };
        ScheduledMessage { message: Message::Notify(message), due }
    }

    fn publish(&mut self, event: DomainEventKind, now: Timestamp) {
        let message = EventMessage { webhook_id: self.id, at: now, event };
        self.outbox.push(ScheduledMessage { message: Message::Event(message), due: now });
    }
}

/// What [`Webhook::after_failure`] needs to know of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailedAttempt<'a> {
    /// Which attempt of the ladder it was.
    pub(crate) number: u8,
    /// Why it failed.
    pub(crate) failure: &'a Failure,
    /// What follows from that.
    pub(crate) consequence: Consequence,
    /// The outage in which this round of the delivery first failed; `None` if this is its first failure.
    pub(crate) first_outage: Option<u32>,
}

#[cfg(test)]
mod tests;
