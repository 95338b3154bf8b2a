//! Webhooks. Every publish and every attempt reads them, so they are cached in memory: see `webhook_cache.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::ports::{Conflict, PortResult, Unavailable, WebhookList, Webhooks};
use statuspulse_core::record::{WebhookParts, read_webhook, write_webhook};
use statuspulse_core::webhook::Webhook;

use crate::Embedded;
use crate::audit::insert_entry;
use crate::columns::{bad, bytes16};
use crate::queue::Outgoing;
use crate::sealing::Sealer;

#[async_trait]
impl Webhooks for Embedded {
    async fn webhook(&self, id: WebhookId) -> PortResult<Option<Arc<Webhook>>> {
        let evictions = match self.webhook_cache.webhook(id) {
            Ok(known) => return Ok(Some(known)),
            Err(evictions) => evictions,
        };
        let read = self.readers.read("reading a webhook", |connection| {
            connection
                .prepare_cached("SELECT * FROM webhooks WHERE id = ?1")?
                .query_row([id.to_bytes()], |row| webhook_row(row, &self.sealer))
                .optional()
        })?;
        let read = read.map(Arc::new);
        if let Some(webhook) = &read {
            self.webhook_cache.read_webhook(webhook, evictions);
        }
        Ok(read)
    }

    async fn webhooks(&self, account: AccountId) -> PortResult<Arc<WebhookList>> {
        let writes = match self.webhook_cache.list(account) {
            Ok(known) => return Ok(known),
            Err(writes) => writes,
        };
        let sealer = Arc::clone(&self.sealer);
        let read = move |connection: &Connection| read_webhooks(connection, account, &sealer);
        let list = Arc::new(self.readers.long(account, "listing webhooks", read).await?);
        self.webhook_cache.read_list(account, &list, writes);
        Ok(list)
    }
}

impl Embedded {
    /// The account that owns the webhook, whose share its reads take. An unknown webhook has no deliveries to read.
    pub(crate) fn owner_of(&self, id: WebhookId) -> PortResult<AccountId> {
        if let Ok(known) = self.webhook_cache.webhook(id) {
            return Ok(known.account_id);
        }
        self.readers.read("reading a webhook", |connection| {
            let owner = connection
                .prepare_cached("SELECT account_id FROM webhooks WHERE id = ?1")?
                .query_row([id.to_bytes()], |row| row.get(0))
                .optional()?;
            Ok(AccountId::from_bytes(owner.unwrap_or_default()))
        })
    }

    pub(crate) async fn delete_unreadable_webhook(
        &self,
        id: WebhookId,
        entry: &AccountEntry,
    ) -> PortResult<()> {
        let (account, entry) = (entry.account_id, entry.clone());
        let work = move |connection: &Connection| {
            let sql = "DELETE FROM webhooks WHERE id = ?1 AND account_id = ?2";
            connection.prepare_cached(sql)?.execute((id.to_bytes(), account.to_bytes()))?;
            insert_entry(connection, &entry)
        };
        let cache = self.webhook_cache.clone();
        self.writer
            .write(Some(account), "removing a webhook", work, move |()| cache.removed(account, id))
            .await
    }

    pub(crate) async fn insert_webhook(&self, webhook: &Webhook) -> PortResult<()> {
        let (parts, sealer) = (parts_of(webhook)?, self.sealer.clone());
        let entries = webhook.audit_entries();
        let kept = Arc::new(Webhook { audit: webhook.audit.clone().saved(), ..webhook.clone() });
        let cache = self.webhook_cache.clone();
        let (id, account) = (webhook.id.to_bytes(), webhook.account_id.to_bytes());
        let work = move |connection: &Connection| {
            let sealed = sealer.seal(connection, id, &parts.secrets);
            let sql = "INSERT INTO webhooks VALUES (?1, ?2, 0, 0, ?3, ?4)";
            connection.prepare_cached(sql)?.execute((id, account, parts.record, sealed))?;
            entries.iter().try_for_each(|entry| insert_entry(connection, entry))
        };
        self.writer
            .write(Some(webhook.account_id), "creating a webhook", work, move |()| cache.wrote(&kept))
            .await
    }

    pub(crate) async fn update_webhook(&self, webhook: &Webhook) -> PortResult<Result<(), Conflict>> {
        let mut next = Webhook { version: webhook.version + 1, ..webhook.clone() };
        let messages = std::mem::take(&mut next.outbox);
        let entries = webhook.audit_entries();
        next.audit = next.audit.saved();
        let (parts, sealer) = (parts_of(&next)?, self.sealer.clone());
        let version = i64::try_from(webhook.version).unwrap_or(i64::MAX);
        let (id, deleted) = (webhook.id.to_bytes(), webhook.is_deleted());
        let work = move |connection: &Connection, outgoing: &mut Outgoing| {
            let sql = "UPDATE webhooks SET deleted = ?3, version = version + 1, record = ?4, sealed = ?5
                       WHERE id = ?1 AND version = ?2";
            let sealed = sealer.seal(connection, id, &parts.secrets);
            let row = (id, version, deleted, parts.record, sealed);
            if connection.prepare_cached(sql)?.execute(row)? == 0 {
                return Ok(Err(Conflict));
            }
            entries.iter().try_for_each(|entry| insert_entry(connection, entry))?;
            outgoing.send(connection, messages)?;
            Ok(Ok(()))
        };
        let (kept, cache) = (Arc::new(next), self.webhook_cache.clone());
        let after = move |result: &Result<(), Conflict>| {
            if result.is_ok() {
                cache.wrote(&kept);
            }
        };
        self.write_and_send(Some(webhook.account_id), "changing a webhook", work, after).await
    }
}

pub(crate) fn parts_of(webhook: &Webhook) -> PortResult<WebhookParts> {
    write_webhook(webhook).map_err(|error| Unavailable { doing: "writing a webhook", source: error.into() })
}

fn read_webhooks(
    connection: &Connection,
    account: AccountId,
    sealer: &Sealer,
) -> rusqlite::Result<WebhookList> {
    let sql = "SELECT * FROM webhooks WHERE account_id = ?1 AND deleted = 0 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([account.to_bytes()])?;
    let mut list = WebhookList::default();
    while let Some(row) = rows.next()? {
        match webhook_row(row, sealer) {
            Ok(webhook) => list.readable.push(Arc::new(webhook)),
            Err(error) => {
                let id = WebhookId::from_bytes(bytes16(row, "id")?);
                tracing::error!(webhook.id = %id, %error, "a webhook cannot be read");
                list.unreadable.push(id);
            }
        }
    }
    Ok(list)
}

/// Returns the sealed secrets of any one webhook, to check the key with.
pub(crate) fn any_sealed(connection: &Connection) -> rusqlite::Result<Option<([u8; 16], Vec<u8>)>> {
    connection
        .query_row("SELECT id, sealed FROM webhooks LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

pub(crate) fn webhook_row(row: &Row<'_>, sealer: &Sealer) -> rusqlite::Result<Webhook> {
    let id = bytes16(row, "id")?;
    let parts = WebhookParts {
        id: WebhookId::from_bytes(id),
        account_id: AccountId::from_bytes(bytes16(row, "account_id")?),
        record: row.get("record")?,
        secrets: sealer.unseal(id, row.get_ref("sealed")?.as_blob()?).map_err(bad)?,
        version: row.get::<_, i64>("version")?.unsigned_abs(),
    };
    read_webhook(&parts).map_err(bad)
}
