//! Bulk jobs: apply a change of a webhook's state to its deliveries, page by page. A pause holds them, a resume
//! releases or discards them, a delete cancels them.
//!
//! **Drain** (a release). The oldest deliveries come first. The page size starts small and doubles every second up to a
//! limit; lanes keep each incident in order. While the webhook is failing, the drain releases one delivery at a
//! time and doubles its wait. That spares a receiver that is down, and a single poison payload cannot block the
//! rest. If the webhook is paused again, the drain ends and the rest stays held.
//!
//! **Recovery.** When an outage ends, deliveries that wait on the ladder are retried early, at the same rate: one
//! additional attempt per rung. If it fails, the ladder's own attempt follows at its time. If the webhook fails again,
//! the rest stays on the ladder.
//!
//! **Lost messages.** If a worker dies after it saved a page and before it sent the messages, those deliveries have no
//! message and are in no later page. So a release or discard does not end with its last page. It checks the deliveries
//! it released, sends messages again for those that were not attempted in time, and ends when none are left.
//!
//! **One worker at a time**: see [`BulkJob`].

use std::collections::HashSet;

use jiff::Timestamp;

use super::{Handled, Worker};
use crate::delivery::State;
use crate::error::Result;
use crate::limits;
use crate::message::{JobMessage, ScheduledMessage};
use crate::ports::{Conflict, DeliveryQuery};
use crate::time::{later, since};
use crate::webhook::job::PageResult;
use crate::webhook::pages::PageClaim;
use crate::webhook::{BulkJob, JobKind, Webhook};

impl Worker {
    pub(super) async fn work_on_job(&self, message: JobMessage) -> Result<Handled> {
        let (webhook, job) = match self.lease_page(message).await? {
            Leased::Page(webhook, job) => (webhook, job),
            Leased::Not(handled) => return Ok(handled),
        };
        let page = self.work_on_page(&webhook, job, self.clock.now()).await?;
        self.end_page(&webhook, job, page).await
    }

    /// Leases the page, so that no other worker works on it.
    async fn lease_page(&self, message: JobMessage) -> Result<Leased> {
        loop {
            let Some(webhook) = self.webhooks.webhook(message.webhook_id).await? else {
                return Ok(Leased::Not(Handled::Done));
            };
            match webhook.claim_page(message, self.clock.now()) {
                PageClaim::Over => return self.page_is_over(message, &webhook).await.map(Leased::Not),
                PageClaim::Later(at) => return Ok(Leased::Not(Handled::Again(at))),
                PageClaim::Leased(next) => {
                    if let Ok(saved) = self.outbox.save_webhook(*next).await?
                        && let Some(job) = saved.job
                    {
                        return Ok(Leased::Page(saved, job));
                    }
                }
            }
        }
    }

    /// Handles the message of a page that has ended, or whose job was replaced.
    async fn page_is_over(&self, message: JobMessage, webhook: &Webhook) -> Result<Handled> {
        // The worker that ended this page may have died before it sent anything.
        self.outbox.reconcile_webhook(webhook).await?;
        // This message may be a copy. Another worker may still hold deliveries, on a page that it leased before the job
        // was replaced, and may die. Its own copy is gone once this one is handled, so come again when it has ended.
        let ended = later(webhook.updated_at, limits::WORKER_ENDS);
        let was_replaced = webhook.generation != message.generation;
        Ok(if was_replaced && self.clock.now() < ended { Handled::Again(ended) } else { Handled::Done })
    }

