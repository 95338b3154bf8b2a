//! The actors of a run: workers, publishers, customers, the quarter-hourly check, and the weather, which changes how
//! receivers behave.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use statuspulse_core::access::{Caller, Manager, Role};
use statuspulse_core::check::{Checked, Reconciled};
use statuspulse_core::error::{Error, Result};
use statuspulse_core::figures::Pending;
use statuspulse_core::ids::{EventId, KeyPeriod, WebhookId};
use statuspulse_core::limiter::Limiter;
use statuspulse_core::outbox::Outbox;
use statuspulse_core::retry::Ladder;
use statuspulse_core::target::{EndpointUrl, TargetPolicy};
use statuspulse_core::worker::Handled;
use statuspulse_core::{Admin, Deployment, Publisher, Worker};

use crate::accepted::Accepted;
use crate::accounts::NoQuotas;
use crate::clock::SKEW_MS_MAX;
use crate::history::{brief, short};
use crate::ports::Ports;
use crate::queue::LARGE;
use crate::task::Who;
use crate::world::World;

const SLACK: &str = "https://hooks.slack.com/services/T0/B0/x";
/// Waits in seconds before a failed message comes again.
const COME_BACK_AFTER: [u64; 5] = [1, 5, 20, 60, 300];
/// How often a caller without an answer repeats its call.
const ASKED_AT_MOST: usize = 60;

/// The services of one worker or caller, with its own clock.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) publisher: Publisher,
    pub(crate) worker: Worker,
    pub(crate) admin: Admin,
}

pub(crate) fn services(world: &World, name: &Arc<str>) -> Services {
    let skew = world.with(|inner| inner.dice.below(usize::try_from(2 * SKEW_MS_MAX).unwrap_or(1)));
    let skew_ms = i64::try_from(skew).unwrap_or(0) - SKEW_MS_MAX;
    let ports = Arc::new(Ports { world: world.clone(), name: name.clone(), skew_ms });
    #[expect(clippy::expect_used, reason = "a constant")]
    let slack = EndpointUrl::restore(SLACK).expect("a URL");
    let outbox = Outbox::new(ports.clone(), ports.clone(), ports.clone(), ports.clone(), ports.clone());
    let deployment = Deployment {
        ladder: Ladder::default(),
        policy: TargetPolicy::deployed(),
        slack: Some(slack.clone()),
        retry_early: true,
        pagerduty: slack,
        public_url: String::new(),
        egress_ips: vec![],
    };
    let limiter = Arc::new(Limiter::new(Arc::new(NoQuotas)));
    Services {
        publisher: Publisher {
            accounts: ports.clone(),
            webhooks: ports.clone(),
            deliveries: ports.clone(),
            outbox: outbox.clone(),
            limiter: limiter.clone(),
            in_progress: Arc::new(()),
            clock: ports.clone(),
            random: ports.clone(),
        },
        worker: Worker {
            accounts: ports.clone(),
            webhooks: ports.clone(),
            deliveries: ports.clone(),
            outbox: outbox.clone(),
            rate_limits: ports.clone(),
            figures: Arc::new(Pending::default()),
            sender: ports.clone(),
            events: None,
            clock: ports.clone(),
            random: ports.clone(),
            metrics: ports.clone(),
            deployment: deployment.clone(),
        },
        admin: Admin {
            accounts: ports.clone(),
            sessions: ports.clone(),
            webhooks: ports.clone(),
            deliveries: ports.clone(),
            outbox,
            figures: Arc::new(Pending::default()),
            limiter,
            sender: ports.clone(),
            clock: ports.clone(),
            random: ports,
            events: None,
            deployment,
        },
    }
}

