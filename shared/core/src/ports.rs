//! Every port: what the rules need from the world, as traits. Two sets of adapters stand behind them, one on
//! AWS, one on a single SQLite file; the network, the clock and randomness are ports too, so that a test can
//! run the whole ladder in microseconds.
//!
//! # What every adapter promises
//!
//! - A write is atomic, visible to every later read, and survives the death of the process once it returned.
//!   [`Deliveries::settled`] returns when all of them also survive the death of the machine.
//! - Changing something takes the version it was read at. If somebody was faster the answer is [`Conflict`],
//!   and nothing was written.
//! - A message of [`Queue`] comes at least once, not before its time, in any order.
//!
//! What a write calls for is sent with it: see [`Records`].

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::access::{Account, ApiKey, KeyHash, Session};
use crate::attempt::{Class, Failure, Reply};
use crate::delivery::{Delivery, DeliveryFilter};
use crate::event::Event;
use crate::ids::{AccountId, DeliveryId, EventId, KeyId, WebhookId};
use crate::message::{AttemptKey, DomainEvent, ScheduledMessage};
use crate::target::EndpointUrl;
use crate::webhook::Webhook;

/// The adapter could not do it: a disk is full, a service does not answer. Nothing is known to be written;
/// the same call may be made again.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct Unavailable {
    /// What was being done.
    pub doing: &'static str,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What a port answers.
pub type PortResult<T> = Result<T, Unavailable>;

/// Somebody changed it since it was read; nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The entries.
    pub items: Vec<T>,
    /// Where the next page starts, if there is one.
    pub next: Option<C>,
}

/// Time.
pub trait Clock: Send + Sync {
    /// The time now, in whole milliseconds: what is kept and what is computed with are the same.
    fn now(&self) -> Timestamp;
}

/// Randomness.
pub trait Random: Send + Sync {
    /// Fills the bytes from a source fit for secrets.
    fn fill(&self, bytes: &mut [u8]);
}

/// One POST to somebody's endpoint.
#[derive(Debug, Clone)]
pub struct Call {
    /// Where to.
    pub url: EndpointUrl,
    /// The headers, ours and the customer's own.
    pub headers: Vec<(String, String)>,
    /// The exact bytes of the body.
    pub body: Bytes,
    /// How long it may take, to the last byte read.
    pub timeout: Duration,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The answer, or why there was none.
    pub result: Result<Reply, Failure>,
    /// How long after the call was made the connect, or the write on a kept connection, began: what the name's
    /// look-up took.
    pub began_after: Duration,
    /// How long it took from then on, to the last byte read.
    pub duration: Duration,
}

/// The guarded way out. Keeps to the target policy and the limits of one attempt, whatever it is asked.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Makes the call. A failure of the receiver is an answer like any other.
    async fn send(&self, call: Call) -> Sent;
}

/// Accounts and API keys.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Keeps a new account and its first key, both or neither.
    async fn create_account(&self, account: &Account, key: &ApiKey) -> PortResult<()>;
    /// The accounts past `after`, in the order of their ids.
    async fn accounts(&self, after: Option<AccountId>, limit: usize) -> PortResult<Vec<AccountId>>;
    /// The account, if there is one of this id.
    async fn account(&self, id: AccountId) -> PortResult<Option<Account>>;
    /// Replaces the account's settings.
    async fn save_account(&self, account: &Account) -> PortResult<Result<(), Conflict>>;
    /// Keeps a new key.
    async fn create_key(&self, key: &ApiKey) -> PortResult<()>;
    /// The key of this hash, also a revoked or expired one.
    async fn key_by_hash(&self, hash: &KeyHash) -> PortResult<Option<ApiKey>>;
    /// The account's keys, oldest first.
    async fn keys(&self, account: AccountId) -> PortResult<Vec<ApiKey>>;
    /// Marks the key as revoked. `false` if the account has no key of this id.
    async fn revoke_key(&self, account: AccountId, key: KeyId, now: Timestamp) -> PortResult<bool>;
}

