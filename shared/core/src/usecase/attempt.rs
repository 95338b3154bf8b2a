//! An attempt is due: claim it, look at the webhook, make it, record it, do what the record calls for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::channel::Due;
use super::{Engine, Handled};
use crate::attempt::{Attempt, Failure, Trigger, response_text};
use crate::delivery::{Delivery, FailedIn, State};
use crate::destination::{Consequence, Destination, Verdict};
use crate::error::Result;
use crate::ids::{DeliveryId, EventId, WebhookId};
use crate::limits;
use crate::message::AttemptMessage;
use crate::ports::{Call, Claim, Sent};
use crate::retry;
use crate::signature::later;
use crate::webhook::{self, FailedAttempt, Sweep, SweepMode, Webhook};

impl Engine {
    pub(super) async fn attempt(&self, message: AttemptMessage) -> Result<Handled> {
        let now = self.clock.now();
        let delivery = match self
            .deliveries
            .claim(message.webhook_id, message.delivery_id, message.step, now, now)
            .await?
        {
            Claim::Taken(delivery) => *delivery,
            Claim::Later(at) => return Ok(Handled::Again(at)),
            // Done before, or by somebody else: see to it that what follows was done too.
            Claim::Moved(delivery) => {
                if let Some(webhook) = self.webhooks.webhook(delivery.webhook_id).await? {
                    self.complete_change(&webhook, message.step.number).await?;
                    self.tell(&webhook).await?;
                }
                self.follow_up(*delivery).await?;
                return Ok(Handled::Done);
            }
            Claim::Unknown => return Ok(Handled::Done),
        };
        let claimed_until = later(now, limits::CLAIM);
        let step = message.step;
        let body = self.body_of(message).await?;
        // Last of all that is read: between this look and the attempt nothing is waited for.
        let webhook = self.webhooks.webhook(delivery.webhook_id).await?;
        match webhook {
            Some(webhook) if webhook.is_active() => match body {
                _ if self.may_outlive(claimed_until) => return Ok(Handled::Again(claimed_until)),
                Some(body) if webhook.settings.destination == Destination::Slack => {
                    return self.write_into_channel((delivery, step.number), body, claimed_until).await;
                }
                Some(body) => {
                    let body = webhook
                        .settings
                        .render(delivery.event_type, &body, || self.deployment.page_of(webhook.id));
                    self.make_attempt(&webhook, vec![(delivery, step.number)], body).await?;
                }
                // Only what was kept beyond every limit has lost its event.
                None => self.record(&delivery.moved(State::Discarded)).await?,
            },
            Some(webhook) if !webhook.is_deleted() => {
                self.complete_change(&webhook, step.number).await?;
                self.record(&delivery.moved(State::Held)).await?;
            }
            _ => self.record(&delivery.moved(State::Cancelled)).await?,
        }
        Ok(Handled::Done)
    }

    /// Makes one call for what is due: one delivery, or a channel's burst, which is called after its first.
    pub(super) async fn make_attempt(&self, webhook: &Webhook, due: Vec<Due>, body: Bytes) -> Result<()> {
        let began = self.clock.now();
        let Some((first, number)) = due.first() else { return Ok(()) };
        let sent = self.sender.send(delivery_call(webhook, first, *number, body, began)).await;
        // One that cannot be recorded is attempted again, and no other with it.
        let mut recorded = Ok(());
        for due in due {
            recorded = recorded.and(self.attempted(webhook, due, began, sent.clone()).await);
        }
        recorded
    }

    async fn attempted(
        &self,
        webhook: &Webhook,
        (delivery, number): Due,
        began: Timestamp,
        sent: Sent,
    ) -> Result<()> {
        let at = later(began, sent.began_after);
        self.metrics.attempt_began(number == 1 && delivery.round == 1, since(delivery.accepted_at, at));
        let made = Made::new(&webhook.settings.destination, number, delivery.trigger, (began, at), sent);
        let age = since(delivery.accepted_at, later(at, made.attempt.duration));
        self.metrics.attempt_ended(made.attempt.failure.as_ref().map(|failure| failure.class), age);
        match made.attempt.failure.clone() {
            None => self.delivered(delivery, made.attempt).await,
            Some(failure) => self.failed(delivery, made, failure).await,
        }
    }

    /// The payload: from the message, or from the event where the message was too large to carry it.
    async fn body_of(&self, message: AttemptMessage) -> Result<Option<Bytes>> {
        if message.body.is_empty() {
            let event = self.deliveries.event(message.event_id).await?;
            return Ok(event.map(|event| event.body.clone()));
        }
        Ok(Some(message.body))
    }

