//! The ports: traits for everything the rules need from outside. There are two sets of adapters, one on AWS and one on
//! a single SQLite file. The network, the clock and randomness are ports too, so that a test can run the whole ladder
//! in microseconds.
//!
//! # Guarantees of every adapter
//!
//! - A write is atomic, visible to every later read, and durable against a crash of the process once it has returned.
//! - When [`Deliveries::durable`] returns, all earlier writes also survive the loss of the machine.
//! - A change takes the version that was read. If the record has changed since, the result is [`Conflict`], and nothing
//!   was written.
//! - A message of [`Queue`] is delivered at least once, not before its time, and in any order.
//!
//! Saving a record also sends the messages it calls for: see [`Records`].

pub mod arrivals;
pub mod environment;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::access::{Account, ApiKey, KeyHash, Session};
use crate::attempt::{Began, Class, Failure, Reply};
use crate::audit::AccountEntry;
use crate::delivery::{Delivery, DeliveryFilter};
use crate::event::Event;
use crate::figures::{Counts, Fact, Owner, Pending};
use crate::ids::{AccountId, AuditId, DeliveryId, EventId, KeyId, WebhookId};
use crate::message::{AttemptKey, DomainEvent, ScheduledMessage};
use crate::once::Draw;
use crate::quota::Quotas;
use crate::target::EndpointUrl;
use crate::webhook::Webhook;

pub use crate::error::Unavailable;
pub use environment::{Clock, Moment, Random};

/// The result of a port.
pub type PortResult<T> = Result<T, Unavailable>;

/// The record has changed since it was read, so nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The entries.
    pub items: Vec<T>,
    /// Cursor of the next page; `None` on the last page.
    pub next: Option<C>,
}

/// One POST to an endpoint.
#[derive(Debug, Clone)]
pub struct Call {
    /// The account on whose behalf it is made. Accounts share what calls need.
    pub account_id: AccountId,
    /// The URL to call.
    pub url: EndpointUrl,
    /// All headers, the customer's custom headers included.
    pub headers: Vec<(String, String)>,
    /// The exact bytes of the body.
    pub body: Bytes,
    /// Time limit, up to the last byte read.
    pub timeout: Duration,
}

/// The result of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The reply, or why there was none.
    pub result: Result<Reply, Failure>,
    /// Time from the call to the start of the connect, or of the write on a kept connection. This is mostly the name
    /// look-up.
    pub began_after: Duration,
    /// Time from then on, up to the last byte read.
    pub duration: Duration,
}

/// Makes calls to endpoints, and enforces the target policy and the limits of one attempt.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Makes the call. A failure of the receiver is a normal result. An error says that the call could not be made for
    /// a reason on our side (files, memory, the resolver), and nothing about the receiver.
    async fn send(&self, call: Call) -> PortResult<Sent>;
}

/// Accounts and API keys.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Stores a new account, its first key and the entry of its audit log: all or none.
    async fn create_account(&self, account: &Account, key: &ApiKey, entry: &AccountEntry) -> PortResult<()>;
    /// The accounts after `after`, ordered by id.
    async fn accounts(&self, after: Option<AccountId>, limit: usize) -> PortResult<Vec<AccountId>>;
    /// The account with this id.
    async fn account(&self, id: AccountId) -> PortResult<Option<Account>>;
    /// Replaces the account, by compare-and-set, and stores the entry of its audit log.
    async fn save_account(&self, account: &Account, entry: &AccountEntry)
    -> PortResult<Result<(), Conflict>>;
    /// Stores a new key, and the entry of its account's audit log. An operator's key has no account, and no entry.
    async fn create_key(&self, key: &ApiKey, entry: Option<&AccountEntry>) -> PortResult<()>;
    /// The key with this hash, even if it is revoked or expired.
    async fn key_by_hash(&self, hash: &KeyHash) -> PortResult<Option<ApiKey>>;
    /// The account's keys, oldest first.
    async fn keys(&self, account: AccountId) -> PortResult<Vec<ApiKey>>;
    /// Marks the key of the entry's account as revoked at its time, and stores the entry if it was not revoked before.
    /// Returns `false` if the account has no key with this id. With the version of the account that was read, this is a
    /// compare-and-set of the account, whose version it increments.
    async fn revoke_key(
        &self,
        key: KeyId,
        entry: &AccountEntry,
        version: Option<u64>,
    ) -> PortResult<Result<bool, Conflict>>;
    /// Remembers that the key was used. Of several calls at almost the same time one may count.
    async fn remember_use(&self, key: &ApiKey, now: Timestamp) -> PortResult<()>;
    /// Stores what a call has drawn. If an equal call has stored a draw that is not [over](Draw::is_over), returns that one.
    async fn keep_draw(&self, draw: &Draw) -> PortResult<Draw>;
    /// Stores an entry of an account's audit log, for an act that is no change of a record here.
    async fn add_audit_entry(&self, entry: &AccountEntry) -> PortResult<()>;
    /// The account's audit log, or the part about one webhook, newest first. A page may be short, or even empty, and not
    /// be the last.
    async fn audit_log(
        &self,
        account: AccountId,
        webhook: Option<WebhookId>,
        after: Option<AuditId>,
        limit: usize,
    ) -> PortResult<Page<AccountEntry, AuditId>>;
}

