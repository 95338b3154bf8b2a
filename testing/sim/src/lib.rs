//! A deterministic simulation of the whole system over the ports, from a seed. Publishers, fan-outs, workers, customers
//! and receivers with behaviours run on a virtual clock in one thread.
//!
//! Every call of a port can fail before or after it takes effect, be slow, be throttled, or be applied in part.
//! Messages arrive twice, late and out of order. Workers die between any two awaits. Clocks differ. At the end the
//! invariants of `docs/behaviour.md` must hold; otherwise the run reports the violations, and its seed repeats the same
//! run.

mod accepted;
mod accounts;
mod actors;
mod check;
mod clock;
mod customer;
mod dice;
mod end;
mod history;
mod ports;
mod queue;
mod receivers;
mod rotation;
mod sender;
mod signatures;
mod store;
mod task;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use statuspulse_core::access::{Account, Manager};
use statuspulse_core::delivery;
use statuspulse_core::destination::Destination;
use statuspulse_core::event::EventType;
use statuspulse_core::ids::{KeyId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::message::{Message, QueueName};
use statuspulse_core::secret::Secret;
use statuspulse_core::signature::SigningKeys;
use statuspulse_core::target::{AllowedDomains, EndpointUrl};
use statuspulse_core::webhook::{Headers, Settings, State, Webhook};

use actors::Outside;
use ports::Ports;
use store::{Kept, Store};
use task::Who;
use world::{Driver, Inner, World};

/// The outcome of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The violated invariants; empty if all of them held.
    pub violations: Vec<String>,
    /// The history, if it was requested.
    pub history: Vec<String>,
    /// The faults that occurred, by port and kind.
    pub points: BTreeSet<(&'static str, &'static str)>,
    /// Number of POSTs of attempts.
    pub attempts: usize,
    /// Number of events whose publishers got a 202.
    pub events: usize,
}

/// The time in which all actors must finish. They rest for up to 25 minutes between their actions.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// After the faults have stopped: the longest wait on the ladder, plus the delay of a late message, of a dead worker's
/// message, and of a failed message.
const LADDER: Duration = Duration::from_secs(3600 + 60 + 120 + 600);
/// And the time for a drain of what was held, with its checks for lost messages.
const DRAIN: Duration = Duration::from_secs(1800);

