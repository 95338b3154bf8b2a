//! The tables of the database.
//!
//! Times are milliseconds since 1970. Ids are 16 bytes.

use rusqlite::Connection;

/// The format of the tables. Increment it with every change of them. Formats 1 to 9 were never released and are not
/// supported.
const VERSION: i64 = 10;

/// Creates the tables.
///
/// `seq` is the order of acceptance. The indexes `lane` and `unfinished` contain only unfinished deliveries, so they
/// stay small however long the history is. `lane` finds the head of a lane, `unfinished` the deliveries of a job.
/// `incidents`, `types`, `unfinished` and `finished` also serve the filters of lists.
///
/// Due messages are in `ready`, ordered by queue, account and webhook, so that the backlog of one webhook is never read
/// to find the messages of another. All other messages are in `delayed`, ordered by due time.
///
/// `probe` has one row, which is written to find out whether the disk has room again.
const TABLES: &str = "
CREATE TABLE accounts (
    id BLOB PRIMARY KEY, name TEXT NOT NULL, allowed_domains TEXT NOT NULL, created_at INTEGER NOT NULL,
    version INTEGER NOT NULL, slack BLOB, quotas TEXT NOT NULL, kept_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id BLOB PRIMARY KEY, account_id BLOB, role TEXT NOT NULL, prefix TEXT NOT NULL, hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_account ON keys (account_id, id);

CREATE TABLE sessions (
    hash BLOB PRIMARY KEY, kind INTEGER NOT NULL, key BLOB NOT NULL, expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE webhooks (
    id BLOB PRIMARY KEY, account_id BLOB NOT NULL, deleted INTEGER NOT NULL, version INTEGER NOT NULL,
    record TEXT NOT NULL, sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX webhooks_by_account ON webhooks (account_id, id) WHERE deleted = 0;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, account_id BLOB NOT NULL, event_type TEXT NOT NULL,
    incident_id TEXT NOT NULL, monitor_groups TEXT NOT NULL, body BLOB NOT NULL, fingerprint BLOB NOT NULL,
    accepted_at INTEGER NOT NULL, webhooks BLOB NOT NULL
) STRICT;

CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, event_id BLOB NOT NULL, event_type TEXT NOT NULL,
    incident_id TEXT NOT NULL, account_id BLOB NOT NULL, webhook_id BLOB NOT NULL, accepted_at INTEGER NOT NULL,
    round INTEGER NOT NULL, first_outage INTEGER, last_outage INTEGER, state INTEGER NOT NULL, number INTEGER,
    due INTEGER, timing TEXT, ladder_due INTEGER, attempts TEXT NOT NULL, version INTEGER NOT NULL, trigger TEXT NOT NULL,
    delayed INTEGER NOT NULL
) STRICT;
CREATE INDEX types ON deliveries (webhook_id, event_type, seq);
CREATE INDEX lane ON deliveries (webhook_id, incident_id, seq) WHERE state < 3;
CREATE INDEX unfinished ON deliveries (webhook_id, state, seq) WHERE state < 3;
CREATE INDEX finished ON deliveries (webhook_id, state, seq) WHERE state > 2;
CREATE INDEX incidents ON deliveries (webhook_id, incident_id, seq);

CREATE TABLE ready (
    queue INTEGER NOT NULL, account_id BLOB NOT NULL, webhook_id BLOB NOT NULL, seq INTEGER NOT NULL,
    receives INTEGER NOT NULL, message TEXT NOT NULL, PRIMARY KEY (queue, account_id, webhook_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE delayed (
    due INTEGER NOT NULL, seq INTEGER NOT NULL, receives INTEGER NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (due, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE probe (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;

CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY, message TEXT NOT NULL, receives INTEGER NOT NULL, died_at INTEGER NOT NULL
) STRICT;
";

/// Tables that were added to this format. They are created in an older file, too. An older version of the program ignores
/// them.
const ADDED: &str = "
CREATE TABLE IF NOT EXISTS figures (
    owner BLOB NOT NULL, hour INTEGER NOT NULL, counts TEXT NOT NULL, PRIMARY KEY (owner, hour)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS key_facts (
    hash BLOB PRIMARY KEY, name TEXT, last_used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audit_log (
    account_id BLOB NOT NULL, id BLOB NOT NULL, webhook_id BLOB, at INTEGER NOT NULL, entry TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS audit_of_webhooks ON audit_log (webhook_id, id) WHERE webhook_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS audit_by_time ON audit_log (at);
CREATE TABLE IF NOT EXISTS draws (
    id BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, at INTEGER NOT NULL, seed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS arriving (
    account_id BLOB PRIMARY KEY, export TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS all_keys AS
    SELECT keys.*, key_facts.name, key_facts.last_used_at FROM keys LEFT JOIN key_facts ON key_facts.hash = keys.hash;
";

/// What is wrong with the file, in SQLite's words; `None` if nothing is.
pub(crate) fn damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok(Some(found).filter(|found| found != "ok"))
}

/// Whether the file has another format.
pub(crate) fn other_format(connection: &Connection) -> rusqlite::Result<Option<OtherFormat>> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok((found != VERSION).then_some(OtherFormat { found }))
}

/// Creates the tables in a new file. Refuses a file with another format.
pub(crate) fn prepare(connection: &Connection) -> rusqlite::Result<Result<(), OtherFormat>> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found == 0 {
        connection.execute_batch(TABLES)?;
        connection.pragma_update(None, "user_version", VERSION)?;
    }
    if matches!(found, 0 | VERSION) {
        connection.execute_batch(ADDED)?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(if matches!(found, 0 | VERSION) { Ok(()) } else { Err(OtherFormat { found }) })
}

/// Another version of the program created the file.
#[derive(Debug)]
pub(crate) struct OtherFormat {
    pub(crate) found: i64,
}
