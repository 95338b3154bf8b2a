//! The only place where this adapter reads a clock: it spends time, so it has to measure it.

use std::time::Duration;

pub(crate) use tokio::time::Instant;

pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What is left until the deadline, for a sentence or for splitting.
pub(crate) fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(now())
}
