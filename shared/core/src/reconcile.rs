//! Repair, under one name: a record is looked at, and what it calls for is done again.
//!
//! A message that finds its record further on reconciles it, as the worker that brought it there may have died before it sent
//! anything. So does a worker that loses a compare-and-set (ADR 7), a call that is repeated, a start of
//! the program, and, every quarter of an hour, a look at everything ([`Outbox::reconcile_all`]), for messages that became
//! dead letters or were lost with their queue. On a store that commits records and messages together the first of these find
//! nothing to do.

use std::collections::HashSet;

use bytes::Bytes;
use jiff::Timestamp;

use crate::delivery::{Delivery, State};
use crate::error::Result;
use crate::ids::WebhookId;
use crate::limits;
use crate::message::{AttemptKey, ScheduledMessage};
use crate::notification::{Notification, NotificationState};
use crate::outbox::Outbox;
use crate::ports::{Accounts, DeliveryQuery, Metrics, Random};
use crate::time::later;
use crate::webhook::{self, Webhook};
use crate::worker::Handled;

impl Outbox {
    /// Saves a delivery after an attempt, or after its webhook was checked. If another worker saved first, the message has to
    /// come again: it may be the only one left if that worker dies.
    pub(crate) async fn record(&self, delivery: &Delivery) -> Result<Handled> {
        let Ok(saved) = self.save(delivery).await? else {
            return Ok(Handled::Again(later(self.clock.now(), limits::DRAIN_INTERVAL)));
        };
        self.follow_webhook(saved).await?;
        Ok(Handled::Done)
    }

    /// Reconciles a delivery that has no message in work, and sends one for a second look where that is called for.
    pub(crate) async fn reconcile_and_recheck(&self, delivery: &Delivery) -> Result<()> {
        match self.reconcile_delivery(delivery.clone()).await? {
            Some(at) => self.recheck_at(delivery, at).await,
            None => Ok(()),
        }
    }

    /// Sends a delivery's message for a later look.
    pub(crate) async fn recheck_at(&self, delivery: &Delivery, at: Timestamp) -> Result<()> {
        let message = delivery.accepted_message(&Bytes::new());
        self.send(message.into_iter().map(|message| ScheduledMessage { due: at, ..message }).collect()).await
    }

    /// Does again what a delivery's state calls for. Answers when to look at it again, if that is not certain to be enough.
    pub(crate) async fn reconcile_delivery(&self, delivery: Delivery) -> Result<Option<Timestamp>> {
        let delivery = self.follow_webhook(delivery).await?;
        match delivery.state {
            State::Waiting => return self.reconcile_lane(&delivery).await,
            State::Held => {}
            _ if self.is_transactional() => {}
            State::Scheduled { .. } => self.send_attempt(&delivery).await?,
            State::Delivered | State::Failed | State::Discarded | State::Cancelled => {
                self.send(delivery.failed_event().into_iter().collect()).await?;
                self.wake_successor(&delivery).await?;
            }
        }
        Ok(None)
    }

    /// Holds, cancels or releases an unfinished delivery as its webhook's state says: the webhook may have changed since it was
    /// read, and the job that did so for all the others may be over.
    async fn follow_webhook(&self, delivery: Delivery) -> Result<Delivery> {
        let mut delivery = delivery;
        while !delivery.is_finished()
            && let Some(stopped) = self.stop_with_webhook(&delivery).await?
        {
            delivery = stopped;
        }
        if delivery.state == State::Held {
            self.release_held(delivery.webhook_id).await?;
        }
        Ok(delivery)
    }

    /// Holds or cancels a delivery whose webhook is paused or deleted; `None` if there is nothing to do, or another worker has
    /// it, which sees to it.
    async fn stop_with_webhook(&self, delivery: &Delivery) -> Result<Option<Delivery>> {
        let Some(webhook) = self.webhooks.webhook(delivery.webhook_id).await? else { return Ok(None) };
        self.settle(&webhook).await?;
        let state = match webhook.state {
            webhook::State::Deleted => State::Cancelled,
            webhook::State::Paused(_) => State::Held,
            webhook::State::Active | webhook::State::Pending => return Ok(None),
        };
        if delivery.state == state {
            return Ok(None);
        }
        let Some(claimed) = self.claimed(delivery.clone()).await? else { return Ok(None) };
        Ok(self.save(&claimed.with_state(state)).await?.ok())
    }

    /// Sees to it that a lane in which a delivery waits goes on. Its head may wait itself, as the worker before it died before
    /// it promoted it. Or its publisher broke off before it sent a message and never came back: nobody was promised that
    /// event, but those behind it would wait for ever.
    async fn reconcile_lane(&self, waiting: &Delivery) -> Result<Option<Timestamp>> {
        if self.is_transactional() {
            return Ok(None);
        }
        let head = self.deliveries.lane_head(waiting.webhook_id, &waiting.incident_id).await?;
        match head.map(|head| (head.due_attempt(), head)) {
            Some((Some((AttemptKey { number: 1, .. }, at)), head)) => {
                let overdue = later(at, limits::OVERDUE);
                if self.clock.now() < overdue {
                    return Ok(Some(overdue));
                }
                self.send_attempt(&head).await.map(|()| None)
            }
            Some((_, head)) if head.state == State::Waiting => {
                self.wake_successor(waiting).await.map(|()| None)
            }
            _ => Ok(None),
        }
    }

