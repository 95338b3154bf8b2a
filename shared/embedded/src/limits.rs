//! Bounds of the store. Those of the rules are in `statuspulse_core::limits`.

use std::time::Duration;

/// Rows examined in one transaction. Bounds how long other writes wait.
pub(crate) const PRUNE_PAGE: i64 = 500;

/// Deliveries of a message to workers before it becomes a dead letter.
pub const RECEIVES_MAX: u32 = 10;

/// Messages moved from `delayed` to `ready` in one transaction.
pub(crate) const DUE_PAGE: i64 = 500;

/// Maximum number of cached webhooks and accounts. Beyond it the cache is cleared.
pub(crate) const WEBHOOKS_CACHED: usize = 10_000;

/// Maximum number of jobs in one transaction. Bounds how long the first job waits for its answer.
pub(crate) const WRITE_BATCH: usize = 512;

/// Pages in the log above which the checkpoint thread starts: about 4 MiB.
pub(crate) const CHECKPOINT_PAGES: u64 = 1_000;

/// Pages in the log above which the writer itself checkpoints before its next batch: about 64 MiB.
pub(crate) const CHECKPOINT_PAGES_MAX: u64 = 16_000;

/// Maximum number of idle connections. More are opened while all are in use.
pub(crate) const READERS_KEPT: usize = 4;

/// Maximum number of messages of one webhook that are loaded into memory.
pub(crate) const BUFFERED: usize = 64;

/// The concurrency limit of a webhook at first. An endpoint that answers in 200 ms gets 320 requests per second with it.
pub(crate) const CONCURRENCY_START: usize = 64;

/// The smallest concurrency limit of a webhook. Large enough to notice soon that a receiver answers again.
pub(crate) const CONCURRENCY_MIN: usize = 8;

/// From this duration on, processing counts as slow. An attempt times out after 10 seconds.
pub(crate) const SLOW: Duration = Duration::from_secs(5);

/// How often records older than the retention are deleted.
pub const PRUNE_EVERY: Duration = Duration::from_secs(3600);
