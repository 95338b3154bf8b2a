//! The whole product in one process, without network and system clock. The store, the router and the services are the
//! real ones; the test controls time, randomness, endpoints and Slack. Nothing sleeps.

mod api;
mod browser;
mod payload;
mod ports;
mod receiver;
pub(crate) mod routes;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use statuspulse_core::access::{ApiKey, Role};
pub(crate) use statuspulse_core::destination::PAGERDUTY_EVENTS;
use statuspulse_core::limiter::Limiter;
use statuspulse_core::limits;
use statuspulse_core::message::{Message, QueueName};
use statuspulse_core::outbox::Outbox;
use statuspulse_core::ports::{Accounts, Clock, Queue};
use statuspulse_core::retry::Ladder;
use statuspulse_core::target::{EndpointUrl, TargetPolicy};
use statuspulse_core::worker::Handled;
use statuspulse_core::{Admin, Deployment, Publisher, Worker};
use statuspulse_embedded::{Embedded, Purpose, Received};
use statuspulse_http::CursorKey;
use statuspulse_shares::BytesInProgress;
use tempfile::TempDir;

pub(crate) use api::{Answer, Api, Hook, text};
pub(crate) use browser::{Browser, Origin, SAME, link, page};
pub(crate) use payload::{opened, payload_of_size, resolved, updated};
pub(crate) use ports::{Counted, Dice, Fuse, VirtualClock, Write};
pub(crate) use receiver::{Receivers, Reply, Seen};
pub(crate) use verify::{hex_digest, standard_signature, verify_all};

use ports::Fused;

/// The Slack channel that receives notifications.
pub(crate) const SLACK: &str = "https://hooks.slack.com/services/T0/B0/slackpathsecret";
/// A customer's endpoint.
pub(crate) const URL: &str = "https://hooks.yourcompany.com/statuspulse";
/// Another endpoint.
pub(crate) const OTHER: &str = "https://other.example.com/in";

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The time at which every test starts.
pub(crate) fn start() -> Timestamp {
    "2024-03-15T14:22:01Z".parse().unwrap()
}

/// A deployment with one account.
pub(crate) struct World {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) receivers: Arc<Receivers>,
    pub(crate) metrics: Arc<Counted>,
    pub(crate) fuse: Arc<Fuse>,
    pub(crate) operator: Api,
    pub(crate) account_id: String,
    pub(crate) services: Services,
    dice: Arc<Dice>,
    deployment: Deployment,
    admin: Api,
    pub(crate) store: Arc<Embedded>,
    folder: TempDir,
}

