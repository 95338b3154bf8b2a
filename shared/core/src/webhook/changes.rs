//! The changes of a webhook. Each takes the current state to the next, and puts the messages it calls for into the next
//! state's outbox.

use std::time::Duration;

use jiff::Timestamp;

use super::job::BulkJob;
use super::{Health, JobKind, Pause, PauseReason, State, Webhook};
use crate::attempt::Failure;
use crate::audit::{Actor, Change, FieldChange};
use crate::destination::Consequence;
use crate::limits;
use crate::message::{DomainEventKind, EventMessage, JobMessage, Message, NotifyMessage, ScheduledMessage};
use crate::notification::{Notification, NotificationKind, NotificationState, SendOutcome};
use crate::retry;
use crate::time::later;

impl Webhook {
    /// Until when it counts as slow after an attempt that took this long. Returns `None` if the attempt was quick, or if
    /// the webhook will count as slow for long enough anyway: a webhook that hangs is not marked with each attempt.
    pub(crate) fn newly_slow(&self, took: Duration, now: Timestamp) -> Option<Timestamp> {
        let is_known = self.is_slow(later(now, limits::SLOW_FOR / 2));
        (took >= limits::SLOW_FROM && !is_known).then(|| later(now, limits::SLOW_FOR))
    }

    /// The webhook after a successful attempt; `None` if nothing changes, which is the usual case.
    ///
    /// With `recover`, the end of an outage starts a job that retries early what waits on the ladder. Only an outage in
    /// which a retry failed counts: a poison payload among successful ones is not an outage.
    ///
    /// A 2xx counts even if the owner paused the webhook before it was recorded. After any other pause
    /// the endpoint counts as failing until it is resumed.
    #[must_use]
    pub(crate) fn after_success(&self, recover: bool, now: Timestamp) -> Option<Self> {
        // Once the webhook has answered, the notification waits until the job ends, which knows the count. If the
        // webhook is failing when the job ends, it has to answer again.
        let is_awaited = |notification: &Notification| notification.answered && self.job.is_some();
        let is_news = self
            .notification
            .as_ref()
            .is_some_and(|notification| notification.is_trouble() && !is_awaited(notification));
        let counts = self.is_active() || self.is_paused_by_hand();
        if !counts || !self.health.is_failing() && !is_news {
            return None;
        }
        let mut next = self.clone();
        if self.health.is_failing() {
            next.health = self.health.recovered();
        }
        if recover && self.is_active() && self.health.consecutive_failures > 0 && next.job.is_none() {
            next.generation += 1;
            next.begin_job(JobKind::Recover, 0, now);
        }
        match &mut next.notification {
            Some(notification) if is_news && self.is_active() && next.job.is_some() => {
                notification.answered = true;
            }
            Some(_) if is_news => next.notify_recovered(0, now),
            _ => {}
        }
        Some(next)
    }

