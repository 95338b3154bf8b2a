//! The whole product in one process, without its network and its clock: the real store in a folder of its own, the
//! real router and the real engine; time, dice, endpoints and Slack belong to the test. Nothing sleeps.

mod api;
mod browser;
mod payload;
mod ports;
mod receiver;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use statuspulse_core::access::{ApiKey, Role};
pub(crate) use statuspulse_core::destination::PAGERDUTY_EVENTS;
use statuspulse_core::message::{Message, QueueName};
use statuspulse_core::outbox::Outbox;
use statuspulse_core::ports::{Accounts, Clock, Queue};
use statuspulse_core::retry::Ladder;
use statuspulse_core::target::{EndpointUrl, TargetPolicy};
use statuspulse_core::worker::Handled;
use statuspulse_core::{Admin, Deployment, Publisher, Worker};
use statuspulse_embedded::{Embedded, Purpose, Received};
use statuspulse_http::CursorKey;
use tempfile::TempDir;

pub(crate) use api::{Answer, Api, Hook, text};
pub(crate) use browser::{Browser, Origin, SAME, link, page};
pub(crate) use payload::{opened, payload_of_size, resolved, updated};
pub(crate) use ports::{Counted, Dice, Fuse, VirtualClock, Write};
pub(crate) use receiver::{Receivers, Reply, Seen};
pub(crate) use verify::{hex_digest, standard_signature, verify_all};

use ports::Fused;

/// Where customers' engineers are told of a pause.
pub(crate) const SLACK: &str = "https://hooks.slack.com/services/T0/B0/slackpathsecret";
/// A customer's endpoint.
pub(crate) const URL: &str = "https://hooks.yourcompany.com/statuspulse";
/// Another one.
pub(crate) const OTHER: &str = "https://other.example.com/in";

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// When every test begins.
pub(crate) fn start() -> Timestamp {
    "2024-03-15T14:22:01Z".parse().unwrap()
}

/// A deployment with one account, whose administrator the test is.
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