    async fn delivered(&self, delivery: Delivery, attempt: Attempt) -> Result<()> {
        let (recover, now) = (self.deployment.bring_forward, self.clock.now());
        let change = |webhook: &Webhook| webhook.after_success(recover, now);
        let changed = self.change_health(delivery.webhook_id, change).await?;
        let began = attempt.at;
        // Recorded first: what was delivered is not delivered again because a message could not be sent.
        self.record(&delivery.attempted(attempt, None, State::Delivered)).await?;
        let Some(changed) = changed else { return Ok(()) };
        let recovers = |sweep: Sweep| sweep.mode == SweepMode::Recover && sweep.step == 0;
        let begun = changed.webhook().sweep.filter(|sweep| recovers(*sweep));
        if begun.is_some_and(|sweep| changed.is_for(began, sweep.begun)) {
            return self.follow_up_webhook(changed.webhook()).await;
        }
        self.complete_alert(&changed, began).await
    }

    async fn failed(&self, delivery: Delivery, made: Made, failure: Failure) -> Result<()> {
        let now = self.clock.now();
        let (number, began) = (made.attempt.number, made.attempt.at);
        let first_outage = delivery.failed_in.map(|failed| failed.first);
        let consequence = made.consequence;
        let failed = FailedAttempt { number, failure: &failure, consequence, first_outage };
        let change = |webhook: &Webhook| webhook.after_failure(failed, now);
        let changed = self.change_health(delivery.webhook_id, change).await?;
        let retry_after = made.retry_after.and_then(|header| retry::retry_after(&header, now));
        let wait = self.deployment.ladder.wait_after(number, retry_after);
        let own = self.own_time(&delivery, number).unwrap_or(now).max(now);
        let next = if consequence == Consequence::GiveUp {
            None
        } else if own > later(now, limits::CLAIM) {
            // It was brought forward: the ladder's own attempt stays where it is.
            Some(State::Scheduled { number, at: own.max(later(now, retry_after.unwrap_or_default())) })
        } else {
            // From the end of the attempt: never early, however long it hung.
            wait.map(|wait| State::Scheduled { number: number + 1, at: later(own, wait) })
        };
        let webhook = changed.as_ref().map(Changed::webhook);
        let last = webhook.map_or(0, |webhook| webhook.health.outage);
        let failed_in = FailedIn { first: first_outage.unwrap_or(last), last };
        let state = state_after_failure(webhook, failed_in, next);
        self.record(&delivery.attempted(made.attempt, Some(failed_in), state)).await?;
        let Some(changed) = changed else { return Ok(()) };
        self.complete_change(changed.webhook(), number).await?;
        self.complete_alert(&changed, began).await
    }

    /// Whether a call that begins now could go on when the claim it is made under has ended, and another worker may call too:
    /// the store took its time.
    pub(super) fn may_outlive(&self, claimed_until: Timestamp) -> bool {
        later(self.clock.now(), limits::ATTEMPT_TIMEOUT + limits::CLOCK_SKEW) > claimed_until
    }

    /// When the ladder has the attempt of this number that is about to be recorded. `None` if it was made before: an attempt is
    /// brought forward once.
    fn own_time(&self, delivery: &Delivery, number: u8) -> Option<Timestamp> {
        let before = delivery.attempts.last().filter(|before| before.number + 1 == number)?;
        let wait = self.deployment.ladder.wait_after(before.number, None)?;
        Some(later(later(before.at, before.duration), wait))
    }

    /// It may have been this very attempt that paused the webhook or ended its outage, by this worker or by one that died
    /// before it acted. Once the sweep has gone on it has messages of its own.
    async fn complete_change(&self, webhook: &Webhook, number: u8) -> Result<()> {
        let pauses = !webhook.is_active() && (number == retry::ATTEMPTS || webhook.is_paused_at_once());
        if webhook.has_just_begun_a_sweep() && (pauses || webhook.is_recovering()) {
            self.follow_up_webhook(webhook).await?;
        }
        Ok(())
    }

    /// Has told what this attempt, which began then, gave rise to.
    async fn complete_alert(&self, changed: &Changed, began: Timestamp) -> Result<()> {
        match &changed.webhook().alert {
            Some(alert) if changed.is_for(began, alert.at) => self.tell(changed.webhook()).await,
            _ => Ok(()),
        }
    }

