//! Ports that the test controls: clock, randomness and counters, and a store whose writes can fail.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use statuspulse_core::attempt::{Began, Class};
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::delivery::{Delivery, DeliveryFilter, State};
use statuspulse_core::event::Event;
use statuspulse_core::ids::{AccountId, DeliveryId, EventId, WebhookId};
use statuspulse_core::message::{AttemptKey, ScheduledMessage};
use statuspulse_core::ports::{
    Acceptance, Claim, Clock, Conflict, Deliveries, DeliveryQuery, Metrics, Page, PortResult, Queue, Random,
    Records, Saved, Unavailable, WebhookList, Webhooks,
};
use statuspulse_core::webhook::Webhook;
use statuspulse_embedded::Embedded;

/// A clock that only the test moves.
pub(crate) struct VirtualClock {
    now: AtomicI64,
    /// By how many milliseconds the wall clock is ahead.
    ahead: AtomicI64,
}

impl VirtualClock {
    pub(crate) fn at(start: Timestamp) -> Self {
        Self { now: AtomicI64::new(start.as_millisecond()), ahead: AtomicI64::new(0) }
    }

    /// Moves forward to this time. Does nothing if the time has passed.
    pub(crate) fn set(&self, time: Timestamp) {
        self.now.fetch_max(time.as_millisecond(), Ordering::SeqCst);
    }

    /// Changes the wall clock: from now on it is ahead by this many seconds.
    pub(crate) fn set_wall(&self, ahead_s: i64) {
        self.ahead.store(ahead_s * 1000, Ordering::SeqCst);
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.now.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now.load(Ordering::SeqCst)).unwrap()
    }

    fn wall(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::SeqCst);
        Timestamp::from_millisecond(self.now.load(Ordering::SeqCst) + ahead).unwrap()
    }
}

/// Deterministic random numbers (splitmix64).
pub(crate) struct Dice(Mutex<u64>);

impl Dice {
    pub(crate) fn of(seed: u64) -> Self {
        Self(Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Metrics that record each value.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) began: Mutex<Vec<Began>>,
    pub(crate) ended: Mutex<Vec<Option<Class>>>,
    pub(crate) not_made: Mutex<usize>,
    pub(crate) pauses: Mutex<usize>,
    pub(crate) lost_messages: Mutex<u64>,
}

impl Metrics for Counted {
    fn attempt_began(&self, began: Began) {
        self.began.lock().unwrap().push(began);
    }

    fn attempt_ended(&self, failure: Option<Class>, _: Duration, _: Duration) {
        self.ended.lock().unwrap().push(failure);
    }

    fn attempt_not_made(&self) {
        *self.not_made.lock().unwrap() += 1;
    }

    fn notification_ended(&self, _: bool) {}

    fn webhook_paused(&self) {
        *self.pauses.lock().unwrap() += 1;
    }

    fn lost_messages(&self, count: u64) {
        *self.lost_messages.lock().unwrap() += count;
    }
}

/// A future that runs in the middle of a write or a call.
pub(crate) type Happening = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The kind of write before which a test can act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    /// A delivery that becomes held.
    Held,
    /// A change of a webhook.
    Webhook,
}

/// Makes the store fail after a number of writes, and runs a test's code right before a write.
pub(crate) struct Fuse {
    /// Writes before the store fails. Negative: no limit.
    left: AtomicI64,
    /// Whether the next write succeeds, but reports an error.
    loses_answer: AtomicBool,
    before: Mutex<HashMap<Write, Happening>>,
}

impl Fuse {
    pub(crate) fn unlit() -> Self {
        Self { left: AtomicI64::new(-1), loses_answer: AtomicBool::new(false), before: Mutex::default() }
    }

    /// Makes every write after this many fail.
    pub(crate) fn light(&self, writes: usize) {
        self.left.store(i64::try_from(writes).unwrap(), Ordering::SeqCst);
    }

    /// Makes the next write succeed, but report an error, as if its answer were lost.
    pub(crate) fn lose_answer(&self) {
        self.loses_answer.store(true, Ordering::SeqCst);
    }

    pub(crate) fn put_out(&self) {
        self.left.store(-1, Ordering::SeqCst);
    }

