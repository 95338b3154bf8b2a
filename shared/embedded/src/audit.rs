//! The audit logs of accounts. The change writes its entries in its own transaction.

use rusqlite::Connection;
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::ids::{AccountId, AuditId, WebhookId};
use statuspulse_core::ports::{Page, PortResult};
use statuspulse_core::record::{millis, read_audit_entry, write_audit_entry};

use crate::Embedded;
use crate::columns::{all_readable, bad, bytes16};

impl Embedded {
    pub(crate) async fn read_audit_log(
        &self,
        account: AccountId,
        webhook: Option<WebhookId>,
        after: Option<AuditId>,
        limit: usize,
    ) -> PortResult<Page<AccountEntry, AuditId>> {
        let below = after.map_or([255; 16], AuditId::to_bytes);
        let read = move |connection: &Connection| {
            let (sql, owner) = match webhook {
                None => (
                    "SELECT * FROM audit_log WHERE account_id = ?1 AND ?2 = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4",
                    account.to_bytes(),
                ),
                Some(webhook) => (
                    "SELECT * FROM audit_log WHERE webhook_id = ?1 AND account_id = ?2 AND id < ?3
                     ORDER BY id DESC LIMIT ?4",
                    webhook.to_bytes(),
                ),
            };
            let mut statement = connection.prepare_cached(sql)?;
            let most = i64::try_from(limit + 1).unwrap_or(i64::MAX);
            let mut ids = vec![];
            let rows = statement.query_map((owner, account.to_bytes(), below, most), |row| {
                let id = AuditId::from_bytes(bytes16(row, "id")?);
                ids.push(id);
                read_audit_entry(id, account, row.get_ref("entry")?.as_str()?).map_err(bad)
            })?;
            let mut items = all_readable(rows)?;
            let next = ids.get(limit.saturating_sub(1)).copied().filter(|_| ids.len() > limit);
            items.retain(|entry| next.is_none_or(|last| entry.id >= last));
            Ok(Page { items, next })
        };
        self.readers.long(account, "reading an audit log", read).await
    }
}

/// Writes an entry. One that is there already stays: an earlier try of the same change wrote it.
pub(crate) fn insert_entry(connection: &Connection, entry: &AccountEntry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO audit_log (account_id, id, webhook_id, at, entry) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute((
        entry.account_id.to_bytes(),
        entry.id.to_bytes(),
        entry.webhook_id.map(WebhookId::to_bytes),
        millis(entry.at),
        write_audit_entry(entry).map_err(bad)?,
    ))?;
    Ok(())
}

/// Deletes some entries from before this time. Returns whether there may be more.
pub(crate) fn prune_entries(connection: &Connection, before: i64) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM audit_log WHERE (account_id, id) IN
               (SELECT account_id, id FROM audit_log WHERE at < ?1 ORDER BY at LIMIT ?2)";
    let deleted = connection.prepare_cached(sql)?.execute((before, crate::limits::PRUNE_PAGE))?;
    Ok(deleted > 0)
}