    /// The webhook after a failed attempt; `None` if nothing changes.
    #[must_use]
    pub(crate) fn after_failure(&self, failed: FailedAttempt<'_>, now: Timestamp) -> Option<Self> {
        if !self.is_active() || matches!(failed.consequence, Consequence::GiveUp | Consequence::SendAlone) {
            return None;
        }
        let failing_since = self.health.failing_since.unwrap_or(now);
        let nothing_got_through = failed.first_outage.is_none_or(|outage| outage == self.health.outage);
        let counts = nothing_got_through && !failed.is_additional;
        let climbed = if counts { retry::rung(failed.number) } else { 0 };
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
            next.pause(reason, Some(last_error.clone()), Actor::STATUSPULSE, now);
            next.notify(NotificationKind::Paused { reason, last_error }, now);
        } else if consecutive_failures >= retry::FAILURES_TO_WARN && !is_known {
            next.notify(NotificationKind::Failing { last_error }, now);
        }
        Some(next)
    }

    /// Pauses an active webhook.
    pub(crate) fn pause(
        &mut self,
        reason: PauseReason,
        last_error: Option<String>,
        by: Actor,
        now: Timestamp,
    ) {
        let why = FieldChange::of("reason", None, Some(reason.name().to_owned()));
        self.audit.add_change(Change::Paused, by, now, why.into_iter().collect());
        // If the webhook has answered again, report that now, because the job that the report waits for is replaced.
        let drained = self.job.map_or(0, |job| job.drained);
        self.end_job(drained, now);
        let failing_since = self.health.failing_since;
        let event =
            DomainEventKind::Paused { reason: reason.name().to_owned(), last_error: last_error.clone() };
        self.enter(State::Paused(Pause { reason, since: now, last_error, failing_since }), now);
        self.begin_job(JobKind::Hold, 0, now);
        self.publish(event, now);
    }

    /// Resumes a paused webhook: resets its failures, and starts the job that releases or discards its held deliveries.
    /// `held` is their number.
    pub(crate) fn resume(&mut self, kind: JobKind, held: u64, by: Actor, now: Timestamp) {
        let drops = kind == JobKind::Discard;
        self.audit.add(if drops { Change::ResumedDiscarding } else { Change::Resumed }, by, now);
        self.health = self.health.recovered();
        self.resumed_in = self.health.outage;
        self.enter(State::Active, now);
        self.begin_job(kind, if kind == JobKind::Release { held } else { 0 }, now);
        self.publish(DomainEventKind::Resumed, now);
        self.stop_notifying_of_pause();
    }

    /// Drops a pause notification that is not sent yet: the person who resumed the webhook knows of the pause.
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

    /// Makes a pending webhook active. Returns `false` if it was not pending.
    pub(crate) fn verified(&mut self, now: Timestamp) -> bool {
        let is_news = self.state == State::Pending;
        if is_news {
            self.enter(State::Active, now);
        }
        is_news
    }

    /// Deletes the webhook, and starts the job that cancels its deliveries.
    pub(crate) fn delete(&mut self, by: Actor, now: Timestamp) {
        self.audit.add(Change::Deleted, by, now);
        self.enter(State::Deleted, now);
        self.begin_job(JobKind::Cancel, 0, now);
        self.notification = None;
    }

    /// The job that held deliveries call for: a release if the webhook is active, a cancel if it is deleted. `None` if it is
    /// paused, or if a job is running, which checks for held deliveries at its end.
    pub(crate) fn job_for_held(&self) -> Option<JobKind> {
        match self.state {
            _ if self.job.is_some() => None,
            State::Active => Some(JobKind::Release),
            State::Deleted => Some(JobKind::Cancel),
            State::Pending | State::Paused(_) => None,
        }
    }

    /// Starts that job, if there is one to start.
    #[must_use]
    pub(crate) fn with_job_for_held(&self, now: Timestamp) -> Option<Self> {
        let kind = self.job_for_held()?;
        let mut next = Self { generation: self.generation + 1, ..self.clone() };
        next.begin_job(kind, 0, now);
        Some(next)
    }

    /// Retries early what waits on the ladder, because its owner asks for it: also what failed in an outage that lasts.
    pub(crate) fn retry(&mut self, by: Actor, now: Timestamp) {
        self.audit.add(Change::Retried, by, now);
        self.generation += 1;
        self.begin_job(JobKind::Recover, 0, now);
        self.job = self.job.map(|job| BulkJob { outage: self.health.outage, ..job });
    }

    /// Claims the next try to send the notification. Returns `None` if it was replaced by another, or may not be sent
    /// yet.
    #[must_use]
    pub(crate) fn with_notification_claimed(&self, id: u64, now: Timestamp) -> Option<Self> {
        let notification = self.sendable_notification(now).filter(|notification| notification.id == id)?;
        let claimed = notification.clone().claimed(now);
        Some(Self { notification: Some(claimed), ..self.clone() })
    }

    /// Drops the notification, because there is no channel for it. Returns `None` if it was replaced by another.
    #[must_use]
    pub(crate) fn without_notification(&self, id: u64) -> Option<Self> {
        self.notification.as_ref().filter(|notification| notification.id == id)?;
        Some(Self { notification: None, ..self.clone() })
    }

    /// The webhook after a try to send the claimed notification. Returns `None` if another worker has claimed it since,
    /// or if it was replaced.
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

    /// The webhook without these messages in its outbox, after they were sent.
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

    fn begin_job(&mut self, kind: JobKind, drained: u64, now: Timestamp) {
        let job = BulkJob::new(kind, self.health.outage.saturating_sub(1), drained, now);
        self.job = Some(job);
        self.outbox.push(self.page_message(&job));
    }

    /// The message for the job's next page.
    pub(crate) fn page_message(&self, job: &BulkJob) -> ScheduledMessage {
        let Self { id: webhook_id, account_id, generation, .. } = *self;
        let message = JobMessage { account_id, webhook_id, generation, page: job.page };
        ScheduledMessage { message: Message::Job(message), due: job.due }
    }

    /// The message for the page of its job, if it was due before this time.
    pub(crate) fn page_due_before(&self, time: Timestamp) -> Option<ScheduledMessage> {
        let job = self.job.filter(|job| job.leased_until.unwrap_or(job.due) < time)?;
        Some(self.page_message(&job))
    }

    /// The message for its notification, if it was due before this time.
    pub(crate) fn notification_due_before(
        &self,
        time: Timestamp,
        now: Timestamp,
    ) -> Option<ScheduledMessage> {
        let notification = self.notification.as_ref().filter(|known| known.was_due(time))?;
        Some(self.notify_message(notification, now))
    }

    /// The messages of a webhook that has none, because it was moved here without them. A notification that waits for
    /// the end of its job is sent then.
    pub(crate) fn messages_to_start_with(&self, now: Timestamp) -> Vec<ScheduledMessage> {
        let waits = self.notification.as_ref().is_some_and(|known| self.is_holding_for(known));
        let notification = self.notification_due_before(Timestamp::MAX, now).filter(|_| !waits);
        self.page_due_before(Timestamp::MAX).into_iter().chain(notification).collect()
    }

    /// Ends the job, and raises the notification that waited for its end.
    pub(super) fn end_job(&mut self, drained: u64, now: Timestamp) {
        self.job = None;
        let Some(notification) = &self.notification else { return };
        if notification.answered && !self.health.is_failing() {
            self.notify_recovered(drained, now);
        } else if let NotificationKind::Paused { .. } = notification.kind
            && notification.state == NotificationState::Pending
        {
            let message = self.notify_message(notification, now);
            self.outbox.push(message);
        }
    }

    /// Raises the notification of a recovery, unless the notification of the trouble was never sent.
    fn notify_recovered(&mut self, drained: u64, now: Timestamp) {
        let was_sent =
            self.notification.as_ref().is_some_and(|trouble| trouble.state != NotificationState::Pending);
        self.notification = None;
        if was_sent {
            self.notify(NotificationKind::Recovered { drained }, now);
        }
    }

    /// Raises a notification. It is sent at once, unless it waits for the end of a hold job.
    fn notify(&mut self, kind: NotificationKind, now: Timestamp) {
        let notification = Notification::new(kind, self.version, now);
        if !self.is_holding_for(&notification) {
            let message = self.notify_message(&notification, now);
            self.outbox.push(message);
        }
        self.notification = Some(notification);
    }

    /// The message that sends the notification.
    pub(crate) fn notify_message(&self, notification: &Notification, due: Timestamp) -> ScheduledMessage {
        let Self { id: webhook_id, account_id, .. } = *self;
        let message = NotifyMessage { account_id, webhook_id, notification: notification.id };
        ScheduledMessage { message: Message::Notify(message), due }
    }

    fn publish(&mut self, event: DomainEventKind, now: Timestamp) {
        let Self { id: webhook_id, account_id, .. } = *self;
        let message = EventMessage { account_id, webhook_id, at: now, event };
        self.outbox.push(ScheduledMessage { message: Message::Event(message), due: now });
    }
}

/// What [`Webhook::after_failure`] needs to know about the attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailedAttempt<'a> {
    /// Its place on the ladder, 1 to 5.
    pub(crate) number: u8,
    /// Why the attempt failed.
    pub(crate) failure: &'a Failure,
    /// What follows from the failure.
    pub(crate) consequence: Consequence,
    /// The outage in which this round of the delivery first failed; `None` if this is its first failure.
    pub(crate) first_outage: Option<u32>,
    /// Whether the ladder's own attempt with this number follows. Only that one counts.
    pub(crate) is_additional: bool,
}

#[cfg(test)]
mod tests;
