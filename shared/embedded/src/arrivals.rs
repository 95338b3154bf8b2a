//! Takes records that arrive from another deployment.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use statuspulse_core::access::{Account, ApiKey};
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::delivery::Delivery;
use statuspulse_core::event::Event;
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::moving::{ExportId, Opener};
use statuspulse_core::ports::PortResult;
use statuspulse_core::ports::arrivals::Arrivals;
use statuspulse_core::webhook::Webhook;

use crate::Embedded;
use crate::accounts::{insert_account, insert_key};
use crate::audit::insert_entry;
use crate::columns::bad;
use crate::records::{insert_event, insert_row};
use crate::webhooks::parts_of;

#[async_trait]
impl Arrivals for Embedded {
    async fn arriving(&self, account: AccountId) -> PortResult<Option<ExportId>> {
        self.readers.read("reading an arrival", |connection| {
            let sql = "SELECT export FROM arriving WHERE account_id = ?1";
            let found: Option<String> = connection
                .prepare_cached(sql)?
                .query_row([account.to_bytes()], |row| row.get(0))
                .optional()?;
            found.map(|export| export.parse().map_err(bad)).transpose()
        })
    }

    async fn take_account(&self, account: &Account, export: ExportId) -> PortResult<bool> {
        let (account, owner, sealer) = (account.clone(), account.id, self.sealer.clone());
        let work = move |connection: &Connection| {
            let known = "SELECT 1 FROM accounts WHERE id = ?1";
            if connection.prepare_cached(known)?.exists([owner.to_bytes()])? {
                return Ok(false);
            }
            insert_account(connection, &account, &sealer)?;
            let sql = "INSERT INTO arriving VALUES (?1, ?2)";
            connection.prepare_cached(sql)?.execute((owner.to_bytes(), export.to_string()))?;
            Ok(true)
        };
        self.writer.write(Some(owner), "taking an account", work, |_| {}).await
    }

    async fn take_event(&self, event: &Event, webhooks: &[WebhookId]) -> PortResult<bool> {
        let (event, webhooks, owner) = (event.clone(), webhooks.to_vec(), event.account_id);
        let work = move |connection: &Connection| insert_event(connection, &event, &webhooks);
        self.writer.write(Some(owner), "taking an event", work, |_| {}).await
    }

    async fn take_delivery(&self, delivery: &Delivery) -> PortResult<bool> {
        let (delivery, owner) = (delivery.clone(), delivery.account_id);
        let work = move |connection: &Connection| insert_row(connection, &delivery);
        self.writer.write(Some(owner), "taking a delivery", work, |_| {}).await
    }

    async fn take_webhook(&self, webhook: &Webhook) -> PortResult<bool> {
        let (parts, sealer) = (parts_of(webhook)?, self.sealer.clone());
        let (kept, cache) = (Arc::new(webhook.clone()), self.webhook_cache.clone());
        let (id, account) = (webhook.id.to_bytes(), webhook.account_id.to_bytes());
        let version = i64::try_from(webhook.version).unwrap_or(i64::MAX);
        let work = move |connection: &Connection| {
            let sql = "INSERT INTO webhooks VALUES (?1, ?2, 0, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING";
            let sealed = sealer.seal(connection, id, &parts.secrets);
            let row = (id, account, version, parts.record, sealed);
            Ok(connection.prepare_cached(sql)?.execute(row)? == 1)
        };
        let after = move |is_new: &bool| {
            if *is_new {
                cache.wrote(&kept);
            }
        };
        self.writer.write(Some(webhook.account_id), "taking a webhook", work, after).await
    }

    async fn take_entry(&self, entry: &AccountEntry) -> PortResult<()> {
        let (entry, owner) = (entry.clone(), entry.account_id);
        let work = move |connection: &Connection| insert_entry(connection, &entry);
        self.writer.write(Some(owner), "taking an entry of an audit log", work, |()| {}).await
    }

    async fn take_key(&self, key: &ApiKey) -> PortResult<bool> {
        let (key, owner) = (key.clone(), key.account_id);
        let work = move |connection: &Connection| {
            let known = "SELECT 1 FROM keys WHERE hash = ?1 OR id = ?2";
            if connection.prepare_cached(known)?.exists((key.hash.0, key.id.to_bytes()))? {
                return Ok(false);
            }
            insert_key(connection, &key).map(|()| true)
        };
        self.writer.write(owner, "taking a key", work, |_| {}).await
    }

    async fn end_arrival(&self, entry: &AccountEntry) -> PortResult<()> {
        let (entry, owner) = (entry.clone(), entry.account_id);
        let work = move |connection: &Connection| {
            let sql = "DELETE FROM arriving WHERE account_id = ?1";
            let ended = connection.prepare_cached(sql)?.execute([owner.to_bytes()])?;
            if ended == 1 { insert_entry(connection, &entry) } else { Ok(()) }
        };
        self.writer.write(Some(owner), "ending an arrival", work, |()| {}).await
    }
}

impl Embedded {
    /// Opens what was sealed for this folder by an export of another deployment.
    pub fn opener(&self) -> Opener {
        self.sealer.opener()
    }
}
