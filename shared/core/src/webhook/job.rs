//! A bulk job: applies a change of a webhook's state to its deliveries, page by page.
//!
//! **One worker at a time.** The job is part of the webhook's record. Before a worker changes any delivery, it takes a
//! lease on the page by compare-and-set. A second worker with the same message waits until the lease expires, which
//! normally happens only if the first one has crashed.

use std::time::Duration;

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::limits;
use crate::time::later;

/// A job on a webhook's deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkJob {
    /// What the job does.
    pub kind: JobKind,
    /// The number of the next page, from 0.
    pub page: u32,
    /// When the next page may start.
    pub due: Timestamp,
    /// When the worker's lease on the page expires; `None` without a lease.
    pub leased_until: Option<Timestamp>,
    /// Recovery only: the outage that ended. Deliveries that failed in a later outage are not retried early.
    pub outage: u32,
    /// Release and recovery: pages in a row without failures of the webhook. The page size doubles with each.
    pub ramp: u32,
    /// Release and recovery: pages in a row while the webhook was failing. The wait doubles with each.
    pub setbacks: u32,
    /// The number of deliveries that is reported to engineers: for a resume all that were held at that time, for a
    /// recovery those retried early so far.
    pub drained: u64,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum JobKind {
    /// Holds scheduled and waiting deliveries, after a pause.
    Hold,
    /// Releases held deliveries at a bounded rate, after a resume.
    Release,
    /// Drops held deliveries, after a resume that asks for it.
    Discard,
    /// Cancels all unfinished deliveries, after a delete.
    Cancel,
    /// Retries early what waits on the ladder, after an outage has ended.
    Recover,
}

impl JobKind {
    /// All of them.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in a store.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// What was done on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PageResult {
    /// Number of deliveries changed.
    pub(crate) changed: usize,
    /// Number of deliveries to add to [`BulkJob::drained`].
    pub(crate) drained: u64,
    /// Whether the query returned a full page, so that there may be more.
    pub(crate) full: bool,
    /// How long to wait before the next check, if nothing could be changed now: a released delivery has not been
    /// attempted yet, or another worker holds a claim.
    pub(crate) again_after: Option<Duration>,
}

impl BulkJob {
    pub(super) fn new(kind: JobKind, outage: u32, drained: u64, now: Timestamp) -> Self {
        Self { kind, page: 0, due: now, leased_until: None, outage, ramp: 0, setbacks: 0, drained }
    }

    /// How many deliveries a release or a recovery sends on this page: one while the webhook is failing.
    pub(crate) fn release_size(&self, is_failing: bool) -> usize {
        if is_failing {
            return 1;
        }
        limits::DRAIN_FIRST_PAGE.checked_shl(self.ramp).unwrap_or(usize::MAX).min(limits::DRAIN_PAGE_MAX)
    }

    /// The job after a page; `None` if it has ended.
    pub(super) fn after_page(self, page: PageResult, failing: bool, now: Timestamp) -> Option<Self> {
        let releases = matches!(self.kind, JobKind::Release | JobKind::Recover);
        // The webhook keeps failing, so the outage has not ended: leave the rest on the ladder.
        let relapsed = self.kind == JobKind::Recover && self.setbacks >= limits::RECOVERY_RELAPSES;
        let full = page.full && self.kind != JobKind::Recover;
        if relapsed || page.changed == 0 && !full && page.again_after.is_none() {
            return None;
        }
        let (wait, ramp, setbacks) = match page.again_after {
            Some(wait) => (wait, 0, 0),
            None if releases && failing => (setback_wait(self.setbacks), 0, self.setbacks.saturating_add(1)),
            None if releases => (limits::DRAIN_INTERVAL, self.ramp.saturating_add(1).min(16), 0),
            // All deliveries of this page are claimed by workers. The pages behind it come up once those are done.
            None if page.changed == 0 => (limits::DRAIN_INTERVAL, 0, 0),
            None => (Duration::ZERO, 0, 0),
        };
        let drained = self.drained + page.drained;
        let due = later(now, wait);
        Some(Self { page: self.page + 1, due, leased_until: None, ramp, setbacks, drained, ..self })
    }
}

fn setback_wait(setbacks: u32) -> Duration {
    limits::DRAIN_RECHECK.saturating_mul(1 << setbacks.min(6)).min(limits::DRAIN_RECHECK_MAX)
}
