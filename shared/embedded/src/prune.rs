//! Deletes what is older than the retention: finished deliveries, then events without deliveries, then the
//! tombstones of deleted webhooks, figures and entries of audit logs. Unfinished deliveries are never deleted. Expired sessions are deleted, too.

use jiff::Timestamp;
use rusqlite::{Connection, Row};
use statuspulse_core::ids::{AccountId, DeliveryId, EventId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::ports::PortResult;
use statuspulse_core::record::millis;

use crate::Embedded;
use crate::accounts::count_kept;
use crate::audit::prune_entries;
use crate::columns::{bytes16, time};
use crate::draws::prune_draws;
use crate::figures::prune_figures;

impl Embedded {
    /// Deletes what is older than the retention at `now`, and returns the disk space. Returns how many deliveries and events
    /// were deleted.
    pub async fn prune(&self, now: Timestamp) -> PortResult<usize> {
        let before = millis(now.checked_sub(limits::RETENTION).unwrap_or(Timestamp::MIN));
        let mut pruned = 0;
        for page in [prune_deliveries, prune_events] {
            let mut after = 0;
            while let Some(step) = self
                .writer
                .write(None, "pruning", move |connection| page(connection, before, after), |_| {})
                .await?
            {
                pruned += step.deleted;
                after = step.last;
            }
        }
        self.writer
            .write(None, "pruning", move |connection| prune_tombstones(connection, before), |_| {})
            .await?;
        self.writer
            .write(None, "pruning", move |connection| prune_figures(connection, before), |_| {})
            .await?;
        while self
            .writer
            .write(None, "pruning", move |connection| prune_entries(connection, before), |_| {})
            .await?
        {}
        let at = millis(now);
        self.writer.write(None, "pruning", move |connection| prune_draws(connection, at), |_| {}).await?;
        self.writer.write(None, "pruning", move |connection| prune_sessions(connection, now), |_| {}).await?;
        while self.writer.write(None, "returning disk space", return_pages, |_| {}).await? {}
        Ok(pruned)
    }
}

/// Gives free pages back to the file system, some of them. Returns whether there are more to give back.
fn return_pages(connection: &Connection) -> rusqlite::Result<bool> {
    let free: i64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    if free <= crate::limits::FREE_PAGES_KEPT {
        return Ok(false);
    }
    let pages = crate::limits::VACUUM_PAGES.min(free - crate::limits::FREE_PAGES_KEPT);
    connection.execute_batch(&format!("PRAGMA incremental_vacuum({pages})"))?;
    Ok(true)
}

struct PruneStep {
    deleted: usize,
    last: i64,
}

struct PrunedEvent {
    seq: i64,
    id: EventId,
    account_id: AccountId,
    body_bytes: u64,
    webhooks: Vec<u8>,
    accepted_at: Timestamp,
}

fn prune_deliveries(connection: &Connection, before: i64, after: i64) -> rusqlite::Result<Option<PruneStep>> {
    let sql = "SELECT seq, state, accepted_at FROM deliveries WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let rows = read_page(connection, sql, after, |row| {
        Ok((row.get::<_, i64>("seq")?, row.get::<_, i64>("state")?, row.get::<_, i64>("accepted_at")?))
    })?;
    let old: Vec<_> = rows.into_iter().take_while(|(_, _, accepted_at)| *accepted_at < before).collect();
    let Some(&(last, ..)) = old.last() else { return Ok(None) };
    let mut deleted = 0;
    for (seq, state, _) in old {
        if state >= 3 {
            deleted += connection.prepare_cached("DELETE FROM deliveries WHERE seq = ?1")?.execute([seq])?;
        }
    }
    Ok(Some(PruneStep { deleted, last }))
}

fn prune_events(connection: &Connection, before: i64, after: i64) -> rusqlite::Result<Option<PruneStep>> {
    let sql = "SELECT seq, id, account_id, length(body) AS body_bytes, webhooks, accepted_at
               FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let rows = read_page(connection, sql, after, |row| {
        Ok(PrunedEvent {
            seq: row.get("seq")?,
            id: EventId::from_bytes(bytes16(row, "id")?),
            account_id: AccountId::from_bytes(bytes16(row, "account_id")?),
            body_bytes: row.get::<_, i64>("body_bytes")?.unsigned_abs(),
            webhooks: row.get("webhooks")?,
            accepted_at: time(row, "accepted_at")?,
        })
    })?;
    let old: Vec<_> = rows.into_iter().take_while(|event| millis(event.accepted_at) < before).collect();
    let Some(last) = old.last().map(|event| event.seq) else { return Ok(None) };
    let mut deleted = 0;
    for PrunedEvent { seq, id, account_id, body_bytes, webhooks, accepted_at } in old {
        let mut needed = false;
        for webhook in webhooks.as_chunks::<16>().0 {
            let delivery = DeliveryId::derive(id, accepted_at, WebhookId::from_bytes(*webhook));
            needed |= connection
                .prepare_cached("SELECT 1 FROM deliveries WHERE id = ?1")?
                .exists([delivery.to_bytes()])?;
        }
        if !needed {
            deleted += connection.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([seq])?;
            count_kept(connection, account_id, body_bytes, webhooks.len() / 16, -1)?;
        }
    }
    Ok(Some(PruneStep { deleted, last }))
}

fn prune_sessions(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    connection.prepare_cached("DELETE FROM sessions WHERE expires_at < ?1")?.execute([millis(now)])
}

/// Deletes old tombstones, except those of webhooks that still have deliveries: their messages need them.
fn prune_tombstones(connection: &Connection, before: i64) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM webhooks WHERE deleted = 1 AND json_extract(record, '$.updated_at') < ?1
               AND NOT EXISTS (SELECT 1 FROM deliveries WHERE webhook_id = webhooks.id)";
    connection.prepare_cached(sql)?.execute([before])
}

fn read_page<T>(
    connection: &Connection,
    sql: &str,
    after: i64,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map((after, crate::limits::PRUNE_PAGE), |row| read(row))?.collect()
}
