//! What may become of a webhook: each change goes from one state to the next, and puts what it calls for into the next one's
//! outbox.

use jiff::Timestamp;

use super::job::BulkJob;
use super::{Health, JobKind, Pause, PauseReason, State, Webhook};
use crate::attempt::Failure;
use crate::audit::Change;
use crate::destination::Consequence;
use crate::ids::KeyId;
use crate::message::{DomainEventKind, EventMessage, Message, NotifyMessage, ScheduledMessage};
use crate::notification::{Notification, NotificationKind, NotificationState, SendOutcome};
use crate::retry;

impl Webhook {
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

    /// Drops its notification, as there is no channel for it; `None` if it has another one by now.
    #[must_use]
    pub(crate) fn without_notification(&self, id: u64) -> Option<Self> {
        self.notification.as_ref().filter(|notification| notification.id == id)?;
        Some(Self { notification: None, ..self.clone() })
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
    pub(super) fn end_job(&mut self, let_go: u64, now: Timestamp) {
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