/// Sessions of the dashboard.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Keeps a new session, until it ends by itself at the least.
    async fn create_session(&self, session: &Session) -> PortResult<()>;
    /// The session that is found by this hash, an ended one perhaps too.
    async fn session(&self, hash: &KeyHash) -> PortResult<Option<Session>>;
    /// Removes the session. Of many who ask at once one gets it.
    async fn take_session(&self, hash: &KeyHash) -> PortResult<Option<Session>>;
}

/// Webhooks are read.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// The webhook, a deleted one too.
    async fn webhook(&self, id: WebhookId) -> PortResult<Option<std::sync::Arc<Webhook>>>;
    /// The account's webhooks, oldest first, without deleted ones.
    async fn webhooks(&self, account: AccountId) -> PortResult<std::sync::Arc<Vec<std::sync::Arc<Webhook>>>>;
}

/// What an event's acceptance came to.
#[derive(Debug, Clone)]
pub enum Acceptance {
    /// It is kept, and so are its deliveries: new now, or found from an earlier call with the same content.
    Accepted(Vec<Delivery>),
    /// An event of this id with another content was accepted before.
    Different,
}

/// What came of asking for an attempt.
#[derive(Debug, Clone)]
pub enum Claim {
    /// The attempt is this worker's alone, for [`CLAIM`](crate::limits::CLAIM).
    Taken(Box<Delivery>),
    /// Not now: it is not due yet, or another worker has it. Ask again then.
    Later(Timestamp),
    /// The delivery is not at this step: it went on, was held, or is done.
    Moved(Box<Delivery>),
    /// There is no such delivery.
    Unknown,
}

/// A delivery as it was kept.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The delivery, with its new version and the state it got: see the lane.
    pub delivery: Delivery,
    /// Whether it is finished and another delivery of its lane may wait for that; if not, that is certain. Never where
    /// [`Records::sends`].
    pub has_successor: bool,
}

/// The writes that may call for something: an attempt, the next page of a job, a notification, an event.
/// [`Outbox`](crate::outbox::Outbox) alone makes them.
///
/// **Saving a record also sends what it calls for.** A store that has records and messages in one database commits them
/// together, and answers `true` to [`sends`](Self::sends): nothing is ever owed. For another store the outbox sends, right
/// after the write, and again whenever somebody finds a record whose messages may not have been sent.
///
/// **The lane.** The unfinished deliveries of one incident to one webhook, in the order their events were accepted, are a
/// lane. A delivery that asks to be scheduled while an earlier one of its lane is unfinished is kept as
/// [`Waiting`](crate::delivery::State::Waiting) instead; [`accept`](Self::accept) and [`save_delivery`](Self::save_delivery)
/// decide this in the same step as they write, so that either the later one sees the earlier one unfinished, or the earlier
/// one's end sees the later one waiting.
#[async_trait]
pub trait Records: Send + Sync {
    /// Whether each write commits together with the messages it calls for, and with the promotion of whatever waits for a
    /// delivery that it finishes.
    fn sends(&self) -> bool;
    /// Keeps the event and its deliveries. An event of this id that was kept before stays as it was, with the
    /// deliveries it had then; what a broken call left undone is completed.
    async fn accept(&self, event: &Event, deliveries: Vec<Delivery>) -> PortResult<Acceptance>;
    /// Replaces the delivery, if it still has `delivery.version` and, where it was claimed, is still claimed until
    /// `delivery.claimed_until`; it then has the next version, and is nobody's claim.
    async fn save_delivery(&self, delivery: &Delivery) -> PortResult<Result<Saved, Conflict>>;
    /// Keeps a new webhook.
    async fn create_webhook(&self, webhook: &Webhook) -> PortResult<()>;
    /// Replaces the webhook, if it still has `webhook.version`; it then has the next one. Where [`sends`](Self::sends), its
    /// outbox is sent and kept empty.
    async fn save_webhook(&self, webhook: &Webhook) -> PortResult<Result<(), Conflict>>;
}

