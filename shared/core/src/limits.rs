//! The limits of the rules, each with its reason. Limits of an adapter's own buffers are in that adapter.

use std::time::Duration;

// --- What a publisher may send --------------------------------------------------------------------------

/// Payload, in bytes. Enough for a long incident history, and small enough that it fits a queue message with its
/// envelope and that copies are cheap.
pub const PAYLOAD_BYTES: usize = 128 * 1024;
/// Nesting levels of a payload. Many JSON parsers of receivers refuse deeper nesting.
pub const PAYLOAD_LEVELS: usize = 64;
/// Body of a publishing call, in bytes: the payload and the monitor groups of the envelope.
pub const ENVELOPE_BYTES: usize = PAYLOAD_BYTES + 128 * 1024;
/// Body of any other call, in bytes.
pub const REQUEST_BYTES: usize = 64 * 1024;
/// Words that a search in the API reference looks for. All pages are searched, in memory.
pub const DOCS_SEARCH_WORDS: usize = 8;
/// Pages that such a search shows.
pub const DOCS_SEARCH_RESULTS: usize = 40;
/// Idempotency key, in characters: the limit of other APIs, Stripe's among them.
pub const IDEMPOTENCY_KEY_CHARS: usize = 255;
/// How long a call that shows something once shows the same again when it is repeated with its idempotency key.
pub const SHOWN_AGAIN_FOR: Duration = Duration::from_secs(24 * 3600);
/// Incident id, in characters.
pub const INCIDENT_ID_CHARS: usize = 200;
/// Notification of Alertmanager or Grafana, in bytes: some thousand alerts.
pub const NOTIFICATION_BYTES: usize = 1024 * 1024;
/// Alerts of one notification. Each is published by itself, which takes a few milliseconds.
pub const ALERTS: usize = 500;
/// An alert's fingerprint, in characters. Theirs have 16.
pub const FINGERPRINT_CHARS: usize = 64;
/// An alert's name, in UTF-16 units.
pub const ALERT_NAME_UNITS: usize = 200;
/// A text of an alert's details, in UTF-16 units. Slack shows as much.
pub const ALERT_TEXT_UNITS: usize = 2_000;
/// Monitor groups per event or webhook.
pub const MONITOR_GROUPS: usize = 100;
/// Name of a monitor group, in characters.
pub const MONITOR_GROUP_CHARS: usize = 200;

// --- What an account may have ---------------------------------------------------------------------------

/// Webhooks per account. Each fan-out reads all of them.
pub const WEBHOOKS_PER_ACCOUNT: usize = 500;
/// Valid API keys per account. Revoked and expired keys do not count.
pub const KEYS_PER_ACCOUNT: usize = 100;
/// How often it is remembered that a key was used: often enough to see an unexpected use, seldom enough to cost nothing.
pub const KEY_USE_EVERY: Duration = Duration::from_secs(10 * 60);
/// Name of an account or of a key, in characters.
pub const NAME_CHARS: usize = 200;
/// Allowed domains per account.
pub const ALLOWED_DOMAINS: usize = 100;
/// Webhook description, in characters.
pub const DESCRIPTION_CHARS: usize = 500;
/// Custom headers per webhook.
pub const CUSTOM_HEADERS: usize = 20;
/// Name of a custom header, in bytes.
pub const HEADER_NAME_BYTES: usize = 100;
/// Value of a custom header, in bytes.
pub const HEADER_VALUE_BYTES: usize = 4096;
/// Endpoint URL, in bytes: what common browsers and proxies accept.
pub const URL_BYTES: usize = 2048;
/// Host name of a URL, in bytes (RFC 1035).
pub const HOST_NAME_BYTES: usize = 253;
/// Label of a host name, in bytes (RFC 1035).
pub const HOST_LABEL_BYTES: usize = 63;

// --- What an account may use (defaults; an operator can set others for an account) -------------------------

