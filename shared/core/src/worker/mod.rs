//! The service that works on messages: attempts, pages of jobs, notifications and events.

mod attempt;
mod channel;
mod event;
mod job;
mod notify;

pub(crate) use notify::message_to;

use std::sync::Arc;

use jiff::Timestamp;

use crate::deployment::Deployment;
use crate::error::Result;
use crate::message::Message;
use crate::outbox::Outbox;
use crate::ports::{
    Accounts, Clock, Deliveries, EventPublisher, Metrics, Random, RateLimits, Sender, Webhooks,
};

/// Works on messages.
#[derive(Clone)]
pub struct Worker {
    /// Accounts: their names, and their engineers' Slack channels.
    pub accounts: Arc<dyn Accounts>,
    /// Webhooks.
    pub webhooks: Arc<dyn Webhooks>,
    /// Events and deliveries.
    pub deliveries: Arc<dyn Deliveries>,
    /// What is written and sent.
    pub outbox: Outbox,
    /// Rates.
    pub rate_limits: Arc<dyn RateLimits>,
    /// The way out.
    pub sender: Arc<dyn Sender>,
    /// Where events go, where a deployment has listeners.
    pub events: Option<Arc<dyn EventPublisher>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// What is counted.
    pub metrics: Arc<dyn Metrics>,
    /// What the deployment decides.
    pub deployment: Deployment,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("deployment", &self.deployment).finish_non_exhaustive()
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

impl Handled {
    fn until(again: Option<Timestamp>) -> Self {
        again.map_or(Handled::Done, Handled::Again)
    }
}

impl Worker {
    /// Does what a message asks. On an error the message stays, and comes again.
    pub async fn handle(&self, message: Message) -> Result<Handled> {
        match message {
            Message::Attempt(message) => self.attempt(message).await,
            Message::Job(message) => self.work_on_job(message).await,
            Message::Notify(message) => self.notify(message).await,
            Message::Event(message) => self.publish_event(message).await,
        }
    }

    /// Looks at every record for messages that were lost, and sends them again. Answers how many that were.
    pub async fn reconcile_all(&self) -> Result<u64> {
        self.outbox.reconcile_all(&*self.accounts, &*self.random, &*self.metrics).await
    }
}
