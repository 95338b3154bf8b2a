//! The service behind the API and the dashboard: accounts, keys, webhooks and what their owners do to them.

pub mod accounts;
pub mod commands;
pub mod explain;
pub mod pause;
pub mod preview;
pub mod probe;
pub mod query;
pub mod redeliver;
pub mod register;
pub mod rotate;
pub mod settings;
pub mod sign_in;

use std::sync::Arc;

use crate::deployment::Deployment;
use crate::error::{Error, Result};
use crate::ids::{AccountId, KeyId, WebhookId};
use crate::outbox::Outbox;
use crate::ports::{Accounts, Clock, Deliveries, Random, Sender, Sessions, Webhooks};
use crate::webhook::Webhook;

/// Serves the API and the dashboard.
#[derive(Clone)]
pub struct Admin {
    /// Accounts and keys.
    pub accounts: Arc<dyn Accounts>,
    /// Sessions of the dashboard.
    pub sessions: Arc<dyn Sessions>,
    /// Webhooks.
    pub webhooks: Arc<dyn Webhooks>,
    /// Events and deliveries.
    pub deliveries: Arc<dyn Deliveries>,
    /// What is written and sent.
    pub outbox: Outbox,
    /// The way out: handshakes and tests.
    pub sender: Arc<dyn Sender>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// What the deployment decides.
    pub deployment: Deployment,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("deployment", &self.deployment).finish_non_exhaustive()
    }
}

impl Admin {
    /// A webhook of this account; another's, or a deleted one, is none.
    pub async fn webhook(&self, account: AccountId, id: WebhookId) -> Result<Arc<Webhook>> {
        self.webhooks
            .webhook(id)
            .await?
            .filter(|webhook| webhook.account_id == account && !webhook.is_deleted())
            .ok_or(Error::NotFound("webhook"))
    }

    /// Changes a webhook by compare-and-set, as often as others are faster, and sends what that calls for. `change` sees the
    /// latest state and refuses or changes it; it does no I/O. `None` from it means: nothing to change. What an earlier call
    /// that broke off left unsent is sent then.
    async fn change_webhook(
        &self,
        account: AccountId,
        id: WebhookId,
        change: impl Fn(&mut Webhook) -> Result<Option<()>> + Send,
    ) -> Result<Arc<Webhook>> {
        loop {
            let webhook = self.webhook(account, id).await?;
            let mut next = Webhook::clone(&webhook);
            if change(&mut next)?.is_none() {
                self.outbox.settle(&webhook).await?;
                return Ok(webhook);
            }
            let entry = next.audit.entries().last().copied().filter(|_| next.audit != webhook.audit);
            if let Ok(saved) = self.outbox.save_webhook(next).await? {
                if let Some(entry) = entry {
                    log_change(id, entry.change.name(), entry.by);
                }
                self.outbox.settle(&saved).await?;
                return Ok(saved);
            }
        }
    }
}

/// A line for who keeps every change longer than the webhook's own log does.
fn log_change(webhook: WebhookId, change: &str, by: Option<KeyId>) {
    let key = by.map(|key| key.to_string()).unwrap_or_default();
    tracing::info!(webhook.id = %webhook, key.id = key, change, "webhook changed");
}