    /// Takes an attempt's outcome into the webhook's health, as often as others are faster. Answers with the webhook as it
    /// is then. It is read anew: what others recorded during the attempt counts.
    async fn change_health(
        &self,
        id: WebhookId,
        change: impl Fn(&Webhook) -> Option<Webhook> + Send + Sync,
    ) -> Result<Option<Changed>> {
        loop {
            let Some(now) = self.webhooks.webhook(id).await? else { return Ok(None) };
            let Some(next) = change(&now) else { return Ok(Some(Changed::Before(now))) };
            if self.webhooks.save_webhook(&next).await?.is_ok() {
                if let webhook::State::Paused(pause) = &next.state {
                    self.metrics.webhook_paused();
                    tracing::warn!(webhook.id = %id, reason = pause.reason.name(), "webhook paused");
                }
                return Ok(Some(Changed::Now(Arc::new(next))));
            }
        }
    }
}

/// A webhook, and whether this attempt changed it.
enum Changed {
    Now(Arc<Webhook>),
    Before(Arc<Webhook>),
}

impl Changed {
    fn webhook(&self) -> &Webhook {
        let (Changed::Now(webhook) | Changed::Before(webhook)) = self;
        webhook
    }

    /// Whether it is for the attempt that began then to send the message for what stands in the webhook's record since
    /// `since`: it put it there, or it comes after the one that did, which may have died before it sent any. Of all the
    /// others that were under way at the same time none has to.
    fn is_for(&self, began: Timestamp, since: Timestamp) -> bool {
        matches!(self, Changed::Now(_)) || since < began
    }
}

/// Where a delivery stands after a failure: on its next rung, if the ladder has one, and if its webhook is as before.
fn state_after_failure(webhook: Option<&Webhook>, failed_in: FailedIn, next: Option<State>) -> State {
    match webhook {
        None => State::Cancelled,
        Some(webhook) if webhook.is_deleted() => State::Cancelled,
        Some(webhook) if !webhook.is_active() => State::Held,
        // The ladder lived through a pause and a resume: like all that was held it begins afresh.
        Some(webhook) if failed_in.first < webhook.resumed_in => State::Held,
        Some(_) => next.unwrap_or(State::Failed),
    }
}

/// An attempt that was made.
struct Made {
    attempt: Attempt,
    consequence: Consequence,
    retry_after: Option<String>,
}

impl Made {
    fn new(
        destination: &Destination,
        number: u8,
        trigger: Trigger,
        (signed_at, at): (Timestamp, Timestamp),
        sent: Sent,
    ) -> Self {
        let verdict = destination.verdict(&sent.result);
        let (failure, consequence) = match verdict {
            Verdict::Taken => (None, Consequence::Climb),
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

fn delivery_call(webhook: &Webhook, delivery: &Delivery, number: u8, body: Bytes, now: Timestamp) -> Call {
    let about = About {
        event: delivery.event_type.name(),
        event_id: delivery.event_id,
        delivery_id: delivery.id,
        number,
    };
    signed_call(webhook, &about, body, limits::ATTEMPT_TIMEOUT, now)
}

/// What the headers of a call say it is.
pub(super) struct About {
    pub(super) event: &'static str,
    pub(super) event_id: EventId,
    pub(super) delivery_id: DeliveryId,
    pub(super) number: u8,
}

impl About {
    /// The headers that every call of ours has, but for its signatures.
    pub(super) fn headers(&self) -> [(&'static str, String); 6] {
        [
            ("Content-Type", "application/json".to_owned()),
            ("User-Agent", USER_AGENT.to_owned()),
            ("X-StatusPulse-Event", self.event.to_owned()),
            ("X-StatusPulse-Event-Id", self.event_id.to_string()),
            ("X-StatusPulse-Delivery-Id", self.delivery_id.to_string()),
            ("X-StatusPulse-Attempt", self.number.to_string()),
        ]
    }
}

/// Who calls.
pub(super) const USER_AGENT: &str = "StatusPulse-Webhooks/1";

/// One signed POST to a webhook: by the keys valid at `now`, over exactly these bytes.
pub(super) fn signed_call(
    webhook: &Webhook,
    about: &About,
    body: Bytes,
    timeout: Duration,
    now: Timestamp,
) -> Call {
    let signatures = webhook.keys.headers(&about.event_id.to_string(), &body, now);
    let mut headers = Vec::with_capacity(10 + webhook.settings.headers.0.len());
    for (name, value) in &webhook.settings.headers.0 {
        headers.push((name.clone(), value.clone()));
    }
    headers
        .extend(about.headers().into_iter().chain(signatures).map(|(name, value)| (name.to_owned(), value)));
    Call { url: webhook.settings.url.clone(), headers, body, timeout }
}

fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}
