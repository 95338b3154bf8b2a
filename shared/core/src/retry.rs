//! The ladder, on one page.
//!
//! > Failed payloads trigger an exponential backoff sequence: 1m, 5m, 15m, 60m. After four consecutive
//! > failures, the webhook is paused.
//!
//! ```text
//! attempt     1        2             3                  4                              5
//! at          t     +1m           +5m               +15m                           +60m     81 minutes in all
//! fails  ->   wait 1m  wait 5m       wait 15m           wait 60m                       paused, or given up
//! streak      0        1             2                  3                              4
//! ```
//!
//! **Four consecutive failures** are the four retries of one payload, all failed, while nothing else reached
//! the webhook. So the streak climbs a rung at a time, not a payload at a time: a hundred payloads that fail
//! in one second are one outage. Any 2xx sets it back to 0. A payload whose ladder ends though others got a
//! 2xx meanwhile is a poison payload: it fails alone, and the webhook stays active.
//!
//! When an outage ends that had lasted past a retry, the waiting deliveries are retried early: one attempt more
//! each, and the ladder's own attempts stay where they are (`webhook/job.rs`).
//!
//! How that is known without counting every success: a 2xx after failures counts up the webhook's number of outages, and a
//! delivery keeps the number with which it first failed. As long as the two are the same, nothing got through in between. See
//! [`Health::outage`](crate::webhook::Health).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::limits;

/// Attempts of one payload: the first and four retries.
pub const ATTEMPTS: u8 = 5;

/// The streak at which its engineers are warned.
pub const FAILURES_TO_WARN: u8 = 2;

/// The streak at which a webhook is paused.
pub const FAILURES_TO_PAUSE: u8 = 4;

/// The waits between attempts: 1m, 5m, 15m, 60m, unless a deployment shortened them for its tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ladder([Duration; 4]);

impl Default for Ladder {
    fn default() -> Self {
        Self([60, 300, 900, 3600].map(Duration::from_secs))
    }
}

/// A text that is no ladder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LadderRefused {
    /// Too few waits, or too many.
    #[error("must have four waits, such as 60s,300s,900s,3600s")]
    Count,
    /// One of them is not a time with a unit.
    #[error("{0:?} is not a wait with a unit, such as 60s, 5m or 1h")]
    Wait(String),
    /// One of them is out of bounds.
    #[error("{0:?} must be more than nothing and at most a day")]
    Bounds(String),
}

/// Four waits with units, such as `60s,5m,15m,1h`.
impl std::str::FromStr for Ladder {
    type Err = LadderRefused;

    fn from_str(text: &str) -> Result<Self, LadderRefused> {
        let waits: Vec<Duration> = text.split(',').map(parse_wait).collect::<Result<_, _>>()?;
        Ok(Self(waits.try_into().map_err(|_| LadderRefused::Count)?))
    }
}

fn parse_wait(text: &str) -> Result<Duration, LadderRefused> {
    let text = text.trim();
    let wait: SignedDuration = text.parse().map_err(|_| LadderRefused::Wait(text.to_owned()))?;
    let in_bounds =
        Duration::try_from(wait).ok().filter(|wait| !wait.is_zero() && *wait <= limits::LADDER_WAIT_MAX);
    in_bounds.ok_or_else(|| LadderRefused::Bounds(text.to_owned()))
}

impl Ladder {
    /// A ladder with these waits.
    pub fn new(waits: [Duration; 4]) -> Self {
        Self(waits)
    }

    /// How long to wait after the attempt of this number failed; `None` after the last.
    ///
    /// A receiver's `Retry-After` may lengthen the wait, and never shortens it.
    pub fn wait_after(&self, number: u8, retry_after: Option<Duration>) -> Option<Duration> {
        let wait = *self.0.get(usize::from(number).checked_sub(1)?)?;
        Some(wait.max(retry_after.unwrap_or_default()))
    }
}

/// How far up the ladder a failed attempt has come: the number of failed retries.
pub fn rung(number: u8) -> u8 {
    number.saturating_sub(1).min(FAILURES_TO_PAUSE)
}

/// What a `Retry-After` header asks for: seconds, or a date (RFC 9110, section 10.2.3). No receiver gets more than an hour, and
/// nonsense asks nothing.
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    let asked = if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(header.parse().unwrap_or(u64::MAX))
    } else {
        let date = jiff::fmt::rfc2822::parse(header).ok()?.timestamp();
        Duration::try_from(date.duration_since(now)).ok()?
    };
    Some(asked.min(limits::RETRY_AFTER_MAX))
}
