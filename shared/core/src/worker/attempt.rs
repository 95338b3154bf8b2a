//! Handles an attempt message: claims the attempt, checks the webhook, sends the request and records the outcome.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::burst::Due;
use super::{Handled, Worker};
use crate::attempt::{Attempt, Began, Failure, Trigger, response_text};
use crate::call::{About, Answered, SignedCall};
use crate::delivery::{AfterFailure, Delivery, State};
use crate::destination::{Consequence, Verdict};
use crate::error::Result;
use crate::figures::{Fact, Outcome};
use crate::ids::WebhookId;
use crate::limits;
use crate::message::{AttemptMessage, ScheduledMessage};
use crate::ports::{Claim, Moment, Sent};
use crate::retry;
use crate::rotation::Digests;
use crate::signature::SigningKeys;
use crate::time::{later, since};
use crate::webhook::changes::FailedAttempt;
use crate::webhook::{self, Webhook};

impl Worker {
    pub(super) async fn attempt(&self, message: AttemptMessage) -> Result<Handled> {
        let now = self.clock.now();
        let delivery = match self
            .deliveries
            .claim(message.webhook_id, message.delivery_id, message.key, now, now)
            .await?
        {
            Claim::Claimed(delivery) => *delivery,
            Claim::Later(at) => return Ok(Handled::Again(at)),
            Claim::Moved(delivery) => return self.reconcile(*delivery).await,
            Claim::Unknown => return Ok(Handled::Done),
        };
        let claimed_until = delivery.claimed_until.unwrap_or(now);
        let number = message.key.number;
        let payload = self.payload_of(message).await?;
        // The webhook is read last: nothing is awaited between this read and the attempt.
        let webhook = self.webhooks.webhook(delivery.webhook_id).await?;
        match webhook {
            Some(webhook) if webhook.is_active() => match payload {
                _ if self.may_outlive(claimed_until) => Ok(Handled::Again(claimed_until)),
                Some(payload) => match webhook.settings.destination.format().limit() {
                    Some(limit) => self.send_rate_limited((delivery, number), payload, limit).await,
                    None => {
                        let settings = &webhook.settings;
                        let body =
                            settings.render(delivery.event_type, &payload, webhook.id, &self.deployment);
                        self.make_attempt(&webhook, vec![(delivery, number)], body).await
                    }
                },
                // The event is missing only if the delivery outlived every retention limit.
                None => self.outbox.record(&delivery.with_state(State::Discarded)).await,
            },
            Some(webhook) if !webhook.is_deleted() => {
                self.outbox.record(&delivery.with_state(State::Held)).await
            }
            _ => self.outbox.record(&delivery.with_state(State::Cancelled)).await,
        }
    }

    /// Handles a message whose record is further on. It was handled before, or another worker is handling it. That
    /// worker may have died before it sent what the records call for.
    async fn reconcile(&self, delivery: Delivery) -> Result<Handled> {
        if let Some(webhook) = self.webhooks.webhook(delivery.webhook_id).await? {
            self.outbox.send_unsent(&webhook).await?;
        }
        self.outbox.reconcile_delivery(delivery).await.map(Handled::until)
    }

    /// Makes one call for one delivery, or for a channel's burst, which carries the ids of its first delivery. Returns
    /// the result for the first delivery, whose message is being handled; the others have their own messages.
    pub(super) async fn make_attempt(
        &self,
        webhook: &Webhook,
        due: Vec<Due>,
        body: Bytes,
    ) -> Result<Handled> {
        let began = self.clock.now();
        let is_shared = due.len() > 1;
        let mut due = due.into_iter();
        let Some(first) = due.next() else { return Ok(Handled::Done) };
        let call = delivery_call(webhook, &first.0, first.1, body);
        let Answered { moment, sent, repeated_with } = match call.send(&*self.sender, &*self.clock).await {
            Ok(answered) => answered,
            Err(error) => {
                tracing::error!(webhook.id = %webhook.id, %error, "an attempt could not be made; it is put back");
                return self.put_back(std::iter::once(first).chain(due)).await;
            }
        };
        let verdict = webhook.settings.destination.verdict(&sent.result);
        let verdict = if is_shared { verdict.of_shared_message() } else { verdict };
        let learned = repeated_with.filter(|_| verdict == Verdict::Accepted);
        let learned = learned.map(|digests| Learned { used: &webhook.keys, digests, at: moment.now });
        let made = || (moment, sent.clone(), verdict.clone());
        let handled = self.attempted(first, made(), learned).await;
        self.mark_if_slow(webhook, sent.duration).await;
        // The messages of the others may have been lost with the job that released them, and this worker may die between
        // a record and its message. The job no longer looks after a delivery whose outcome is recorded.
        let others = due.as_slice().iter().map(|(delivery, _)| delivery);
        let rechecks =
            others.map(|other| other.recheck_message(other.claimed_until.unwrap_or(began))).collect();
        self.recheck(rechecks).await;
        for other in due {
            // If one outcome cannot be recorded, only that delivery is attempted again.
            if let Err(error) = self.attempted(other, made(), None).await {
                tracing::warn!(webhook.id = %webhook.id, %error, "an outcome may not be recorded");
            }
        }
        handled
    }

