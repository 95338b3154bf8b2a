//! Arithmetic with times.

use std::time::Duration;

use jiff::Timestamp;

/// `at` plus `wait`; a wait is hours at most, so this never leaves the calendar.
pub(crate) fn later(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The time from `earlier` to `later`; zero if that is not its order, as clocks differ.
pub(crate) fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}
