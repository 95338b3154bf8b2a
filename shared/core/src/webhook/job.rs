//! A bulk job: what a change of a webhook's state does to its deliveries, a page at a time.
//!
//! **One worker at a time.** The job is part of the webhook's record. Who works on a page takes a lease on it first, by
//! compare-and-set; a second worker with the same message waits until the lease has ended, which is when the first one has
//! crashed.

use std::time::Duration;

use jiff::Timestamp;

use super::Webhook;
use crate::limits;
use crate::message::{JobMessage, Message, ScheduledMessage};
use crate::time::later;

/// What is being done to a webhook's deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkJob {
    /// What.
    pub kind: JobKind,
    /// The page that is next: counts up.
    pub page: u32,
    /// Not before this time.
    pub due: Timestamp,
    /// Until when the page is one worker's alone.
    pub leased_until: Option<Timestamp>,
    /// Of a recovery: the outage that ended. What fails in a later one is not retried early.
    pub outage: u32,
    /// Of a release: pages on end while the webhook was well; the page's size doubles with it.
    pub ramp: u32,
    /// Of a release: pages on end while the webhook was failing; the wait doubles with it.
    pub setbacks: u32,
    /// How many deliveries it lets go to their receiver, as engineers are told: of a resume all that were held then, of a
    /// recovery those retried early so far.
    pub let_go: u64,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// Holds what is scheduled or waiting, after a pause.
    Hold,
    /// Lets go what is held, after a resume, at a bounded rate.
    Release,
    /// Drops what is held, after a resume that says so.
    Discard,
    /// Cancels all that is unfinished, after a delete.
    Cancel,
    /// Retries early what waits on the ladder, when a webhook that was failing answers again.
    Recover,
}

impl JobKind {
    /// All of them.
    pub const ALL: [JobKind; 5] =
        [JobKind::Hold, JobKind::Release, JobKind::Discard, JobKind::Cancel, JobKind::Recover];

    /// The name in a store.
    pub fn name(self) -> &'static str {
        match self {
            JobKind::Hold => "hold",
            JobKind::Release => "release",
            JobKind::Discard => "discard",
            JobKind::Cancel => "cancel",
            JobKind::Recover => "recover",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What came of asking for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PageClaim {
    /// The webhook to be saved; then the page is this worker's.
    Taken(Box<Webhook>),
    /// Not due yet, or another worker's. Ask again then.
    Later(Timestamp),
    /// The job is past this page, has ended, or was replaced.
    Over,
}

/// What was done with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PageResult {
    /// How many deliveries were changed.
    pub(crate) changed: usize,
    /// How many of them are more on their way to the receiver than were known before.
    pub(crate) let_go: u64,
    /// Whether there may be more behind it.
    pub(crate) full: bool,
    /// How long until the next look, where nothing could be done: something that was let go has not been attempted yet, or
    /// is in a worker's hands.
    pub(crate) again_after: Option<Duration>,
}

impl BulkJob {
    pub(super) fn new(kind: JobKind, outage: u32, let_go: u64, now: Timestamp) -> Self {
        Self { kind, page: 0, due: now, leased_until: None, outage, ramp: 0, setbacks: 0, let_go }
    }

    /// The message that its next page waits for.
    pub(crate) fn message(&self, webhook: &Webhook) -> ScheduledMessage {
        let message = JobMessage { webhook_id: webhook.id, generation: webhook.generation, page: self.page };
        ScheduledMessage { message: Message::Job(message), due: self.due }
    }

    /// How many deliveries a release lets go on this page.
    pub(crate) fn release_size(&self, webhook: &Webhook) -> usize {
        if webhook.health.is_failing() {
            return 1;
        }
        limits::DRAIN_FIRST_PAGE.checked_shl(self.ramp).unwrap_or(usize::MAX).min(limits::DRAIN_PAGE_MAX)
    }

    /// The job after a page; `None` at its end.
    fn after_page(self, page: PageResult, failing: bool, now: Timestamp) -> Option<Self> {
        let releases = matches!(self.kind, JobKind::Release | JobKind::Recover);
        // An outage that goes on is none that has ended: what waits is left where it is.
        let relapsed = self.kind == JobKind::Recover && self.setbacks >= RELAPSES;
        let full = page.full && self.kind != JobKind::Recover;
        if relapsed || page.changed == 0 && !full && page.again_after.is_none() {
            return None;
        }
        let (wait, ramp, setbacks) = match page.again_after {
            Some(wait) => (wait, 0, 0),
            None if releases && failing => (probe_wait(self.setbacks), 0, self.setbacks.saturating_add(1)),
            None if releases => (limits::DRAIN_INTERVAL, self.ramp.saturating_add(1).min(16), 0),
            // A page that is all in workers' hands hides what is behind it until they are done.
            None if page.changed == 0 => (limits::DRAIN_INTERVAL, 0, 0),
            None => (Duration::ZERO, 0, 0),
        };
        let let_go = self.let_go + page.let_go;
        let due = later(now, wait);
        Some(Self { page: self.page + 1, due, leased_until: None, ramp, setbacks, let_go, ..self })
    }
}

/// Pages on end at which a webhook that was to be well again fails.
const RELAPSES: u32 = 3;

fn probe_wait(setbacks: u32) -> Duration {
    limits::DRAIN_RECHECK.saturating_mul(1 << setbacks.min(6)).min(limits::DRAIN_RECHECK_MAX)
}

impl Webhook {
    /// Asks for a page of the job.
    pub(crate) fn claim_page(&self, message: JobMessage, now: Timestamp) -> PageClaim {
        let asked = |job: &BulkJob| self.generation == message.generation && job.page == message.page;
        let Some(job) = self.job.filter(asked) else { return PageClaim::Over };
        match job.leased_until.filter(|until| now < *until) {
            Some(until) => PageClaim::Later(until),
            None if now < job.due => PageClaim::Later(job.due),
            None => {
                let job = BulkJob { leased_until: Some(later(now, limits::CLAIM)), ..job };
                PageClaim::Taken(Box::new(Self { job: Some(job), ..self.clone() }))
            }
        }
    }

    /// The webhook after a page on which this worker had the lease; `None` if the job is another's by now.
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
                next.outbox.push(job.message(&next));
            }
            None => next.end_job(leased.let_go + page.let_go, now),
        }
        Some(next)
    }
}
