//! What an account can look at.

use std::sync::Arc;

use jiff::Timestamp;

use super::Admin;
use crate::access::Account;
use crate::audit::Change;
use crate::delivery::{Delivery, DeliveryFilter};
use crate::error::{Error, Result};
use crate::ids::{AccountId, DeliveryId, KeyId, WebhookId};
use crate::ports::Page;
use crate::webhook::Webhook;

/// An entry of an audit log as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// When.
    pub at: Timestamp,
    /// What.
    pub change: Change,
    /// With which key, and how that begins; `None` where StatusPulse did it by itself.
    pub by: Option<(KeyId, String)>,
}

impl Admin {
    /// The account itself.
    pub async fn account(&self, id: AccountId) -> Result<Account> {
        self.accounts.account(id).await?.ok_or(Error::NotFound("account"))
    }

    /// The account's webhooks, oldest first, past `after`.
    pub async fn webhook_page(
        &self,
        account: AccountId,
        after: Option<WebhookId>,
        limit: usize,
    ) -> Result<Page<Arc<Webhook>, WebhookId>> {
        let all = self.webhooks.webhooks(account).await?;
        let mut rest = all.iter().filter(|webhook| after.is_none_or(|after| webhook.id > after));
        let items: Vec<_> = rest.by_ref().take(limit).cloned().collect();
        let next = rest.next().and_then(|_| items.last()).map(|webhook| webhook.id);
        Ok(Page { items, next })
    }

    /// Who did what to this webhook, newest first.
    pub async fn audit_log(&self, webhook: &Webhook) -> Result<Vec<Audited>> {
        let keys = self.accounts.keys(webhook.account_id).await?;
        // Keys are never forgotten; should one be all the same, its id still says which it was.
        let prefix =
            |id| keys.iter().find(|key| key.id == id).map(|key| key.prefix.clone()).unwrap_or_default();
        let entries = webhook.audit.entries().iter().rev();
        Ok(entries
            .map(|entry| Audited {
                at: entry.at,
                change: entry.change,
                by: entry.by.map(|id| (id, prefix(id))),
            })
            .collect())
    }

    /// How many of the webhook's deliveries are held.
    pub async fn held(&self, webhook: WebhookId) -> Result<u64> {
        Ok(self.deliveries.held(webhook).await?)
    }

    /// A webhook's deliveries, newest first, past `after`.
    pub async fn delivery_page(
        &self,
        account: AccountId,
        webhook: WebhookId,
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Page<Delivery, DeliveryId>> {
        self.webhook(account, webhook).await?;
        Ok(self.deliveries.deliveries(webhook, filter, after, limit).await?)
    }

    /// A delivery with all its attempts.
    pub async fn delivery(&self, account: AccountId, webhook: WebhookId, id: DeliveryId) -> Result<Delivery> {
        self.webhook(account, webhook).await?;
        self.deliveries.delivery(&[webhook], id).await?.ok_or(Error::NotFound("delivery"))
    }

    /// The same, for who knows only the delivery's id: it stands in a header of every attempt.
    pub async fn delivery_by_id(&self, account: AccountId, id: DeliveryId) -> Result<Delivery> {
        let own: Vec<WebhookId> =
            self.webhooks.webhooks(account).await?.iter().map(|webhook| webhook.id).collect();
        self.deliveries.delivery(&own, id).await?.ok_or(Error::NotFound("delivery"))
    }
}
