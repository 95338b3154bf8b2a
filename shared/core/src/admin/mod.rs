//! The service behind the API and the dashboard: accounts, keys, webhooks, and what their owners do with them.

pub mod accounts;
pub mod commands;
pub mod explain;
pub mod pause;
pub mod preview;
pub mod probe;
pub mod query;
pub mod quotas;
pub mod redeliver;
pub mod register;
pub mod rotate;
pub mod settings;
pub mod sign_in;
pub mod stats;

use std::sync::Arc;

use crate::deployment::Deployment;
use crate::error::{Error, Result};
use crate::ids::{AccountId, KeyId, WebhookId};
use crate::limiter::Limiter;
use crate::outbox::Outbox;
use crate::ports::{Accounts, Clock, Deliveries, Figures, Random, Sender, Sessions, Webhooks};
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
    /// Writes records and sends messages.
    pub outbox: Outbox,
    /// Figures of accounts and webhooks.
    pub figures: Arc<dyn Figures>,
    /// Counts what accounts use.
    pub limiter: Arc<Limiter>,
    /// Makes the calls for handshakes and tests.
    pub sender: Arc<dyn Sender>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The deployment's settings.
    pub deployment: Deployment,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("deployment", &self.deployment).finish_non_exhaustive()
    }
}

impl Admin {
    /// The account's webhook with this id. The webhooks of other accounts and deleted webhooks are not found.
    pub async fn webhook(&self, account: AccountId, id: WebhookId) -> Result<Arc<Webhook>> {
        match self.webhooks.webhook(id).await {
            Ok(found) => found
                .filter(|webhook| webhook.account_id == account && !webhook.is_deleted())
                .ok_or(Error::NotFound("webhook")),
            Err(error) if error.is_unreadable() => {
                let is_own = self.webhooks.webhooks(account).await?.unreadable.contains(&id);
                Err(if is_own { Error::Unreadable(id) } else { Error::NotFound("webhook") })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Changes a webhook by compare-and-set, retries after each conflict, and sends the resulting messages. `change`
    /// gets the latest record and does no I/O. It refuses with an error, or returns `None` if there is nothing to
    /// change. In that case the messages that an interrupted earlier call left unsent are sent.
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
                self.outbox.send_unsent(&webhook).await?;
                return Ok(webhook);
            }
            let entry = next.audit.entries().last().copied().filter(|_| next.audit != webhook.audit);
            if let Ok(saved) = self.outbox.save_webhook(next).await? {
                if let Some(entry) = entry {
                    log_change(id, entry.change.name(), entry.by);
                }
                self.outbox.send_unsent(&saved).await?;
                return Ok(saved);
            }
        }
    }
}

/// Logs a change, for operators who keep changes longer than the webhook's own audit log does.
fn log_change(webhook: WebhookId, change: &str, by: Option<KeyId>) {
    let key = by.map(|key| key.to_string()).unwrap_or_default();
    tracing::info!(webhook.id = %webhook, key.id = key, change, "webhook changed");
}
