//! What an account can read.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;

use super::Admin;
use crate::access::{Account, ApiKey};
use crate::audit::{AccountEntry, Change, Entry};
use crate::delivery::{Delivery, DeliveryFilter};
use crate::error::{Error, Result};
use crate::ids::{AccountId, AuditId, DeliveryId, EventId, KeyId, WebhookId};
use crate::limits;
use crate::ports::{DeliveryQuery, Page};
use crate::webhook::Webhook;

/// An entry of an audit log, as shown to its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// When it was made.
    pub at: Timestamp,
    /// The change.
    pub change: Change,
    /// The API key; `None` if StatusPulse made the change itself.
    pub by: Option<AuditedKey>,
}

/// The API key that made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedKey {
    /// Its id.
    pub id: KeyId,
    /// The start of its text.
    pub prefix: String,
    /// What it is for.
    pub name: Option<String>,
}

impl AuditedKey {
    /// Keys are never deleted. If one is missing all the same, or is an operator's, its id still identifies it.
    fn of(id: KeyId, keys: &[ApiKey]) -> Self {
        let key = keys.iter().find(|key| key.id == id);
        let prefix = key.map(|key| key.prefix.clone()).unwrap_or_default();
        Self { id, prefix, name: key.and_then(|key| key.name.clone()) }
    }
}

/// What is to come for a webhook that fails. Of many deliveries only the oldest are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outlook {
    /// When the next attempt is due.
    pub next_attempt: Option<Timestamp>,
    /// When it will be paused if every attempt until then fails: about then, because attempts take time.
    pub pauses_at: Option<Timestamp>,
}

/// A page of an account's webhooks.
#[derive(Debug, Clone)]
pub struct WebhookPage {
    /// The page.
    pub page: Page<Arc<Webhook>, WebhookId>,
    /// The webhooks that can only be deleted: the same on every page.
    pub unreadable: Vec<WebhookId>,
}

/// Which of an account's deliveries are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliverySearch {
    /// Only those to this webhook.
    pub webhook: Option<WebhookId>,
    /// Only those of this event.
    pub event: Option<EventId>,
    /// Only this one.
    pub delivery: Option<DeliveryId>,
    /// Only those that match.
    pub filter: DeliveryFilter,
}

impl Admin {
    /// The account.
    pub async fn account(&self, id: AccountId) -> Result<Account> {
        self.accounts.account(id).await?.ok_or(Error::NotFound("account"))
    }

    /// A page of the account's webhooks, oldest first, starting after `after`.
    pub async fn webhook_page(
        &self,
        account: AccountId,
        after: Option<WebhookId>,
        limit: usize,
    ) -> Result<WebhookPage> {
        let all = self.webhooks.webhooks(account).await?;
        let mut rest = all.readable.iter().filter(|webhook| after.is_none_or(|after| webhook.id > after));
        let items: Vec<_> = rest.by_ref().take(limit).cloned().collect();
        let next = rest.next().and_then(|_| items.last()).map(|webhook| webhook.id);
        Ok(WebhookPage { page: Page { items, next }, unreadable: all.unreadable.clone() })
    }

    /// The webhook's latest changes, newest first.
    pub async fn audit_log(&self, webhook: &Webhook) -> Result<Vec<Audited>> {
        let keys = self.accounts.keys(webhook.account_id).await?;
        let entries = webhook.audit.entries().iter().rev();
        let shown = |entry: &Entry| Audited {
            at: entry.at,
            change: entry.change,
            by: entry.by.map(|id| AuditedKey::of(id, &keys)),
        };
        Ok(entries.map(shown).collect())
    }