/// What accounts may use, and what they keep.
#[async_trait]
pub trait Usage: Send + Sync {
    /// The quotas of the account; the defaults if there is no such account.
    async fn quotas(&self, account: AccountId) -> PortResult<Quotas>;
    /// The bytes of the account's stored events, with [`DELIVERY_BYTES`](crate::limits::DELIVERY_BYTES) for each of
    /// their deliveries; `None` if the store does not count them.
    async fn bytes_kept(&self, account: AccountId) -> PortResult<Option<u64>>;
}

/// Sessions of the dashboard.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Stores a new session, at least until it expires. A sign-in has an audit entry, which is stored with it.
    async fn create_session(&self, session: &Session, entry: Option<&AccountEntry>) -> PortResult<()>;
    /// The session with this hash. It may have expired.
    async fn session(&self, hash: &KeyHash) -> PortResult<Option<Session>>;
    /// Removes and returns the session. Only one of several concurrent callers gets it.
    async fn take_session(&self, hash: &KeyHash) -> PortResult<Option<Session>>;
}

/// The webhooks of an account.
#[derive(Debug, Clone, Default)]
pub struct WebhookList {
    /// Oldest first, without deleted ones.
    pub readable: Vec<std::sync::Arc<Webhook>>,
    /// Those whose records cannot be read: they are damaged, or another version wrote them. They cost the others
    /// nothing, receive no events, and can only be deleted.
    pub unreadable: Vec<WebhookId>,
}

impl WebhookList {
    /// Replaces, adds or, if it is deleted, removes this webhook.
    pub fn replace(&mut self, webhook: &std::sync::Arc<Webhook>) {
        let place = self.readable.binary_search_by_key(&webhook.id, |known| known.id);
        match place {
            Ok(at) if webhook.is_deleted() => drop(self.readable.remove(at)),
            Ok(at) => self.readable[at] = webhook.clone(),
            Err(_) if webhook.is_deleted() => {}
            Err(at) => self.readable.insert(at, webhook.clone()),
        }
    }
}

/// Reads webhooks.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// The webhook with this id, even if it is deleted.
    async fn webhook(&self, id: WebhookId) -> PortResult<Option<std::sync::Arc<Webhook>>>;
    /// The account's webhooks. The id of an unreadable one is logged.
    async fn webhooks(&self, account: AccountId) -> PortResult<std::sync::Arc<WebhookList>>;
    /// The account's webhooks, for callers that need only their state and settings, such as the fan-out. The rest of a
    /// webhook (health, jobs, messages, the version) may be out of date.
    async fn subscriptions(&self, account: AccountId) -> PortResult<std::sync::Arc<WebhookList>> {
        self.webhooks(account).await
    }
    /// Remembers that the webhook was slow, as a hint in [`Webhook::slow_until`]. A store whose own queue keeps slow
    /// webhooks from delaying others need not remember it.
    async fn mark_slow(&self, webhook: &Webhook, until: Timestamp) -> PortResult<()> {
        let _ = (webhook, until);
        Ok(())
    }
}

/// The result of [`Records::accept`].
#[derive(Debug, Clone)]
pub enum Acceptance {
    /// The event and its deliveries are stored, now or by an earlier call with the same content.
    Accepted(Vec<Delivery>),
    /// An event with this id but different content already exists.
    Different,
}

/// The result of [`Deliveries::claim`].
#[derive(Debug, Clone)]
pub enum Claim {
    /// This worker has the attempt for [`CLAIM`](crate::limits::CLAIM).
    Claimed(Box<Delivery>),
    /// Not due yet, or claimed by another worker. Try again at this time.
    Later(Timestamp),
    /// The delivery is at another attempt, held or finished.
    Moved(Box<Delivery>),
    /// There is no such delivery.
    Unknown,
}

/// A delivery as it was stored.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The delivery with its new version and state. The state may be waiting instead of scheduled: see the lane.
    pub delivery: Delivery,
    /// Whether it is finished and another delivery of its lane may be waiting for that. `false` is certain. Always
    /// `false` if the store [`sends`](Records::sends).
    pub has_successor: bool,
}

