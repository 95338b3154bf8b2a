//! In-memory fakes of the ports. They implement what the HTTP tests can observe; lanes are not implemented.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use statuspulse_core::access::{Account, ApiKey, KeyHash, Session};
use statuspulse_core::attempt::{Class, Failure, Reply};
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::delivery::{Delivery, DeliveryFilter, State};
use statuspulse_core::event::Event;
use statuspulse_core::ids::{AccountId, AuditId, DeliveryId, EventId, KeyId, WebhookId};
use statuspulse_core::message::{AttemptKey, ScheduledMessage};
use statuspulse_core::once::Draw;
use statuspulse_core::ports::{
    Acceptance, Accounts, Call, Claim, Clock, Conflict, Deliveries, DeliveryQuery, Page, PortResult, Queue,
    Random, Records, Saved, Sender, Sent, Sessions, Unavailable, Usage, WebhookList, Webhooks,
};
use statuspulse_core::quota::Quotas;
use statuspulse_core::record::Unreadable;
use statuspulse_core::webhook::Webhook;

/// A fault of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Listing webhooks fails.
    Unavailable,
    /// Listing webhooks panics.
    Panics,
    /// Waiting for durability fails.
    NotDurable,
}

#[derive(Default)]
struct Tables {
    sessions: Vec<Session>,
    accounts: BTreeMap<AccountId, Account>,
    keys: BTreeMap<KeyId, ApiKey>,
    webhooks: BTreeMap<WebhookId, Arc<Webhook>>,
    events: BTreeMap<EventId, Arc<Event>>,
    deliveries: BTreeMap<DeliveryId, Delivery>,
    unreadable: BTreeSet<WebhookId>,
    audit: Vec<AccountEntry>,
    draws: Vec<Draw>,
    fault: Option<Fault>,
}

#[derive(Default)]
pub(crate) struct Store {
    tables: Mutex<Tables>,
    durable: AtomicUsize,
}

