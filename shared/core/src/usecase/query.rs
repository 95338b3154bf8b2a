//! What an account can look at.

use std::sync::Arc;

use super::Engine;
use crate::access::Account;
use crate::delivery::{Delivery, DeliveryFilter};
use crate::error::{Error, Result};
use crate::ids::{AccountId, DeliveryId, WebhookId};
use crate::ports::Page;
use crate::webhook::Webhook;

impl Engine {
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
