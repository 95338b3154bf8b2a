//! Webhooks. They are few, and every publish and every attempt reads them, so they are cached in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::ports::{Conflict, PortResult, Unavailable, WebhookList, Webhooks};
use statuspulse_core::record::{WebhookParts, read_webhook, write_webhook};
use statuspulse_core::webhook::Webhook;

use crate::Embedded;
use crate::columns::{bad, bytes16};
use crate::queue::Outgoing;
use crate::sealing::Sealer;

/// The cached webhooks. A write replaces its webhook here, and removes the list of the account, before it returns to
/// its caller. It also increments `generation`, so that a read that began before is not cached.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    generation: u64,
    by_id: HashMap<WebhookId, Arc<Webhook>>,
    by_account: HashMap<AccountId, Arc<WebhookList>>,
}

impl Cache {
    fn with<T>(&self, work: impl FnOnce(&mut Cached) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wrote(&self, webhook: Arc<Webhook>) {
        self.with(|cached| {
            cached.generation += 1;
            cached.by_account.remove(&webhook.account_id);
            cached.by_id.insert(webhook.id, webhook);
        });
    }

    fn removed(&self, account: AccountId, id: WebhookId) {
        self.with(|cached| {
            cached.generation += 1;
            cached.by_account.remove(&account);
            cached.by_id.remove(&id);
        });
    }

    fn remember(&self, generation: u64, keep: impl FnOnce(&mut Cached)) {
        self.with(|cached| {
            if cached.by_id.len() + cached.by_account.len() > crate::limits::WEBHOOKS_CACHED {
                cached.by_id.clear();
                cached.by_account.clear();
            }
            if cached.generation == generation {
                keep(cached);
            }
        });
    }
}

#[async_trait]
impl Webhooks for Embedded {
    async fn webhook(&self, id: WebhookId) -> PortResult<Option<Arc<Webhook>>> {
        let (known, generation) =
            self.webhook_cache.with(|cached| (cached.by_id.get(&id).cloned(), cached.generation));
        if known.is_some() {
            return Ok(known);
        }
        let read = self.readers.read("reading a webhook", |connection| {
            connection
                .prepare_cached("SELECT * FROM webhooks WHERE id = ?1")?
                .query_row([id.to_bytes()], |row| webhook_row(row, &self.sealer))
                .optional()
        })?;
        let read = read.map(Arc::new);
        if let Some(webhook) = &read {
            self.webhook_cache.remember(generation, |cached| {
                cached.by_id.insert(id, webhook.clone());
            });
        }
        Ok(read)
    }

    async fn webhooks(&self, account: AccountId) -> PortResult<Arc<WebhookList>> {
        let (known, generation) =
            self.webhook_cache.with(|cached| (cached.by_account.get(&account).cloned(), cached.generation));
        if let Some(known) = known {
            return Ok(known);
        }
        let list = Arc::new(self.read_webhooks(account)?);
        self.webhook_cache.remember(generation, |cached| {
            cached.by_account.insert(account, list.clone());
        });
        Ok(list)
    }
}

impl Embedded {
    fn read_webhooks(&self, account: AccountId) -> PortResult<WebhookList> {
        self.readers.read("listing webhooks", |connection| {
            let sql = "SELECT * FROM webhooks WHERE account_id = ?1 AND deleted = 0 ORDER BY id";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([account.to_bytes()])?;
            let mut list = WebhookList::default();
            while let Some(row) = rows.next()? {
                match webhook_row(row, &self.sealer) {
                    Ok(webhook) => list.readable.push(Arc::new(webhook)),
                    Err(error) => {
                        let id = WebhookId::from_bytes(bytes16(row, "id")?);
                        tracing::error!(webhook.id = %id, %error, "a webhook cannot be read");
                        list.unreadable.push(id);
                    }
                }
            }
            Ok(list)
        })
    }

    pub(crate) async fn delete_unreadable_webhook(
        &self,
        account: AccountId,
        id: WebhookId,
    ) -> PortResult<()> {
        let (account_bytes, id_bytes) = (account.to_bytes(), id.to_bytes());
        let work = move |connection: &Connection| {
            let sql = "DELETE FROM webhooks WHERE id = ?1 AND account_id = ?2";
            connection.prepare_cached(sql)?.execute((id_bytes, account_bytes))?;
            Ok(())
        };
        let cache = self.webhook_cache.clone();
        self.writer.write("removing a webhook", work, move |()| cache.removed(account, id)).await
    }

    pub(crate) async fn insert_webhook(&self, webhook: &Webhook) -> PortResult<()> {
        let (record, sealed) = self.columns_of(webhook)?;
        let kept = Arc::new(webhook.clone());
        let cache = self.webhook_cache.clone();
        let (id, account) = (webhook.id.to_bytes(), webhook.account_id.to_bytes());
        let work = move |connection: &Connection| {
            let sql = "INSERT INTO webhooks VALUES (?1, ?2, 0, 0, ?3, ?4)";
            connection.prepare_cached(sql)?.execute((id, account, record, sealed))?;
            Ok(())
        };
        self.writer.write("creating a webhook", work, move |()| cache.wrote(kept)).await
    }

    pub(crate) async fn update_webhook(&self, webhook: &Webhook) -> PortResult<Result<(), Conflict>> {
        let mut next = Webhook { version: webhook.version + 1, ..webhook.clone() };
        let messages = std::mem::take(&mut next.outbox);
        let (record, sealed) = self.columns_of(&next)?;
        let version = i64::try_from(webhook.version).unwrap_or(i64::MAX);
        let (id, deleted) = (webhook.id.to_bytes(), webhook.is_deleted());
        let work = move |connection: &Connection, outgoing: &mut Outgoing| {
            let sql = "UPDATE webhooks SET deleted = ?3, version = version + 1, record = ?4, sealed = ?5
                       WHERE id = ?1 AND version = ?2";
            let changed = connection.prepare_cached(sql)?.execute((id, version, deleted, record, sealed))?;
            if changed == 0 {
                return Ok(Err(Conflict));
            }
            outgoing.send(connection, messages)?;
            Ok(Ok(()))
        };
        let (kept, cache) = (Arc::new(next), self.webhook_cache.clone());
        let after = move |result: &Result<(), Conflict>| {
            if result.is_ok() {
                cache.wrote(kept);
            }
        };
        self.write_and_send("changing a webhook", work, after).await
    }
    fn columns_of(&self, webhook: &Webhook) -> PortResult<(String, Vec<u8>)> {
        let parts = write_webhook(webhook)
            .map_err(|error| Unavailable { doing: "writing a webhook", source: error.into() })?;
        Ok((parts.record, self.sealer.seal(webhook.id.to_bytes(), &parts.secrets)))
    }
}

/// Returns the sealed secrets of any one webhook, to check the key with.
pub(crate) fn any_sealed(connection: &Connection) -> rusqlite::Result<Option<([u8; 16], Vec<u8>)>> {
    connection
        .query_row("SELECT id, sealed FROM webhooks LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn webhook_row(row: &Row<'_>, sealer: &Sealer) -> rusqlite::Result<Webhook> {
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
