//! The audit logs of accounts: an item for each entry in the partition of its account, and a copy in the partition of the
//! webhook that it concerns. The change writes them in its own transaction. DynamoDB's TTL deletes them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::TransactWriteItem;
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::ids::{AccountId, AuditId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::ports::{Page, PortResult};
use statuspulse_core::record::{Unreadable, read_audit_entry, write_audit_entry};

use super::Table;
use super::events::later;
use super::item::{Item, Read, expiry, text};
use super::keys::{Key, LogOf};
use super::table::{Condition, Order, all_readable, readable};

impl Table {
    /// What a change writes for this entry.
    pub(super) fn audit_writes(&self, entry: &AccountEntry) -> PortResult<Vec<TransactWriteItem>> {
        let item = HashMap::from([
            ("id".to_owned(), text(entry.id.to_string())),
            ("account_id".to_owned(), text(entry.account_id.to_string())),
            ("entry".to_owned(), text(readable(write_audit_entry(entry), "writing an entry")?)),
            ("expires".to_owned(), expiry(later(entry.at, limits::RETENTION))),
        ]);
        let owners = [
            Some(LogOf::Account(entry.account_id)),
            entry.webhook_id.map(|id| LogOf::Webhook(entry.account_id, id)),
        ];
        let put = |owner| self.put_write(Key::Audit(owner, entry.id), item.clone(), Condition::default());
        owners.into_iter().flatten().map(put).collect()
    }

    pub(super) async fn read_audit_log(
        &self,
        account: AccountId,
        webhook: Option<WebhookId>,
        after: Option<AuditId>,
        limit: usize,
    ) -> PortResult<Page<AccountEntry, AuditId>> {
        let doing = "reading an audit log";
        let owner = webhook.map_or(LogOf::Account(account), |id| LogOf::Webhook(account, id));
        let lowest = Key::Audit(owner, AuditId::from_bytes([0; 16])).parts();
        let below = after.map(|after| u128::from_be_bytes(after.to_bytes()).saturating_sub(1));
        let highest = AuditId::from_bytes(below.unwrap_or(u128::MAX).to_be_bytes());
        let (partition, to) = Key::Audit(owner, highest).parts();
        let items = self.range_in(Order::Down, partition, (lowest.1, to), limit + 1, doing).await?;
        let more = items.len() > limit;
        let shown = &items[..items.len().min(limit)];
        let last = shown.last().and_then(|item| item.maybe_text("id")?.parse().ok());
        Ok(Page { items: all_readable(shown, read_entry, doing), next: last.filter(|_| more) })
    }
}

fn read_entry(item: &Item) -> Result<AccountEntry, Unreadable> {
    read_audit_entry(item.parsed("id")?, item.parsed("account_id")?, item.text("entry")?)
}
