//! The limits of the rules, each with its reason. Bounds of an adapter's own buffers are in the adapter.

use std::time::Duration;

// --- What a publisher may send --------------------------------------------------------------------------

/// A payload, in bytes. Room for a long incident history; small enough that message, record and copy in
/// flight stay cheap, and that it fits a queue message with its envelope.
pub const PAYLOAD_BYTES: usize = 128 * 1024;
/// Levels of objects and arrays in a payload: parsers of receivers refuse much more than that.
pub const PAYLOAD_LEVELS: usize = 64;
/// The body of a publishing call: the payload, and as many monitor groups as an envelope may name.
pub const ENVELOPE_BYTES: usize = PAYLOAD_BYTES + 128 * 1024;
/// The body of any other call.
pub const REQUEST_BYTES: usize = 64 * 1024;
/// An idempotency key, in characters: what the field's other APIs allow.
pub const IDEMPOTENCY_KEY_CHARS: usize = 255;
/// An incident's id, in characters.
pub const INCIDENT_ID_CHARS: usize = 200;
/// Monitor groups of one event or webhook.
pub const MONITOR_GROUPS: usize = 100;
/// One monitor group's name, in characters.
pub const MONITOR_GROUP_CHARS: usize = 200;

// --- What an account may have ---------------------------------------------------------------------------

/// Webhooks of one account: a fan-out reads them all.
pub const WEBHOOKS_PER_ACCOUNT: usize = 500;
/// API keys of one account, revoked ones not counted.
pub const KEYS_PER_ACCOUNT: usize = 100;
/// An account's name, in characters.
pub const ACCOUNT_NAME_CHARS: usize = 200;
/// Domains on an account's list.
pub const ALLOWED_DOMAINS: usize = 100;
/// A webhook's description, in characters.
pub const DESCRIPTION_CHARS: usize = 500;
/// Custom headers of a webhook.
pub const CUSTOM_HEADERS: usize = 20;
/// A custom header's name, in bytes.
pub const HEADER_NAME_BYTES: usize = 100;
/// A custom header's value, in bytes.
pub const HEADER_VALUE_BYTES: usize = 4096;
/// An endpoint's URL, in bytes: what every browser and proxy takes.
pub const URL_BYTES: usize = 2048;

// --- One attempt ----------------------------------------------------------------------------------------

/// Name look-up, connection and TLS together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The whole attempt, to the last byte read.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// A handshake, to the last byte read.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a response's body read before the connection is dropped.
pub const RESPONSE_READ_BYTES: usize = 64 * 1024;
/// Bytes of a response's body kept and shown.
pub const RESPONSE_KEPT_BYTES: usize = 1024;
/// Bytes of a response's headers kept and shown, names and values together.
pub const RESPONSE_HEADERS_KEPT_BYTES: usize = 1024;
/// Bytes of a response's head.
pub const RESPONSE_HEAD_BYTES: usize = 64 * 1024;
/// Fields of a response's head.
pub const RESPONSE_HEADERS: usize = 100;
/// How long a claimed attempt is its worker's alone: longer than any attempt, so that a second worker only
/// ever finds a crashed one's claim expired.
pub const CLAIM: Duration = Duration::from_secs(30);
/// How far the clocks of two workers may be apart.
pub const CLOCK_SKEW: Duration = Duration::from_secs(1);
/// A delivery that was due this long ago, and that others wait for, is woken once more: longer than a message takes that
/// was in the hands of a worker that died.
pub const OVERDUE: Duration = Duration::from_secs(600);
/// How often is looked for what no message will wake.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(900);
/// Attempts kept with a delivery: five for each of ten times round the ladder.
pub const ATTEMPTS_KEPT: usize = 50;

// --- Ladder, drain, notices -----------------------------------------------------------------------------

/// The longest wait between two attempts that a deployment can set.
pub const LADDER_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest wait a receiver's `Retry-After` can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Held deliveries let go in the first second after a resume ...
pub const DRAIN_FIRST_PAGE: usize = 10;
/// ... doubling every second up to this many: a service just back is not trampled.
pub const DRAIN_PAGE_MAX: usize = 100;
/// Time between two pages of a drain.
pub const DRAIN_INTERVAL: Duration = Duration::from_secs(1);
/// How long a drain waits after it let go one delivery as a probe, because its webhook fails again. Doubles ...
pub const DRAIN_RECHECK: Duration = Duration::from_secs(5);
/// ... up to this.
pub const DRAIN_RECHECK_MAX: Duration = Duration::from_secs(300);
/// How long a delivery that a drain let go may take to its first attempt before it is woken once more: its message may have
/// been lost with the worker that let it go. Longer than a claim, so that an attempt that is under way is over.
pub const STRAGGLER: Duration = Duration::from_secs(60);
/// Deliveries changed in one page where no receiver is called (hold, discard, cancel).
pub const JOB_PAGE: usize = 200;
/// Time between two messages to an account's engineers; what happens in between is told by one.
pub const NOTICE_GAP: Duration = Duration::from_secs(5);
/// Alerts that one such message tells at most ...
pub const NOTICES_TOGETHER: usize = 100;
/// ... of which so many have a line in it ...
pub const NOTICE_LINES: usize = 10;
/// ... with so many characters of an endpoint, and of an error.
pub const NOTICE_LINE_CHARS: usize = 80;
/// Waits between tries of a notification to Slack; the last one repeats.
pub const NOTICE_WAITS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(3600),
];
/// Tries of a notification: about 31 hours.
pub const NOTICE_TRIES: u32 = 36;

