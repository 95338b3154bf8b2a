//! Kills functions at any moment: during an attempt, between a record and its message, during a call of the API.
//! Every event that was answered with 202 must arrive, in order, and an attempt may be repeated only if a worker
//! died.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_emulator::FUNCTIONS;
use statuspulse_kit::api::{Api, pause, payload, text};

use statuspulse_kit::{Behaviour, Received};

use crate::stack::Stack;

const KILLS: usize = 200;
const STEADY: &str = "/hooks/steady";
const FLAKY: &str = "/hooks/flaky";
const PUBLISHERS: usize = 4;
/// Tries of a call of the API. Calls fail when their worker is killed, but far less often than this.
const TRIES_MAX: usize = 500;
/// Longer than the visibility timeout of every queue. After it, the messages of a dead worker are received again.
const AFTER_A_DEATH: Duration = Duration::from_secs(181);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn functions_killed_two_hundred_times_lose_nothing_and_keep_every_invariant() {
    let stack = Arc::new(Stack::start([1, 2, 3, 4]).await);
    let (steady, _) = stack.admin.webhook(&stack.receiver.url(STEADY), &[]).await;
    let (flaky, _) = stack.admin.webhook(&stack.receiver.url(FLAKY), &[]).await;
    stack
        .receiver
        .behaviour(FLAKY, Behaviour::first_of_each_event(1, Behaviour::status(503), Behaviour::ok()));

    let over = Arc::new(AtomicBool::new(false));
    let kills = Arc::new(AtomicUsize::new(0));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| tokio::spawn(publish_until(stack.admin.clone(), number, over.clone())))
        .collect();
    let pauser = tokio::spawn(pause_and_resume_until(stack.admin.clone(), steady.clone(), over.clone()));
    let killer = {
        let (stack, kills) = (stack.clone(), kills.clone());
        std::thread::spawn(move || kill(&stack, &kills))
    };
    while !killer.is_finished() {
        pause(Duration::from_millis(50)).await;
    }
    let by_function = killer.join().unwrap();
    over.store(true, Ordering::Relaxed);
    let mut accepted: Vec<Vec<Accepted>> = vec![];
    for publisher in publishers {
        accepted.extend(publisher.await.unwrap());
    }
    pauser.await.unwrap();
    call_until_answered(&stack.admin, &format!("/v1/webhooks/{steady}/resume"), &json!({})).await;
    until_all_is_done(&stack, &[&steady, &flaky]).await;
    eprintln!("killed {by_function:?}; {} events accepted", accepted.iter().map(Vec::len).sum::<usize>());
    assert!(accepted.iter().map(Vec::len).sum::<usize>() > 50, "too few events were published for this test");

    for (webhook, path) in [(&steady, STEADY), (&flaky, FLAKY)] {
        let received = stack.receiver.received(path);
        every_event_has_one_delivery_and_it_is_delivered(&stack.admin, webhook, &accepted).await;
        bodies_and_ids_stay_the_same(&received);
        incidents_arrive_in_order(&received, &accepted);
        let deaths = by_function.get("delivery").copied().unwrap_or(0);
        // A worker that dies may have had a batch of ten messages.
        let doubled = doubled(&received);
        assert!(doubled <= deaths * 10, "{path}: {doubled} attempts were made twice, {deaths} workers died");
    }
    crate::story::no_message_is_dead(&stack);
}

/// An event that was answered with 202.
struct Accepted {
    event_id: String,
    incident: String,
}

/// Publishes one incident after the other, and repeats each call until it is accepted. Returns the events by
/// incident, in order.
async fn publish_until(api: Api, number: usize, over: Arc<AtomicBool>) -> Vec<Vec<Accepted>> {
    let mut incidents = vec![];
    for round in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let incident = format!("INC-{number}-{round}");
        let mut events = vec![];
        for (n, kind) in ["opened", "updated", "resolved"].into_iter().enumerate() {
            let body = payload(kind, &incident, n);
            let key = format!("{incident}-{kind}");
            let mut tries = 0;
            let event_id = loop {
                tries += 1;
                match api.publish(&[], &body, Some(&key)).await {
                    Ok(answer) if answer.status == 202 => break text(&answer.body, "event_id"),
                    // The worker died. The same call again completes what it began.
                    Ok(answer) => {
                        assert!(
                            answer.status >= 500 && tries < TRIES_MAX,
                            "{}: {}",
                            answer.status,
                            answer.body
                        );
                    }
                    Err(error) => assert!(tries < TRIES_MAX, "{error}"),
                }
                pause(Duration::from_millis(20)).await;
            };
            events.push(Accepted { event_id, incident: incident.clone() });
        }
        incidents.push(events);
    }
    incidents
}

