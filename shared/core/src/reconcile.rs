//! Reconciling: reads a record, and repeats what its state calls for (it sends messages, and releases or holds
//! deliveries). All repair is done here.
//!
//! A message that finds its record further on reconciles it, because the worker that changed the record may have died
//! before it sent anything. A failed compare-and-set (ADR 7), a repeated call and a start of the program reconcile too.
//! Every 15 minutes [`Outbox::reconcile_until`] checks all webhooks, for messages that became dead letters or were lost
//! with their queue. On a store that commits records and messages together, most of these checks find nothing to do.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::check::{Checked, Reconciled};
use crate::delivery::{Delivery, State};
use crate::error::Result;
use crate::ids::WebhookId;
use crate::limits;
use crate::message::AttemptKey;
use crate::outbox::Outbox;
use crate::ports::{Accounts, DeliveryQuery, Metrics, Random};
use crate::time::later;
use crate::webhook::{self, JobKind, Webhook};
use crate::worker::Handled;

impl Outbox {
    /// Saves a delivery after an attempt, or after its webhook was checked. After a conflict the message must come
    /// again: if the other worker dies, this may be the only message left.
    pub(crate) async fn record(&self, delivery: &Delivery) -> Result<Handled> {
        let Ok(saved) = self.save(delivery).await? else {
            return Ok(Handled::Again(later(self.clock.now(), limits::DRAIN_INTERVAL)));
        };
        self.follow_webhook(saved).await?;
        Ok(Handled::Done)
    }

    /// Reconciles a delivery whose message is not being handled. If one pass may not be enough, sends a message to
    /// check it again later.
    pub(crate) async fn reconcile_and_recheck(&self, delivery: &Delivery) -> Result<()> {
        match self.reconcile_delivery(delivery.clone()).await? {
            Some(at) => self.send(vec![delivery.recheck_message(at)]).await,
            None => Ok(()),
        }
    }

    /// Does again what a delivery's state calls for. Returns a time to check it again, if this may not have been
    /// enough.
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

    /// Holds or releases an unfinished delivery as its webhook's state requires. The webhook may have changed since it
    /// was read, and the job that changed its other deliveries may have ended.
    async fn follow_webhook(&self, delivery: Delivery) -> Result<Delivery> {
        let mut delivery = delivery;
        while !delivery.is_finished()
            && let Some(held) = self.hold_if_paused(&delivery).await?
        {
            delivery = held;
        }
        if delivery.state == State::Held {
            self.start_job_for_held(delivery.webhook_id).await?;
        }
        Ok(delivery)
    }

    /// Holds a delivery whose webhook is paused. Returns `None` if there is nothing to do, or if another worker holds the
    /// claim, which then does it.
    async fn hold_if_paused(&self, delivery: &Delivery) -> Result<Option<Delivery>> {
        let Some(webhook) = self.webhooks.webhook(delivery.webhook_id).await? else { return Ok(None) };
        if delivery.state == State::Held || !matches!(webhook.state, webhook::State::Paused(_)) {
            return Ok(None);
        }
        let Some(claimed) = self.claimed(delivery.clone()).await? else { return Ok(None) };
        Ok(self.save(&claimed.with_state(State::Held)).await?.ok())
    }

    /// Makes sure that a lane with a waiting delivery continues. Its head may be waiting too, if the worker that
    /// finished the previous delivery died before it promoted the head. Or the head was stored, but its publisher died
    /// before the message was sent and did not repeat the call. The publisher got no 202 for that event, but the
    /// deliveries behind it would wait for ever.
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

    /// Sends a webhook's unsent messages, and releases its held deliveries if it is active and has no job.
    pub(crate) async fn reconcile_webhook(&self, webhook: &Webhook) -> Result<()> {
        self.send_unsent(webhook).await?;
        if self.holds_unreleased(webhook).await? {
            self.start_job_for_held(webhook.id).await?;
        }
        Ok(())
    }

    /// Whether the webhook is active and holds deliveries that no job will release. For one that is deleted, the job of its
    /// delete waits until every job before it has ended.
    async fn holds_unreleased(&self, webhook: &Webhook) -> Result<bool> {
        let is_idle = webhook.job_for_held() == Some(JobKind::Release);
        Ok(is_idle && !self.deliveries.query(webhook.id, DeliveryQuery::Held, 1).await?.is_empty())
    }

    /// Starts a job for the deliveries that a webhook still holds although it is active or deleted. If a job is running,
    /// it checks this at its end. Looks for them after the webhook was read: a delivery that the caller has seen may be
    /// finished since, and the job of a deleted webhook, which no check visits, must not start for nothing.
    pub(crate) async fn start_job_for_held(&self, id: WebhookId) -> Result<()> {
        while let Some(webhook) = self.webhooks.webhook(id).await? {
            let Some(next) = webhook.with_job_for_held(self.clock.now()) else {
                return self.send_unsent(&webhook).await;
            };
            if self.deliveries.query(id, DeliveryQuery::Held, 1).await?.is_empty() {
                return Ok(());
            }
            if let Ok(started) = self.save_webhook(next).await? {
                return self.send_unsent(&started).await;
            }
        }
        Ok(())
    }