/// Events in a minute. Ten thousand a second is about what a machine with two cores delivers.
pub const EVENTS_PER_MINUTE: u64 = 600_000;
/// Bytes of payloads in a minute: 10 MiB a second, ten thousand events of the usual size.
pub const EVENT_BYTES_PER_MINUTE: u64 = 600 * 1024 * 1024;
/// Calls of the API, apart from publishing, and of the dashboard in a minute: 200 a second, as scripts make them ...
pub const CALLS_PER_MINUTE: u64 = 12_000;
/// ... where a call counts once more for each of these bytes of its body, because a webhook with large headers takes as
/// long to change as several small ones.
pub const BYTES_PER_CALL: u64 = 4096;
/// Handshakes and tests in a minute. An account can register all of its webhooks at once; each occupies a connection
/// for up to [`HANDSHAKE_TIMEOUT`].
pub const PROBES_PER_MINUTE: u64 = 600;
/// Bytes of stored events, with [`DELIVERY_BYTES`] for each delivery: two million large events with a few webhooks.
pub const KEPT_BYTES: u64 = 20 * 1024 * 1024 * 1024;
/// Webhooks with the same URL, apart from pending ones. Each gets every event, so one event can cost a receiver this many
/// POSTs.
pub const WEBHOOKS_PER_URL: u64 = 10;
/// Webhooks with the same host and port, apart from pending ones: as many as an account can have, because customers route
/// by path behind one gateway. An operator sets less for an account that is not trusted: its event costs the host one POST
/// for each of them.
pub const WEBHOOKS_PER_HOST: u64 = WEBHOOKS_PER_ACCOUNT as u64;
/// Estimate of what a delivery with its attempts takes on disk, in bytes.
pub const DELIVERY_BYTES: u64 = 1024;
/// The longest burst of a rate: what it allows in this time. Short, so that a burst does not hold others up for long.
pub const RATE_BURST: Duration = Duration::from_secs(10);
/// The longest burst of bytes.
pub const BYTES_BURST: Duration = Duration::from_secs(2);
/// Bytes of an account's events that one process parses and stores at the same time. The rest waits its turn,
/// so that a burst of large events does not take all cores and the disk: one of the largest, or hundreds of the usual size.
pub const EVENT_BYTES_AT_ONCE: usize = PAYLOAD_BYTES;
/// The period of rates.
pub const RATE_PERIOD: Duration = Duration::from_secs(60);
/// How long an account's quotas are used before they are read again.
pub const QUOTAS_REUSED_FOR: Duration = Duration::from_secs(60);
/// Accounts whose use is remembered. Beyond it, those are forgotten that have used nothing in the last minute.
pub const ACCOUNTS_COUNTED: usize = 10_000;

// --- One attempt ----------------------------------------------------------------------------------------

/// Name look-up, connection and TLS together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A whole attempt, up to the last byte read.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// A handshake, up to the last byte read.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Response body bytes read before the connection is dropped.
pub const RESPONSE_READ_BYTES: usize = 64 * 1024;
/// Response body bytes stored and shown.
pub const RESPONSE_KEPT_BYTES: usize = 1024;
/// Response header bytes stored and shown, names and values together.
pub const RESPONSE_HEADERS_KEPT_BYTES: usize = 1024;
/// Size of a response's head, in bytes.
pub const RESPONSE_HEAD_BYTES: usize = 64 * 1024;
/// Number of response headers.
pub const RESPONSE_HEADERS: usize = 100;
/// From this duration on, an attempt is slow.
pub const SLOW_FROM: Duration = Duration::from_secs(5);
/// How long a webhook counts as slow after a slow attempt.
pub const SLOW_FOR: Duration = Duration::from_secs(600);
/// How long a claim or a lease lasts. Longer than any attempt, so that it normally expires only if its worker has
/// crashed.
pub const CLAIM: Duration = Duration::from_secs(30);
/// How long an attempt waits that could not be made for a reason on our side.
pub const NOT_MADE_WAIT: Duration = Duration::from_secs(5);
/// Largest assumed difference between the clocks of two workers.
pub const CLOCK_SKEW: Duration = Duration::from_secs(1);
/// How long after its due time a message counts as lost. Longer than a message takes to come back after its worker
/// died.
pub const OVERDUE: Duration = Duration::from_secs(600);
/// Time between two checks of all webhooks for lost messages.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(900);
/// Attempts stored with a delivery: ten rounds of five.
pub const ATTEMPTS_KEPT: usize = 50;
/// Bytes of all answers stored with a delivery. Older ones are dropped, so that a write of the delivery stays cheap: DynamoDB
/// bills each by its whole size.
pub const ANSWERS_KEPT_BYTES: usize = 16 * 1024;

// --- Ladder, drain, notifications ------------------------------------------------------------------------

