//! What cases work with: the store under test, a clock, and records to store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use statuspulse_core::access::Account;
use statuspulse_core::delivery::{Delivery, State};
use statuspulse_core::destination::Destination;
use statuspulse_core::event::{Event, EventType};
use statuspulse_core::ids::{AccountId, EventId, WebhookId};
use statuspulse_core::message::AttemptKey;
use statuspulse_core::ports::arrivals::Arrivals;
use statuspulse_core::ports::{
    Acceptance, Accounts, Claim, Clock, Deliveries, Figures, Random, RateLimits, Records, Saved, Sessions,
    Usage, Webhooks,
};
use statuspulse_core::secret::Secret;
use statuspulse_core::signature::SigningKeys;
use statuspulse_core::target::EndpointUrl;
use statuspulse_core::webhook::{self, Headers, Settings, Webhook};

/// The ports of a store that the cases test.
pub trait Store:
    Accounts + Sessions + Webhooks + Records + Deliveries + RateLimits + Usage + Figures + Arrivals
{
}

impl<T: Accounts + Sessions + Webhooks + Records + Deliveries + RateLimits + Usage + Figures + Arrivals> Store
    for T
{
}

/// A location of a store's records, such as a folder or a table.
#[async_trait]
pub trait Place: Send + Sync {
    /// Opens the store, with the records that were stored here before.
    async fn open(&self) -> Arc<dyn Store>;
    /// A place with the same records, for a second store that is open at the same time.
    async fn beside(&self) -> Arc<dyn Place>;
    /// Overwrites the record of a webhook with one that no version can read. The store is closed.
    async fn damage(&self, account: AccountId, id: WebhookId);
}

/// A clock that the case sets.
#[derive(Debug)]
pub struct Watch(Mutex<Timestamp>);

impl Watch {
    /// A clock that shows this time.
    pub fn at(time: Timestamp) -> Self {
        Self(Mutex::new(time))
    }

    /// Advances the clock.
    pub fn pass(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(time).unwrap();
    }
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// Deterministic random numbers: the same for the same seed, and different in each call.
#[derive(Debug)]
pub struct Dice(AtomicU64);

impl Dice {
    /// Random numbers from this seed.
    pub fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut x = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(x ^ (x >> 31)).to_be_bytes()[..chunk.len()]);
        }
    }
}

/// What a case works with.
pub struct Stage {
    pub(crate) store: Arc<dyn Store>,
    place: Arc<dyn Place>,
    clock: Arc<Watch>,
    dice: Arc<Dice>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stage")
    }
}

impl Stage {
    /// A stage on the store of this place. Ids come from the dice, so two stages on one store need different seeds.
    pub async fn on(place: Arc<dyn Place>, clock: Arc<Watch>, dice: Arc<Dice>) -> Self {
        Self { store: place.open().await, place, clock, dice }
    }

    /// Closes the store and opens it again.
    pub(crate) async fn reopened(self) -> Self {
        let Self { store, place, clock, dice } = self;
        drop(store);
        Self::on(place, clock, dice).await
    }

    /// Closes the store, damages the record of a webhook, and opens the store again.
    pub(crate) async fn with_damaged(self, account: AccountId, id: WebhookId) -> Self {
        let Self { store, place, clock, dice } = self;
        drop(store);
        place.damage(account, id).await;
        Self::on(place, clock, dice).await
    }

    /// A second stage on the same records, while this one stays open.
    pub(crate) async fn beside(&self) -> Self {
        Self::on(self.place.beside().await, self.clock.clone(), self.dice.clone()).await
    }

    pub(crate) fn dice(&self) -> &dyn Random {
        &*self.dice
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.pass(time);
    }

    pub(crate) fn account(&self, name: &str) -> Account {
        Account::new(name, self.now(), self.dice()).unwrap()
    }

    pub(crate) fn account_id(&self) -> AccountId {
        AccountId::new(self.now(), self.dice())
    }

    pub(crate) fn webhook_id(&self) -> WebhookId {
        WebhookId::new(self.now(), self.dice())
    }

    /// A new webhook of this account.
    pub fn webhook(&self, account_id: AccountId) -> Webhook {
        let now = self.now();
        let settings = Settings {
            url: EndpointUrl::restore("https://hooks.example.com/in").unwrap(),
            destination: Destination::default(),
            events: EventType::ALL.to_vec(),
            monitor_groups: vec![],
            description: None,
            headers: Headers::default(),
        };
        let keys = SigningKeys::new(Secret::generate(self.dice()));
        let new = Webhook::new(self.webhook_id(), account_id, settings, keys, now);
        Webhook { state: webhook::State::Active, generation: 1, ..new }
    }

    pub(crate) fn event(&self, incident: &str) -> Event {
        let id = EventId::new(self.now(), self.dice());
        Event {
            id,
            account_id: AccountId::from_bytes([1; 16]),
            event_type: EventType::IncidentOpened,
            incident_id: incident.to_owned(),
            monitor_groups: vec!["Payments (EU)".to_owned()],
            body: Bytes::from(format!("{{\"incident_id\":{incident:?},\"of\":\"{id}\",\"n\":1240.50}}")),
            fingerprint: [7; 32],
            accepted_at: self.now(),
        }
    }

    /// Accepts a new event for one webhook, and returns the delivery as stored.
    pub(crate) async fn accepted(&self, webhook: WebhookId, incident: &str) -> Delivery {
        self.accepted_event(&self.event(incident), webhook).await
    }

    pub(crate) async fn accepted_event(&self, event: &Event, webhook: WebhookId) -> Delivery {
        let asked = vec![Delivery::new(event, webhook)];
        match self.store.accept(event, asked).await.unwrap() {
            Acceptance::Accepted(mut kept) => kept.pop().unwrap(),
            Acceptance::Different => panic!("a new event was taken for another one"),
        }
    }

    /// Saves the delivery in a new state.
    pub(crate) async fn saved(&self, delivery: Delivery, state: State) -> Saved {
        self.store.save_delivery(&delivery.with_state(state)).await.unwrap().unwrap()
    }

    pub(crate) async fn claim(&self, delivery: &Delivery, number: u8) -> Claim {
        let key = AttemptKey { round: delivery.round, number };
        self.store.claim(delivery.webhook_id, delivery.id, key, self.now(), self.now()).await.unwrap()
    }
}