/// The writes that may call for messages: attempts, pages of jobs, notifications and domain events. Only
/// [`Outbox`](crate::outbox::Outbox) uses this port.
///
/// **Saving a record also sends what it calls for.** A store that has records and messages in one database commits them
/// together, and returns `true` from [`sends`](Self::sends). For other stores the outbox sends the messages right after
/// the write, and again when a record is read whose messages may not have been sent.
///
/// **The lane.** The unfinished deliveries of one incident to one webhook are a lane, in the order in which their
/// events were accepted. If a delivery would be scheduled while an earlier one of its lane is unfinished, it is stored
/// as [`Waiting`](crate::delivery::State::Waiting) instead. [`accept`](Self::accept) and
/// [`save_delivery`](Self::save_delivery) decide this atomically with the write: either the later delivery sees that
/// the earlier one is unfinished, or the end of the earlier one sees the later one waiting.
#[async_trait]
pub trait Records: Send + Sync {
    /// Whether each write commits together with the messages it calls for, and with the promotion of the delivery that
    /// waits for a finished one.
    fn sends(&self) -> bool;
    /// Stores the event and its deliveries. If an event with this id exists, it and its deliveries stay as they are,
    /// and what an interrupted call left undone is completed.
    async fn accept(&self, event: &Event, deliveries: Vec<Delivery>) -> PortResult<Acceptance>;
    /// Replaces the delivery, if the stored version is still `delivery.version` and, for a claimed delivery, the claim
    /// still ends at `delivery.claimed_until`. This increments the version and ends the claim.
    async fn save_delivery(&self, delivery: &Delivery) -> PortResult<Result<Saved, Conflict>>;
    /// Stores a new webhook, and its [entries](Webhook::audit_entries) of the audit log.
    async fn create_webhook(&self, webhook: &Webhook) -> PortResult<()>;
    /// Replaces the webhook, if the stored version is still `webhook.version`, and increments the version. If the store
    /// [`sends`](Self::sends), it sends the messages of the outbox and stores an empty one. Its
    /// [entries](Webhook::audit_entries) of the audit log are stored with it. Every change of state or
    /// settings has one, so a store can tell from them that the [subscription](Webhooks::subscriptions) has changed.
    async fn save_webhook(&self, webhook: &Webhook) -> PortResult<Result<(), Conflict>>;
    /// Removes a webhook of the entry's account whose record cannot be read, and stores the entry. Its deliveries remain;
    /// each is cancelled when its message comes.
    async fn remove_unreadable_webhook(&self, id: WebhookId, entry: &AccountEntry) -> PortResult<()>;
}

/// Reads events and deliveries, and claims attempts.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// The event with this id.
    async fn event(&self, id: EventId) -> PortResult<Option<std::sync::Arc<Event>>>;
    /// The delivery with this id, if it goes to one of these webhooks.
    async fn delivery(&self, webhooks: &[WebhookId], id: DeliveryId) -> PortResult<Option<Delivery>>;
    /// The event's deliveries to these webhooks. Their ids [follow](DeliveryId::derive) from the event.
    async fn deliveries_of_event(&self, event: &Event, webhooks: &[WebhookId]) -> PortResult<Vec<Delivery>>;
    /// Claims the attempt if it is due by `due_by`. That is now, or later if a job changes a delivery before its time.
    /// At most one worker has a claim at a time.
    async fn claim(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
        key: AttemptKey,
        due_by: Timestamp,
        now: Timestamp,
    ) -> PortResult<Claim>;
    /// Ends the claim, postpones the attempt until `at`, saves whether it is `delayed`, and increments the version. Does
    /// nothing if the delivery has changed or another worker has claimed it.
    async fn release_until(&self, delivery: &Delivery, at: Timestamp) -> PortResult<()>;
    /// The first unfinished delivery of the lane.
    async fn lane_head(&self, webhook: WebhookId, incident_id: &str) -> PortResult<Option<Delivery>>;
    /// The deliveries to these webhooks of one account that match the filter, newest first. A page may be short, or
    /// even empty, and not be the last.
    async fn deliveries(
        &self,
        webhooks: &[WebhookId],
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> PortResult<Page<Delivery, DeliveryId>>;
    /// The webhook's first deliveries that match the query, in the order in which their events were accepted.
    async fn query(
        &self,
        webhook: WebhookId,
        query: DeliveryQuery,
        limit: usize,
    ) -> PortResult<Vec<Delivery>>;
    /// The number of the webhook's held deliveries.
    async fn held(&self, webhook: WebhookId) -> PortResult<u64>;
    /// Returns when everything written so far survives the loss of the machine.
    async fn durable(&self) -> PortResult<()>;
}

/// Which deliveries a job reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryQuery {
    /// Held deliveries.
    Held,
    /// Scheduled or waiting. Those [as accepted](Delivery::is_as_accepted) may be left out.
    Moving,
    /// Released by a resume or a redelivery, and not attempted since.
    Released,
    /// Not finished. Those [as accepted](Delivery::is_as_accepted) may be left out.
    Unfinished,
    /// Waiting on a rung of the ladder that is due after this time.
    DueAfter(Timestamp),
    /// Failed, and accepted at this time or later.
    FailedSince(Timestamp),
}

