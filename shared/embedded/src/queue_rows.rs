//! The rows of the queues' tables.

use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use statuspulse_core::message::{Message, QueueName};
use statuspulse_core::record::millis;

use crate::columns::bad;
use crate::fair_queue::Entry;

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
    let mut bare = message.clone();
    if let Message::Attempt(attempt) = &mut bare {
        attempt.body = Bytes::new();
    }
    serde_json::to_string(&bare).map_err(bad)
}

/// Deserializes a message and adds its payload from the event.
pub(crate) fn message_of(connection: &Connection, text: &str) -> rusqlite::Result<Message> {
    let mut message: Message = serde_json::from_str(text).map_err(bad)?;
    if let Message::Attempt(attempt) = &mut message {
        let sql = "SELECT body FROM events WHERE id = ?1";
        let body: Option<Vec<u8>> = connection
            .prepare_cached(sql)?
            .query_row([attempt.event_id.to_bytes()], |row| row.get(0))
            .optional()?;
        attempt.body = Bytes::from(body.unwrap_or_default());
    }
    Ok(message)
}

pub(crate) fn insert_ready(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO ready VALUES (?1, ?2, ?3, ?4, ?5)";
    let message = &entry.message;
    connection.prepare_cached(sql)?.execute((
        number(message.queue()),
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
    let sql = "DELETE FROM ready WHERE queue = ?1 AND webhook_id = ?2 AND seq = ?3";
    let message = &entry.message;
    connection.prepare_cached(sql)?.execute((
        number(message.queue()),
        message.webhook_id().to_bytes(),
        entry.seq,
    ))?;
    Ok(())
}

/// Makes the messages ready that are due, a page of them.
pub(crate) fn move_due(connection: &Connection, now: i64, seq: &AtomicI64) -> rusqlite::Result<Vec<Entry>> {
    let due: Vec<(i64, Entry)> = connection
        .prepare_cached("SELECT * FROM delayed WHERE due <= ?1 ORDER BY due, seq LIMIT ?2")?
        .query_map((now, crate::limits::DUE_PAGE), |row| {
            let message = message_of(connection, row.get_ref("message")?.as_str()?)?;
            Ok((row.get("due")?, Entry { seq: row.get("seq")?, receives: row.get("receives")?, message }))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut moved = Vec::with_capacity(due.len());
    for (due, entry) in due {
        connection
            .prepare_cached("DELETE FROM delayed WHERE due = ?1 AND seq = ?2")?
            .execute((due, entry.seq))?;
        let entry = Entry { seq: seq.fetch_add(1, Ordering::Relaxed) + 1, ..entry };
        insert_ready(connection, &entry)?;
        moved.push(entry);
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
