//! When a run begins, and how much the clocks of its workers and callers differ.

use jiff::Timestamp;

/// The time at which every run begins.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_second(1_795_521_600).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The largest error of a clock, in milliseconds.
pub(crate) const SKEW_MS_MAX: i64 = 40;