/// Starts a worker. When it dies, another one with the same name takes its place.
pub(crate) fn begin_worker(world: &World, name: &Arc<str>, after: Duration) {
    let (world, name) = (world.clone(), name.clone());
    let worker = services(&world, &name).worker;
    let who = Who { name: name.clone(), mortal: true };
    world.clone().spawn(who, async move {
        world.sleep(after).await;
        loop {
            let received = world.receive().await;
            world.with(|inner| {
                let task = inner.current;
                inner.last_call.insert(task, "receive");
                inner.began.insert(task, inner.now);
                inner.ledger.begins(task);
                inner.received.insert(task, (received.number, received.message.clone()));
                inner.history.note(inner.now, &name, || format!("gets {}", brief(&received.message)));
            });
            let handled = worker.handle(received.message.clone()).await;
            world.with(|inner| {
                inner.began.remove(&inner.current);
                match handled {
                    Ok(Handled::Done) => {
                        inner.received.remove(&inner.current);
                        inner.queue.done(received.number);
                        inner.ledger.is_done(inner.current, &inner.store, inner.now);
                    }
                    Ok(Handled::Again(at)) => {
                        inner.received.remove(&inner.current);
                        inner.queue.again_at(received.number, at);
                    }
                    Err(error) => {
                        inner.loses_its_message(inner.current);
                        inner.history.note(inner.now, &name, || format!("fails: {error}"));
                        inner.ledger.errors.push(format!("{error} {error:?} {:?}", received.message));
                        let tries = usize::try_from(received.receives).unwrap_or(1);
                        let wait = COME_BACK_AFTER[tries.clamp(1, COME_BACK_AFTER.len()) - 1];
                        let at = inner.now.checked_add(Duration::from_secs(wait)).unwrap_or(inner.now);
                        inner.queue.again_at(received.number, at);
                    }
                }
            });
        }
    });
}

/// A call of the API.
pub(crate) type Work<T> =
    Box<dyn FnOnce(Services) -> std::pin::Pin<Box<dyn Future<Output = Result<T>> + Send>> + Send>;

/// A caller from outside, who repeats calls until there is an answer.
pub(crate) struct Outside {
    pub(crate) world: World,
    pub(crate) name: Arc<str>,
    pub(crate) manager: Manager,
}

impl Outside {
    /// The same customer, for a second call at the same time.
    pub(crate) fn twin(&self) -> Self {
        Self { world: self.world.clone(), name: self.name.clone(), manager: self.manager }
    }

    async fn once<T: Send + 'static>(&self, work: Work<T>) -> Option<Result<T>> {
        let answer = Arc::new(Mutex::new(None));
        let slot = answer.clone();
        let services = services(&self.world, &self.name);
        let who = Who { name: self.name.clone(), mortal: true };
        let task = self.world.spawn(who, async move {
            let came = work(services).await;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
        });
        self.world.end_of(task).await;
        answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Repeats a call until there is a definite answer. Some callers give up before.
    pub(crate) async fn ask<T: Send + 'static>(&self, work: impl Fn() -> Work<T>) -> Option<Result<T>> {
        self.ask_unless(work, || self.gives_up()).await
    }

    /// Repeats a call until there is a definite answer. A delete needs this: no list contains the webhook afterwards,
    /// so the quarter-hourly check does not find its unsent messages.
    pub(crate) async fn ask_until_answered<T: Send + 'static>(
        &self,
        work: impl Fn() -> Work<T>,
    ) -> Option<Result<T>> {
        self.ask_unless(work, || false).await
    }

    async fn ask_unless<T: Send + 'static>(
        &self,
        work: impl Fn() -> Work<T>,
        gives_up: impl Fn() -> bool,
    ) -> Option<Result<T>> {
        for tries in 0..ASKED_AT_MOST {
            match self.once(work()).await {
                None | Some(Err(Error::Unavailable(_))) if gives_up() => return None,
                None | Some(Err(Error::Unavailable(_))) => {
                    let wait = self.world.with(|inner| inner.dice.up_to(Duration::from_secs(5)));
                    self.world.sleep(wait).await;
                }
                answered => {
                    // A first try may have changed something before its webhook was deleted.
                    let is_cut_off = tries > 0 && matches!(answered, Some(Err(Error::NotFound(_))));
                    self.world.with(|inner| inner.ledger.needs_reconciling |= is_cut_off);
                    return answered;
                }
            }
        }
        None
    }

    /// Whether this caller gives up after a call without an answer. The quarter-hourly check then has to complete the
    /// call.
    fn gives_up(&self) -> bool {
        self.world.with(|inner| {
            let gives_up = inner.faults && inner.dice.once_in(8);
            inner.ledger.needs_reconciling |= gives_up;
            gives_up
        })
    }

    pub(crate) async fn rest(&self, longest: Duration) {
        let time = self.world.with(|inner| inner.dice.up_to(longest));
        self.world.sleep(time).await;
    }
}

pub(crate) const LONG: Duration = Duration::from_secs(1500);
pub(crate) const SHORT: Duration = Duration::from_secs(4);