/// The test calls the API as the account's administrator.
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

    /// A world of these dice, deployed differently.
    pub(crate) async fn with(seed: u64, deploy: impl FnOnce(&mut Deployment)) -> Self {
        let clock = Arc::new(VirtualClock::at(start()));
        let dice = Arc::new(Dice::of(seed));
        let mut deployment = deployment();
        deploy(&mut deployment);
        let folder = folder();
        let store = Embedded::open(folder.path(), Purpose::Serve, clock.clone()).unwrap();
        let (key, operator) = ApiKey::generate(None, Role::Operator, None, clock.now(), &*dice);
        store.create_key(&key).await.unwrap();
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

    /// The machine goes down, and comes up again with what is on its disk.
    pub(crate) async fn restart(mut self) -> Self {
        self.flush().await;
        self.fuse.put_out();
        let (operator, admin) = (self.operator.key, self.admin.key);
        // The last who hold the store open.
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

    /// Another account's administrator.
    pub(crate) async fn another_account(&self) -> Api {
        let account = self.operator.post("/v1/accounts", &json!({"name": "Another"})).await.expect(201);
        self.with_key(text(&account["key"]))
    }

    /// Works on whatever is due, one message after the other, until nothing is.
    pub(crate) async fn settle(&self) {
        for _ in 0..50_000 {
            match self.next_message().await {
                Some(received) => self.work_on(received).await,
                None => return,
            }
        }
        panic!("there is always more to do");
    }

    /// The same, with up to this many messages in work at once.
    pub(crate) async fn settle_at_once(&self, workers: usize) {
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
        panic!("there is always more to do");
    }

    /// Time passes, and everything happens exactly when it is due.
    pub(crate) async fn advance(&self, time: Duration) {
        let end = self.now().checked_add(time).unwrap();
        let mut steps = 0;
        loop {
            self.settle().await;
            match self.store.next_due() {
                Some(due) if due <= end => self.clock.set(due),
                _ => break,
            }
            steps += 1;
            assert!(steps < 100_000, "there is always something due soon");
        }
        self.clock.set(end);
        self.settle().await;
    }

    /// Time passes until it is this long after the start of the test.
    pub(crate) async fn advance_to(&self, since_start: Duration) {
        let target = start().checked_add(since_start).unwrap();
        let rest = Duration::try_from(target.duration_since(self.now())).unwrap_or_default();
        self.advance(rest).await;
    }

    /// When the next message is due that is not due yet.
    pub(crate) async fn next_due(&self) -> Option<Timestamp> {
        self.flush().await;
        self.store.next_due()
    }

    /// Time passes to when the next message is due; `false` if there is none. What goes on for ever is a fault.
    pub(crate) async fn skip_to_next(&self) -> bool {
        let Some(due) = self.next_due().await else { return false };
        let days = due.duration_since(start()).as_hours() / 24;
        assert!(days < 60, "there is still something to do after {days} days");
        self.clock.set(due);
        true
    }

    /// The next message that is due: first attempts before retries before upkeep.
    pub(crate) async fn next_message(&self) -> Option<Received> {
        self.flush().await;
        self.store.make_due_ready().await.unwrap();
        [QueueName::First, QueueName::Retry, QueueName::Upkeep]
            .into_iter()
            .find_map(|queue| self.store.try_receive(queue).unwrap())
    }

    /// Does what a message asks, as a worker does.
    pub(crate) async fn work_on(&self, received: Received) {
        match self.services.worker.handle(received.message.clone()).await {
            Ok(Handled::Done) => received.done(),
            Ok(Handled::Again(at)) => received.again(at),
            Err(error) => assert!(self.fuse.is_burnt_out(), "{error}"),
        }
    }

    /// Does what a message asks, once more.
    pub(crate) async fn handle(&self, message: Message) {
        self.services.worker.handle(message).await.map(|_| ()).unwrap();
    }

    /// Does what a message asks, and dies before it says so: the message comes again.
    pub(crate) async fn work_on_and_crash(&self, received: Received) {
        drop(self.services.worker.handle(received.message.clone()).await);
        drop(received);
    }

    /// Returns when the writes nobody waited for are done.
    pub(crate) async fn flush(&self) {
        self.store.send(vec![]).await.unwrap();
    }

    pub(crate) fn dead_letters(&self) -> u64 {
        self.store.dead_letters().unwrap()
    }

    pub(crate) async fn prune(&self) {
        self.store.prune(self.now()).await.unwrap();
    }

    /// The attempts made at this URL.
    pub(crate) fn attempts(&self, url: &str) -> Vec<Seen> {
        self.receivers.attempts(url)
    }

    /// When attempts were made at this URL, in seconds since the test began.
    pub(crate) fn seconds(&self, url: &str) -> Vec<i64> {
        self.attempts(url).iter().map(|seen| seen.at.as_second() - start().as_second()).collect()
    }

    /// What engineers were told of pauses.
    pub(crate) fn notices(&self) -> Vec<String> {
        self.told().into_iter().filter(|text| text.contains("was paused")).collect()
    }

    /// What engineers were told.
    pub(crate) fn told(&self) -> Vec<String> {
        let calls = self.receivers.calls(SLACK);
        let told = |seen: Seen| serde_json::from_slice::<serde_json::Value>(&seen.body).unwrap();
        calls.into_iter().map(told).map(|body| text(&body["text"]).to_owned()).collect()
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Every byte of the store's own files.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let read = |entry: std::fs::DirEntry| {
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        };
        entries.map(|entry| read(entry.unwrap())).collect()
    }
}

/// All of them at once, on this one thread.
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
        bring_forward: true,
        pagerduty: EndpointUrl::parse(PAGERDUTY_EVENTS, &TargetPolicy::deployed()).unwrap(),
        public_url: "https://webhooks.statuspulse.io".to_owned(),
        egress_ips: ["104.21.45.112", "172.67.188.94", "198.41.215.33"].map(str::to_owned).to_vec(),
    }
}

/// In memory where that is possible: what is tested here is what is written, not the disk.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// As `statuspulse serve` puts them together.
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
        let publisher = Publisher {
            accounts: store.clone(),
            webhooks: fused.clone(),
            deliveries: fused.clone(),
            outbox: outbox.clone(),
            clock: clock.clone(),
            random: dice.clone(),
        };
        let worker = Worker {
            accounts: store.clone(),
            webhooks: fused.clone(),
            deliveries: fused.clone(),
            outbox: outbox.clone(),
            rate_limits: store.clone(),
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
            sender: receivers.clone(),
            clock: clock.clone(),
            random: dice.clone(),
            deployment: deployment.clone(),
        };
        Self { publisher: Arc::new(publisher), worker: Arc::new(worker), admin: Arc::new(admin) }
    }

    /// As `statuspulse serve` puts it together.
    fn router(&self) -> axum::Router {
        let api = statuspulse_http::all(self.admin.clone(), self.publisher.clone(), CursorKey::new([7; 32]));
        api.merge(statuspulse_dashboard::pages(self.admin.clone()))
    }
}
