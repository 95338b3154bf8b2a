//! Figures: what happened to an account's deliveries, counted by the hour as it happens.
//!
//! They show the account whether the promise holds: its first attempts begin within
//! [`PROMISED`](limits::PROMISED). A delivery that waited for an earlier one of its incident, or that was held, is counted
//! apart: what it waited for was not our time.
//!
//! Durations are counted in [buckets](limits::FIGURE_BOUNDS_MS), so a percentile is the upper bound of its bucket.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::ids::{AccountId, WebhookId};
use crate::limits;

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// A first attempt that had nothing to wait for began this long after its event was accepted.
    FirstAttempt(Duration),
    /// A first attempt began that had waited.
    FirstAttemptAfterWait,
    /// A delivery succeeded. Its attempt took this long.
    Delivered(Duration),
    /// An attempt failed.
    FailedAttempt,
    /// A delivery was given up.
    GivenUp,
    /// One of the above happened to a delivery that the resume at this time released.
    OfResume(Timestamp, Outcome),
}

/// What becomes of a delivery that a resume released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was delivered.
    Delivered,
    /// An attempt of it failed.
    FailedAttempt,
    /// It was given up.
    GivenUp,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::FailedAttempt => FAILED_ATTEMPTS,
            Self::GivenUp => GIVEN_UP,
        }
    }
}

/// What became of the deliveries that a resume released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfResume {
    /// When the webhook was resumed.
    pub at: Timestamp,
    /// How many were delivered.
    pub delivered: u64,
    /// How many of their attempts failed.
    pub failed_attempts: u64,
    /// How many were given up.
    pub given_up: u64,
}

const FIRST: &str = "first_";
const TOOK: &str = "took_";
const AFTER_WAIT: &str = "after_wait";
const FAILED_ATTEMPTS: &str = "failed_attempts";
const GIVEN_UP: &str = "given_up";

impl Fact {
    /// The name under which it is stored.
    fn name(self) -> String {
        match self {
            Self::FirstAttempt(after) => format!("{FIRST}{}", bucket(after)),
            Self::FirstAttemptAfterWait => AFTER_WAIT.to_owned(),
            Self::Delivered(took) => format!("{TOOK}{}", bucket(took)),
            Self::FailedAttempt => FAILED_ATTEMPTS.to_owned(),
            Self::GivenUp => GIVEN_UP.to_owned(),
            Self::OfResume(at, outcome) => of_resume(at, outcome),
        }
    }
}

fn of_resume(at: Timestamp, outcome: Outcome) -> String {
    format!("resume_{}_{}", at.as_millisecond(), outcome.name())
}

/// The first bucket whose bound is not below this time. The last bucket has no bound.
fn bucket(time: Duration) -> usize {
    limits::FIGURE_BOUNDS_MS.partition_point(|bound| Duration::from_millis(*bound) < time)
}

/// Counts of facts by name. Names that a later version counted are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Counts read from a store.
    pub fn restore(counts: impl IntoIterator<Item = (String, u64)>) -> Self {
        Self(counts.into_iter().collect())
    }

    /// The counts by name, as a store keeps them.
    pub fn by_name(&self) -> &BTreeMap<String, u64> {
        &self.0
    }

    /// Counts a fact.
    pub fn count(&mut self, fact: Fact) {
        self.count_named(&fact.name());
    }

    /// Most names are there already, so most counts allocate nothing.
    fn count_named(&mut self, name: &str) {
        match self.0.get_mut(name) {
            Some(count) => *count += 1,
            None => _ = self.0.insert(name.to_owned(), 1),
        }
    }

    /// Adds other counts.
    pub fn add(&mut self, others: &Self) {
        for (name, count) in &others.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// How long first attempts that had nothing to wait for took to begin.
    pub fn first_attempts(&self) -> Durations {
        self.durations(FIRST)
    }

    /// How long successful attempts took.
    pub fn delivered(&self) -> Durations {
        self.durations(TOOK)
    }

    /// First attempts that had waited.
    pub fn after_wait(&self) -> u64 {
        self.named(AFTER_WAIT)
    }

    /// Failed attempts.
    pub fn failed_attempts(&self) -> u64 {
        self.named(FAILED_ATTEMPTS)
    }

    /// Deliveries that were given up.
    pub fn given_up(&self) -> u64 {
        self.named(GIVEN_UP)
    }

    /// What became of the deliveries that the resume at this time released.
    pub fn of_resume(&self, at: Timestamp) -> OfResume {
        let count = |outcome| self.named(&of_resume(at, outcome));
        OfResume {
            at,
            delivered: count(Outcome::Delivered),
            failed_attempts: count(Outcome::FailedAttempt),
            given_up: count(Outcome::GivenUp),
        }
    }

    fn named(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    fn durations(&self, prefix: &str) -> Durations {
        Durations(std::array::from_fn(|place| self.named(&format!("{prefix}{place}"))))
    }
}

/// Durations, counted in buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durations([u64; limits::FIGURE_BOUNDS_MS.len() + 1]);

impl Durations {
    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many were not longer than this, which must be a bound.
    pub fn within(&self, bound: Duration) -> u64 {
        self.0.iter().take(bucket(bound) + 1).sum()
    }

    /// The bound within which this share of them is, in percent. `None` if there are none, or if it is beyond the last
    /// bound.
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let wanted = (self.total() * percent).div_ceil(100);
        let mut found = 0;
        let place = self.0.iter().position(|count| {
            found += count;
            found >= wanted && wanted > 0
        })?;
        limits::FIGURE_BOUNDS_MS.get(place).map(|bound| Duration::from_millis(*bound))
    }
}