    async fn work_on_page(&self, webhook: &Webhook, job: BulkJob, now: Timestamp) -> Result<PageResult> {
        let (query, limit) = match job.kind {
            JobKind::Hold => (DeliveryQuery::Moving, limits::JOB_PAGE),
            JobKind::Release => (DeliveryQuery::Held, job.release_size(webhook.health.is_failing())),
            JobKind::Discard => (DeliveryQuery::Held, limits::JOB_PAGE),
            JobKind::Cancel => (DeliveryQuery::Unfinished, limits::JOB_PAGE),
            JobKind::Recover => {
                (DeliveryQuery::DueAfter(later(now, limits::DRAIN_INTERVAL)), limits::JOB_PAGE)
            }
        };
        let mut page = self.deliveries.query(webhook.id, query, limit).await?;
        let full = page.len() >= limit;
        if job.kind == JobKind::Recover {
            page.retain(|delivery| delivery.clone().retried_early(now, job.outage).is_some());
            page.truncate(job.release_size(webhook.health.is_failing()));
        }
        // Spread the attempts over the time until the next page: they arrive oldest first, without bursts.
        let gap = limits::DRAIN_INTERVAL / u32::try_from(page.len().max(1)).unwrap_or(u32::MAX);
        let mut saved = Vec::with_capacity(page.len());
        // Whether another worker holds the claim on a delivery of this page, or changed it since the page was read.
        let mut contested = false;
        for (place, delivery) in (0..).zip(page) {
            let at = later(now, gap * place);
            let delivery = match job.kind {
                JobKind::Release | JobKind::Discard => Some(delivery),
                JobKind::Hold | JobKind::Cancel | JobKind::Recover => {
                    let claimed = self.outbox.claimed(delivery).await?;
                    contested |= claimed.is_none();
                    claimed
                }
            };
            let next = delivery.and_then(|delivery| match job.kind {
                JobKind::Release => Some(delivery.restarted(at)),
                JobKind::Discard => Some(delivery.with_state(State::Discarded)),
                JobKind::Hold => Some(delivery.with_state(State::Held)),
                JobKind::Cancel => Some(delivery.with_state(State::Cancelled)),
                JobKind::Recover => delivery.retried_early(at, job.outage),
            });
            let Some(next) = next else { continue };
            match self.outbox.write(&next).await? {
                Ok(kept) => saved.push(kept),
                Err(Conflict) => contested = true,
            }
        }
        let changed = saved.len();
        // Save all before sending any: if a whole lane is discarded, none of its deliveries is promoted.
        self.outbox.send_for(&saved).await?;
        // Right after the last page its deliveries are still being attempted. Later checks can wait longer.
        let patience = if job.ramp > 0 { limits::ATTEMPT_TIMEOUT } else { limits::RESEND_AFTER };
        let again_after = match job.kind {
            _ if changed > 0 || full => None,
            JobKind::Release | JobKind::Discard => {
                (self.resend_overdue(webhook, now).await? || contested).then_some(patience)
            }
            JobKind::Hold | JobKind::Cancel if contested => Some(limits::ATTEMPT_TIMEOUT),
            JobKind::Hold => None,
            // A call that read the webhook before it was deleted may still ask for a redelivery.
            JobKind::Cancel => Some(since(now, later(webhook.updated_at, limits::WORKER_ENDS))),
            JobKind::Recover => None,
        };
        let again_after = again_after.filter(|wait| !wait.is_zero());
        let drained = if job.kind == JobKind::Recover { changed as u64 } else { 0 };
        Ok(PageResult { changed, drained, full, again_after })
    }

    /// Sends messages again for released deliveries that are overdue and for promoted ones, and reconciles lanes with
    /// waiting deliveries.
    /// Returns whether any released delivery has not been attempted yet.
    async fn resend_overdue(&self, webhook: &Webhook, now: Timestamp) -> Result<bool> {
        let released = self.deliveries.query(webhook.id, DeliveryQuery::Released, limits::JOB_PAGE).await?;
        if self.outbox.is_transactional() {
            return Ok(!released.is_empty());
        }
        let mut messages: Vec<ScheduledMessage> = vec![];
        for delivery in &released {
            if delivery.due_attempt().is_some_and(|(_, at)| later(at, limits::RESEND_AFTER) <= now) {
                messages.extend(self.outbox.attempt_message(delivery).await?);
            }
        }
        if !messages.is_empty() {
            tracing::warn!(webhook.id = %webhook.id, count = messages.len(), "resending overdue messages");
            self.outbox.send(messages).await?;
        }
        let moving = self.deliveries.query(webhook.id, DeliveryQuery::Moving, limits::JOB_PAGE).await?;
        let mut lanes = HashSet::new();
        for delivery in moving {
            match delivery.state {
                State::Waiting if lanes.insert(delivery.incident_id.clone()) => {
                    self.outbox.reconcile_and_recheck(&delivery).await?;
                }
                // A page of this job may have promoted it, without a message.
                State::Scheduled { number: 1, .. } if delivery.round == 1 => {
                    self.outbox.send_attempt(&delivery).await?;
                }
                _ => {}
            }
        }
        Ok(!released.is_empty())
    }

    /// Records the result of the page, and schedules the next page or ends the job.
    async fn end_page(&self, leased: &Webhook, job: BulkJob, page: PageResult) -> Result<Handled> {
        let now = self.clock.now();
        let change = |webhook: &Webhook| webhook.after_page(leased.generation, job, page, now);
        let Some(latest) = self.outbox.change_webhook(leased.id, change).await? else {
            return Ok(Handled::Done);
        };
        // Needed even if another job has replaced this one: this worker may have held deliveries after that job's last
        // check.
        self.outbox.reconcile_webhook(&latest.webhook).await?;
        if !latest.changed {
            // Another worker may have this message, and may die. Come again and check.
            return Ok(Handled::Again(later(now, limits::DRAIN_INTERVAL)));
        }
        Ok(Handled::Done)
    }
}

/// The result of [`Worker::lease_page`].
enum Leased {
    /// This worker has the lease.
    Page(std::sync::Arc<Webhook>, BulkJob),
    /// Nothing to do now; the result for the message.
    Not(Handled),
}