    /// A page of the account's audit log, or of what concerns one webhook, newest first, starting after `after`. It may be
    /// short, or even empty, and not be the last. A webhook may be deleted: its changes stay in the log.
    pub async fn account_audit_log(
        &self,
        account: AccountId,
        webhook: Option<WebhookId>,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<Page<(AccountEntry, Option<AuditedKey>), AuditId>> {
        let page = self.accounts.audit_log(account, webhook, after, limit).await?;
        let keys = self.accounts.keys(account).await?;
        let with_key = |entry: AccountEntry| {
            let key = entry.by.key_id.map(|id| AuditedKey::of(id, &keys));
            (entry, key)
        };
        Ok(Page { items: page.items.into_iter().map(with_key).collect(), next: page.next })
    }

    /// What is to come for a webhook if it is failing.
    pub async fn outlook(&self, webhook: &Webhook) -> Result<Outlook> {
        if !webhook.is_active() || !webhook.health.is_failing() {
            return Ok(Outlook::default());
        }
        let moving = self.deliveries.query(webhook.id, DeliveryQuery::Moving, limits::JOB_PAGE).await?;
        let next_attempt = moving.iter().filter_map(|delivery| Some(delivery.due_attempt()?.1)).min();
        let of_this_outage = moving.iter().filter(|delivery| {
            delivery.failed_in.is_some_and(|failed| failed.first == webhook.health.outage)
        });
        let ends = of_this_outage.filter_map(|delivery| delivery.ladder_ends_at(&self.deployment.ladder));
        Ok(Outlook { next_attempt, pauses_at: ends.min() })
    }

    /// How many of the webhook's deliveries are held.
    pub async fn held(&self, webhook: WebhookId) -> Result<u64> {
        Ok(self.deliveries.held(webhook).await?)
    }

    /// A page of the deliveries to the account's webhooks, newest first, starting after `after`. It may be short, or even
    /// empty, and not be the last.
    pub async fn search_deliveries(
        &self,
        account: AccountId,
        search: &DeliverySearch,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Page<Delivery, DeliveryId>> {
        let DeliverySearch { webhook, event, delivery, filter } = search;
        let webhooks = match webhook {
            Some(webhook) => vec![self.webhook(account, *webhook).await?.id],
            None => self.webhook_ids(account).await?,
        };
        let named = match (delivery, event) {
            (Some(delivery), _) => {
                self.deliveries.delivery(&webhooks, *delivery).await?.into_iter().collect()
            }
            (None, Some(event)) => self.of_event(account, *event, &webhooks).await?,
            (None, None) => return Ok(self.deliveries.deliveries(&webhooks, filter, after, limit).await?),
        };
        let found = |found: &Delivery| {
            filter.matches(found)
                && event.is_none_or(|event| found.event_id == event)
                && after.is_none_or(|after| found.id < after)
        };
        let mut items: Vec<Delivery> = named.into_iter().filter(found).collect();
        items.sort_unstable_by_key(|found| Reverse(found.id));
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| last.id);
        Ok(Page { items, next })
    }

    async fn of_event(
        &self,
        account: AccountId,
        event: EventId,
        webhooks: &[WebhookId],
    ) -> Result<Vec<Delivery>> {
        let Some(event) = self.deliveries.event(event).await? else { return Ok(vec![]) };
        if event.account_id != account {
            return Ok(vec![]);
        }
        Ok(self.deliveries.deliveries_of_event(&event, webhooks).await?)
    }

    /// A delivery with all its attempts.
    pub async fn delivery(&self, account: AccountId, webhook: WebhookId, id: DeliveryId) -> Result<Delivery> {
        self.webhook(account, webhook).await?;
        self.deliveries.delivery(&[webhook], id).await?.ok_or(Error::NotFound("delivery"))
    }

    /// A delivery by its id alone, which is in a header of every attempt.
    pub async fn delivery_by_id(&self, account: AccountId, id: DeliveryId) -> Result<Delivery> {
        let own = self.webhook_ids(account).await?;
        self.deliveries.delivery(&own, id).await?.ok_or(Error::NotFound("delivery"))
    }

    async fn webhook_ids(&self, account: AccountId) -> Result<Vec<WebhookId>> {
        let webhooks = self.webhooks.subscriptions(account).await?;
        Ok(webhooks.readable.iter().map(|webhook| webhook.id).collect())
    }
}
