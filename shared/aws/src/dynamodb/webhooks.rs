//! Webhooks. Each is stored twice: under its own id, for attempts, and with its account, so that the fan-out reads all
//! webhooks of an account in one query. The copy says what the webhook subscribes to: a change of its state or settings
//! changes both in a transaction, and whatever an attempt changes leaves the copy as it is.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::ports::{Conflict, PortResult, Unavailable, WebhookList, Webhooks};
use statuspulse_core::record::{WebhookParts, read_webhook, write_webhook};
use statuspulse_core::sealing::Sealer;
use statuspulse_core::webhook::Webhook;

use super::Table;
use super::item::{Item, Read, binary, expiry, number, text, time};
use super::keys::{Key, account_partition};
use super::table::{Change, Condition, readable};

#[async_trait]
impl Webhooks for Table {
    async fn webhook(&self, id: WebhookId) -> PortResult<Option<Arc<Webhook>>> {
        let doing = "reading a webhook";
        let Some(item) = self.get(Key::Webhook(id), doing).await? else { return Ok(None) };
        let sealer = self.data_key.sealer().await?;
        restore(&item, &sealer, doing).map(Some)
    }

    async fn webhooks(&self, account: AccountId) -> PortResult<Arc<WebhookList>> {
        let doing = "listing webhooks";
        let copies = self.copies(account).await?;
        let keys = copies.iter().map(|copy| Ok(Key::Webhook(readable(copy.parsed("id"), doing)?).item()));
        let mut items = self.get_all(keys.collect::<PortResult<_>>()?, doing).await?;
        // An id begins with its time.
        items.sort_by_cached_key(|item| item.text("id").map(str::to_owned).unwrap_or_default());
        let mut list = self.restore_list(&items, doing).await?;
        // It was deleted after the copies were read.
        list.readable.retain(|webhook| !webhook.is_deleted());
        Ok(Arc::new(list))
    }

    async fn subscriptions(&self, account: AccountId) -> PortResult<Arc<WebhookList>> {
        let copies = self.copies(account).await?;
        self.restore_list(&copies, "listing subscriptions").await.map(Arc::new)
    }

    /// Marks both items: the worker reads one, and the fan-out the other. The version stays as it is.
    async fn mark_slow(&self, webhook: &Webhook, until: Timestamp) -> PortResult<()> {
        for key in [Key::Webhook(webhook.id), Key::WebhookOfAccount(webhook.account_id, webhook.id)] {
            let change = Change {
                key,
                update: "SET #slow_until = :until".to_owned(),
                condition: "attribute_exists(#id)".into(),
                values: HashMap::from([(":until".to_owned(), time(until))]),
            };
            self.update(change, "marking a webhook as slow").await?;
        }
        Ok(())
    }
}

impl Table {
    async fn copies(&self, account: AccountId) -> PortResult<Vec<Item>> {
        self.all_with_prefix(account_partition(Some(account)), "w#", "listing webhooks").await
    }

    async fn restore_list(&self, items: &[Item], doing: &'static str) -> PortResult<WebhookList> {
        let mut list = WebhookList::default();
        if items.is_empty() {
            return Ok(list);
        }
        let sealer = self.data_key.sealer().await?;
        for item in items {
            match restore(item, &sealer, doing) {
                Ok(webhook) => list.readable.push(webhook),
                Err(error) => {
                    let id = readable(item.parsed("id"), doing)?;
                    tracing::error!(webhook.id = %id, %error, "a webhook cannot be read");
                    list.unreadable.push(id);
                }
            }
        }
        Ok(list)
    }

    pub(super) async fn delete_unreadable_webhook(
        &self,
        id: WebhookId,
        entry: &AccountEntry,
    ) -> PortResult<()> {
        let doing = "removing a webhook";
        let mut writes = vec![
            self.delete_write(Key::Webhook(id))?,
            self.delete_write(Key::WebhookOfAccount(entry.account_id, id))?,
        ];
        writes.extend(self.audit_writes(entry)?);
        let changed = |Conflict| Unavailable { doing, source: "it was changed at the same time".into() };
        self.transact(writes, doing).await?.map_err(changed)
    }

    pub(super) async fn put_webhook(&self, webhook: &Webhook) -> PortResult<()> {
        let doing = "creating a webhook";
        let item = self.webhook_item(webhook, webhook.version).await?;
        let mut writes = vec![
            self.put_write(Key::Webhook(webhook.id), item.clone(), Condition::IS_NEW)?,
            self.put_write(Key::WebhookOfAccount(webhook.account_id, webhook.id), item, Condition::IS_NEW)?,
        ];
        for entry in webhook.audit_entries() {
            writes.extend(self.audit_writes(&entry)?);
        }
        let exists = |Conflict| Unavailable { doing, source: "a webhook with this id exists".into() };
        self.transact(writes, doing).await?.map_err(exists)
    }

    pub(super) async fn replace_webhook(&self, webhook: &Webhook) -> PortResult<Result<(), Conflict>> {
        let mut item = self.webhook_item(webhook, webhook.version + 1).await?;
        let copy = Key::WebhookOfAccount(webhook.account_id, webhook.id);
        let entries = webhook.audit_entries();
        let second = if webhook.is_deleted() {
            let until = webhook.updated_at.checked_add(limits::UNFINISHED_RETENTION);
            item.insert("expires".to_owned(), expiry(until.unwrap_or(webhook.updated_at)));
            Some(self.delete_write(copy)?)
        } else if entries.is_empty() {
            None
        } else {
            Some(self.put_write(copy, item.clone(), Condition::default())?)
        };
        let unchanged = Condition {
            text: Some("#version = :version"),
            values: Some(HashMap::from([(":version".to_owned(), number(webhook.version))])),
        };
        let mut writes = vec![self.put_write(Key::Webhook(webhook.id), item, unchanged)?];
        writes.extend(second);
        for entry in entries {
            writes.extend(self.audit_writes(&entry)?);
        }
        // A transaction even of one write: if its answer is lost, the next try is no conflict with itself, after which a
        // failure would be counted twice.
        self.transact(writes, "changing a webhook").await
    }

    pub(super) async fn webhook_item(&self, webhook: &Webhook, version: u64) -> PortResult<Item> {
        let parts = readable(write_webhook(webhook), "writing a webhook")?;
        let sealed = self.data_key.sealer().await?.seal(parts.id.to_bytes(), &parts.secrets, &*self.random);
        let mut item = HashMap::from([
            ("id".to_owned(), text(parts.id.to_string())),
            ("account_id".to_owned(), text(parts.account_id.to_string())),
            ("record".to_owned(), text(parts.record)),
            ("sealed".to_owned(), binary(sealed)),
            ("version".to_owned(), number(version)),
        ]);
        item.extend(webhook.slow_until.map(|until| ("slow_until".to_owned(), time(until))));
        Ok(item)
    }
}

fn restore(item: &Item, sealer: &Sealer, doing: &'static str) -> PortResult<Arc<Webhook>> {
    let parts = || {
        let id: WebhookId = item.parsed("id")?;
        let secrets = sealer.unseal(id.to_bytes(), item.bytes("sealed")?);
        let webhook = read_webhook(&WebhookParts {
            id,
            account_id: item.parsed("account_id")?,
            record: item.text("record")?.to_owned(),
            secrets: secrets.map_err(statuspulse_core::record::Unreadable::because)?,
            version: item.small("version")?,
        })?;
        Ok(Webhook { slow_until: item.maybe_time("slow_until")?, ..webhook })
    };
    readable(parts(), doing).map(Arc::new)
}
