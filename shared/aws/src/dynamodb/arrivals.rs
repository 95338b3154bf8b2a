//! Takes records that arrive from another deployment. While an account arrives, its item has the attribute `arriving`.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::TransactWriteItem;
use statuspulse_core::access::{Account, ApiKey};
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::delivery::{Delivery, State};
use statuspulse_core::event::Event;
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::moving::ExportId;
use statuspulse_core::ports::arrivals::Arrivals;
use statuspulse_core::ports::{Conflict, PortResult, Unavailable};
use statuspulse_core::record::Unreadable;
use statuspulse_core::webhook::Webhook;

use super::Table;
use super::accounts::{account_item, quotas_text};
use super::deliveries::{delivery_item, mark_of};
use super::events::later;
use super::item::{Item, Read, expiry, text};
use super::keys::Key;
use super::table::{Change, Condition, pause_before, readable};
use crate::limits::CHANGE_TRIES;

#[async_trait]
impl Arrivals for Table {
    async fn arriving(&self, account: AccountId) -> PortResult<Option<ExportId>> {
        let doing = "reading an arrival";
        let item = self.get(Key::Account(account), doing).await?;
        let export = item.as_ref().and_then(|item| item.maybe_text("arriving"));
        readable(export.map(|export| export.parse().map_err(Unreadable::because)).transpose(), doing)
    }

    async fn take_account(&self, account: &Account, export: ExportId) -> PortResult<bool> {
        let doing = "taking an account";
        let mut item = account_item(account);
        item.insert("quotas".to_owned(), text(readable(quotas_text(account), doing)?));
        item.extend(self.sealed_slack(account).await?.map(|sealed| ("slack".to_owned(), sealed)));
        item.insert("arriving".to_owned(), text(export.to_string()));
        let writes = vec![
            self.put_write(Key::Account(account.id), item, Condition::IS_NEW)?,
            self.put_write(Key::AccountListed(account.id), Item::new(), Condition::default())?,
        ];
        self.put_absent(Key::Account(account.id), writes, doing).await
    }

    async fn take_event(&self, event: &Event, webhooks: &[WebhookId]) -> PortResult<bool> {
        Ok(self.keep_event(event, webhooks).await?.is_none())
    }

    async fn take_delivery(&self, delivery: &Delivery) -> PortResult<bool> {
        let is_new = self.put_as_it_is(delivery).await?;
        if delivery.is_finished() {
            return Ok(is_new);
        }
        if !is_new {
            // Perhaps an interrupted call left it without a place. If a worker has had it since, it has one.
            let stored = self.read_delivery(delivery.webhook_id, delivery.id).await?;
            if stored.is_none_or(|stored| stored.version != delivery.version) {
                return Ok(false);
            }
        }
        let places = self.append_again(delivery).await?;
        match delivery.state {
            State::Waiting => self.follow(delivery, places).await?,
            State::Held => self.keep_event_longer(delivery.event_id).await?,
            _ => {}
        }
        Ok(is_new)
    }

    async fn take_webhook(&self, webhook: &Webhook) -> PortResult<bool> {
        let item = self.webhook_item(webhook, webhook.version).await?;
        let copy = Key::WebhookOfAccount(webhook.account_id, webhook.id);
        let writes = vec![
            self.put_write(Key::Webhook(webhook.id), item.clone(), Condition::IS_NEW)?,
            self.put_write(copy, item, Condition::IS_NEW)?,
        ];
        self.put_absent(Key::Webhook(webhook.id), writes, "taking a webhook").await
    }

    async fn take_entry(&self, entry: &AccountEntry) -> PortResult<()> {
        let doing = "taking an entry of an audit log";
        let writes = self.audit_writes(entry)?;
        let changed = |Conflict| Unavailable { doing, source: "it was written at the same time".into() };
        self.transact(writes, doing).await?.map_err(changed)
    }

    async fn take_key(&self, key: &ApiKey) -> PortResult<bool> {
        let writes = self.key_writes(key)?;
        let is_new = self.put_absent(Key::Credential(key.hash), writes, "taking a key").await?;
        self.key_cache.forget(&key.hash);
        Ok(is_new)
    }

    async fn end_arrival(&self, entry: &AccountEntry) -> PortResult<()> {
        let mut writes = vec![self.update_write(Change {
            key: Key::Account(entry.account_id),
            update: "REMOVE #arriving".to_owned(),
            condition: "attribute_exists(#arriving)".into(),
            values: HashMap::new(),
        })?];
        writes.extend(self.audit_writes(entry)?);
        // Refused: another call ended it.
        self.transact(writes, "ending an arrival").await.map(drop)
    }
}

impl Table {
    /// Stores a delivery in its state, with its mark. Returns `false` if it is there.
    async fn put_as_it_is(&self, delivery: &Delivery) -> PortResult<bool> {
        let doing = "taking a delivery";
        let mut item = readable(delivery_item(delivery), doing)?;
        if delivery.is_finished() {
            item.insert("expires".to_owned(), expiry(later(self.clock.now(), limits::RETENTION)));
        }
        let (webhook, id) = (delivery.webhook_id, delivery.id);
        let mut writes = vec![self.put_write(Key::Delivery(webhook, id), item, Condition::IS_NEW)?];
        if let Some(mark) = mark_of(delivery) {
            let marked = self.mark_item(mark);
            writes.push(self.put_write(Key::Mark(mark, webhook, id), marked, Condition::default())?);
        }
        self.put_absent(Key::Delivery(webhook, id), writes, doing).await
    }

    /// Makes these writes, of which one puts the item with this key. Returns `false` if there is one.
    async fn put_absent(
        &self,
        key: Key<'_>,
        writes: Vec<TransactWriteItem>,
        doing: &'static str,
    ) -> PortResult<bool> {
        for again in 0..CHANGE_TRIES {
            pause_before(again).await;
            if self.transact(writes.clone(), doing).await?.is_ok() {
                return Ok(true);
            }
            // It is there, or another transaction was in the way.
            if self.get(key, doing).await?.is_some() {
                return Ok(false);
            }
        }
        Err(Unavailable { doing, source: "too many concurrent changes".into() })
    }
}