    /// Checks all webhooks, account by account, until it is `until`. It goes on after `after`, where the last run stopped.
    /// Without it, it starts at a random account: no account is always the last.
    pub(crate) async fn reconcile_until(
        &self,
        accounts: &dyn Accounts,
        random: &dyn Random,
        metrics: &dyn Metrics,
        (after, until): (Option<Checked>, Timestamp),
    ) -> Result<Reconciled> {
        let mut ids = vec![];
        loop {
            let page = accounts.accounts(ids.last().copied(), limits::PAGE_MAX).await?;
            ids.extend_from_slice(&page);
            if page.len() < limits::PAGE_MAX {
                break;
            }
        }
        let start = match after {
            Some(after) => ids.partition_point(|id| *id < after.account),
            None => random_place(random, ids.len()),
        };
        ids.rotate_left(start);
        let mut repairs = 0;
        for account in ids {
            let checked = after.filter(|after| after.account == account).map(|after| after.webhook);
            let all = self.webhooks.webhooks(account).await?;
            for webhook in all.readable.iter().filter(|webhook| Some(webhook.id) > checked) {
                repairs += self.check_alone(webhook, metrics).await;
                if self.clock.now() >= until {
                    return Ok(Reconciled {
                        repairs,
                        stopped: Some(Checked { account, webhook: webhook.id }),
                    });
                }
            }
        }
        Ok(Reconciled { repairs, stopped: None })
    }

    /// Checks a webhook. An error must not stop the check of the others.
    async fn check_alone(&self, webhook: &Webhook, metrics: &dyn Metrics) -> u64 {
        match self.check_webhook(webhook).await {
            Ok(0) => 0,
            Ok(sent) => {
                tracing::error!(webhook.id = %webhook.id, sent, "found and repaired lost messages");
                metrics.lost_messages(sent);
                sent
            }
            Err(error) => {
                tracing::error!(webhook.id = %webhook.id, %error, "reconciling failed");
                0
            }
        }
    }

    async fn check_webhook(&self, webhook: &Webhook) -> Result<u64> {
        let now = self.clock.now();
        let long_ago = now.checked_sub(limits::OVERDUE).unwrap_or(Timestamp::MIN);
        self.send_unsent(webhook).await?;
        let lost = [webhook.page_due_before(long_ago), webhook.notification_due_before(long_ago, now)];
        let lost: Vec<_> = lost.into_iter().flatten().collect();
        let mut found = lost.len() as u64;
        self.send(lost).await?;
        if self.holds_unreleased(webhook).await? {
            self.start_job_for_held(webhook.id).await?;
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
                State::Waiting if delivery.accepted_at >= long_ago => {}
                // It should be held.
                State::Waiting if !webhook.is_active() => {
                    self.reconcile_delivery(delivery).await?;
                    found += 1;
                }
                State::Waiting if lanes.insert(delivery.incident_id.clone()) => {
                    found += self.check_lane(delivery, long_ago).await?;
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// If the first attempt at the head of a lane is long overdue, its message was lost. A waiting delivery that heads
    /// its lane should have been promoted.
    async fn check_lane(&self, waiting: Delivery, long_ago: Timestamp) -> Result<u64> {
        let Some(head) = self.deliveries.lane_head(waiting.webhook_id, &waiting.incident_id).await? else {
            return Ok(0);
        };
        let is_overdue = matches!(head.state, State::Scheduled { number: 1, at, .. } if at < long_ago);
        if is_overdue {
            self.send_attempt(&head).await?;
        }
        let is_stuck = head.state == State::Waiting;
        if is_stuck {
            self.reconcile_delivery(waiting).await?;
        }
        Ok(u64::from(is_overdue || is_stuck))
    }
}

fn random_place(random: &dyn Random, places: usize) -> usize {
    let mut dice = [0; 8];
    random.fill(&mut dice);
    usize::try_from(u64::from_le_bytes(dice) % (places.max(1) as u64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thrown(u64);

    impl Random for Thrown {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.0.to_le_bytes());
        }
    }

    #[test]
    fn every_place_can_be_the_first() {
        let table = [(0, 3, 0), (4, 3, 1), (5, 3, 2), (u64::MAX, 7, 1), (9, 1, 0), (9, 0, 0)];
        for (thrown, places, first) in table {
            assert_eq!(random_place(&Thrown(thrown), places), first, "{thrown} of {places}");
        }
    }
}