// --- Secrets and keys -----------------------------------------------------------------------------------

/// The window in which both the old and the new secret sign.
pub const ROTATION_WINDOW: Duration = Duration::from_secs(24 * 3600);

// --- The dashboard --------------------------------------------------------------------------------------

/// How long a link to the dashboard may be used: long enough to be copied from a terminal.
pub const DASHBOARD_LINK: Duration = Duration::from_secs(5 * 60);
/// Bytes of each text that a form has to show on the next page: a browser keeps four kilobytes of a cookie.
pub const FLASH_TEXT_BYTES: usize = 750;
/// How long a browser stays signed in: a working day.
pub const DASHBOARD_SESSION: Duration = Duration::from_secs(10 * 3600);

// --- Lists ----------------------------------------------------------------------------------------------

/// Entries of a page, when the caller names none.
pub const PAGE_DEFAULT: usize = 50;
/// Entries of a page at most.
pub const PAGE_MAX: usize = 250;
/// Bytes of a page of deliveries at most, though one is always on it: Lambda takes no answer of more than six megabytes, with
/// its quotes escaped once more.
pub const PAGE_BYTES: usize = 2 * 1024 * 1024;

// --- Keeping --------------------------------------------------------------------------------------------

/// How long a finished delivery, its attempts and its event are kept; also how long a repeated idempotency
/// key is recognised.
pub const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);
/// On AWS, where the table deletes by itself: how long the event of a held delivery, a lane and the tombstone of a
/// deleted webhook are kept. A webhook that was paused for a year is not coming back for its incidents.
pub const UNFINISHED_RETENTION: Duration = Duration::from_secs(365 * 24 * 3600);

/// Entries of a webhook's audit log that are kept: it is read with the webhook, at every attempt.
pub const AUDIT_ENTRIES_KEPT: usize = 20;

// --- Connections to receivers (shared/outbound) ----------------------------------------------------------

/// How long the answer to a name's look-up is used for further attempts: a burst of deliveries to one host
/// costs one look-up a second. The addresses in it were vetted, and are the ones connected to.
pub const LOOKUP_REUSE: Duration = Duration::from_secs(1);
/// Hosts whose look-up is remembered.
pub const LOOKUPS_KEPT: usize = 1024;
/// Look-ups that run at the same time: each takes a thread, which names that never answer must not use up.
pub const LOOKUPS_AT_ONCE: usize = 64;
/// Addresses of one name that are tried, in turn, within [`CONNECT_TIMEOUT`].
pub const CONNECT_TRIES: usize = 4;
/// Idle connections kept to one origin: many webhooks may share one, and a new TLS session costs ten times a POST ...
pub const IDLE_PER_ORIGIN: usize = 256;
/// ... and to all together: some 30 KiB each with TLS.
pub const IDLE_CONNECTIONS: usize = 1024;
/// How long an idle connection is kept: a little less than the 60 s after which common load balancers close it.
pub const IDLE_FOR: Duration = Duration::from_secs(55);
/// A kept connection that breaks within this time, without a byte of an answer, was stale: the request goes out
/// once more on a fresh one. After it the receiver may well be at work on the request.
pub const STALE_WITHIN: Duration = Duration::from_secs(1);
/// Time between two messages to a Slack channel: what Slack allows.
pub const CHANNEL_GAP: Duration = Duration::from_secs(1);
/// Deliveries that one message tells at most: each is a claim and a record ...
pub const CHANNEL_TOGETHER: usize = 100;
/// ... of which so many have a line in it.
pub const CHANNEL_LINES: usize = 10;
/// How long after a channel's turn a delivery comes again that somebody else should have told then.
pub const CHANNEL_WATCH: Duration = Duration::from_secs(2);
/// Characters of a PagerDuty summary.
pub const PAGERDUTY_SUMMARY_CHARS: usize = 1024;
/// Characters of a text in a Slack message.
pub const SLACK_TEXT_CHARS: usize = 3000;
/// Characters of a field in a Slack message.
pub const SLACK_FIELD_CHARS: usize = 2000;
/// Characters of a monitor's name or an incident's id that a Slack message shows.
pub const SLACK_NAME_CHARS: usize = 150;