    /// Remembers that the webhook was slow, so that its next first attempts delay no others.
    async fn mark_if_slow(&self, webhook: &Webhook, took: Duration) {
        let Some(until) = webhook.newly_slow(took, self.clock.now()) else { return };
        if let Err(error) = self.webhooks.mark_slow(webhook, until).await {
            tracing::warn!(webhook.id = %webhook.id, %error, "it is not remembered that the webhook was slow");
        }
    }

    /// Puts back attempts that could not be made for a reason on our side: they count for nothing, and come again soon.
    async fn put_back(&self, due: impl Iterator<Item = Due> + Send) -> Result<Handled> {
        self.metrics.attempt_not_made();
        let at = later(self.clock.now(), limits::NOT_MADE_WAIT);
        for (delivery, _) in due {
            self.deliveries.release_until(&Delivery { delayed: true, ..delivery }, at).await?;
        }
        Ok(Handled::Again(at))
    }

    /// Sends messages by which deliveries are checked, if the store does not commit each record with its message. Without
    /// them, the check every 15 minutes finds a delivery.
    async fn recheck(&self, messages: Vec<ScheduledMessage>) {
        if messages.is_empty() || self.outbox.is_transactional() {
            return;
        }
        if let Err(error) = self.outbox.send(messages).await {
            tracing::error!(%error, "a delivery may wait for the check every 15 minutes");
        }
    }

    async fn attempted(
        &self,
        (delivery, number): Due,
        (moment, sent, verdict): (Moment, Sent, Verdict),
        learned: Option<Learned<'_>>,
    ) -> Result<Handled> {
        let at = later(moment.now, sent.began_after);
        let count = |fact| self.figures.count(delivery.account_id, delivery.webhook_id, at, fact);
        let how = delivery.began(at);
        self.metrics.attempt_began(how);
        match how {
            Began::First(lag) => count(Fact::FirstAttempt(lag)),
            Began::FirstAfterWait(_) => count(Fact::FirstAttemptAfterWait),
            Began::Retry => {}
        }
        let made = Made::new(verdict, number, delivery.trigger, (moment.wall, at), sent);
        let age = since(delivery.accepted_at, later(at, made.attempt.duration));
        let class = made.attempt.failure.as_ref().map(|failure| failure.class);
        self.metrics.attempt_ended(class, made.attempt.duration, age);
        match made.attempt.failure {
            None => count(Fact::Delivered(made.attempt.duration)),
            Some(_) => count(Fact::FailedAttempt),
        }
        match made.attempt.failure.clone() {
            None => self.delivered(delivery, made.attempt, learned).await,
            Some(failure) => self.failed(delivery, made, failure).await,
        }
    }

    /// The payload: from the message, or from the stored event if the payload was too large for the message.
    async fn payload_of(&self, message: AttemptMessage) -> Result<Option<Bytes>> {
        if message.body.is_empty() {
            let event = self.deliveries.event(message.event_id).await?;
            return Ok(event.map(|event| event.body.clone()));
        }
        Ok(Some(message.body))
    }

    /// Saves both records before it sends any message, so that a failed send does not cause a second delivery.
    async fn delivered(
        &self,
        delivery: Delivery,
        attempt: Attempt,
        learned: Option<Learned<'_>>,
    ) -> Result<Handled> {
        let (recover, now) = (self.deployment.retry_early, self.clock.now());
        let change = |webhook: &Webhook| match learned {
            Some(learned) => learned.after_success(webhook, recover, now),
            None => webhook.after_success(recover, now),
        };
        let webhook = self.change_health(delivery.webhook_id, change).await?;
        let next = delivery.delivered(attempt);
        let handled = self.outbox.record(&next).await?;
        self.count_of_resume(&next, webhook.as_deref(), Outcome::Delivered);
        self.send_unsent(webhook).await?;
        Ok(handled)
    }

