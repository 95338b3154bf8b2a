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

use crate::audit::AccountEntry;
use crate::deployment::Deployment;
use crate::error::{Error, Result};
use crate::ids::{AccountId, WebhookId};
use crate::limiter::Limiter;
use crate::once::{self, Draw, Once};
use crate::outbox::Outbox;
use crate::ports::{
    Accounts, Clock, Deliveries, EventPublisher, Figures, Random, Sender, Sessions, Webhooks,
};
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
    /// Publishes what is added to the accounts' audit logs, where there is a bus.
    pub events: Option<Arc<dyn EventPublisher>>,
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

    /// Begins a call that shows something once, whose caller repeats it with the same idempotency key if its answer is lost.
    /// `owner` is whose keys they are. Returns `None` without a key.
    pub async fn once(
        &self,
        owner: [u8; 16],
        call: &str,
        key: Option<&str>,
        body: &[u8],
    ) -> Result<Option<Once>> {
        let Some(key) = key else { return Ok(None) };
        let draw = Draw::new(owner, call, key, body, (self.clock.now(), &*self.random))?;
        let kept = self.accounts.keep_draw(&draw).await?;
        if kept.fingerprint != draw.fingerprint {
            return Err(once::reused(once::OTHER_BODY));
        }
        Ok(Some(Once::drawn(&kept, kept.seed != draw.seed)))
    }

    /// Where a call gets its time and its random values from.
    fn drawn(&self, once: Option<Once>) -> Once {
        let afresh = || Once { random: self.random.clone(), at: self.clock.now(), is_repeated: false };
        once.unwrap_or_else(afresh)
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
            let entries = next.audit_entries();
            if let Ok(saved) = self.outbox.save_webhook(next).await? {
                self.outbox.send_unsent(&saved).await?;
                self.publish(&entries).await;
                return Ok(saved);
            }
        }
    }

    /// Publishes entries that are in an account's audit log. They are there and in the program's log though the bus does
    /// not take them.
    async fn publish(&self, entries: &[AccountEntry]) {
        let Some(events) = &self.events else { return };
        for entry in entries {
            if let Err(error) = events.publish_entry(entry).await {
                tracing::error!(audit.id = %entry.id, %error, "an entry of an audit log was not published");
            }
        }
    }

    /// Logs and publishes an entry that a store has written.
    async fn tell(&self, entry: &AccountEntry) {
        entry.log();
        self.publish(std::slice::from_ref(entry)).await;
    }
}