/// Calls of the API use the account's admin key.
impl std::ops::Deref for World {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.admin
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(7, |_| {}).await
    }

    /// A world with this random seed and a changed deployment.
    pub(crate) async fn with(seed: u64, deploy: impl FnOnce(&mut Deployment)) -> Self {
        print_log();
        let clock = Arc::new(VirtualClock::at(start()));
        let dice = Arc::new(Dice::of(seed));
        let mut deployment = deployment();
        deploy(&mut deployment);
        let folder = folder();
        let store = Embedded::open(folder.path(), Purpose::Serve, clock.clone()).unwrap();
        let (key, operator) = ApiKey::generate(None, Role::Operator, None, clock.now(), &*dice);
        store.create_key(&key, None).await.unwrap();
        let receivers = Arc::new(Receivers::new(clock.clone()));
        let metrics = Arc::<Counted>::default();
        let fuse = Arc::new(Fuse::unlit());
        let services = Services::over(&store, &fuse, &receivers, &clock, &dice, &metrics, &deployment);
        let router = services.router();
        let operator = Api { router, key: operator.reveal().to_owned() };
        let account = operator.post("/v1/accounts", &json!({"name": "Your Company"})).await.expect(201);
        let admin = operator.with_key(text(&account["key"]));
        let account_id = text(&account["id"]).to_owned();
        Self {
            clock,
            receivers,
            metrics,
            fuse,
            operator,
            account_id,
            services,
            dice,
            deployment,
            admin,
            store,
            folder,
        }
    }

    /// Restarts the process: what is on disk remains, what is in memory is lost.
    pub(crate) async fn restart(mut self) -> Self {
        self.flush().await;
        self.fuse.put_out();
        let (operator, admin) = (self.operator.key, self.admin.key);
        // These hold the store open.
        drop((self.operator.router, self.admin.router, self.services, self.store));
        self.store = Embedded::open(self.folder.path(), Purpose::Serve, self.clock.clone()).unwrap();
        self.services = Services::over(
            &self.store,
            &self.fuse,
            &self.receivers,
            &self.clock,
            &self.dice,
            &self.metrics,
            &self.deployment,
        );
        self.services.worker.reconcile_all().await.unwrap();
        let router = self.services.router();
        self.operator = Api { router: router.clone(), key: operator };
        self.admin = Api { router, key: admin };
        self
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Creates another account and returns a client with its admin key.
    pub(crate) async fn another_account(&self) -> Api {
        let account = self.operator.post("/v1/accounts", &json!({"name": "Another"})).await.expect(201);
        self.with_key(text(&account["key"]))
    }

    /// Handles messages that are due, one after the other, until none is left.
    pub(crate) async fn run_until_idle(&self) {
        for _ in 0..50_000 {
            match self.next_message().await {
                Some(received) => self.work_on(received).await,
                None => return,
            }
        }
        panic!("there are always more messages");
    }

    /// Like [`run_until_idle`](Self::run_until_idle), but handles up to this many messages concurrently.
    pub(crate) async fn run_until_idle_with(&self, workers: usize) {
        for _ in 0..50_000 {
            let mut in_work = vec![];
            while in_work.len() < workers
                && let Some(received) = self.next_message().await
            {
                in_work.push(Box::pin(self.work_on(received)));
            }
            if in_work.is_empty() {
                return;
            }
            all_of(in_work).await;
        }
        panic!("there are always more messages");
    }

    /// Advances the clock. Each message is handled exactly when it is due.
    pub(crate) async fn advance(&self, time: Duration) {
        let end = self.now().checked_add(time).unwrap();
        let mut steps = 0;
        loop {
            self.run_until_idle().await;
            match self.store.next_due() {
                Some(due) if due <= end => self.clock.set(due),
                _ => break,
            }
            steps += 1;
            assert!(steps < 100_000, "there is always another message due");
        }
        self.clock.set(end);
        self.run_until_idle().await;
    }

    /// Advances the clock to this long after the start of the test.
    pub(crate) async fn advance_to(&self, since_start: Duration) {
        let target = start().checked_add(since_start).unwrap();
        let rest = Duration::try_from(target.duration_since(self.now())).unwrap_or_default();
        self.advance(rest).await;
    }

    /// When the next delayed message is due.
    pub(crate) async fn next_due(&self) -> Option<Timestamp> {
        self.flush().await;
        self.store.next_due()
    }

    /// Sets the clock to when the next message is due; `false` if there is none. Fails after 60 days: work must end.
    pub(crate) async fn skip_to_next(&self) -> bool {
        let Some(due) = self.next_due().await else { return false };
        let days = due.duration_since(start()).as_hours() / 24;
        assert!(days < 60, "there are still messages after {days} days");
        self.clock.set(due);
        true
    }

    /// Receives the next message that is due: first attempts before retries, and these before upkeep.
    pub(crate) async fn next_message(&self) -> Option<Received> {
        self.flush().await;
        self.store.make_due_ready().await.unwrap();
        [QueueName::First, QueueName::Retry, QueueName::Upkeep]
            .into_iter()
            .find_map(|queue| self.store.try_receive(queue).unwrap())
    }

    /// Handles a message and settles it, as `statuspulse serve` does. Fails on errors, unless the fuse has blown.
    pub(crate) async fn work_on(&self, received: Received) {
        match self.services.worker.handle(received.message.clone()).await {
            Ok(Handled::Done) => received.done(),
            Ok(Handled::Again(at)) => received.again(at),
            Err(error) => assert!(self.fuse.is_burnt_out(), "{error}"),
        }
    }

    /// Handles a message that no queue delivered, such as a duplicate.
    pub(crate) async fn handle(&self, message: Message) {
        self.services.worker.handle(message).await.map(|_| ()).unwrap();
    }

    /// Handles a message and crashes before settling it, so that it is redelivered.
    pub(crate) async fn work_on_and_crash(&self, received: Received) {
        drop(self.services.worker.handle(received.message.clone()).await);
        drop(received);
    }

    /// Waits for all writes in the background.
    pub(crate) async fn flush(&self) {
        self.store.send(vec![]).await.unwrap();
    }

    pub(crate) async fn dead_letters(&self) -> u64 {
        self.store.census().await.unwrap().dead_letters
    }

    pub(crate) async fn prune(&self) {
        self.store.prune(self.now()).await.unwrap();
    }

    /// The attempts at this URL.
    pub(crate) fn attempts(&self, url: &str) -> Vec<Seen> {
        self.receivers.attempts(url)
    }

    /// The times of the attempts at this URL, in seconds since the start of the test.
    pub(crate) fn seconds(&self, url: &str) -> Vec<i64> {
        self.attempts(url).iter().map(|seen| seen.at.as_second() - start().as_second()).collect()
    }

    /// The notifications of pauses.
    pub(crate) fn pause_notifications(&self) -> Vec<String> {
        self.notifications().into_iter().filter(|text| text.contains("was paused")).collect()
    }

    /// All notifications.
    pub(crate) fn notifications(&self) -> Vec<String> {
        let calls = self.receivers.calls(SLACK);
        let body_of = |seen: Seen| serde_json::from_slice::<serde_json::Value>(&seen.body).unwrap();
        calls.into_iter().map(body_of).map(|body| text(&body["text"]).to_owned()).collect()
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The names and contents of the store's files.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let read = |entry: std::fs::DirEntry| {
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        };
        entries.map(|entry| read(entry.unwrap())).collect()
    }
}

