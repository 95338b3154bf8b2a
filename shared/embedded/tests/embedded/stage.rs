//! A store in a temporary folder with a clock that tests control, and records to store in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use statuspulse_conformance::{Dice, Watch};
use statuspulse_core::access::Account;
use statuspulse_core::admin::accounts::revoked_key;
use statuspulse_core::audit::Actor;
use statuspulse_core::delivery::{Delivery, State};
use statuspulse_core::destination::Destination;
use statuspulse_core::event::{Event, EventType};
use statuspulse_core::ids::{AccountId, EventId, KeyId, WebhookId};
use statuspulse_core::message::{AttemptKey, AttemptMessage, Message, QueueName, ScheduledMessage};
use statuspulse_core::ports::{Acceptance, Accounts, Claim, Clock, Deliveries, Queue, Records, Saved};
use statuspulse_core::secret::Secret;
use statuspulse_core::signature::SigningKeys;
use statuspulse_core::target::EndpointUrl;
use statuspulse_core::webhook::{self, Headers, Settings, Webhook};
use statuspulse_embedded::{Embedded, OpenError, Purpose, Received};
use tempfile::TempDir;

pub(crate) const START: &str = "2026-11-24T12:00:00Z";

pub(crate) struct Stage {
    pub(crate) store: Arc<Embedded>,
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<Watch>,
    pub(crate) dice: Arc<Dice>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    /// A store in a folder that may already have files.
    pub(crate) fn in_folder(folder: TempDir) -> Self {
        Self::on(folder, Arc::new(Watch::at(START.parse().unwrap())), Arc::new(Dice::seeded(42)))
    }