    pub(crate) fn is_burnt_out(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    /// Writes left before the store fails, if it was lit.
    pub(crate) fn left(&self) -> Option<u64> {
        u64::try_from(self.left.load(Ordering::SeqCst)).ok()
    }

    /// Runs `happening` right before the next write of this kind.
    pub(crate) fn before(&self, write: Write, happening: impl Future<Output = ()> + Send + 'static) {
        self.before.lock().unwrap().insert(write, Box::pin(happening));
    }

    async fn step_in(&self, write: Write) {
        let happening = self.before.lock().unwrap().remove(&write);
        if let Some(happening) = happening {
            happening.await;
        }
    }

    fn answer<T>(&self, answer: PortResult<T>) -> PortResult<T> {
        if self.loses_answer.swap(false, Ordering::SeqCst) {
            return Err(Unavailable { doing: "writing", source: "the test lost the answer".into() });
        }
        answer
    }

    fn spend(&self) -> PortResult<()> {
        if self.is_burnt_out() {
            return Err(Unavailable { doing: "writing", source: "the test made the store fail".into() });
        }
        if self.left.load(Ordering::SeqCst) > 0 {
            self.left.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// The real store, with a [`Fuse`] in front of its writes.
pub(crate) struct Fused {
    pub(crate) store: Arc<Embedded>,
    pub(crate) fuse: Arc<Fuse>,
}

#[async_trait]
impl Queue for Fused {
    async fn send(&self, messages: Vec<ScheduledMessage>) -> PortResult<()> {
        self.fuse.spend()?;
        self.store.send(messages).await
    }
}

#[async_trait]
impl Webhooks for Fused {
    async fn webhook(&self, id: WebhookId) -> PortResult<Option<Arc<Webhook>>> {
        self.store.webhook(id).await
    }

    async fn webhooks(&self, account: AccountId) -> PortResult<Arc<WebhookList>> {
        self.store.webhooks(account).await
    }
}

#[async_trait]
impl Records for Fused {
    fn sends(&self) -> bool {
        self.store.sends()
    }

    async fn accept(&self, event: &Event, deliveries: Vec<Delivery>) -> PortResult<Acceptance> {
        self.fuse.spend()?;
        self.fuse.answer(self.store.accept(event, deliveries).await)
    }

    async fn save_delivery(&self, delivery: &Delivery) -> PortResult<Result<Saved, Conflict>> {
        if delivery.state == State::Held {
            self.fuse.step_in(Write::Held).await;
        }
        self.fuse.spend()?;
        self.fuse.answer(self.store.save_delivery(delivery).await)
    }

    async fn create_webhook(&self, webhook: &Webhook) -> PortResult<()> {
        self.fuse.spend()?;
        self.fuse.answer(self.store.create_webhook(webhook).await)
    }

    async fn save_webhook(&self, webhook: &Webhook) -> PortResult<Result<(), Conflict>> {
        self.fuse.step_in(Write::Webhook).await;
        self.fuse.spend()?;
        self.fuse.answer(self.store.save_webhook(webhook).await)
    }

    async fn remove_unreadable_webhook(&self, id: WebhookId, entry: &AccountEntry) -> PortResult<()> {
        self.store.remove_unreadable_webhook(id, entry).await
    }
}

#[async_trait]
impl Deliveries for Fused {
    async fn event(&self, id: EventId) -> PortResult<Option<Arc<Event>>> {
        self.store.event(id).await
    }

    async fn delivery(&self, webhooks: &[WebhookId], id: DeliveryId) -> PortResult<Option<Delivery>> {
        self.store.delivery(webhooks, id).await
    }

    async fn deliveries_of_event(&self, event: &Event, webhooks: &[WebhookId]) -> PortResult<Vec<Delivery>> {
        self.store.deliveries_of_event(event, webhooks).await
    }

    async fn claim(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
        key: AttemptKey,
        due_by: Timestamp,
        now: Timestamp,
    ) -> PortResult<Claim> {
        self.store.claim(webhook, id, key, due_by, now).await
    }

    async fn release_until(&self, delivery: &Delivery, at: Timestamp) -> PortResult<()> {
        self.fuse.spend()?;
        self.store.release_until(delivery, at).await
    }

    async fn lane_head(&self, webhook: WebhookId, incident_id: &str) -> PortResult<Option<Delivery>> {
        self.store.lane_head(webhook, incident_id).await
    }

    async fn deliveries(
        &self,
        webhooks: &[WebhookId],
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> PortResult<Page<Delivery, DeliveryId>> {
        self.store.deliveries(webhooks, filter, after, limit).await
    }

    async fn query(
        &self,
        webhook: WebhookId,
        query: DeliveryQuery,
        limit: usize,
    ) -> PortResult<Vec<Delivery>> {
        self.store.query(webhook, query, limit).await
    }

    async fn held(&self, webhook: WebhookId) -> PortResult<u64> {
        self.store.held(webhook).await
    }

    async fn durable(&self) -> PortResult<()> {
        self.store.durable().await
    }
}