/// A rate limit that all workers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateLimit {
    /// Notifications to an account's engineers.
    Notifications(AccountId),
    /// Messages to a webhook's destination.
    Destination(WebhookId),
    /// The place of the worker that takes the destination's next slot.
    DestinationQueue(WebhookId),
}

impl RateLimit {
    /// The name in a store.
    pub fn name(self) -> String {
        match self {
            RateLimit::Notifications(account) => format!("notifications {account}"),
            RateLimit::Destination(webhook) => format!("channel {webhook}"),
            RateLimit::DestinationQueue(webhook) => format!("channel-queue {webhook}"),
        }
    }
}

/// Rate limits that all workers share. A store may forget them when its process ends; a slot is then free too early.
#[async_trait]
pub trait RateLimits: Send + Sync {
    /// Takes the slot if it is free at `now`; the next slot is then free at `next`. The inner error is the time when
    /// the slot becomes free.
    async fn take(
        &self,
        limit: RateLimit,
        now: Timestamp,
        next: Timestamp,
    ) -> PortResult<Result<(), Timestamp>>;
}

/// Bounds what an account has in progress at the same time. `()` bounds nothing, for a process that serves one call at a
/// time.
#[async_trait]
pub trait InProgress: Send + Sync {
    /// Waits until the account has room for so many bytes. They are in progress until the result is dropped.
    async fn begin(&self, account: AccountId, bytes: usize) -> Box<dyn Send + Sync>;
}

#[async_trait]
impl InProgress for () {
    async fn begin(&self, _: AccountId, _: usize) -> Box<dyn Send + Sync> {
        Box::new(())
    }
}

/// The queue of messages to the workers. Only [`Outbox`](crate::outbox::Outbox) sends them.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Stores the messages until they are handled. After an error, some of them may be stored.
    async fn send(&self, messages: Vec<ScheduledMessage>) -> PortResult<()>;
}

/// Publishes domain events about webhooks and deliveries.
#[async_trait]
pub trait EventPublisher: Send + Sync {
    /// Returns when the event can no longer be lost.
    async fn publish(&self, event: &DomainEvent) -> PortResult<()>;
    /// Publishes an entry of an account's audit log. Returns when it can no longer be lost.
    async fn publish_entry(&self, entry: &AccountEntry) -> PortResult<()>;
}

/// Figures of accounts and webhooks, by the hour. See [`figures`](crate::figures).
#[async_trait]
pub trait Figures: Send + Sync {
    /// Counts a fact for the webhook and its account. A store may keep it in memory until [`flush`](Self::flush): a
    /// process that dies loses what it counted since the last one.
    fn count(&self, account: AccountId, webhook: WebhookId, at: Timestamp, fact: Fact);
    /// The counts of the account, or of one of its webhooks, for each hour from the one of `since` on, in no order. An
    /// hour may occur twice. What another process has not flushed yet is missing.
    async fn figures(
        &self,
        account: AccountId,
        webhook: Option<WebhookId>,
        since: Timestamp,
    ) -> PortResult<Vec<(Timestamp, Counts)>>;
    /// Stores what was counted. After an error it is stored by a later call.
    async fn flush(&self) -> PortResult<()>;
}

/// Figures that are forgotten at the end of the process.
#[async_trait]
impl Figures for Pending {
    fn count(&self, account: AccountId, webhook: WebhookId, at: Timestamp, fact: Fact) {
        Self::count(self, account, webhook, at, fact);
    }

    async fn figures(
        &self,
        account: AccountId,
        webhook: Option<WebhookId>,
        since: Timestamp,
    ) -> PortResult<Vec<(Timestamp, Counts)>> {
        Ok(self.of(Owner::of(account, webhook), since))
    }

    async fn flush(&self) -> PortResult<()> {
        Ok(())
    }
}

/// Metrics. A webhook's id is never a dimension, so that there are few time series.
pub trait Metrics: Send + Sync {
    /// An attempt began.
    fn attempt_began(&self, began: Began);
    /// An attempt succeeded, or failed with this class. It `took` so long, and ended `age` after its event was accepted.
    fn attempt_ended(&self, failure: Option<Class>, took: Duration, age: Duration);
    /// An attempt could not be made for a reason on our side, and was put back.
    fn attempt_not_made(&self);
    /// An attempt's outcome paused a webhook.
    fn webhook_paused(&self);
    /// A message to an account's engineers was accepted by Slack, or not.
    fn notification_ended(&self, accepted: bool);
    /// This many records were found whose messages were lost.
    fn lost_messages(&self, count: u64);
}