    fn on(folder: TempDir, clock: Arc<Watch>, dice: Arc<Dice>) -> Self {
        let store = Embedded::open(folder.path(), Purpose::Serve, clock.clone()).unwrap();
        Self { store, folder, clock, dice }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the folder a second time, as another program would.
    pub(crate) fn open_beside(&self, purpose: Purpose) -> Result<Arc<Embedded>, OpenError> {
        Embedded::open(self.path(), purpose, self.clock.clone())
    }

    /// Closes the store properly and opens the folder again.
    pub(crate) fn reopened(self) -> Self {
        let Self { store, folder, clock, dice } = self;
        drop(Arc::into_inner(store).expect("nothing else holds the store"));
        Self::on(folder, clock, dice)
    }

    /// Opens a copy of the files as they would be if the process died now.
    pub(crate) async fn reopened_after_a_death(&self) -> Self {
        self.flushed().await;
        let folder = tempfile::tempdir().unwrap();
        for name in ["statuspulse.db", "statuspulse.db-wal", "secret.key"] {
            fs::copy(self.path().join(name), folder.path().join(name)).unwrap();
        }
        Self::on(folder, self.clock.clone(), self.dice.clone())
    }

    /// Waits until all submitted writes of the [account] are committed. The writer runs them in order.
    pub(crate) async fn flushed(&self) {
        let key = KeyId::new(self.now(), &*self.dice);
        let entry = revoked_key(account(), key, (self.now(), Actor::OWNER));
        self.store.revoke_key(key, &entry, None).await.unwrap().unwrap();
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.pass(time);
    }

    // --- Records -----------------------------------------------------------------------------------------

    pub(crate) fn account(&self, name: &str) -> Account {
        Account::new(name, self.now(), &*self.dice).unwrap()
    }

    pub(crate) fn account_id(&self) -> AccountId {
        AccountId::new(self.now(), &*self.dice)
    }

    pub(crate) fn webhook_id(&self) -> WebhookId {
        WebhookId::new(self.now(), &*self.dice)
    }

    pub(crate) fn webhook(&self, account_id: AccountId) -> Webhook {
        let now = self.now();
        let settings = Settings {
            url: EndpointUrl::restore("https://hooks.example.com/in").unwrap(),
            destination: Destination::default(),
            events: EventType::ALL.to_vec(),
            monitor_groups: vec![],
            description: None,
            headers: Headers::default(),
        };
        let keys = SigningKeys::new(Secret::generate(&*self.dice));
        let new = Webhook::new(self.webhook_id(), account_id, settings, keys, now);
        Webhook { state: webhook::State::Active, generation: 1, ..new }
    }

    pub(crate) fn event(&self, incident: &str) -> Event {
        let id = EventId::new(self.now(), &*self.dice);
        Event {
            id,
            account_id: account(),
            event_type: EventType::IncidentOpened,
            incident_id: incident.to_owned(),
            monitor_groups: vec!["Payments (EU)".to_owned()],
            body: Bytes::from(format!("{{\"incident_id\":{incident:?},\"of\":\"{id}\",\"n\":1240.50}}")),
            fingerprint: [7; 32],
            accepted_at: self.now(),
        }
    }

    /// Accepts a new event for one webhook. Returns the delivery as it was stored.
    pub(crate) async fn accepted(&self, webhook: WebhookId, incident: &str) -> Delivery {
        self.accepted_event(&self.event(incident), webhook).await
    }

    pub(crate) async fn accepted_event(&self, event: &Event, webhook: WebhookId) -> Delivery {
        let asked = vec![Delivery::new(event, webhook)];
        match self.store.accept(event, asked).await.unwrap() {
            Acceptance::Accepted(mut kept) => kept.pop().unwrap(),
            Acceptance::Different => panic!("a new event cannot conflict"),
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

    // --- Messages ----------------------------------------------------------------------------------------

    /// Sends the message for a first attempt, due now.
    pub(crate) async fn sent(&self, delivery: &Delivery, body: &Bytes) {
        self.sent_in(delivery, 1, Duration::ZERO, body).await;
    }

    pub(crate) async fn sent_in(&self, delivery: &Delivery, number: u8, wait: Duration, body: &Bytes) {
        let message = message_of(delivery, number, body);
        let due = self.now().checked_add(wait).unwrap();
        self.store.send(vec![ScheduledMessage { message, due }]).await.unwrap();
    }

    /// Sends messages for `count` first attempts of one webhook, in one call. Returns their deliveries.
    pub(crate) async fn sent_many(&self, webhook: WebhookId, count: usize) -> Vec<Delivery> {
        self.sent_of(account(), webhook, count).await
    }

    /// Sends messages for `count` first attempts of a webhook of this account.
    pub(crate) async fn sent_of(
        &self,
        account_id: AccountId,
        webhook: WebhookId,
        count: usize,
    ) -> Vec<Delivery> {
        let event = || Event { account_id, ..self.event("INC-MANY") };
        let deliveries: Vec<_> = (0..count).map(|_| Delivery::new(&event(), webhook)).collect();
        let due = self.now();
        let wakeups = deliveries
            .iter()
            .map(|delivery| ScheduledMessage { message: message_of(delivery, 1, &Bytes::new()), due })
            .collect();
        self.store.send(wakeups).await.unwrap();
        deliveries
    }

    pub(crate) fn receive(&self, queue: QueueName) -> Option<Received> {
        self.store.try_receive(queue).unwrap()
    }

    /// Receives the next due message from any queue.
    pub(crate) async fn receive_due(&self) -> Option<Received> {
        self.store.make_due_ready().await.unwrap();
        statuspulse_embedded::queues().into_iter().find_map(|queue| self.receive(queue))
    }

    /// Receives all due messages and completes each.
    pub(crate) async fn drained(&self) -> Vec<AttemptMessage> {
        let mut all = vec![];
        while let Some(received) = self.receive_due().await {
            all.push(attempt(&received));
            received.done();
        }
        all
    }
}

fn message_of(delivery: &Delivery, number: u8, body: &Bytes) -> Message {
    Message::Attempt(AttemptMessage {
        delivery_id: delivery.id,
        account_id: delivery.account_id,
        webhook_id: delivery.webhook_id,
        event_id: delivery.event_id,
        key: AttemptKey { round: delivery.round, number },
        slow: false,
        body: body.clone(),
    })
}

pub(crate) fn attempt(received: &Received) -> AttemptMessage {
    match &received.message {
        Message::Attempt(message) => message.clone(),
        other => panic!("expected an attempt, received {other:?}"),
    }
}

/// The account of all events, unless a test says otherwise.
pub(crate) fn account() -> AccountId {
    AccountId::from_bytes([1; 16])
}

/// Waits for at most a minute, so that a test fails instead of hanging.
pub(crate) async fn within_a_minute<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("nothing came within a minute")
}

/// Writes a key file that only its owner can read.
pub(crate) fn write_key(file: &Path, key: &[u8]) {
    fs::write(file, key).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}
