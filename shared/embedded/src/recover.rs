//! At the start: whatever waits on nothing gets a message.
//!
//! A process that dies between recording and acting leaves its own message behind, and the next one finishes its
//! work. Only a call that broke off before it was answered leaves none: an event that was kept but not set going, a
//! resume that was recorded but not begun. Nobody was promised anything, but later events of the same incident
//! would wait behind such a delivery for ever.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::Connection;
use statuspulse_core::ids::{DeliveryId, EventId, WebhookId};
use statuspulse_core::message::{AttemptMessage, Message, SweepMessage};
use statuspulse_core::ports::Step;
use statuspulse_core::record::millis;

use crate::columns::{bad, bytes16};

/// Sends a message for every scheduled delivery and every unfinished sweep or notice that has none. Answers how
/// many there were.
pub(crate) fn recover(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    let awaited = awaited(connection)?;
    let mut missing = missing_attempts(connection, &awaited.deliveries)?;
    missing.extend(missing_sweeps(connection, &awaited)?.into_iter().map(|message| (millis(now), message)));
    let lowest: i64 =
        connection
            .query_row("SELECT min(ifnull((SELECT min(seq) FROM delayed), 0), 0)", [], |row| row.get(0))?;
    for (before, (due, message)) in (1..).zip(&missing) {
        let text = serde_json::to_string(message).map_err(bad)?;
        connection.execute("INSERT INTO delayed VALUES (?1, ?2, 0, ?3)", (due, lowest - before, text))?;
    }
    Ok(missing.len())
}

/// What messages are there for.
#[derive(Default)]
struct Awaited {
    deliveries: HashSet<DeliveryId>,
    sweeps: HashSet<WebhookId>,
    /// With the time of the alert.
    notices: HashSet<(WebhookId, i64)>,
}

fn awaited(connection: &Connection) -> rusqlite::Result<Awaited> {
    let mut awaited = Awaited::default();
    let mut statement =
        connection.prepare("SELECT message FROM ready UNION ALL SELECT message FROM delayed")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match serde_json::from_str(row.get_ref(0)?.as_str()?).map_err(bad)? {
            Message::Attempt(attempt) => awaited.deliveries.insert(attempt.delivery_id),
            Message::Sweep(sweep) => awaited.sweeps.insert(sweep.webhook_id),
            Message::Notice(notice) => awaited.notices.insert((notice.webhook_id, millis(notice.at))),
            // Nothing waits for it.
            Message::Announcement(_) => false,
        };
    }
    Ok(awaited)
}

fn missing_attempts(
    connection: &Connection,
    known: &HashSet<DeliveryId>,
) -> rusqlite::Result<Vec<(i64, Message)>> {
    let sql = "SELECT id, event_id, webhook_id, round, number, due FROM deliveries INDEXED BY unfinished
               WHERE state = 1 AND state < 3";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut missing = vec![];
    while let Some(row) = rows.next()? {
        let delivery_id = DeliveryId::from_bytes(bytes16(row, "id")?);
        if known.contains(&delivery_id) {
            continue;
        }
        let message = AttemptMessage {
            delivery_id,
            webhook_id: WebhookId::from_bytes(bytes16(row, "webhook_id")?),
            event_id: EventId::from_bytes(bytes16(row, "event_id")?),
            step: Step { round: row.get("round")?, number: row.get("number")? },
            body: bytes::Bytes::new(),
        };
        missing.push((row.get("due")?, Message::Attempt(message)));
    }
    Ok(missing)
}

/// The handler of a sweep's message also sees to a notice that is due, and to what is held without a sweep.
fn missing_sweeps(connection: &Connection, awaited: &Awaited) -> rusqlite::Result<Vec<Message>> {
    let sql = "SELECT id, json_extract(record, '$.epoch') AS epoch,
                      ifnull(json_extract(record, '$.sweep.step'), 0) AS step,
                      json_extract(record, '$.sweep') IS NOT NULL AS sweeps,
                      json_extract(record, '$.alert.at') AS alert
               FROM webhooks
               WHERE json_extract(record, '$.sweep') IS NOT NULL
                  OR json_extract(record, '$.alert.notice') = 'Due'
                  OR json_extract(record, '$.alert.notice.Sending') IS NOT NULL
                  OR (json_extract(record, '$.state') = 'active' AND EXISTS
                      (SELECT 1 FROM deliveries WHERE webhook_id = webhooks.id AND state = 2 AND state < 3))";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut missing = vec![];
    while let Some(row) = rows.next()? {
        let webhook_id = WebhookId::from_bytes(bytes16(row, "id")?);
        let alert = row.get::<_, Option<i64>>("alert")?;
        let told = alert.is_some_and(|at| awaited.notices.contains(&(webhook_id, at)));
        let sweeps: bool = row.get("sweeps")?;
        if (sweeps || !told) && !awaited.sweeps.contains(&webhook_id) {
            let epoch: i64 = row.get("epoch")?;
            missing.push(Message::Sweep(SweepMessage {
                webhook_id,
                epoch: epoch.unsigned_abs(),
                step: row.get("step")?,
            }));
        }
    }
    Ok(missing)
}