/// The beginning of the hour.
pub fn hour_of(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(3600)).unwrap_or(at)
}

/// Whose figures they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// All webhooks of an account, those that were deleted since included.
    Account(AccountId),
    /// One webhook.
    Webhook(WebhookId),
}

impl Owner {
    /// The owner of the figures of an account, or of one of its webhooks.
    pub fn of(account: AccountId, webhook: Option<WebhookId>) -> Self {
        webhook.map_or(Self::Account(account), Self::Webhook)
    }
}

/// Counts that are not stored yet, by owner and hour.
#[derive(Debug, Default)]
pub struct Pending(Mutex<HashMap<(Owner, Timestamp), Counts>>);

impl Pending {
    /// Counts a fact for the webhook and its account. A resume is the webhook's alone.
    pub fn count(&self, account: AccountId, webhook: WebhookId, at: Timestamp, fact: Fact) {
        let (name, hour) = (fact.name(), hour_of(at));
        let owners = [Owner::Webhook(webhook), Owner::Account(account)];
        let owners = if matches!(fact, Fact::OfResume(..)) { &owners[..1] } else { &owners[..] };
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for owner in owners.iter().copied() {
            pending.entry((owner, hour)).or_default().count_named(&name);
        }
    }

    /// Removes and returns all counts.
    pub fn take(&self) -> HashMap<(Owner, Timestamp), Counts> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back counts that could not be stored.
    pub fn put_back(&self, counts: impl IntoIterator<Item = ((Owner, Timestamp), Counts)>) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, counts) in counts {
            pending.entry(key).or_default().add(&counts);
        }
    }

    /// The owner's counts from this hour on.
    pub fn of(&self, owner: Owner, since: Timestamp) -> Vec<(Timestamp, Counts)> {
        let pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = pending.iter().filter(|((whose, hour), _)| *whose == owner && *hour >= hour_of(since));
        own.map(|((_, hour), counts)| (*hour, counts.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        // First attempts, and p50, p99 and how many are within 200 ms.
        let cases = [
            (vec![], (None, None, 0)),
            (vec![0], (Some(1), Some(1), 1)),
            (vec![1, 2, 3, 200], (Some(2), Some(200), 4)),
            (vec![201], (Some(300), Some(300), 0)),
            (vec![4; 99].into_iter().chain([900_000]).collect(), (Some(5), Some(5), 99)),
            (vec![900_000], (None, None, 0)),
        ];
        for (began, (p50, p99, within)) in cases {
            let mut counts = Counts::default();
            began.iter().for_each(|after| counts.count(Fact::FirstAttempt(millis(*after))));
            let first = counts.first_attempts();
            assert_eq!(first.percentile(50), p50.map(millis), "{began:?}");
            assert_eq!(first.percentile(99), p99.map(millis), "{began:?}");
            assert_eq!((first.within(limits::PROMISED), first.total()), (within, began.len() as u64));
        }
    }

    #[test]
    fn facts_are_counted_apart_and_added_up() {
        let mut counts = Counts::restore([("later".to_owned(), 7)]);
        let resumed = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
        let facts = [
            Fact::FirstAttempt(millis(3)),
            Fact::FirstAttemptAfterWait,
            Fact::Delivered(millis(80)),
            Fact::FailedAttempt,
            Fact::FailedAttempt,
            Fact::GivenUp,
            Fact::OfResume(resumed, Outcome::FailedAttempt),
            Fact::OfResume(resumed, Outcome::FailedAttempt),
            Fact::OfResume(resumed, Outcome::GivenUp),
        ];
        facts.into_iter().for_each(|fact| counts.count(fact));
        let mut twice = counts.clone();
        twice.add(&counts);
        for (counts, times) in [(counts, 1), (twice, 2)] {
            assert_eq!(counts.first_attempts().total(), times);
            assert_eq!(counts.after_wait(), times);
            assert_eq!(counts.delivered().percentile(50), Some(millis(100)));
            assert_eq!((counts.failed_attempts(), counts.given_up()), (2 * times, times));
            assert_eq!(counts.by_name()["later"], 7 * times);
            let resume = counts.of_resume(resumed);
            assert_eq!((resume.delivered, resume.failed_attempts, resume.given_up), (0, 2 * times, times));
            assert_eq!(counts.of_resume(Timestamp::UNIX_EPOCH).given_up, 0, "of another resume");
        }
    }

    #[test]
    fn the_promise_is_a_bound() {
        assert!(
            limits::FIGURE_BOUNDS_MS.iter().any(|bound| Duration::from_millis(*bound) == limits::PROMISED)
        );
        assert!(limits::FIGURE_BOUNDS_MS.is_sorted());
    }
}
