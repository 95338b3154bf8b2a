//! What a change of a webhook's state does to its deliveries, a page at a time: a pause holds them, a resume
//! lets them go or drops them, a delete cancels them.
//!
//! **The drain** (a release) starts with a small page and doubles it every second up to a bound, oldest first;
//! the lane keeps each incident's order. While the webhook fails again it lets go one delivery at a time, with
//! doubling waits, as a probe: a receiver that is down is left alone, and one poison payload among the held
//! cannot stop the rest. A pause in the middle ends it: the rest is still held.
//!
//! **The end of an outage** retries early what waits on the ladder, by the same pages: one attempt more, once a rung. If it
//! fails, the ladder's own attempt is made at its time; if the webhook fails again, the rest stays where it is.
//!
//! **Nothing is left lying.** A worker that dies after it recorded a page and before it sent the messages leaves deliveries
//! that nobody comes for: they are in no page any more. So a release or discard that finds nothing more to do looks at what
//! it has let go, wakes what has not been attempted for long, and ends when there is no such thing.
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
use crate::time::later;
use crate::webhook::{BulkJob, JobKind, PageClaim, PageResult, Webhook};

impl Worker {
    pub(super) async fn work_on_job(&self, message: JobMessage) -> Result<Handled> {
        let (webhook, job) = match self.lease_page(message).await? {
            Leased::Page(webhook, job) => (webhook, job),
            Leased::Not(handled) => return Ok(handled),
        };
        let page = self.work_on_page(&webhook, job, self.clock.now()).await?;
        self.end_page(&webhook, job, page).await
    }

    /// Makes the page this worker's alone.
    async fn lease_page(&self, message: JobMessage) -> Result<Leased> {
        loop {
            let Some(webhook) = self.webhooks.webhook(message.webhook_id).await? else {
                return Ok(Leased::Not(Handled::Done));
            };
            match webhook.claim_page(message, self.clock.now()) {
                PageClaim::Over => {
                    // Whoever took it further may have died before they sent anything.
                    self.outbox.reconcile_webhook(&webhook).await?;
                    return Ok(Leased::Not(Handled::Done));
                }
                PageClaim::Later(at) => {
                    self.outbox.settle(&webhook).await?;
                    return Ok(Leased::Not(Handled::Again(at)));
                }
                PageClaim::Taken(next) => {
                    if let Ok(saved) = self.outbox.save_webhook(*next).await?
                        && let Some(job) = saved.job
                    {
                        return Ok(Leased::Page(saved, job));
                    }
                }
            }
        }
    }

    async fn work_on_page(&self, webhook: &Webhook, job: BulkJob, now: Timestamp) -> Result<PageResult> {
        let (query, limit) = match job.kind {
            JobKind::Hold => (DeliveryQuery::Moving, limits::JOB_PAGE),
            JobKind::Release => (DeliveryQuery::Held, job.release_size(webhook)),
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
            page.truncate(job.release_size(webhook));
        }
        // Spread over the time until the next page: oldest first also where they arrive, and no bursts.
        let gap = limits::DRAIN_INTERVAL / u32::try_from(page.len().max(1)).unwrap_or(u32::MAX);
        let mut saved = Vec::with_capacity(page.len());
        // Whether another worker has a delivery of the page, or changed it since the page was read.
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
        // All of them are kept before any is sent for: in a lane that was dropped whole nothing is promoted.
        self.outbox.send_for(&saved).await?;
        // The last ones are on their way just now, and soon there; what has not arrived then takes longer.
        let patience = if job.ramp > 0 { limits::ATTEMPT_TIMEOUT } else { limits::STRAGGLER };
        let again_after = match job.kind {
            _ if changed > 0 || full => None,
            JobKind::Release | JobKind::Discard => {
                (self.wake_stragglers(webhook, now).await? || contested).then_some(patience)
            }
            JobKind::Hold | JobKind::Cancel => contested.then_some(limits::ATTEMPT_TIMEOUT),
            JobKind::Recover => None,
        };
        let let_go = if job.kind == JobKind::Recover { changed as u64 } else { 0 };
        Ok(PageResult { changed, let_go, full, again_after })
    }

    /// Whether something is on its way that was let go and not attempted yet.
    async fn wake_stragglers(&self, webhook: &Webhook, now: Timestamp) -> Result<bool> {
        let released = self.deliveries.query(webhook.id, DeliveryQuery::Released, limits::JOB_PAGE).await?;
        if self.outbox.is_transactional() {
            return Ok(!released.is_empty());
        }
        let mut messages: Vec<ScheduledMessage> = vec![];
        for delivery in &released {
            if delivery.due_attempt().is_some_and(|(_, at)| later(at, limits::STRAGGLER) <= now) {
                messages.extend(self.outbox.attempt_message(delivery).await?);
            }
        }
        if !messages.is_empty() {
            tracing::warn!(webhook.id = %webhook.id, count = messages.len(), "released deliveries are sent for again");
            self.outbox.send(messages).await?;
        }
        let moving = self.deliveries.query(webhook.id, DeliveryQuery::Moving, limits::JOB_PAGE).await?;
        let mut lanes = HashSet::new();
        for delivery in moving {
            match delivery.state {
                State::Waiting if lanes.insert(delivery.incident_id.clone()) => {
                    self.outbox.reconcile_and_recheck(&delivery).await?;
                }
                State::Scheduled { number: 1, at, .. }
                    if !delivery.is_as_accepted() && !delivery.is_released() =>
                {
                    self.outbox.recheck_at(&delivery, later(at, limits::STRAGGLER)).await?;
                }
                _ => {}
            }
        }
        Ok(!released.is_empty())
    }

    /// Records that the page is done.
    async fn end_page(&self, leased: &Webhook, job: BulkJob, page: PageResult) -> Result<Handled> {
        let now = self.clock.now();
        let change = |webhook: &Webhook| webhook.after_page(leased.generation, job, page, now);
        let Some(latest) = self.outbox.change_webhook(leased.id, change).await? else {
            return Ok(Handled::Done);
        };
        // Also if another job has taken its place: what this worker held after that job's last look is released now.
        self.outbox.reconcile_webhook(&latest.webhook).await?;
        if !latest.changed {
            // Another worker may have the same message, and die: it comes again, and finds out.
            return Ok(Handled::Again(later(now, limits::DRAIN_INTERVAL)));
        }
        Ok(Handled::Done)
    }
}

/// What came of asking for a page.
enum Leased {
    /// It is this worker's.
    Page(std::sync::Arc<Webhook>, BulkJob),
    /// There is nothing to do now.
    Not(Handled),
}
