//! Pauses, resumes and deletes webhooks for their owners.

use std::sync::Arc;

use super::Admin;
use super::probe::not_verified;
use crate::access::Manager;
use crate::audit::{AccountEntry, Action};
use crate::error::{Error, Result};
use crate::ids::{AccountId, WebhookId};
use crate::webhook::{JobKind, PauseReason, State, Webhook};

/// What a resume does with held deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeldDeliveries {
    /// Delivers them.
    #[default]
    Deliver,
    /// Drops them.
    Discard,
}

impl Admin {
    /// Pauses a webhook by hand, which sends no notification. A paused webhook stays as it is.
    pub async fn pause(&self, by: Manager, id: WebhookId) -> Result<Arc<Webhook>> {
        let now = self.clock.now();
        self.change_webhook(by.account_id, id, |webhook| match webhook.state {
            State::Pending => Err(not_verified()),
            State::Paused(_) | State::Deleted => Ok(None),
            State::Active => {
                webhook.pause(PauseReason::Manual, None, by.actor(), now);
                Ok(Some(()))
            }
        })
        .await
    }

    /// Makes a paused webhook active, and returns how many deliveries were held. An active webhook stays as it is, so a
    /// second resume delivers nothing twice.
    pub async fn resume(&self, by: Manager, id: WebhookId, held: HeldDeliveries) -> Result<u64> {
        let now = self.clock.now();
        let before = self.webhook(by.account_id, id).await?;
        let count = if before.is_active() { 0 } else { self.deliveries.held(id).await? };
        let kind = match held {
            HeldDeliveries::Deliver => JobKind::Release,
            HeldDeliveries::Discard => JobKind::Discard,
        };
        self.change_webhook(by.account_id, id, |webhook| match webhook.state {
            State::Pending => Err(not_verified()),
            State::Active | State::Deleted => Ok(None),
            State::Paused(_) => {
                webhook.resume(kind, count, by.actor(), now);
                Ok(Some(()))
            }
        })
        .await?;
        Ok(count)
    }

    /// Deletes a webhook and cancels its deliveries, scheduled retries included.
    pub async fn delete(&self, by: Manager, id: WebhookId) -> Result<()> {
        let now = self.clock.now();
        loop {
            let mut webhook = match self.webhook(by.account_id, id).await {
                Ok(webhook) => Webhook::clone(&webhook),
                Err(Error::Unreadable(_)) => {
                    let made = (now, by.actor());
                    let entry = AccountEntry::new(by.account_id, made, Action::WebhookDeleted, &id, vec![]);
                    let entry = entry.about(id);
                    self.outbox.remove_unreadable_webhook(id, &entry).await?;
                    self.publish(&[entry]).await;
                    return Ok(());
                }
                Err(not_found @ Error::NotFound(_)) => {
                    self.complete_delete(by.account_id, id).await?;
                    return Err(not_found);
                }
                Err(error) => return Err(error),
            };
            webhook.delete(by.actor(), now);
            let entries = webhook.audit_entries();
            if let Ok(deleted) = self.outbox.save_webhook(webhook).await? {
                self.outbox.send_unsent(&deleted).await?;
                self.publish(&entries).await;
                return Ok(());
            }
        }
    }

    /// Sends the messages of a delete that was interrupted. The repeated call no longer finds the webhook.
    async fn complete_delete(&self, account: AccountId, id: WebhookId) -> Result<()> {
        match self.webhooks.webhook(id).await {
            Ok(Some(webhook)) if webhook.account_id == account => self.outbox.send_unsent(&webhook).await,
            Ok(_) => Ok(()),
            Err(error) if error.is_unreadable() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
