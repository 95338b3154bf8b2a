//! The service that handles messages: attempts, pages of jobs, notifications and domain events.

mod attempt;
mod burst;
mod event;
mod job;
mod notify;

use std::sync::Arc;

use jiff::Timestamp;

use crate::check::{Checked, Reconciled};
use crate::deployment::Deployment;
use crate::error::Result;
use crate::message::Message;
use crate::outbox::Outbox;
use crate::ports::{
    Accounts, Clock, Deliveries, EventPublisher, Figures, Metrics, Random, RateLimits, Sender, Webhooks,
};

/// Handles messages.
#[derive(Clone)]
pub struct Worker {
    /// Accounts, for their names and their engineers' Slack channels.
    pub accounts: Arc<dyn Accounts>,
    /// Webhooks.
    pub webhooks: Arc<dyn Webhooks>,
    /// Events and deliveries.
    pub deliveries: Arc<dyn Deliveries>,
    /// Writes records and sends messages.
    pub outbox: Outbox,
    /// Rate limits that all workers share.
    pub rate_limits: Arc<dyn RateLimits>,
    /// Makes the calls to endpoints.
    pub sender: Arc<dyn Sender>,
    /// Publishes domain events; `None` if the deployment has no bus.
    pub events: Option<Arc<dyn EventPublisher>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Figures of accounts and webhooks.
    pub figures: Arc<dyn Figures>,
    /// Metrics.
    pub metrics: Arc<dyn Metrics>,
    /// The deployment's settings.
    pub deployment: Deployment,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("deployment", &self.deployment).finish_non_exhaustive()
    }
}

/// The result of handling a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The message is done and can be deleted.
    Done,
    /// Deliver the message again, not before this time.
    Again(Timestamp),
}

impl Handled {
    fn until(again: Option<Timestamp>) -> Self {
        again.map_or(Handled::Done, Handled::Again)
    }
}

impl Worker {
    /// Handles a message. On an error the message stays in the queue and is delivered again.
    pub async fn handle(&self, message: Message) -> Result<Handled> {
        match message {
            Message::Attempt(message) => self.attempt(message).await,
            Message::Job(message) => self.work_on_job(message).await,
            Message::Notify(message) => self.notify(message).await,
            Message::Event(message) => self.publish_event(message).await,
        }
    }

    /// Checks all webhooks for lost messages and sends them again. Returns how many repairs it made.
    pub async fn reconcile_all(&self) -> Result<u64> {
        self.reconcile_until(None, Timestamp::MAX).await.map(|reconciled| reconciled.repairs)
    }

    /// Does the same for a process whose time is limited: stops after the webhook at which it is `until`. The next run
    /// goes on after that webhook.
    pub async fn reconcile_until(&self, after: Option<Checked>, until: Timestamp) -> Result<Reconciled> {
        let range = (after, until);
        self.outbox.reconcile_until(&*self.accounts, &*self.random, &*self.metrics, range).await
    }
}