impl Store {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }

    pub(crate) fn break_with(&self, fault: Fault) {
        self.tables().fault = Some(fault);
    }

    /// Makes the record of a webhook unreadable.
    pub(crate) fn damage(&self, id: WebhookId) {
        self.tables().unreadable.insert(id);
    }

    /// How often a caller waited for durability.
    pub(crate) fn times_durable(&self) -> usize {
        self.durable.load(Ordering::SeqCst)
    }

    pub(crate) fn event_body(&self, id: &str) -> String {
        String::from_utf8(self.tables().events[&id.parse().unwrap()].body.to_vec()).unwrap()
    }

    pub(crate) fn change_delivery(
        &self,
        event: EventId,
        webhook: WebhookId,
        change: impl FnOnce(&mut Delivery),
    ) -> Delivery {
        let mut tables = self.tables();
        let accepted_at = tables.events[&event].accepted_at;
        let delivery = tables.deliveries.get_mut(&DeliveryId::derive(event, accepted_at, webhook)).unwrap();
        change(delivery);
        delivery.clone()
    }

    fn check(&self, fault: Fault) -> PortResult<()> {
        let broken = self.tables().fault == Some(fault);
        assert!(!(broken && fault == Fault::Panics), "the store panics");
        if broken {
            Err(Unavailable { doing: "reading", source: "the disk at 10.0.0.7 is full".into() })
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Accounts for Store {
    async fn create_account(&self, account: &Account, key: &ApiKey, entry: &AccountEntry) -> PortResult<()> {
        self.tables().accounts.insert(account.id, account.clone());
        self.create_key(key, Some(entry)).await
    }

    async fn accounts(&self, _: Option<AccountId>, _: usize) -> PortResult<Vec<AccountId>> {
        Ok(vec![])
    }

    async fn account(&self, id: AccountId) -> PortResult<Option<Account>> {
        Ok(self.tables().accounts.get(&id).cloned())
    }

    async fn save_account(
        &self,
        account: &Account,
        entry: &AccountEntry,
    ) -> PortResult<Result<(), Conflict>> {
        self.tables().audit.push(entry.clone());
        self.tables().accounts.insert(account.id, account.clone());
        Ok(Ok(()))
    }

    async fn create_key(&self, key: &ApiKey, entry: Option<&AccountEntry>) -> PortResult<()> {
        self.tables().audit.extend(entry.cloned());
        self.tables().keys.insert(key.id, key.clone());
        Ok(())
    }

    async fn key_by_hash(&self, hash: &KeyHash) -> PortResult<Option<ApiKey>> {
        Ok(self.tables().keys.values().find(|key| key.hash == *hash).cloned())
    }

    async fn keys(&self, account: AccountId) -> PortResult<Vec<ApiKey>> {
        Ok(self.tables().keys.values().filter(|key| key.account_id == Some(account)).cloned().collect())
    }

    async fn revoke_key(
        &self,
        key: KeyId,
        entry: &AccountEntry,
        version: Option<u64>,
    ) -> PortResult<Result<bool, Conflict>> {
        let mut tables = self.tables();
        if let Some(account) = tables.accounts.get_mut(&entry.account_id) {
            if version.is_some_and(|version| version != account.version) {
                return Ok(Err(Conflict));
            }
            account.version += u64::from(version.is_some());
        }
        let key = tables.keys.get_mut(&key).filter(|key| key.account_id == Some(entry.account_id));
        let is_known = key.map(|key| key.revoked_at = Some(entry.at)).is_some();
        tables.audit.extend(is_known.then(|| entry.clone()));
        Ok(Ok(is_known))
    }

    async fn keep_draw(&self, draw: &Draw) -> PortResult<Draw> {
        let mut tables = self.tables();
        if let Some(known) = tables.draws.iter().find(|known| known.id == draw.id && !known.is_over(draw.at))
        {
            return Ok(known.clone());
        }
        tables.draws.push(draw.clone());
        Ok(draw.clone())
    }

    async fn add_audit_entry(&self, entry: &AccountEntry) -> PortResult<()> {
        self.tables().audit.push(entry.clone());
        Ok(())
    }

    async fn audit_log(
        &self,
        account: AccountId,
        webhook: Option<WebhookId>,
        after: Option<AuditId>,
        limit: usize,
    ) -> PortResult<Page<AccountEntry, AuditId>> {
        let mut items: Vec<_> =
            self.tables().audit.iter().filter(|e| e.account_id == account).cloned().collect();
        items.retain(|entry| webhook.is_none_or(|webhook| entry.webhook_id == Some(webhook)));
        items.sort_by_key(|entry| std::cmp::Reverse(entry.id));
        items.retain(|entry| after.is_none_or(|after| entry.id < after));
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().map(|entry| entry.id).filter(|_| more);
        Ok(Page { items, next })
    }

    async fn remember_use(&self, key: &ApiKey, now: Timestamp) -> PortResult<()> {
        if let Some(key) = self.tables().keys.get_mut(&key.id) {
            key.last_used_at = Some(now);
        }
        Ok(())
    }
}

#[async_trait]
impl Usage for Store {
    async fn quotas(&self, account: AccountId) -> PortResult<Quotas> {
        Ok(self.tables().accounts.get(&account).map(|account| account.quotas.clone()).unwrap_or_default())
    }

    async fn bytes_kept(&self, _: AccountId) -> PortResult<Option<u64>> {
        Ok(None)
    }
}

#[async_trait]
impl Sessions for Store {
    async fn create_session(&self, session: &Session, entry: Option<&AccountEntry>) -> PortResult<()> {
        self.tables().audit.extend(entry.cloned());
        self.tables().sessions.push(session.clone());
        Ok(())
    }

    async fn session(&self, hash: &KeyHash) -> PortResult<Option<Session>> {
        Ok(self.tables().sessions.iter().find(|session| session.hash == *hash).cloned())
    }

    async fn take_session(&self, hash: &KeyHash) -> PortResult<Option<Session>> {
        let mut tables = self.tables();
        let place = tables.sessions.iter().position(|session| session.hash == *hash);
        Ok(place.map(|place| tables.sessions.remove(place)))
    }
}

#[async_trait]
impl Webhooks for Store {
    async fn webhook(&self, id: WebhookId) -> PortResult<Option<Arc<Webhook>>> {
        if self.tables().unreadable.contains(&id) {
            return Err(Unavailable {
                doing: "reading a webhook",
                source: Unreadable::unknown("state", "melted").into(),
            });
        }
        Ok(self.tables().webhooks.get(&id).cloned())
    }

    async fn webhooks(&self, account: AccountId) -> PortResult<Arc<WebhookList>> {
        self.check(Fault::Unavailable)?;
        self.check(Fault::Panics)?;
        let owned = |webhook: &&Arc<Webhook>| webhook.account_id == account && !webhook.is_deleted();
        let tables = self.tables();
        let (unreadable, readable): (Vec<_>, Vec<_>) = tables
            .webhooks
            .values()
            .filter(owned)
            .cloned()
            .partition(|webhook| tables.unreadable.contains(&webhook.id));
        let unreadable = unreadable.iter().map(|webhook| webhook.id).collect();
        Ok(Arc::new(WebhookList { readable, unreadable }))
    }
}

#[async_trait]
impl Records for Store {
    fn sends(&self) -> bool {
        true
    }

    async fn accept(&self, event: &Event, deliveries: Vec<Delivery>) -> PortResult<Acceptance> {
        let mut tables = self.tables();
        if let Some(known) = tables.events.get(&event.id) {
            if known.fingerprint != event.fingerprint {
                return Ok(Acceptance::Different);
            }
            let kept = tables.deliveries.values().filter(|delivery| delivery.event_id == event.id);
            return Ok(Acceptance::Accepted(kept.cloned().collect()));
        }
        tables.events.insert(event.id, Arc::new(event.clone()));
        tables.deliveries.extend(deliveries.iter().map(|delivery| (delivery.id, delivery.clone())));
        Ok(Acceptance::Accepted(deliveries))
    }

    async fn save_delivery(&self, delivery: &Delivery) -> PortResult<Result<Saved, Conflict>> {
        let mut tables = self.tables();
        if tables.deliveries[&delivery.id].version != delivery.version {
            return Ok(Err(Conflict));
        }
        let next = Delivery { version: delivery.version + 1, ..delivery.clone() };
        tables.deliveries.insert(next.id, next.clone());
        Ok(Ok(Saved { delivery: next, has_successor: false }))
    }

    async fn create_webhook(&self, webhook: &Webhook) -> PortResult<()> {
        let mut tables = self.tables();
        tables.audit.extend(webhook.audit_entries());
        let created = Webhook { audit: webhook.audit.clone().saved(), ..webhook.clone() };
        tables.webhooks.insert(webhook.id, Arc::new(created));
        Ok(())
    }

    async fn save_webhook(&self, webhook: &Webhook) -> PortResult<Result<(), Conflict>> {
        let mut tables = self.tables();
        if tables.webhooks[&webhook.id].version != webhook.version {
            return Ok(Err(Conflict));
        }
        tables.audit.extend(webhook.audit_entries());
        let audit = webhook.audit.clone().saved();
        let next = Webhook { version: webhook.version + 1, outbox: vec![], audit, ..webhook.clone() };
        tables.webhooks.insert(webhook.id, Arc::new(next));
        Ok(Ok(()))
    }

    async fn remove_unreadable_webhook(&self, id: WebhookId, entry: &AccountEntry) -> PortResult<()> {
        let mut tables = self.tables();
        tables.audit.push(entry.clone());
        tables.unreadable.remove(&id);
        tables.webhooks.remove(&id);
        Ok(())
    }
}

#[async_trait]
impl Deliveries for Store {
    async fn event(&self, id: EventId) -> PortResult<Option<Arc<Event>>> {
        Ok(self.tables().events.get(&id).cloned())
    }

    async fn delivery(&self, webhooks: &[WebhookId], id: DeliveryId) -> PortResult<Option<Delivery>> {
        let found = self.tables().deliveries.get(&id).cloned();
        Ok(found.filter(|delivery| webhooks.contains(&delivery.webhook_id)))
    }

    async fn deliveries_of_event(&self, event: &Event, webhooks: &[WebhookId]) -> PortResult<Vec<Delivery>> {
        let tables = self.tables();
        let of_event = tables
            .deliveries
            .values()
            .filter(|delivery| delivery.event_id == event.id && webhooks.contains(&delivery.webhook_id));
        Ok(of_event.cloned().collect())
    }

    async fn claim(
        &self,
        _: WebhookId,
        _: DeliveryId,
        _: AttemptKey,
        _: Timestamp,
        _: Timestamp,
    ) -> PortResult<Claim> {
        Ok(Claim::Unknown)
    }

    async fn release_until(&self, _: &Delivery, _: Timestamp) -> PortResult<()> {
        Ok(())
    }

    async fn lane_head(&self, _: WebhookId, _: &str) -> PortResult<Option<Delivery>> {
        Ok(None)
    }

    async fn deliveries(
        &self,
        webhooks: &[WebhookId],
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> PortResult<Page<Delivery, DeliveryId>> {
        let tables = self.tables();
        let mut newest_first = tables.deliveries.values().rev().filter(|delivery| {
            webhooks.contains(&delivery.webhook_id)
                && after.is_none_or(|after| delivery.id < after)
                && filter.matches(delivery)
        });
        let items: Vec<_> = newest_first.by_ref().take(limit).cloned().collect();
        let next = newest_first.next().and_then(|_| items.last()).map(|last| last.id);
        Ok(Page { items, next })
    }

    async fn query(
        &self,
        webhook: WebhookId,
        part: DeliveryQuery,
        limit: usize,
    ) -> PortResult<Vec<Delivery>> {
        let DeliveryQuery::FailedSince(since) = part else { return Ok(vec![]) };
        let tables = self.tables();
        let failed = tables.deliveries.values().filter(|delivery| {
            delivery.webhook_id == webhook && delivery.state == State::Failed && delivery.accepted_at >= since
        });
        Ok(failed.take(limit).cloned().collect())
    }

    async fn held(&self, webhook: WebhookId) -> PortResult<u64> {
        let tables = self.tables();
        let held = tables.deliveries.values().filter(|d| d.webhook_id == webhook && d.state == State::Held);
        Ok(held.count() as u64)
    }

    async fn durable(&self) -> PortResult<()> {
        self.check(Fault::NotDurable)?;
        self.durable.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[async_trait]
impl Queue for Store {
    async fn send(&self, _: Vec<ScheduledMessage>) -> PortResult<()> {
        Ok(())
    }
}

/// The endpoint behind all URLs. It answers 200 unless set otherwise.
#[derive(Default)]
pub(crate) struct Receiver {
    answer: Mutex<Option<Result<Reply, Failure>>>,
    calls: Mutex<Vec<Call>>,
}

impl Receiver {
    pub(crate) fn answers(&self, status: u16) {
        *self.answer.lock().unwrap() =
            Some(Ok(Reply { status, retry_after: None, headers: vec![], body: vec![] }));
    }

    pub(crate) fn fails(&self, class: Class, reason: &str) {
        *self.answer.lock().unwrap() = Some(Err(Failure::new(class, reason)));
    }

    /// The latest call.
    pub(crate) fn latest(&self) -> Call {
        self.calls.lock().unwrap().last().unwrap().clone()
    }
}

#[async_trait]
impl Sender for Receiver {
    async fn send(&self, call: Call) -> PortResult<Sent> {
        self.calls.lock().unwrap().push(call);
        let well = || Ok(Reply { status: 200, retry_after: None, headers: vec![], body: vec![] });
        let result = self.answer.lock().unwrap().clone().unwrap_or_else(well);
        Ok(Sent { result, began_after: Duration::ZERO, duration: Duration::from_millis(42) })
    }
}

pub(super) struct Watch(Mutex<Timestamp>);

impl Watch {
    pub(super) fn at(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    pub(super) fn pass(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(time).unwrap();
    }
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// Random bytes that contain a counter: they never repeat, and ids of the same moment sort by creation.
#[derive(Default)]
pub(super) struct Dice(AtomicU64);

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        bytes.fill(0x5a);
        let start = 10.min(bytes.len()) - 8;
        bytes[start..start + 8].copy_from_slice(&number);
    }
}
