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
//! When an outage ends that had lasted past a retry, the attempts that wait are brought forward: one more each, and the
//! ladder's own stay where they are (see the sweeps).
//!
//! How that is told without counting every success: a webhook knows since when it has been failing
//! (`failing_since`, cleared by any 2xx), a delivery when it first failed. If the webhook has been failing at
//! least since then, nothing reached it in between. See [`Webhook::after_failure`](crate::webhook::Webhook).

use std::time::Duration;

use jiff::Timestamp;

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
