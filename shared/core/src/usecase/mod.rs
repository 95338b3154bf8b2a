//! What is done, one file a use case, over the ports.
//!
//! # Record, then act, and be ready to do it again
//!
//! No step relies on two services committing together. Each records what is now true with one compare-and-set,
//! and then does what the record calls for: sends a message, wakes the next in the lane, goes on with a sweep.
//! A worker that dies in between leaves its message in the queue; the one that gets it finds the record further
//! on than the message says, and does what *that* calls for. So the acting is written once, as a function of
//! the record, and doing it twice is harmless: [`follow_up`]. Two workers may have the same message, and it is gone when
//! one of them is done with it: so who finds that another was faster acts all the same, as the other may have died.

pub mod accounts;
pub mod announce;
pub mod attempt;
pub mod channel;
pub mod explain;
pub mod follow_up;
pub mod look_after;
pub mod notice;
pub mod pause;
pub mod preview;
pub mod probe;
pub mod publish;
pub mod query;
pub mod redeliver;
pub mod register;
pub mod rotate;
pub mod settings;
pub mod sign_in;
pub mod sweep;

use std::sync::Arc;

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::ids::{AccountId, KeyId, WebhookId};
use crate::message::Message;
use crate::ports::{
    Accounts, Announcer, Clock, Deliveries, Metrics, Random, Sender, Sessions, Turns, Wakeups, Webhooks,
};
use crate::retry::Ladder;
use crate::target::{EndpointUrl, TargetPolicy};
use crate::webhook::Webhook;

/// The ports, and the use cases over them.
#[derive(Clone)]
pub struct Engine {
    /// Accounts and keys.
    pub accounts: Arc<dyn Accounts>,
    /// Sessions of the dashboard.
    pub sessions: Arc<dyn Sessions>,
    /// Webhooks.
    pub webhooks: Arc<dyn Webhooks>,
    /// Events and deliveries.
    pub deliveries: Arc<dyn Deliveries>,
    /// Rates.
    pub turns: Arc<dyn Turns>,
    /// Messages for later.
    pub wakeups: Arc<dyn Wakeups>,
    /// The way out.
    pub sender: Arc<dyn Sender>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// What is counted.
    pub metrics: Arc<dyn Metrics>,
    /// Who tells others, where a deployment has somebody to tell.
    pub announcer: Option<Arc<dyn Announcer>>,
    /// What the deployment decides.
    pub deployment: Deployment,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("deployment", &self.deployment).finish_non_exhaustive()
    }
}

/// What the deployment decides. Its defaults are those of the product.
#[derive(Clone)]
pub struct Deployment {
    /// The waits between attempts.
    pub ladder: Ladder,
    /// Who may be called.
    pub policy: TargetPolicy,
    /// The Slack channel that is told of the webhooks of accounts without one of their own. Its URL is a secret.
    pub slack: Option<EndpointUrl>,
    /// Whether the end of a webhook's outage brings forward what waits on the ladder, or leaves it for up to an hour.
    pub bring_forward: bool,
    /// Where PagerDuty takes events.
    pub pagerduty: EndpointUrl,
    /// Where the API is reached, for links.
    pub public_url: String,
    /// The addresses attempts leave from.
    pub egress_ips: Vec<String>,
}

impl std::fmt::Debug for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployment")
            .field("ladder", &self.ladder)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Where the dashboard's pages are, below the public URL.
pub const DASHBOARD: &str = "/dashboard";

impl Deployment {
    /// The URL of a page of the dashboard.
    pub fn dashboard(&self, page: &str) -> String {
        format!("{}{DASHBOARD}/{page}", self.public_url)
    }

    /// The URL of a webhook's page.
    pub fn page_of(&self, webhook: WebhookId) -> String {
        self.dashboard(&format!("webhooks/{webhook}"))
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// It has done its work and can go.
    Done,
    /// It is to come again, not before that time.
    Again(Timestamp),
}

impl Engine {
    /// Does what a message asks. On an error the message stays, and comes again.
    pub async fn handle(&self, message: Message) -> Result<Handled> {
        match message {
            Message::Attempt(message) => self.attempt(message).await,
            Message::Sweep(message) => self.sweep(message).await,
            Message::Notice(message) => self.notice(message).await,
            Message::Announcement(message) => self.announce(message).await,
        }
    }

    /// A webhook of this account; another's, or a deleted one, is none.
    pub async fn webhook(&self, account: AccountId, id: WebhookId) -> Result<Arc<Webhook>> {
        self.webhooks
            .webhook(id)
            .await?
            .filter(|webhook| webhook.account_id == account && !webhook.is_deleted())
            .ok_or(Error::NotFound("webhook"))
    }

    /// Changes a webhook by compare-and-set, as often as others are faster. `change` sees the latest state and
    /// refuses or changes it; it does no I/O. `None` from it means: nothing to change.
    async fn change_webhook(
        &self,
        account: AccountId,
        id: WebhookId,
        change: impl Fn(&mut Webhook) -> Result<Option<()>> + Send,
    ) -> Result<Arc<Webhook>> {
        loop {
            let now = self.webhook(account, id).await?;
            let mut next = Webhook::clone(&now);
            if change(&mut next)?.is_none() {
                return Ok(now);
            }
            if self.webhooks.save_webhook(&next).await?.is_ok() {
                if next.audit != now.audit
                    && let Some(entry) = next.audit.entries().last()
                {
                    log_change(id, entry.change.name(), entry.by);
                }
                next.version += 1;
                return Ok(Arc::new(next));
            }
        }
    }
}

/// A line for who keeps every change longer than the webhook's own log does.
fn log_change(webhook: WebhookId, change: &str, by: Option<KeyId>) {
    let key = by.map(|key| key.to_string()).unwrap_or_default();
    tracing::info!(webhook.id = %webhook, key.id = key, change, "webhook changed");
}
