//! The clock for deadlines and durations. No other module of this adapter reads a clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use statuspulse_core::ports::Clock;

pub(crate) use tokio::time::Instant;

pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time between two readings of the wall clock. Zero if it was set back meanwhile.
pub(crate) fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// Notices when the process was frozen, as a Lambda environment is between two invocations: the wall clock went on, and
/// the clock of [`now`] did not.
pub(crate) struct Freezes {
    wall: Arc<dyn Clock>,
    last: Mutex<Option<(Timestamp, Instant)>>,
}

impl Freezes {
    pub(crate) fn new(wall: Arc<dyn Clock>) -> Self {
        Self { wall, last: Mutex::default() }
    }

    /// Whether the process was frozen since the last call, for longer than `limit`.
    pub(crate) fn was_frozen(&self, limit: Duration) -> bool {
        let both = (self.wall.now(), now());
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(both);
        let Some((wall, at)) = before else { return false };
        between(wall, both.0).saturating_sub(both.1.duration_since(at)) > limit
    }
}