/// The longest wait between two attempts that a deployment can set.
pub const LADDER_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest wait a receiver's `Retry-After` can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Deliveries that a drain sends in the first second after a resume ...
pub const DRAIN_FIRST_PAGE: usize = 10;
/// ... doubling every second up to this many, so that a service that has just recovered is not overloaded.
pub const DRAIN_PAGE_MAX: usize = 100;
/// Time between two pages of a drain, or before a message is tried again after a conflict.
pub const DRAIN_INTERVAL: Duration = Duration::from_secs(1);
/// How long a drain waits after it released a single trial delivery, while its webhook is failing. Doubles ...
pub const DRAIN_RECHECK: Duration = Duration::from_secs(5);
/// ... up to this.
pub const DRAIN_RECHECK_MAX: Duration = Duration::from_secs(300);
/// Deliveries that are counted at most for the answer to a retry of all, or for the question before a redelivery of all.
pub const COUNTED: usize = 1000;
/// Pages in a row with a failing webhook after which a recovery ends.
pub const RECOVERY_RELAPSES: u32 = 3;
/// How long after a change was asked for others may still write by what they read before it. A call may take as long as
/// its function can run, and so may a worker that read the record just before the change was saved. So this is twice
/// that time; a test of the template keeps to it.
pub const WORKER_ENDS: Duration = Duration::from_secs(60);
/// How long a released delivery may wait for its first attempt before its message is sent again: the message may have
/// been lost with the worker that released it. Longer than a claim, so that an attempt that was running has ended.
pub const RESEND_AFTER: Duration = Duration::from_secs(60);
/// Deliveries per page of a job that calls no receiver (hold, discard, cancel).
pub const JOB_PAGE: usize = 200;
/// Time between two messages to an account's engineers. Notifications in between are sent together.
pub const NOTIFICATION_GAP: Duration = Duration::from_secs(5);
/// Notifications in one such message ...
pub const NOTIFICATIONS_TOGETHER: usize = 100;
/// ... of which this many have their own line ...
pub const NOTICE_LINES: usize = 10;
/// ... with this many characters of the endpoint, and of the error.
pub const NOTIFICATION_LINE_CHARS: usize = 80;
/// Waits between tries of a notification. The last one repeats.
pub const NOTIFICATION_WAITS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(3600),
];
/// Tries of a notification, over about 31 hours.
pub const NOTIFICATION_TRIES: u32 = 36;

// --- Secrets and keys -----------------------------------------------------------------------------------

/// How long the old and the new secret both sign after a rotation.
pub const ROTATION_WINDOW: Duration = Duration::from_secs(24 * 3600);

// --- The dashboard --------------------------------------------------------------------------------------

/// Lifetime of a sign-in link: long enough to copy it from a terminal.
pub const DASHBOARD_LINK: Duration = Duration::from_secs(5 * 60);
/// Length of each text that a form shows on the next page, in bytes. It travels in a cookie, of which browsers store
/// 4 KiB.
pub const FLASH_TEXT_BYTES: usize = 750;
/// Lifetime of a browser's session: a working day.
pub const DASHBOARD_SESSION: Duration = Duration::from_secs(10 * 3600);

// --- Lists ----------------------------------------------------------------------------------------------

/// Entries per page by default.
pub const PAGE_DEFAULT: usize = 50;
/// Entries per page at most.
pub const PAGE_MAX: usize = 250;
/// Bytes per page of deliveries at most; a page always has at least one. Lambda limits an answer to 6 MB, and escapes
/// its quotes once more.
pub const PAGE_BYTES: usize = 2 * 1024 * 1024;

// --- Keeping --------------------------------------------------------------------------------------------

/// How long finished deliveries, their attempts and their events are stored, and how long a repeated idempotency key is
/// recognised.
pub const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);
/// The start of [`KeyPeriod`](crate::ids::KeyPeriod) 0 in Unix seconds: 2026-11-15.
pub const KEY_PERIODS_FROM: i64 = 1_794_700_800;
/// On AWS, where the table deletes expired items: how long the event of a held delivery, a lane, and the tombstone of a
/// deleted webhook are stored. Events of a webhook that was paused for a year are no longer of use.
pub const UNFINISHED_RETENTION: Duration = Duration::from_secs(365 * 24 * 3600);

/// The promise: within this time of an event's acceptance its first attempt begins.
pub const PROMISED: Duration = Duration::from_millis(200);
/// Bounds in which the durations of attempts are counted, in milliseconds. Close together where the promise is decided.
pub const FIGURE_BOUNDS_MS: [u64; 20] =
    [1, 2, 5, 10, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 5000, 10_000, 30_000, 60_000];
/// Hours of figures that are kept of an account or a webhook, the current one included.
pub const FIGURE_HOURS: usize = 30 * 24 + 1;
/// How often a process that keeps running stores what it has counted.
pub const FIGURES_FLUSHED_EVERY: Duration = Duration::from_secs(1);

/// Bytes that a secret encodes, if its owner brings it. Ours encode 32.
pub const SECRET_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Entries stored of a webhook's audit log. Every attempt reads them with the webhook.
pub const AUDIT_ENTRIES_KEPT: usize = 20;

// --- Connections to receivers (shared/outbound) ----------------------------------------------------------