/// Events and their deliveries are read, and attempts claimed.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// The event, if there is one of this id.
    async fn event(&self, id: EventId) -> PortResult<Option<std::sync::Arc<Event>>>;
    /// The delivery of this id, if it goes to one of these webhooks.
    async fn delivery(&self, webhooks: &[WebhookId], id: DeliveryId) -> PortResult<Option<Delivery>>;
    /// Claims the attempt if it is due by `due_by`, which is now, or later for a job that comes before its time: at most one
    /// worker has it at a time.
    async fn claim(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
        key: AttemptKey,
        due_by: Timestamp,
        now: Timestamp,
    ) -> PortResult<Claim>;
    /// Ends the claim on this delivery, and puts the attempt off until `at`; the delivery has the next version then. Nothing, if
    /// it has changed or is another's claim by now.
    async fn release_until(&self, delivery: &Delivery, at: Timestamp) -> PortResult<()>;
    /// The first unfinished delivery of the lane.
    async fn lane_head(&self, webhook: WebhookId, incident_id: &str) -> PortResult<Option<Delivery>>;
    /// A webhook's deliveries that match, newest first.
    async fn deliveries(
        &self,
        webhook: WebhookId,
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> PortResult<Page<Delivery, DeliveryId>>;
    /// The first of a webhook's deliveries that a job asks for, in the order their events were accepted.
    async fn query(
        &self,
        webhook: WebhookId,
        query: DeliveryQuery,
        limit: usize,
    ) -> PortResult<Vec<Delivery>>;
    /// How many of a webhook's deliveries are held.
    async fn held(&self, webhook: WebhookId) -> PortResult<u64>;
    /// Returns when everything written so far survives the death of the machine.
    async fn settled(&self) -> PortResult<()>;
}

/// Which deliveries a job goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryQuery {
    /// Held ones.
    Held,
    /// Those scheduled or waiting; one that is [as accepted](Delivery::is_as_accepted) may be left out.
    Moving,
    /// Those let go by a resume or a redelivery whose first attempt since is still to come.
    Released,
    /// All that are not finished; with the same exception.
    Unfinished,
    /// Those that wait on a rung of the ladder which is due after that time.
    DueAfter(Timestamp),
    /// Failed ones whose event was accepted at that time or later.
    FailedSince(Timestamp),
}

/// What happens at most so often, whichever worker does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateLimit {
    /// Notifying an account's engineers.
    Notifications(AccountId),
    /// Writing into a webhook's Slack channel.
    Channel(WebhookId),
    /// Being the one that comes for the channel's next slot.
    ChannelQueue(WebhookId),
}

impl RateLimit {
    /// Its name in a store.
    pub fn name(self) -> String {
        match self {
            RateLimit::Notifications(account) => format!("notifications {account}"),
            RateLimit::Channel(webhook) => format!("channel {webhook}"),
            RateLimit::ChannelQueue(webhook) => format!("channel-queue {webhook}"),
        }
    }
}

/// Rates that all workers keep together. A store whose process ends may forget them: then one comes early.
#[async_trait]
pub trait RateLimits: Send + Sync {
    /// Takes the slot that is free at `now`; the next is free at `next`. If it is not free: when it is.
    async fn take(
        &self,
        limit: RateLimit,
        now: Timestamp,
        next: Timestamp,
    ) -> PortResult<Result<(), Timestamp>>;
}

/// Messages to ourselves, for later or for now. [`Outbox`](crate::outbox::Outbox) alone sends them.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Keeps the messages until they are worked on. On an error some of them may be kept too.
    async fn send(&self, messages: Vec<ScheduledMessage>) -> PortResult<()>;
}

/// Publishes events about webhooks and deliveries to whoever listens.
#[async_trait]
pub trait EventPublisher: Send + Sync {
    /// Returns when it can no longer be lost.
    async fn publish(&self, event: &DomainEvent) -> PortResult<()>;
}

/// What is counted. Dimensions are few: a webhook's id is never one.
pub trait Metrics: Send + Sync {
    /// An attempt began, this long after its event was accepted.
    fn attempt_began(&self, first: bool, lag: Duration);
    /// An attempt ended well, or with this class of failure, this long after its event was accepted.
    fn attempt_ended(&self, failure: Option<Class>, age: Duration);
    /// A webhook was paused by its failures.
    fn webhook_paused(&self);
    /// So much was found that no message would have woken.
    fn stranded(&self, count: u64);
}
