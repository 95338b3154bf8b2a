//! An owner pauses, resumes or deletes a webhook.

use std::sync::Arc;

use super::probe::not_verified;
use super::{Engine, log_change};
use crate::access::Manager;
use crate::error::Result;
use crate::ids::{AccountId, WebhookId};
use crate::webhook::{PauseReason, State, SweepMode, Webhook};

/// What a resume does with what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeldDeliveries {
    /// Delivers it.
    #[default]
    Deliver,
    /// Drops it.
    Discard,
}

impl Engine {
    /// Pauses a webhook by hand: nobody needs to be told. A paused one stays as it is.
    pub async fn pause(&self, by: Manager, id: WebhookId) -> Result<Arc<Webhook>> {
        let now = self.clock.now();
        self.change_and_follow_up(by.account_id, id, |webhook| match webhook.state {
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
        let mode = match held {
            HeldDeliveries::Deliver => SweepMode::Release,
            HeldDeliveries::Discard => SweepMode::Discard,
        };
        self.change_and_follow_up(by.account_id, id, |webhook| match webhook.state {
            State::Pending => Err(not_verified()),
            State::Active | State::Deleted => Ok(None),
            State::Paused(_) => {
                webhook.resume(mode, count, by.key_id, now);
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
            if self.webhooks.save_webhook(&webhook).await?.is_ok() {
                // Its own log is seen by nobody any more.
                log_change(id, "deleted", Some(by.key_id));
                return self.follow_up_webhook(&webhook).await;
            }
        }
    }

    /// A call that broke off before the sweep's first message is completed by its repetition, which finds no webhook.
    async fn complete_delete(&self, account: AccountId, id: WebhookId) -> Result<()> {
        match self.webhooks.webhook(id).await? {
            Some(webhook) if webhook.account_id == account && webhook.sweep.is_some() => {
                self.follow_up_webhook(&webhook).await
            }
            _ => Ok(()),
        }
    }

    /// Record, then act. The acting also happens where nothing changed: a call that broke off between the two
    /// is completed by its repetition.
    async fn change_and_follow_up(
        &self,
        account: AccountId,
        id: WebhookId,
        change: impl Fn(&mut Webhook) -> Result<Option<()>> + Send,
    ) -> Result<Arc<Webhook>> {
        let webhook = self.change_webhook(account, id, change).await?;
        self.follow_up_webhook(&webhook).await?;
        Ok(webhook)
    }
}
