//! Bounds of the store. Those of the rules are in `statuspulse_core::limits`.

use std::time::Duration;

use statuspulse_core::message::QueueName;

/// Rows examined in one transaction. Bounds how long other writes wait.
pub(crate) const PRUNE_PAGE: i64 = 500;

/// Deliveries of a message to workers before it becomes a dead letter.
pub const RECEIVES_MAX: u32 = 10;

/// Messages moved from `delayed` to `ready` in one transaction.
pub(crate) const DUE_PAGE: i64 = 500;

/// Bytes of webhooks in memory. Enough for all webhooks of an account with the largest headers.
pub(crate) const WEBHOOK_CACHE_BYTES: usize = 48 * 1024 * 1024;
/// About what a webhook without custom headers takes in memory.
pub(crate) const WEBHOOK_BYTES: usize = 2048;

/// Maximum number of jobs in one transaction. Bounds how long the first job waits for its answer.
pub(crate) const WRITE_BATCH: usize = 512;
/// How long a transaction keeps taking jobs. Long enough that the fixed cost of a transaction stays a small part of it,
/// and short enough that one small write does not wait for many large ones of other accounts.
pub(crate) const WRITE_BATCH_FOR: Duration = Duration::from_millis(2);

/// Bytes that are written to find out whether writes succeed again after one has failed.
pub(crate) const PROBE_BYTES: i64 = 256 * 1024;

/// The size to which the log is cut back when it was longer: twice the size at which the writer checkpoints itself.
pub(crate) const LOG_BYTES_KEPT: i64 = 128 * 1024 * 1024;

/// Free pages that the database keeps for new rows. More are given back after records were deleted: about 16 MiB.
pub(crate) const FREE_PAGES_KEPT: i64 = 4_000;

/// Pages that are given back in one transaction. Bounds how long other writes wait.
pub(crate) const VACUUM_PAGES: i64 = 500;

/// Pages in the log above which the checkpoint thread starts: about 4 MiB.
pub(crate) const CHECKPOINT_PAGES: u64 = 1_000;

/// Time between two checkpoints while the log is short.
pub(crate) const CHECKPOINT_EVERY: Duration = Duration::from_millis(200);

/// Pages in the log above which the writer itself checkpoints before its next batch: about 64 MiB.
pub(crate) const CHECKPOINT_PAGES_MAX: u64 = 16_000;

/// Long reads at the same time. An account has one of them at most while others read too.
pub(crate) const LONG_READS_AT_ONCE: usize = 2;

/// Rows that one page of a list looks at. A page may be short, and its cursor goes on behind them.
pub(crate) const LIST_ROWS: usize = 2_000;
/// Rows after which a list lets threads that deliver have its core. Otherwise they wait for the end of its time slice,
/// which is some milliseconds, whatever its priority is.
pub(crate) const ROWS_AT_A_TIME: usize = 32;

/// Deliveries are stored in the order of their acceptance times, but for clocks that were set back, by this much at most.
pub(crate) const CLOCK_SET_BACK: Duration = Duration::from_secs(3600);

/// Pages in the log above which there is a warning: about 256 MiB.
pub(crate) const LONG_LOG_PAGES: u64 = 64_000;

/// Maximum number of idle connections. More are opened while all are in use.
pub(crate) const READERS_KEPT: usize = 4;

/// Messages of one webhook in the memory of a queue ...
pub(crate) const BUFFERED_PER_WEBHOOK: usize = 64;
/// ... and of all webhooks together, about 300 bytes each. Beyond it there is one of each webhook. The rest is on disk.
pub(crate) const MESSAGES_BUFFERED: usize = 16_384;
/// Bytes of bodies that wait in the memory of a queue. Beyond it a body is read when its message is processed.
pub(crate) const BODIES_BUFFERED: usize = 4 * 1024 * 1024;

/// How many messages of a queue are processed concurrently, unless [`Embedded::limit_slots`](crate::Embedded) lowers
/// it. An attempt takes 10 seconds at most, so even if every receiver hangs, at least 100 first attempts start per
/// second.
pub fn slots(queue: QueueName) -> usize {
    match queue {
        QueueName::First => 1024,
        QueueName::Retry => 256,
        QueueName::Upkeep => 16,
    }
}

/// Bytes of the bodies of the messages that are processed concurrently: 128 first attempts with the largest payload.
pub(crate) fn bodies_in_work(queue: QueueName) -> usize {
    match queue {
        QueueName::First => 16 * 1024 * 1024,
        QueueName::Retry => 8 * 1024 * 1024,
        QueueName::Upkeep => 0,
    }
}

/// The part of a queue's slots and bytes, as a divisor, that only accounts may use of which nothing is in progress.
pub(crate) const RESERVE_PART: usize = 16;

/// Webhooks of one account that a queue has in memory, up to which it also remembers those without messages that were
/// slow. As many as an account may have.
pub(crate) const SLOW_REMEMBERED: usize = 500;

/// The concurrency limit of a webhook at first. An endpoint that answers in 200 ms gets 320 requests per second with it.
pub(crate) const CONCURRENCY_START: usize = 64;

/// The smallest concurrency limit of a webhook. Large enough to notice soon that a receiver answers again.
pub(crate) const CONCURRENCY_MIN: usize = 8;

/// How often records older than the retention are deleted.
pub const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// Figures, by owner and hour, that are stored in one write. Each takes some ten microseconds.
pub(crate) const FIGURES_PER_WRITE: usize = 200;

/// How long a connection waits for another one that holds the file.
pub(crate) const BUSY_FOR: Duration = Duration::from_secs(5);

/// Pages that a backup copies at a time, before it says how far it is.
pub(crate) const BACKUP_PAGES: i32 = 2_000;

/// A message that is this overdue means that the queues have stalled.
pub(crate) const LATE: Duration = Duration::from_secs(30);

/// Rows that one transaction of a rekey seals anew: some milliseconds, for which the server may have to wait.
pub(crate) const REKEY_ROWS: i64 = 200;
