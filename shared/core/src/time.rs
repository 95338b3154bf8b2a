//! Time arithmetic.

use std::time::Duration;

use jiff::Timestamp;

/// `at` plus `wait`. Saturates at the end of the calendar, which no real wait reaches.
pub(crate) fn later(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The time from `earlier` to `later`. Zero if `later` is before `earlier`, because clocks may differ.
pub(crate) fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}
