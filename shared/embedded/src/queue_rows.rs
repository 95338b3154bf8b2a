//! The rows of the queues' tables.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::message::{Message, QueueName};
use statuspulse_core::record::millis;

use crate::columns::{bad, bytes16, readable};
use crate::entry::{Entry, Owner, Wanted, without_body};

/// The queue's number in the database, and its index in `Queues::in_memory`.
pub(crate) fn number(queue: QueueName) -> u8 {
    match queue {
        QueueName::First => 0,
        QueueName::Retry => 1,
        QueueName::Upkeep => 2,
    }
}

/// When the next delayed message is due, in milliseconds since 1970; `i64::MAX` if there is none.
pub(crate) fn earliest(connection: &Connection) -> rusqlite::Result<i64> {
    let due: Option<i64> = connection
        .prepare_cached("SELECT min(due) FROM delayed")?
        .query_row([], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(due.unwrap_or(i64::MAX))
}

/// Serializes the message without its payload, which is stored once, with the event.
pub(crate) fn text_of(message: &Message) -> rusqlite::Result<String> {
    serde_json::to_string(&without_body(message.clone())).map_err(bad)
}

/// A row of `ready` or `delayed`. Its payload stays in the event until the message is processed.
fn entry_row(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Entry> {
    let message: Message = serde_json::from_str(row.get_ref("message")?.as_str()?).map_err(bad)?;
    let body_bytes = body_bytes(connection, &message)?;
    Ok(Entry { seq: row.get("seq")?, receives: row.get("receives")?, body_bytes, message })
}

/// Bytes of the payload that the message is about, even if it is not in the message.
pub(crate) fn body_bytes(connection: &Connection, message: &Message) -> rusqlite::Result<usize> {
    let Message::Attempt(attempt) = message else { return Ok(0) };
    if !attempt.body.is_empty() {
        return Ok(attempt.body.len());
    }
    // SQLite knows the length without reading the body.
    let length: Option<i64> = connection
        .prepare_cached("SELECT length(body) FROM events WHERE id = ?1")?
        .query_row([attempt.event_id.to_bytes()], |row| row.get(0))
        .optional()?;
    Ok(usize::try_from(length.unwrap_or(0)).unwrap_or(0))
}

/// The queue and the owner of the first messages in `ready`.
pub(crate) fn first_owner(connection: &Connection) -> rusqlite::Result<Option<(u8, Owner)>> {
    let sql =
        "SELECT queue, account_id, webhook_id FROM ready ORDER BY queue, account_id, webhook_id LIMIT 1";
    connection.prepare_cached(sql)?.query_row([], owner_row).optional()
}

/// The queue and the owner after this one. Each step is one search in the index, however many messages there are.
pub(crate) fn next_owner(
    connection: &Connection,
    queue: u8,
    after: Owner,
) -> rusqlite::Result<Option<(u8, Owner)>> {
    let sql = "SELECT queue, account_id, webhook_id FROM ready
               WHERE (queue, account_id, webhook_id) > (?1, ?2, ?3)
               ORDER BY queue, account_id, webhook_id LIMIT 1";
    let after = (queue, after.account.to_bytes(), after.webhook.to_bytes());
    connection.prepare_cached(sql)?.query_row(after, owner_row).optional()
}

fn owner_row(row: &Row<'_>) -> rusqlite::Result<(u8, Owner)> {
    let account = AccountId::from_bytes(bytes16(row, "account_id")?);
    let webhook = WebhookId::from_bytes(bytes16(row, "webhook_id")?);
    Ok((row.get("queue")?, Owner { account, webhook }))
}

/// The messages of a webhook that are to be loaded.
pub(crate) fn ready_entries(
    connection: &Connection,
    queue: u8,
    wanted: Wanted,
) -> rusqlite::Result<Vec<Entry>> {
    let sql = "SELECT seq, receives, message FROM ready
               WHERE queue = ?1 AND account_id = ?2 AND webhook_id = ?3 AND seq > ?4 AND seq <= ?5
               ORDER BY seq";
    let Wanted { owner, after, to, limit } = wanted;
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((queue, owner.account.to_bytes(), owner.webhook.to_bytes(), after, to))?;
    let mut entries = vec![];
    // A message that cannot be read stays where it is, for a version that can.
    while entries.len() < limit
        && let Some(row) = rows.next()?
    {
        entries.extend(readable(entry_row(connection, row))?);
    }
    Ok(entries)
}

pub(crate) fn insert_ready(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO ready VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let message = &entry.message;
    connection.prepare_cached(sql)?.execute((
        number(message.queue()),
        message.account_id().to_bytes(),
        message.webhook_id().to_bytes(),
        entry.seq,
        entry.receives,
        text_of(message)?,
    ))?;
    Ok(())
}

pub(crate) fn insert_delayed(connection: &Connection, due: i64, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO delayed VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute((due, entry.seq, entry.receives, text_of(&entry.message)?))?;
    Ok(())
}

pub(crate) fn delete_ready(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "DELETE FROM ready WHERE queue = ?1 AND account_id = ?2 AND webhook_id = ?3 AND seq = ?4";
    let message = &entry.message;
    connection.prepare_cached(sql)?.execute((
        number(message.queue()),
        message.account_id().to_bytes(),
        message.webhook_id().to_bytes(),
        entry.seq,
    ))?;
    Ok(())
}

/// Makes the messages ready that are due, a page of them. One that cannot be read becomes a dead letter.
pub(crate) fn move_due(connection: &Connection, now: i64, seq: &AtomicI64) -> rusqlite::Result<Vec<Entry>> {
    let due: Vec<(i64, i64, Option<Entry>)> = connection
        .prepare_cached("SELECT * FROM delayed WHERE due <= ?1 ORDER BY due, seq LIMIT ?2")?
        .query_map((now, crate::limits::DUE_PAGE), |row| {
            Ok((row.get("due")?, row.get("seq")?, readable(entry_row(connection, row))?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut moved = Vec::with_capacity(due.len());
    for (due, at, entry) in due {
        match entry {
            Some(entry) => {
                let entry = Entry { seq: seq.fetch_add(1, Ordering::Relaxed) + 1, ..entry };
                insert_ready(connection, &entry)?;
                moved.push(entry);
            }
            None => {
                let sql = "INSERT INTO dead_letters (message, receives, died_at)
                           SELECT message, receives, ?3 FROM delayed WHERE due = ?1 AND seq = ?2";
                connection.prepare_cached(sql)?.execute((due, at, now))?;
            }
        }
        connection.prepare_cached("DELETE FROM delayed WHERE due = ?1 AND seq = ?2")?.execute((due, at))?;
    }
    Ok(moved)
}

/// Puts the dead letters back into their queues, because their cause may be fixed. Returns how many.
pub(crate) fn revive_dead_letters(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    let put_back = "INSERT INTO delayed SELECT ?1, -seq, 0, message FROM dead_letters";
    let revived = connection.execute(put_back, [millis(now)])?;
    connection.execute("DELETE FROM dead_letters", [])?;
    Ok(revived)
}
