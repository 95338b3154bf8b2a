//! What the store has and does, for the operator's metrics and readiness check. It names no account.

use std::sync::atomic::Ordering;

use rusqlite::Connection;
use statuspulse_core::ids::AccountId;
use statuspulse_core::message::QueueName;
use statuspulse_core::ports::PortResult;

use crate::Embedded;
use crate::delivery_rows::{HELD, SCHEDULED, WAITING};
use crate::queue_rows::number;

/// How much of everything there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Deliveries that wait for an earlier one of their incident.
    pub waiting: u64,
    /// Deliveries whose next attempt is scheduled.
    pub scheduled: u64,
    /// Deliveries of paused webhooks.
    pub held: u64,
    /// Messages that are due, by queue.
    pub due: Vec<(QueueName, u64)>,
    /// Messages that are due later.
    pub delayed: u64,
    /// Webhooks by status, as the records have it.
    pub webhooks: Vec<(String, u64)>,
    /// Messages that failed ten times.
    pub dead_letters: u64,
}

impl Embedded {
    /// Counts everything. It reads whole indexes, so it is one of the long reads.
    pub async fn census(&self) -> PortResult<Census> {
        // Of no account: all of them share the long reads.
        self.readers.long(AccountId::from_bytes([0; 16]), "counting", count).await
    }

    /// Events that were accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Why the store cannot do its work; `None` if it can.
    pub fn trouble(&self) -> Option<&'static str> {
        let now = self.clock.now();
        let is_late = |due| now > due + crate::limits::LATE;
        if self.writer.is_failing() {
            Some("the database cannot be written")
        } else if self.next_due().is_some_and(is_late) {
            Some("due messages are not made ready")
        } else {
            None
        }
    }
}

fn count(connection: &Connection) -> rusqlite::Result<Census> {
    let one = |sql: &str| -> rusqlite::Result<u64> {
        let counted: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        Ok(counted.unsigned_abs())
    };
    let mut found = Census {
        delayed: one("SELECT count(*) FROM delayed")?,
        dead_letters: one("SELECT count(*) FROM dead_letters")?,
        ..Census::default()
    };
    for queue in crate::queues() {
        let due = one(&format!("SELECT count(*) FROM ready WHERE queue = {}", number(queue)))?;
        found.due.push((queue, due));
    }
    let mut states =
        connection.prepare("SELECT state, count(*) FROM deliveries WHERE state < 3 GROUP BY state")?;
    for row in states.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))? {
        let (state, counted): (i64, i64) = row?;
        match state {
            WAITING => found.waiting = counted.unsigned_abs(),
            SCHEDULED => found.scheduled = counted.unsigned_abs(),
            HELD => found.held = counted.unsigned_abs(),
            _ => {}
        }
    }
    let sql = "SELECT record ->> 'state', count(*) FROM webhooks WHERE deleted = 0 GROUP BY 1";
    let mut webhooks = connection.prepare(sql)?;
    for row in webhooks.query_map([], |row| Ok((row.get::<_, Option<String>>(0)?, row.get::<_, i64>(1)?)))? {
        let (state, counted) = row?;
        found.webhooks.push((state.unwrap_or_default(), counted.unsigned_abs()));
    }
    Ok(found)
}
