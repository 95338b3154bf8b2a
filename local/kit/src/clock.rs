//! The one place of the kit that reads the clock and waits.

use std::time::{Duration, SystemTime};

#[expect(clippy::disallowed_methods, reason = "the kit is an adapter: it stamps what really arrived")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Nanoseconds since 1970, as in [`crate::Received::at`]: whoever stamps a request with it can subtract.
pub fn unix_nanos() -> u64 {
    let since_epoch = now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "a slow receiver is slow in real time: that is its use")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
