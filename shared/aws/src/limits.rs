//! Bounds of the adapters for AWS. Those of the rules are in `statuspulse_core::limits`.

use std::time::Duration;

/// Deliveries that are read in one page of a shard.
pub(crate) const SHARD_PAGE: usize = 500;

/// The same if a list has the deliveries of many webhooks: they share `SHARD_PAGE`, but each has at least this many.
pub(crate) const SHARD_PAGE_MIN: usize = 5;

/// How often a list reads on, in as many shards as a webhook has, if its first pages do not fill it. If a filter matches
/// almost nothing, the result is a short page with a cursor, and one call need not read a month of deliveries.
pub(crate) const LIST_ROUNDS: usize = 4;

/// Tries of a change that conflicts with others, for example with a later delivery that sets `followed`.
pub(crate) const CHANGE_TRIES: u32 = 7;

/// How long a key is cached.
pub(crate) const KEYS_CACHED_FOR: Duration = Duration::from_secs(10);

/// How long it is remembered that no key has a hash.
pub(crate) const UNKNOWN_KEYS_CACHED_FOR: Duration = Duration::from_secs(5);

/// Maximum number of cached keys. When it is reached, the cache is cleared.
pub(crate) const KEYS_CACHED_MAX: usize = 1_000;

/// Tries of a revocation that conflicts with other changes.
pub(crate) const REVOKE_TRIES: usize = 5;

/// Deliveries that are read at a time when a lane is searched.
pub(crate) const LANE_READ_BATCH: usize = 16;

/// Finished deliveries at the front of a lane that are not worth removing.
pub(crate) const LANE_TRIM_AT: usize = 8;

/// Places in one item of a lane. With about 20 bytes each, a write costs at most three units.
pub(crate) const PLACES: usize = 100;

/// The longest time from the acceptance of an event to the place of its delivery in the lane: that of a call of the API, and
/// what clocks differ.
pub(crate) const APPENDED_WITHIN: Duration = Duration::from_secs(60);

/// Segments of a lane that are read at a time when all are searched: 200 KB.
pub(crate) const SEGMENTS_AT_ONCE: usize = 100;

/// Tries to read a lane that changes while it is read.
pub(crate) const LANE_TRIES: u32 = 7;

/// Maximum number of items in one BatchGetItem.
pub(crate) const BATCH_GET: usize = 100;

/// Tries for the items that a BatchGetItem leaves unprocessed because the table is throttled.
pub(crate) const BATCH_GET_TRIES: u32 = 5;

/// Tries of a write that conflicts with a running transaction.
pub(crate) const CONFLICT_TRIES: u32 = 7;

/// Maximum number of concurrent calls for one use case. An event may go to 500 webhooks.
pub(crate) const CONCURRENT_REQUESTS: usize = 32;

/// Maximum number of values of a metric in one line.
pub(crate) const METRIC_VALUES: usize = 100;

/// How long connections to AWS are used: a little less than the 350 s after which a NAT gateway forgets an idle one.
pub(crate) const CONNECTIONS_KEPT_FOR: Duration = Duration::from_secs(300);

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(8);

pub(crate) const CALL_TRIES: u32 = 4;

pub(crate) const FIRST_BACKOFF: Duration = Duration::from_millis(50);

pub(crate) const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// The longest delay of SQS.
pub(crate) const SQS_DELAY_MAX: Duration = Duration::from_secs(900);

/// Maximum number of messages in one SendMessageBatch.
pub(crate) const SQS_BATCH: usize = 10;

/// Batches and schedules that are sent concurrently. An event may go to 500 webhooks.
pub(crate) const CONCURRENT_SENDS: usize = 16;

/// Maximum bytes of a message, and of a batch. SQS allows 1 MiB, but Scheduler and older tools only 256 KiB. A larger
/// message is sent without its payload, and the worker reads that from the event.
pub(crate) const SQS_MESSAGE_BYTES: usize = 200 * 1024;

/// Tries for the messages that SQS refuses from a batch.
pub(crate) const SQS_BATCH_TRIES: usize = 4;

/// A retry that is due within this time, and sooner than its rung, is an early attempt.
pub(crate) const SENT_AT_ONCE: Duration = Duration::from_secs(2);

/// Scheduler refuses times in the past. An attempt that is due sooner than this goes directly to the queue.
pub(crate) const SCHEDULE_AHEAD: Duration = Duration::from_secs(2);

/// How often and for how many seconds Scheduler tries to send a message: its maximum.
pub(crate) const SCHEDULE_TRIES: i32 = 185;

pub(crate) const SCHEDULE_TRIED_FOR: i32 = 86_400;

/// How long an environment uses the data key before it compares it with the table: a read of a small item.
pub(crate) const DATA_KEY_KEPT_FOR: Duration = Duration::from_secs(300);

/// How long after a next data key was announced every environment knows it: it has compared its own, and the call in which
/// it did so has ended.
pub(crate) const DATA_KEY_KNOWN_AFTER: Duration =
    DATA_KEY_KEPT_FOR.saturating_add(statuspulse_core::limits::WORKER_ENDS);

/// How long after the next data key has begun to seal nothing more is written that the old one has sealed.
pub(crate) const OLD_KEY_UNUSED_AFTER: Duration = DATA_KEY_KNOWN_AFTER;

/// How long one call seals anew. Less than the timeout of its function, with a page of the table after it.
pub(crate) const REKEY_FOR: Duration = Duration::from_secs(8);