/// Publishes events of a few incidents.
pub(crate) async fn publisher(outside: Outside, events: usize, incidents: usize) {
    for n in 0..events {
        let pause = outside.world.with(|inner| if inner.dice.once_in(4) { LONG } else { SHORT });
        outside.rest(pause).await;
        let (incident, keyed, poison, large) = outside.world.with(|inner| {
            let dice = &mut inner.dice;
            (dice.below(incidents), !dice.once_in(4), dice.once_in(8), dice.once_in(8))
        });
        let size = if large { LARGE } else { "" };
        let body = payload(&format!("INC-{incident}"), &format!("{} {n} {size}", outside.name));
        let key = keyed.then(|| format!("{}-{n}", outside.name));
        if let (Some(key), true) = (&key, poison) {
            let period = KeyPeriod::at(crate::clock::start());
            let id = EventId::from_idempotency_key(outside.manager.account_id, key, period).to_string();
            outside.world.with(|inner| {
                inner.receivers.ever_poison.insert(id.clone());
                inner.receivers.poison.insert(id)
            });
        }
        let before = wanting(&outside);
        let caller = Caller {
            key_id: None,
            role: Role::Publisher,
            account_id: Some(outside.manager.account_id),
            address: None,
        };
        let publish = || -> Work<EventId> {
            let (body, key) = (body.clone(), key.clone());
            Box::new(move |services| {
                Box::pin(async move {
                    services
                        .publisher
                        .publish(caller, &body, key.as_deref())
                        .await
                        .map(|published| published.event_id)
                })
            })
        };
        // Without a key a repeated call would create another event, so it is not repeated.
        let answer = if keyed { outside.ask(publish).await } else { outside.once(publish()).await };
        match answer {
            Some(Ok(event)) => {
                let mut wanted = wanting(&outside);
                wanted.retain(|webhook| before.contains(webhook));
                outside.world.note(&outside.name, || format!("202 {}", short(event)));
                outside.world.with(|inner| {
                    let keyed =
                        keyed.then(|| inner.store.events.get(&event).map(|kept| kept.event.body.clone()));
                    inner.ledger.accepted.push(Accepted { event, wanted, keyed: keyed.flatten() });
                });
            }
            None | Some(Err(Error::Unavailable(_))) => {}
            Some(Err(refused)) => outside.world.with(|inner| {
                inner.ledger.violated(format!("a valid event was refused: {refused}"));
            }),
        }
    }
}

/// The webhooks that receive events now: all that exist.
pub(crate) fn wanting(outside: &Outside) -> Vec<WebhookId> {
    let account = outside.manager.account_id;
    outside.world.with(|inner| inner.store.webhooks_of(account).iter().map(|webhook| webhook.id).collect())
}

fn payload(incident: &str, name: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"payload":{{"event_type":"incident_opened","incident_id":"{incident}","monitor_name":"{name}","status":"investigating","triggered_at":"2024-03-15T14:22:01Z","details":{{}}}}}}"#
    ))
}

/// Runs the quarter-hourly check now and then, while the other actors work.
pub(crate) async fn reconciler(outside: Outside, times: usize) {
    for _ in 0..times {
        outside.rest(LONG).await;
        drop(outside.once(reconcile_all()).await);
    }
}

/// Runs the quarter-hourly check, to its end.
pub(crate) async fn reconcile(outside: Outside) {
    let (is_hurried, webhooks) = outside.world.with(|inner| (inner.is_hurried, inner.store.webhooks.len()));
    if !is_hurried {
        drop(outside.ask(reconcile_all).await);
        return;
    }
    let mut after = None;
    for _ in 0..webhooks {
        let run = outside.ask(|| check_one(after)).await;
        after = run.and_then(Result::ok).and_then(|run| run.stopped);
    }
}

/// A run of the check whose time is over after one webhook.
fn check_one(after: Option<Checked>) -> Work<Reconciled> {
    Box::new(move |services| {
        Box::pin(async move { services.worker.reconcile_until(after, Timestamp::MIN).await })
    })
}

fn reconcile_all() -> Work<u64> {
    Box::new(|services| Box::pin(async move { services.worker.reconcile_all().await }))
}

/// Changes the behaviours of receivers.
pub(crate) async fn weather(outside: Outside, changes: usize) {
    for _ in 0..changes {
        let pause = outside.world.with(|inner| if inner.dice.once_in(3) { LONG * 3 } else { LONG / 5 });
        outside.rest(pause).await;
        outside.world.with(|inner| {
            let (host, behaviour) = inner.receivers.change_one(&mut inner.dice);
            inner.history.note(inner.now, &outside.name, || format!("{host} is {behaviour:?}"));
        });
    }
}
