//! The only module of the kit that reads the clock or sleeps.

use std::time::{Duration, SystemTime};

#[expect(clippy::disallowed_methods, reason = "the kit is an adapter: it records real arrival times")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// The current time in nanoseconds since 1970, on the same clock as [`crate::Received::at`].
pub fn unix_nanos() -> u64 {
    let since_epoch = now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "a slow receiver must be slow in real time")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