/// Prints the log of the code under test with the output of a failing test. A problem document does not contain the
/// cause of a 503; the log does.
fn print_log() {
    static LOG: std::sync::Once = std::sync::Once::new();
    LOG.call_once(|| {
        let log = tracing_subscriber::fmt().with_test_writer().without_time();
        log.with_max_level(tracing::Level::WARN).init();
    });
}

/// Runs all futures concurrently on this thread.
pub(crate) async fn all_of<F: Future<Output = ()> + Unpin>(mut futures: Vec<F>) {
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| std::pin::Pin::new(future).poll(context).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

fn deployment() -> Deployment {
    Deployment {
        ladder: Ladder::default(),
        policy: TargetPolicy::deployed(),
        slack: Some(EndpointUrl::parse(SLACK, &TargetPolicy::deployed()).unwrap()),
        retry_early: true,
        pagerduty: EndpointUrl::parse(PAGERDUTY_EVENTS, &TargetPolicy::deployed()).unwrap(),
        public_url: "https://webhooks.statuspulse.io".to_owned(),
        egress_ips: ["104.21.45.112", "172.67.188.94", "198.41.215.33"].map(str::to_owned).to_vec(),
    }
}

/// A folder in memory if possible, because these tests do not need a disk.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The services, connected as in `statuspulse serve`.
pub(crate) struct Services {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) admin: Arc<Admin>,
}

impl Services {
    fn over(
        store: &Arc<Embedded>,
        fuse: &Arc<Fuse>,
        receivers: &Arc<Receivers>,
        clock: &Arc<VirtualClock>,
        dice: &Arc<Dice>,
        metrics: &Arc<Counted>,
        deployment: &Deployment,
    ) -> Self {
        let fused = Arc::new(Fused { store: store.clone(), fuse: fuse.clone() });
        let outbox = Outbox::new(fused.clone(), fused.clone(), fused.clone(), fused.clone(), clock.clone());
        let limiter = Arc::new(Limiter::new(store.clone()));
        let publisher = Publisher {
            accounts: store.clone(),
            webhooks: fused.clone(),
            deliveries: fused.clone(),
            outbox: outbox.clone(),
            limiter: limiter.clone(),
            in_progress: Arc::new(BytesInProgress::new(limits::EVENT_BYTES_AT_ONCE)),
            clock: clock.clone(),
            random: dice.clone(),
        };
        let worker = Worker {
            accounts: store.clone(),
            webhooks: fused.clone(),
            deliveries: fused.clone(),
            outbox: outbox.clone(),
            rate_limits: store.clone(),
            figures: store.clone(),
            sender: receivers.clone(),
            events: None,
            clock: clock.clone(),
            random: dice.clone(),
            metrics: metrics.clone(),
            deployment: deployment.clone(),
        };
        let admin = Admin {
            accounts: store.clone(),
            sessions: store.clone(),
            webhooks: fused.clone(),
            deliveries: fused,
            outbox,
            figures: store.clone(),
            limiter,
            sender: receivers.clone(),
            clock: clock.clone(),
            random: dice.clone(),
            events: None,
            deployment: deployment.clone(),
        };
        Self { publisher: Arc::new(publisher), worker: Arc::new(worker), admin: Arc::new(admin) }
    }

    /// The routes of `statuspulse serve`.
    fn router(&self) -> axum::Router {
        let api = statuspulse_http::all(self.admin.clone(), self.publisher.clone(), CursorKey::new([7; 32]));
        api.merge(statuspulse_dashboard::pages(self.admin.clone()))
    }
}