    /// Sends what a webhook owes, and lets go of what it holds though it is active.
    pub(crate) async fn reconcile_webhook(&self, webhook: &Webhook) -> Result<()> {
        self.settle(webhook).await?;
        if self.is_idle_and_holds(webhook).await? {
            self.release_held(webhook.id).await?;
        }
        Ok(())
    }

    async fn is_idle_and_holds(&self, webhook: &Webhook) -> Result<bool> {
        let idle = webhook.is_active() && webhook.job.is_none();
        Ok(idle && !self.deliveries.query(webhook.id, DeliveryQuery::Held, 1).await?.is_empty())
    }

    /// Begins to let go of what an active webhook holds. A job that is under way looks again after its end.
    pub(crate) async fn release_held(&self, id: WebhookId) -> Result<()> {
        match self.change_webhook(id, |webhook| webhook.with_release(self.clock.now())).await? {
            Some(latest) => self.settle(&latest.webhook).await,
            None => Ok(()),
        }
    }

    /// Looks at all webhooks, from a random account on: a look that is broken off has seen some, and another sees the
    /// others. Answers how much had to be sent again.
    pub(crate) async fn reconcile_all(
        &self,
        accounts: &dyn Accounts,
        random: &dyn Random,
        metrics: &dyn Metrics,
    ) -> Result<u64> {
        let mut ids = vec![];
        loop {
            let page = accounts.accounts(ids.last().copied(), limits::PAGE_MAX).await?;
            ids.extend_from_slice(&page);
            if page.len() < limits::PAGE_MAX {
                break;
            }
        }
        let mut dice = [0; 8];
        random.fill(&mut dice);
        let start = usize::try_from(u64::from_le_bytes(dice) % (ids.len().max(1) as u64)).unwrap_or(0);
        ids.rotate_left(start);
        let mut found = 0;
        for account in ids {
            for webhook in self.webhooks.webhooks(account).await?.iter() {
                match self.look_at(webhook).await {
                    Ok(0) => {}
                    Ok(sent) => {
                        tracing::error!(webhook.id = %webhook.id, sent, "messages were lost; they are sent again");
                        metrics.stranded(sent);
                        found += sent;
                    }
                    // One that cannot be looked at hides no other.
                    Err(error) => tracing::error!(webhook.id = %webhook.id, %error, "cannot be reconciled"),
                }
            }
        }
        Ok(found)
    }

    async fn look_at(&self, webhook: &Webhook) -> Result<u64> {
        let now = self.clock.now();
        let long_ago = now.checked_sub(limits::OVERDUE).unwrap_or(Timestamp::MIN);
        self.settle(webhook).await?;
        let mut found = 0;
        if let Some(job) = webhook.job.filter(|job| job.leased_until.unwrap_or(job.due) < long_ago) {
            self.send(vec![job.message(webhook)]).await?;
            found += 1;
        }
        if let Some(overdue) = webhook.notification.as_ref().filter(|known| was_due(known, long_ago)) {
            self.send(vec![webhook.notify_message(overdue, now)]).await?;
            found += 1;
        }
        if self.is_idle_and_holds(webhook).await? {
            self.release_held(webhook.id).await?;
            found += 1;
        }
        let moving = self.deliveries.query(webhook.id, DeliveryQuery::Moving, limits::JOB_PAGE).await?;
        let mut lanes = HashSet::new();
        for delivery in moving {
            match delivery.state {
                State::Scheduled { at, .. } if at < long_ago => {
                    self.send_attempt(&delivery).await?;
                    found += 1;
                }
                State::Waiting if lanes.insert(delivery.incident_id.clone()) => {
                    found += self.look_at_lane(webhook, delivery, long_ago).await?;
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// A lane whose first attempt is long overdue has lost its message. A waiting delivery is stuck if its webhook is
    /// paused (it should be held), or if it is the head of its lane (it should have been promoted).
    async fn look_at_lane(&self, webhook: &Webhook, waiting: Delivery, long_ago: Timestamp) -> Result<u64> {
        if waiting.accepted_at >= long_ago {
            return Ok(0);
        }
        let Some(head) = self.deliveries.lane_head(waiting.webhook_id, &waiting.incident_id).await? else {
            return Ok(0);
        };
        let is_overdue = matches!(head.state, State::Scheduled { number: 1, at, .. } if at < long_ago);
        if is_overdue {
            self.send_attempt(&head).await?;
        }
        let is_stuck = !webhook.is_active() || head.state == State::Waiting;
        if is_stuck {
            self.reconcile_delivery(waiting).await?;
        }
        Ok(u64::from(is_overdue || is_stuck))
    }
}

fn was_due(notification: &Notification, long_ago: Timestamp) -> bool {
    match notification.state {
        NotificationState::Pending => notification.at < long_ago,
        NotificationState::Sending { until, .. } => until < long_ago,
        NotificationState::Sent => false,
    }
}