/// How long the result of a name look-up is reused: a burst of deliveries to one host costs one look-up a second. Its
/// addresses were checked, and connections go to one of them.
pub const LOOKUP_REUSE: Duration = Duration::from_secs(1);
/// Hosts in the cache of look-ups.
pub const LOOKUPS_KEPT: usize = 1024;
/// Look-ups at the same time, shared by account. Each takes two sockets (IPv4 and IPv6) for at most [`LOOKUP_WITHIN`].
pub const LOOKUPS_AT_ONCE: usize = 512;
/// How long a call waits for its account's turn to look up a name. Twice as long as a look-up takes, and short enough
/// that the attempt then still ends within its claim.
pub const LOOKUP_TURN_WITHIN: Duration = Duration::from_secs(5);
/// How long one look-up may take. With [`RESOLVER_CHECK_WITHIN`] less than [`CONNECT_TIMEOUT`], so that it ends by
/// itself and its failure is remembered.
pub const LOOKUP_WITHIN: Duration = Duration::from_millis(2400);
/// How long the resolver may take to show that it answers, after a look-up got no answer ...
pub const RESOLVER_CHECK_WITHIN: Duration = Duration::from_millis(500);
/// ... unless it has shown so within this time.
pub const RESOLVER_ALIVE_FOR: Duration = Duration::from_secs(1);
/// The shortest and the longest time that an answer is kept, whatever its TTL says ...
pub const LOOKUP_TTL_MIN: Duration = Duration::from_secs(1);
/// ... so that a name that moves is noticed within a minute.
pub const LOOKUP_TTL_MAX: Duration = Duration::from_secs(60);
/// How long a failed look-up is remembered, so that a burst to a name that does not answer costs one look-up.
pub const LOOKUP_FAILED_FOR: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried, within [`CONNECT_TIMEOUT`].
pub const CONNECT_TRIES: usize = 10;
/// How long an address may be silent before the next one is tried beside it (RFC 8305).
pub const CONNECT_DELAY: Duration = Duration::from_millis(250);
/// Addresses that are tried at the same time. Each takes a socket.
pub const CONNECTS_AT_ONCE: u32 = 3;
/// Origins whose last answering address is remembered.
pub const ANSWERED_KEPT: usize = 1024;
/// Idle connections of an account to an origin. Many webhooks may share one, and a new TLS session costs ten times as much as a POST
/// ...
pub const IDLE_PER_ORIGIN: usize = 256;
/// ... and in total: about 30 KiB each with TLS.
pub const IDLE_CONNECTIONS: usize = 1024;
/// How long an idle connection is kept: a little less than the 60 s after which common load balancers close it.
pub const IDLE_FOR: Duration = Duration::from_secs(55);
/// If a kept connection breaks within this time and without a byte of an answer, it was stale, and the request is sent
/// again on a new one. After this time the receiver may be handling the request.
pub const STALE_WITHIN: Duration = Duration::from_secs(1);
/// If nothing that is sent on a kept connection is acknowledged for this time, the network has forgotten it, and the
/// request is sent again on a new one. Long enough for two packets that are lost in a row, and short enough that the
/// receiver still has most of [`ATTEMPT_TIMEOUT`].
pub const UNACKED_FOR: Duration = Duration::from_secs(2);
/// Time between two messages to a Slack channel: Slack's limit.
pub const SLACK_INTERVAL: Duration = Duration::from_secs(1);
/// Deliveries in one message to a channel: each costs a claim and a save ...
pub const BURST_MAX: usize = 100;
/// ... of which this many have their own line.
pub const BURST_LINES: usize = 10;
/// How long after the channel's next slot a delivery returns that should have been sent in that slot's batch.
pub const SLOT_RECHECK: Duration = Duration::from_secs(2);
/// PagerDuty summary, in characters.
pub const PAGERDUTY_SUMMARY_CHARS: usize = 1024;
/// Text block of a Slack message, in characters.
pub const SLACK_TEXT_CHARS: usize = 3000;
/// Field of a Slack message, in characters.
pub const SLACK_FIELD_CHARS: usize = 2000;
/// Monitor name, status or incident id in a Slack message, in characters.
pub const SLACK_NAME_CHARS: usize = 150;
/// Time between two messages to a Discord channel. Discord allows 30 messages a minute in a channel.
pub const DISCORD_INTERVAL: Duration = Duration::from_secs(2);
/// Title of an embed in a Discord message, in characters.
pub const DISCORD_TITLE_CHARS: usize = 256;
/// Description of an embed in a Discord message, in characters.
pub const DISCORD_DESCRIPTION_CHARS: usize = 4096;
/// Value of a field of an embed in a Discord message, in characters.
pub const DISCORD_FIELD_CHARS: usize = 1024;
/// All texts of an embed in a Discord message together, in characters.
pub const DISCORD_EMBED_CHARS: usize = 6000;
/// Monitor name, status or incident id in a Discord message, in characters. It is escaped after it is cut.
pub const DISCORD_NAME_CHARS: usize = 150;

/// An export has the events of this time even if all their deliveries are finished, so that a publisher that repeats a
/// call at the new deployment is recognised.
pub const MOVED_HISTORY: Duration = Duration::from_secs(24 * 3600);
/// Errors listed in an answer. Any others are only counted.
pub const ERRORS_SHOWN: usize = 50;