/// Runs this seed.
#[must_use]
pub fn run(seed: u64, keep_history: bool) -> Outcome {
    let world = World::new(seed, keep_history);
    world.with(|inner| {
        inner.store.sends = inner.dice.once_in(3);
        inner.sluggish = inner.dice.once_in(6);
        inner.deadliness = inner.dice.one_of(&[250, 250, 250, 60]);
        if inner.is_dense {
            inner.sluggish = true;
            inner.deadliness = 60;
        }
    });
    let manager = furnish(&world);
    let mut driver = Driver::new(world.clone(), |world, who| {
        if who.name.starts_with("worker") {
            let after = world.with(|inner| inner.dice.up_to(Duration::from_secs(20)));
            actors::begin_worker(world, &who.name, after);
        }
    });
    let outside = |name: &str| Outside { world: world.clone(), name: name.into(), manager };
    let immortal = |name: &str| Who { name: name.into(), mortal: false };
    let (workers, publishers, customers, incidents) = world.with(|inner| {
        let dice = &mut inner.dice;
        // Drawn in dense runs too: the known seeds of dense runs depend on it.
        let drawn = (1 + dice.below(4), 1 + dice.below(3), dice.below(3), 1 + dice.below(3));
        if inner.is_dense { (4, 3, 2, 1) } else { drawn }
    });
    for n in 0..workers {
        actors::begin_worker(&world, &Arc::from(format!("worker {n}")), Duration::ZERO);
    }
    let mut outsiders = vec![];
    for n in 0..publishers {
        let name = format!("publisher {n}");
        let events = world.with(|inner| 1 + inner.dice.below(6));
        outsiders.push(world.spawn(immortal(&name), actors::publisher(outside(&name), events, incidents)));
    }
    for n in 0..customers {
        let name = format!("customer {n}");
        let acts = world.with(|inner| 1 + inner.dice.below(6));
        outsiders.push(world.spawn(immortal(&name), customer::customer(outside(&name), acts)));
    }
    if world.with(|inner| inner.checks_signatures) {
        let rotations = world.with(|inner| 1 + inner.dice.below(3));
        outsiders.push(world.spawn(immortal("owner"), rotation::owner(outside("owner"), rotations)));
    }
    let changes = world.with(|inner| inner.dice.below(7));
    outsiders.push(world.spawn(immortal("weather"), actors::weather(outside("weather"), changes)));
    if world.with(|inner| inner.dice.once_in(6)) {
        outsiders
            .push(world.spawn(immortal("reconciler"), actors::reconciler(outside("reconciler"), changes)));
    }

    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_over = over.clone();
    let watched = world.clone();
    world.spawn(immortal("watch"), async move {
        for outsider in outsiders {
            watched.end_of(outsider).await;
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let is_over = || over.load(std::sync::atomic::Ordering::Relaxed);
    let acted = driver.drive(DAY, |_| is_over());
    let acted = acted.and_then(|()| end_well(&mut driver, &world, || outside("customer")));
    world.with(|inner| {
        if let Err(stuck) = acted {
            let left = inner.queue.kinds().join(", ");
            inner.ledger.violated(format!("liveness: {stuck}; messages: {left}"));
        }
        end::at_end(inner);
        Outcome {
            violations: std::mem::take(&mut inner.ledger.violations),
            history: std::mem::replace(&mut inner.history, history::History::new(false)).into_lines(),
            points: std::mem::take(&mut inner.points),
            attempts: inner.ledger.attempts,
            events: inner.ledger.accepted.len(),
        }
    })
}

/// Stops the faults and makes all receivers healthy. Then everything must end within the time it may take.
fn end_well(driver: &mut Driver, world: &World, outside: impl Fn() -> Outside) -> Result<(), String> {
    world.with(|inner| {
        inner.faults = false;
        inner.throttled = 0;
        inner.receivers.behaviours.clear();
        inner.receivers.poison.clear();
        inner.history.note(inner.now, "world", || "no more faults from here on".to_owned());
    });
    // A slow worker may still have a message that another one has finished, and send what it calls for.
    let quiet = |inner: &Inner| inner.queue.is_empty() && inner.began.is_empty();
    lose_the_queue(world);
    if world.with(|inner| inner.ledger.needs_reconciling) {
        reconcile_repeatedly(driver, world, &outside)?;
    }
    driver.drive(LADDER, quiet)?;
    world.with(end::at_rest);
    world.spawn(Who { name: "customer".into(), mortal: false }, customer::resume_all(outside()));
    driver.drive(DRAIN, quiet)?;
    // Checked before the final reconcile, and once more after it.
    world.with(end::at_end);
    world.with(|inner| inner.is_over = true);
    world.spawn(Who { name: "reconciler".into(), mortal: false }, actors::reconcile(outside()));
    driver.drive(DRAIN, quiet)
}

/// In one run of six, loses the queues, as after a restore. The records must be enough to continue.
fn lose_the_queue(world: &World) {
    world.with(|inner| {
        if inner.dice.once_in(6) {
            let Inner { queue, store, .. } = inner;
            queue.lose_all(|message| is_irreplaceable(message, store));
            inner.ledger.needs_reconciling = true;
            inner.history.note(inner.now, "world", || "the queue is lost".to_owned());
        }
    });
}

/// Runs the quarter-hourly check until everything that was scheduled before is overdue and was checked.
fn reconcile_repeatedly(
    driver: &mut Driver,
    world: &World,
    outside: &impl Fn() -> Outside,
) -> Result<(), String> {
    // Longer than the ladder's longest wait, so that everything that is scheduled is overdue.
    for _ in 0..8 {
        let until = world.with(|inner| inner.now.checked_add(limits::RECONCILE_EVERY).unwrap_or(inner.now));
        world.spawn(Who { name: "clock".into(), mortal: false }, {
            let world = world.clone();
            async move { world.sleep(limits::RECONCILE_EVERY).await }
        });
        driver.drive(limits::RECONCILE_EVERY * 2, |inner| inner.now >= until)?;
        world.spawn(Who { name: "reconciler".into(), mortal: false }, actors::reconcile(outside()));
    }
    Ok(())
}

/// Whether this message cannot be recreated from the records: a first attempt with no delivery waiting behind it,
/// because DynamoDB keeps no mark for it; or any message of a deleted webhook.
fn is_irreplaceable(message: &Message, store: &Store) -> bool {
    let webhook = message.webhook_id();
    if store.webhooks.get(&webhook).is_none_or(|webhook| webhook.is_deleted()) {
        return true;
    }
    let Message::Attempt(attempt) = message else { return false };
    let waits_behind = |kept: &Kept| {
        let lane = &kept.delivery;
        let own = store.deliveries.get(&attempt.delivery_id).map(|kept| &kept.delivery.incident_id);
        lane.webhook_id == webhook && Some(&lane.incident_id) == own && lane.state == delivery::State::Waiting
    };
    message.queue() == QueueName::First && (store.sends || !store.deliveries.values().any(waits_behind))
}

/// An account with a few webhooks.
fn furnish(world: &World) -> Manager {
    let ports = Ports { world: world.clone(), name: "world".into(), skew_ms: 0 };
    let now = world.with(|inner| inner.now);
    #[expect(clippy::expect_used, reason = "constants")]
    let mut account = Account::new("Acme", now, &ports).expect("a name");
    account.allowed_domains = AllowedDomains::default();
    let webhooks = 1 + world.with(|inner| inner.dice.below(3));
    for n in 0..webhooks {
        let webhook = webhook(&ports, &account, n);
        world.with(|inner| {
            if inner.checks_signatures && webhook.settings.destination.format().limit().is_none() {
                let secret = webhook.keys.current().clone();
                let verifier = signatures::Verifier::new(secret, &mut inner.dice);
                inner.receivers.verifiers.insert(webhook.id, verifier);
            }
            inner.store.webhooks.insert(webhook.id, Arc::new(webhook));
        });
    }
    let id = account.id;
    let by = Manager { account_id: id, key_id: KeyId::from_bytes([1; 16]), address: None };
    world.with(|inner| inner.store.accounts.insert(id, account));
    by
}

fn webhook(ports: &Ports, account: &Account, n: usize) -> Webhook {
    let now = account.created_at;
    let is_channel = ports.world.with(|inner| inner.dice.once_in(3));
    let kind = if is_channel { receivers::CHANNEL } else { receivers::OTHER };
    #[expect(clippy::expect_used, reason = "constants")]
    let url = EndpointUrl::restore(&format!("https://{kind}{n}.example.com/in")).expect("a URL");
    let is_limited = |known: &Destination| known.format().limit().is_some();
    let destination = Destination::samples().into_iter().find(|known| is_limited(known) == is_channel);
    let settings = Settings {
        url,
        destination: destination.unwrap_or_default(),
        events: EventType::ALL.to_vec(),
        monitor_groups: vec![],
        description: None,
        headers: Headers::default(),
    };
    let id = WebhookId::new(now, ports);
    let new = Webhook::new(id, account.id, settings, SigningKeys::new(Secret::generate(ports)), now);
    Webhook { state: State::Active, generation: 1, ..new }
}
