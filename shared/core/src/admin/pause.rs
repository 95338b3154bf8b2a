//! An owner pauses, resumes or deletes a webhook.

use std::sync::Arc;

use super::probe::not_verified;
use super::{Admin, log_change};
use crate::access::Manager;
use crate::error::Result;
use crate::ids::{AccountId, WebhookId};
use crate::webhook::{JobKind, PauseReason, State, Webhook};

/// What a resume does with what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeldDeliveries {
    /// Delivers it.
    #[default]
    Deliver,
    /// Drops it.
    Discard,
}

impl Admin {
    /// Pauses a webhook by hand: nobody needs to be told. A paused one stays as it is.
    pub async fn pause(&self, by: Manager, id: WebhookId) -> Result<Arc<Webhook>> {
        let now = self.clock.now();
        self.change_webhook(by.account_id, id, |webhook| match webhook.state {
            State::Pending => Err(not_verified()),
            State::Paused(_) | State::Deleted => Ok(None),
            State::Active => {
                webhook.pause(PauseReason::Manual, None, Some(by.key_id), now);
                Ok(Some(()))
            }
        })
        .await
    }

    /// Makes a paused webhook active, and says how many deliveries were held. An active one stays as it is: a
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
                webhook.resume(kind, count, by.key_id, now);
                Ok(Some(()))
            }
        })
        .await?;
        Ok(count)
    }

    /// Deletes a webhook; its deliveries are cancelled, those already scheduled included.
    pub async fn delete(&self, by: Manager, id: WebhookId) -> Result<()> {
        let now = self.clock.now();
        loop {
            let mut webhook = match self.webhook(by.account_id, id).await {
                Ok(webhook) => Webhook::clone(&webhook),
                Err(not_found) => {
                    self.complete_delete(by.account_id, id).await?;
                    return Err(not_found);
                }
            };
            webhook.delete(now);
            if let Ok(deleted) = self.outbox.save_webhook(webhook).await? {
                // Its own log is seen by nobody any more.
                log_change(id, "deleted", Some(by.key_id));
                return self.outbox.settle(&deleted).await;
            }
        }
    }

    /// A call that broke off before it sent anything is completed by its repetition, which finds no webhook.
    async fn complete_delete(&self, account: AccountId, id: WebhookId) -> Result<()> {
        match self.webhooks.webhook(id).await? {
            Some(webhook) if webhook.account_id == account => self.outbox.settle(&webhook).await,
            _ => Ok(()),
        }
    }
}
