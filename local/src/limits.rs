//! The limits of the program: what clients may take, and what it takes from the machine.

use std::time::Duration;

/// Connections of clients at the same time. A connection costs a descriptor and about 20 KiB. While all are taken, new
/// ones wait in the kernel's queue.
pub(crate) const CONNECTIONS: usize = 4096;
/// The part of them that one address may have, as a divisor. Several addresses are needed to take all connections.
pub(crate) const CLIENT_SHARE: usize = 8;
/// How long a client may take to send the head of a request, and how long a connection may be idle between two.
pub(crate) const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long the body of a request may take to arrive: 256 KiB at 10 KiB/s, and some more.
pub(crate) const BODY_WITHIN: Duration = Duration::from_secs(30);
/// How long a connection may last. Then the answer that is being sent is the last one.
pub(crate) const CONNECTION_LIFETIME: Duration = Duration::from_secs(600);
/// How long a client may take to read that last answer.
pub(crate) const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long to wait before the next connection is accepted, after an error such as too many open files.
pub(crate) const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Time between two log lines about too many connections.
pub(crate) const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Open files that the process asks for: enough for everything below, with room for the database.
pub(crate) const OPEN_FILES: u64 = 8192;
/// Handshakes and tests at the same time, shared by account.
pub(crate) const PROBES_AT_ONCE: usize = 256;
/// How long a handshake or test waits for its account's turn: as long as one that hangs can take. After that the caller
/// gets 503.
pub(crate) const PROBE_TURN_WITHIN: Duration = statuspulse_core::limits::ATTEMPT_TIMEOUT;
/// Open files of the database and its readers, at most ...
pub(crate) const OTHER_FILES: usize = 256;
/// ... and at least.
pub(crate) const OTHER_FILES_MIN: usize = 40;
/// Open files of one look-up of a name: it asks for IPv4 and IPv6 at the same time.
pub(crate) const FILES_PER_LOOKUP: usize = 2;
/// The smallest share of connections or slots.
pub(crate) const SHARE_MIN: usize = 4;

/// How long a 429 is held back. It slows down clients that retry at once.
pub(crate) const TOO_MANY_WAIT: Duration = Duration::from_millis(100);

/// Bytes to discard at most. If there are more, the answer is sent without reading them.
pub(crate) const DISCARDED_BYTES: u64 = 8 * statuspulse_core::limits::ENVELOPE_BYTES as u64;
/// Time to discard in at most, in case the client stops sending.
pub(crate) const DISCARDED_WITHIN: Duration = Duration::from_secs(1);

/// How often the machine's clock is compared with the steady one.
pub(crate) const CLOCK_CHECKED_EVERY: Duration = Duration::from_secs(10);
/// A smaller difference, in milliseconds, is a correction by NTP and not a change of the clock.
pub(crate) const CLOCK_SET_BY: u64 = 1_000;

/// How long a call of the command line may take. A test or a handshake waits for its turn and for a slow endpoint.
pub(crate) const CALL_WITHIN: Duration = Duration::from_secs(60);
/// Time between two looks at what a resume has released.
pub(crate) const RELEASE_POLL: Duration = Duration::from_secs(1);
/// Time between two lists of `deliveries list --follow`.
pub(crate) const FOLLOW_POLL: Duration = Duration::from_secs(1);
/// How far such a list goes back behind the newest delivery. On AWS, deliveries are created after their event was
/// accepted: after two minutes if the first function that tries is lost.
pub(crate) const FOLLOW_OVERLAP: Duration = Duration::from_secs(180);
/// How many calls `--follow` makes between two lists, to look again at older deliveries that are unfinished. The account
/// has 12,000 calls a minute.
pub(crate) const FOLLOW_LOOKS: usize = 4;

/// How long a count of the store is served again. Prometheus asks every 15 seconds or more rarely; a stranger may ask all
/// the time.
pub(crate) const CENSUS_KEPT: Duration = Duration::from_secs(5);

/// The lines of an export that are imported together, at most ...
pub(crate) const IMPORT_LINES: usize = 200;
/// ... and their bytes. Lambda takes 6 MB, and JSON in JSON may be twice as long.
pub(crate) const IMPORT_BYTES: usize = 2 * 1024 * 1024;

/// Bytes of an answer into which the path of the public URL is put. The API description is the longest.
pub(crate) const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes that should be free where the data folder is ...
pub(crate) const FREE_BYTES: u64 = 1024 * 1024 * 1024;
/// ... and that must be.
pub(crate) const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// By how many seconds the clock may be wrong. Receivers refuse signatures that are five minutes old.
pub(crate) const CLOCK_WRONG_BY: i64 = 60;
/// How long `doctor` waits for the page that says which address it is called from.
pub(crate) const ECHO_WITHIN: Duration = Duration::from_secs(10);