async fn pause_and_resume_until(api: Api, webhook: String, over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        for action in ["pause", "resume"] {
            call_until_answered(&api, &format!("/v1/webhooks/{webhook}/{action}"), &json!({})).await;
            pause(Duration::from_millis(300)).await;
        }
    }
}

async fn call_until_answered(api: &Api, path: &str, body: &Value) {
    while api.try_post(path, body).await.is_none_or(|answer| answer.status >= 500) {
        pause(Duration::from_millis(20)).await;
    }
}

/// Kills processes one after the other, mostly busy ones.
fn kill(stack: &Stack, kills: &AtomicUsize) -> BTreeMap<String, usize> {
    let mut by_function = BTreeMap::new();
    let mut dice = 0x5eed_u64;
    while kills.load(Ordering::Relaxed) < KILLS {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(30 + (dice >> 33) % 100));
        // Picks a function first, so that processes of all functions die, and not mostly of the busiest.
        let function = FUNCTIONS[usize::try_from(dice >> 50).unwrap() % FUNCTIONS.len()];
        let mut processes = stack.emulator.processes();
        processes.retain(|process| process.function == function);
        if !(dice >> 20).is_multiple_of(3) && processes.iter().any(|process| process.busy) {
            processes.retain(|process| process.busy);
        }
        let Some(victim) =
            usize::try_from(dice >> 40).ok().and_then(|n| processes.get(n % processes.len().max(1)))
        else {
            continue;
        };
        let killed = Command::new("kill").args(["-9", &victim.pid.to_string()]).status().unwrap().success();
        if killed {
            kills.fetch_add(1, Ordering::Relaxed);
            *by_function.entry(victim.function.clone()).or_default() += 1;
            // The emulator waits for a second after a death. Advancing its clock skips this.
            stack.emulator.advance(Duration::from_millis(1_100));
        }
    }
    by_function
}

async fn until_all_is_done(stack: &Stack, webhooks: &[&String]) {
    for _ in 0..40 {
        stack.pass(AFTER_A_DEATH, 1).await;
        let mut open = 0;
        for webhook in webhooks {
            let deliveries = stack.admin.deliveries(webhook).await;
            open += deliveries.iter().filter(|delivery| delivery["status"] != "delivered").count();
        }
        if open == 0 {
            return;
        }
    }
    for webhook in webhooks {
        for delivery in stack.admin.deliveries(webhook).await {
            if delivery["status"] != "delivered" {
                eprintln!("{delivery}");
            }
        }
    }
    panic!("deliveries are stuck");
}

/// I1, I2.
async fn every_event_has_one_delivery_and_it_is_delivered(
    api: &Api,
    webhook: &str,
    accepted: &[Vec<Accepted>],
) {
    let deliveries = api.deliveries(webhook).await;
    let mut of_event: HashMap<String, usize> = HashMap::new();
    for delivery in &deliveries {
        *of_event.entry(text(delivery, "event_id")).or_default() += 1;
    }
    for event in accepted.iter().flatten() {
        assert_eq!(of_event.get(&event.event_id), Some(&1), "{} of {}", event.event_id, event.incident);
    }
}

/// I3.
fn bodies_and_ids_stay_the_same(received: &[Received]) {
    let mut known: HashMap<&str, (&str, &[u8])> = HashMap::new();
    for request in received {
        let Some(delivery) = request.header("x-statuspulse-delivery-id") else { continue };
        let what = (request.header("webhook-id").unwrap(), &request.body[..]);
        assert_eq!(*known.entry(delivery).or_insert(what), what, "{delivery}");
    }
}

/// I5, by when each event was first answered with 200.
fn incidents_arrive_in_order(received: &[Received], accepted: &[Vec<Accepted>]) {
    let mut taken: HashMap<&str, usize> = HashMap::new();
    for (place, request) in received.iter().enumerate() {
        if request.answered == 200 {
            taken.entry(request.header("x-statuspulse-event-id").unwrap()).or_insert(place);
        }
    }
    for incident in accepted {
        let places: Vec<_> = incident.iter().map(|event| taken.get(event.event_id.as_str())).collect();
        assert!(places.iter().all(Option::is_some), "{} never arrived", incident[0].incident);
        assert!(places.is_sorted(), "{} arrived out of order: {places:?}", incident[0].incident);
    }
}

/// I7: counts requests that repeat an attempt of the same delivery, with the same number and the same answer.
fn doubled(received: &[Received]) -> usize {
    let mut seen = HashSet::new();
    let attempt = |request: &Received| {
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        (header("x-statuspulse-delivery-id"), header("x-statuspulse-attempt"), request.answered)
    };
    received.iter().filter(|request| !seen.insert(attempt(request))).count()
}
