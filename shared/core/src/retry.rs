//! The retry ladder and the streak of failures.
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
//! **Four consecutive failures** are the four retries of one payload, all failed, while nothing else got through. The
//! streak goes up by rung and not by payload: a hundred payloads that fail in one second are one outage. Any 2xx resets
//! it to 0. If a ladder ends while other payloads got a 2xx, that payload is a poison payload: it fails alone, and the
//! webhook stays active.
//!
//! When an outage ends in which a retry had failed, the waiting deliveries are retried early: one additional attempt
//! each. The ladder's own attempts keep their times (`webhook/job.rs`).
//!
//! Not every success is counted for this. A 2xx after failures increments the webhook's outage number, and a delivery
//! stores the number at its first failure. As long as the two are equal, nothing got through in between. See
//! [`Health::outage`](crate::webhook::Health).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::limits;

/// Attempts of one payload: the first and four retries.
pub const ATTEMPTS: u8 = 5;

/// The streak at which engineers are warned.
pub const FAILURES_TO_WARN: u8 = 2;

/// The streak at which a webhook is paused.
pub const FAILURES_TO_PAUSE: u8 = 4;

/// The waits between attempts: 1, 5, 15 and 60 minutes by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ladder([Duration; 4]);

impl Default for Ladder {
    fn default() -> Self {
        Self([60, 300, 900, 3600].map(Duration::from_secs))
    }
}

/// Why a text is not a ladder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LadderRefused {
    /// Too few waits, or too many.
    #[error("must have four waits, such as 60s,300s,900s,3600s")]
    Count,
    /// A wait is not a duration with a unit.
    #[error("{0:?} is not a wait with a unit, such as 60s, 5m or 1h")]
    Wait(String),
    /// A wait is out of bounds.
    #[error("{0:?} must be more than zero and at most one day")]
    Bounds(String),
}

/// Parses four waits with units, such as `60s,5m,15m,1h`.
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

    /// How long to wait after the attempt with this number has failed; `None` after the last.
    ///
    /// `retry_after` can make the wait longer, never shorter.
    pub fn wait_after(&self, number: u8, retry_after: Option<Duration>) -> Option<Duration> {
        let wait = *self.0.get(usize::from(number).checked_sub(1)?)?;
        Some(wait.max(retry_after.unwrap_or_default()))
    }
}

/// The rung that a failed attempt has reached: the number of failed retries, 0 to 4.
pub fn rung(number: u8) -> u8 {
    number.saturating_sub(1).min(FAILURES_TO_PAUSE)
}

/// Parses a `Retry-After` header: seconds, or a date in one of HTTP's three forms (RFC 9110, section 10.2.3). The
/// result is at most one hour. Returns `None` for an invalid value or a date in the past.
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    let asked = if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(header.parse().unwrap_or(u64::MAX))
    } else {
        let date = Timestamp::try_from(httpdate::parse_http_date(header).ok()?).ok()?;
        Duration::try_from(date.duration_since(now)).ok()?
    };
    Some(asked.min(limits::RETRY_AFTER_MAX))
}
