//! How workers lease the pages of a webhook's job, one at a time.

use jiff::Timestamp;

use super::Webhook;
use super::job::{BulkJob, PageResult};
use crate::limits;
use crate::message::JobMessage;
use crate::time::later;

/// The result of [`Webhook::claim_page`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PageClaim {
    /// The webhook with the lease. The worker has the page once this is saved.
    Leased(Box<Webhook>),
    /// Not due yet, or leased by another worker. Try again at this time.
    Later(Timestamp),
    /// The job has passed this page, has ended, or was replaced.
    Over,
}

impl Webhook {
    /// Leases a page of the job.
    pub(crate) fn claim_page(&self, message: JobMessage, now: Timestamp) -> PageClaim {
        let asked = |job: &BulkJob| self.generation == message.generation && job.page == message.page;
        let Some(job) = self.job.filter(asked) else { return PageClaim::Over };
        match job.leased_until.filter(|until| now < *until) {
            Some(until) => PageClaim::Later(until),
            None if now < job.due => PageClaim::Later(job.due),
            None => {
                let job = BulkJob { leased_until: Some(later(now, limits::CLAIM)), ..job };
                PageClaim::Leased(Box::new(Self { job: Some(job), ..self.clone() }))
            }
        }
    }

    /// The webhook after a page that this worker had leased; `None` if the lease has passed to another worker, or if
    /// the job was replaced.
    #[must_use]
    pub(crate) fn after_page(
        &self,
        generation: u64,
        leased: BulkJob,
        page: PageResult,
        now: Timestamp,
    ) -> Option<Self> {
        if self.generation != generation || self.job != Some(leased) {
            return None;
        }
        let mut next = self.clone();
        match leased.after_page(page, self.health.is_failing(), now) {
            Some(job) => {
                next.job = Some(job);
                next.outbox.push(self.page_message(&job));
            }
            None => next.end_job(leased.drained + page.drained, now),
        }
        Some(next)
    }
}