    async fn failed(&self, delivery: Delivery, made: Made, failure: Failure) -> Result<Handled> {
        let now = self.clock.now();
        let Made { attempt, consequence, retry_after } = made;
        let failed = FailedAttempt {
            number: attempt.number,
            failure: &failure,
            consequence,
            first_outage: delivery.failed_in.map(|failed| failed.first),
            is_additional: delivery.own_attempt_after(now).is_some(),
        };
        let change = |webhook: &Webhook| webhook.after_failure(failed, now);
        let webhook = self.change_health(delivery.webhook_id, change).await?;
        let retry_after = retry_after.and_then(|header| retry::retry_after(&header, now));
        let after = AfterFailure { consequence, retry_after, ladder: &self.deployment.ladder };
        let next = delivery.after_failure(attempt, after, webhook.as_deref(), now);
        let handled = self.outbox.record(&next).await?;
        self.count_of_resume(&next, webhook.as_deref(), Outcome::FailedAttempt);
        if next.state == State::Failed {
            self.figures.count(next.account_id, next.webhook_id, now, Fact::GivenUp);
            self.count_of_resume(&next, webhook.as_deref(), Outcome::GivenUp);
        }
        self.send_unsent(webhook).await?;
        Ok(handled)
    }

    /// Counts what became of a delivery if the last resume of its webhook released it.
    fn count_of_resume(&self, delivery: &Delivery, webhook: Option<&Webhook>, outcome: Outcome) {
        let resumed = webhook.filter(|_| delivery.trigger == Trigger::Resume).and_then(Webhook::resumed_at);
        if let Some(at) = resumed {
            let fact = Fact::OfResume(at, outcome);
            self.figures.count(delivery.account_id, delivery.webhook_id, self.clock.now(), fact);
        }
    }

    async fn send_unsent(&self, webhook: Option<Arc<Webhook>>) -> Result<()> {
        match webhook {
            Some(webhook) => self.outbox.send_unsent(&webhook).await,
            None => Ok(()),
        }
    }

    /// Whether a call that begins now could outlast its claim, so that another worker may make the same call. This
    /// happens if the store was slow.
    pub(super) fn may_outlive(&self, claimed_until: Timestamp) -> bool {
        later(self.clock.now(), limits::ATTEMPT_TIMEOUT + limits::CLOCK_SKEW) > claimed_until
    }

    /// Applies an attempt's outcome to the webhook's health, by compare-and-set. It reads the webhook again, so that
    /// outcomes recorded during the attempt count. Returns the latest webhook; its messages are not sent yet.
    async fn change_health(
        &self,
        id: WebhookId,
        change: impl Fn(&Webhook) -> Option<Webhook> + Send,
    ) -> Result<Option<Arc<Webhook>>> {
        let Some(latest) = self.outbox.change_webhook(id, change).await? else { return Ok(None) };
        if let webhook::State::Paused(pause) = &latest.webhook.state
            && latest.changed
        {
            self.metrics.webhook_paused();
            tracing::warn!(webhook.id = %id, reason = pause.reason.name(), "webhook paused");
        }
        Ok(Some(latest.webhook))
    }
}

/// What an attempt has shown about its receiver during a rotation.
#[derive(Clone, Copy)]
struct Learned<'a> {
    used: &'a SigningKeys,
    digests: Digests,
    at: Timestamp,
}

impl Learned<'_> {
    /// The webhook after a success that has shown this; `None` if nothing changes.
    fn after_success(self, webhook: &Webhook, recover: bool, now: Timestamp) -> Option<Webhook> {
        let mut next = webhook.clone();
        let is_news = next.remember(self.used, self.digests, self.at);
        next.after_success(recover, now).or_else(|| is_news.then_some(next))
    }
}

/// A finished attempt, and what follows from it.
struct Made {
    attempt: Attempt,
    consequence: Consequence,
    retry_after: Option<String>,
}

impl Made {
    fn new(
        verdict: Verdict,
        number: u8,
        trigger: Trigger,
        (signed_at, at): (Timestamp, Timestamp),
        sent: Sent,
    ) -> Self {
        let (failure, consequence) = match verdict {
            Verdict::Accepted => (None, Consequence::Retry),
            Verdict::Failed(failure, consequence) => (Some(failure), consequence),
        };
        let (status_code, response_headers, response, retry_after) = match sent.result {
            Ok(reply) => (Some(reply.status), reply.headers, response_text(&reply.body), reply.retry_after),
            Err(_) => (None, vec![], None, None),
        };
        let duration = sent.duration;
        let attempt = Attempt {
            number,
            trigger,
            at,
            signed_at,
            status_code,
            failure,
            duration,
            response_headers,
            response,
        };
        Self { attempt, consequence, retry_after }
    }
}

fn delivery_call<'a>(webhook: &'a Webhook, delivery: &Delivery, number: u8, body: Bytes) -> SignedCall<'a> {
    let about = About {
        event: delivery.event_type.name(),
        event_id: delivery.event_id,
        delivery_id: delivery.id,
        number,
    };
    let claimed_until = delivery.claimed_until.unwrap_or(Timestamp::MAX);
    let repeats_until = claimed_until.checked_sub(limits::CLOCK_SKEW).ok();
    SignedCall { webhook, about, body, timeout: limits::ATTEMPT_TIMEOUT, repeats_until }
}
