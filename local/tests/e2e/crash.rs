//! `kill -9`, again and again. Accepted events are delivered, and deliveries that were finished before a kill are not
//! repeated.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use statuspulse_kit::{Behaviour, Received, Receiver, ReceiverOptions, unix_nanos};
use tokio::sync::watch;

use crate::support::{Api, Home, LONG, pause, payload, text};

/// `E2E_KILLS=200 cargo test --test e2e crash` makes a longer run; `E2E_SEED` repeats the times of the kills.
fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Random times for the kills (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

const LADDER: [&str; 2] = ["--ladder", "150ms,150ms,150ms,150ms"];
/// A healthy endpoint, one that fails each event's first attempt, and a slow one.
const PATHS: [&str; 3] = ["/good", "/flaky", "/slow"];
const KINDS: [&str; 3] = ["opened", "updated", "resolved"];

/// An event that was answered with 202.
struct Accepted {
    payload: String,
    incident: String,
    /// Its position within the incident.
    place: usize,
}

/// Publishes incident after incident until `stop`. Calls without an answer are repeated with the same idempotency key,
/// to the server that runs then.
async fn publish(
    publisher: usize,
    mut server: watch::Receiver<Option<Api>>,
    stop: watch::Receiver<bool>,
) -> HashMap<String, Accepted> {
    let mut accepted = HashMap::new();
    for n in 0.. {
        let incident = format!("INC-{publisher}-{n}");
        for (place, kind) in KINDS.into_iter().enumerate() {
            let payload = payload(kind, &incident, n);
            let key = format!("{incident}-{kind}");
            let event = loop {
                let api = server.wait_for(Option::is_some).await.unwrap().clone().unwrap();
                match api.publish(&[], &payload, Some(&key)).await {
                    Ok(answer) => {
                        let answer = answer.expect(202);
                        assert_eq!(answer["deliveries"], PATHS.len());
                        break answer["event_id"].as_str().unwrap().to_owned();
                    }
                    Err(_) => pause(Duration::from_millis(5)).await,
                }
            };
            accepted.insert(event, Accepted { payload, incident: incident.clone(), place });
        }
        if *stop.borrow() {
            break;
        }
    }
    accepted
}

struct Death {
    /// A time after which no request of the killed process is read, in nanoseconds since 1970.
    at: u64,
    /// Deliveries that the API showed as delivered before the kill.
    recorded: HashSet<String>,
}

/// The newest deliveries that the API shows as delivered, up to 250 for each webhook.
async fn recorded(api: &Api, webhooks: &[String]) -> HashSet<String> {
    let mut all = HashSet::new();
    for webhook in webhooks {
        let path = format!("/v1/webhooks/{webhook}/deliveries?status=delivered&limit=250");
        let page = api.get(&path).await.expect(200);
        all.extend(page["data"].as_array().unwrap().iter().map(|delivery| text(delivery, "id")));
    }
    all
}

/// Waits until the receiver has read everything that a killed process had sent, that is, for three complete exchanges.
/// Returns the time.
async fn all_read(receiver: &Receiver) -> u64 {
    for _ in 0..3 {
        let probe = Api::new(&format!("http://{}", receiver.addr()), "");
        probe.probe("/probe").await;
    }
    unix_nanos()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_answered_is_delivered_though_the_server_is_killed_again_and_again() {
    let kills = from_env("E2E_KILLS", 100);
    let seed = from_env("E2E_SEED", unix_nanos() | 1);
    eprintln!("E2E_SEED={seed} E2E_KILLS={kills}");
    let mut dice = Dice(seed.max(1));
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let mut program = home.serve(&LADDER).await;
    let api = home.admin(&program).await;
    let mut webhooks = vec![];
    for path in PATHS {
        webhooks.push(api.webhook(&receiver.url(path), &[]).await.0);
    }
    receiver.behaviour("/flaky", Behaviour::first_of_each_event(1, Behaviour::status(503), Behaviour::ok()));
    receiver.behaviour("/slow", Behaviour::delayed(Duration::from_millis(30), Behaviour::ok()));

    let (server, servers) = watch::channel(Some(api.clone()));
    let (stop, stopped) = watch::channel(false);
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..3 {
        publishers.spawn(publish(publisher, servers.clone(), stopped.clone()));
    }
    let mut deaths = vec![];
    for _ in 0..kills {
        pause(Duration::from_millis(20 + dice.below(280))).await;
        let recorded = recorded(&api.at(&program.origin), &webhooks).await;
        server.send_replace(None);
        program.kill().await;
        deaths.push(Death { at: all_read(&receiver).await, recorded });
        program = home.serve(&LADDER).await;
        server.send_replace(Some(api.at(&program.origin)));
    }
    stop.send_replace(true);
    let accepted: HashMap<_, _> = publishers.join_all().await.into_iter().flatten().collect();
    let api = api.at(&program.origin);
    for webhook in &webhooks {
        api.all_delivered(webhook).await;
        assert_eq!(api.deliveries(webhook).await.len(), accepted.len(), "no event was stored twice");
    }
    program.stop().await;
    for path in PATHS {
        let repeats = check(path, &receiver.received(path), &accepted, &deaths);
        eprintln!("{path}: {} events, {} deaths, {repeats} requests repeated", accepted.len(), deaths.len());
    }
}

/// Checks the requests on one path. Returns how many of them repeated an attempt.
fn check(path: &str, all: &[Received], accepted: &HashMap<String, Accepted>, deaths: &[Death]) -> usize {
    let header = |received: &Received, name: &str| received.header(name).unwrap().to_owned();
    let mut by_event: HashMap<String, Vec<&Received>> = HashMap::new();
    let mut lanes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for received in all.iter().filter(|received| received.header("x-statuspulse-event") != Some("handshake"))
    {
        let event = header(received, "x-statuspulse-event-id");
        let known = accepted.get(&event).unwrap_or_else(|| panic!("{path}: {event} was never accepted"));
        assert_eq!(received.body, known.payload.as_bytes(), "{path}: {event} has another body");
        lanes.entry(&known.incident).or_default().push(known.place);
        by_event.entry(event).or_default().push(received);
    }
    let missing: Vec<_> = accepted.keys().filter(|event| !by_event.contains_key(*event)).collect();
    assert_eq!(missing, [""; 0], "{path}: accepted, but not delivered");
    for (incident, places) in lanes {
        // A repeated attempt is in order too: the next event is sent only after the previous one was recorded.
        assert!(places.is_sorted(), "{path}: {incident} arrived in the order {places:?}");
    }
    let life = |at: u64| deaths.iter().filter(|death| death.at < at).count();
    let mut repeats = 0;
    for (event, requests) in by_event {
        let delivery = header(requests[0], "x-statuspulse-delivery-id");
        let done_in = deaths.iter().position(|death| death.recorded.contains(&delivery));
        let last = requests.iter().map(|request| life(request.at)).max();
        assert!(
            done_in.is_none_or(|done| last <= Some(done)),
            "{path}: {event}: repeated after it was delivered"
        );
        let mut seen: Vec<(u8, usize)> = vec![];
        for request in requests {
            assert_eq!(header(request, "x-statuspulse-delivery-id"), delivery);
            let this = (header(request, "x-statuspulse-attempt").parse().unwrap(), life(request.at));
            assert!(!seen.contains(&this), "{path}: {event}: attempt {} was repeated without a kill", this.0);
            assert!(
                seen.last().is_none_or(|last| last.0 <= this.0),
                "{path}: {event}: the attempt number went down"
            );
            repeats += usize::from(seen.iter().any(|(number, _)| *number == this.0));
            seen.push(this);
        }
    }
    repeats
}

/// A claim lasts 30 s, but it is in memory and ends with the process.
#[tokio::test]
async fn an_attempt_in_flight_at_a_death_is_made_again_at_once() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    let (webhook, _) = api.webhook(&receiver.url("/hook"), &[]).await;
    receiver.behaviour("/hook", Behaviour::first(1, Behaviour::Hang, Behaviour::ok()));
    api.published(&[], &payload("opened", "INC-1", 1), 1).await;
    api.published(&[], &payload("resolved", "INC-1", 2), 1).await;
    receiver.wait_for("/hook", 2, LONG).await.unwrap();
    program.kill().await;

    let program = home.serve(&[]).await;
    let all = receiver.wait_for("/hook", 4, SOON).await.unwrap();
    let of = |n: usize, name: &str| all[n].header(name).unwrap().to_owned();
    for name in ["x-statuspulse-delivery-id", "x-statuspulse-event-id", "x-statuspulse-attempt"] {
        assert_eq!(of(1, name), of(2, name), "the same attempt of the same delivery");
    }
    assert_eq!(of(2, "x-statuspulse-attempt"), "1");
    assert_eq!(all[1].body, all[2].body);
    assert_eq!(of(3, "x-statuspulse-event"), "incident_resolved");
    api.at(&program.origin).all_delivered(&webhook).await;
    assert_eq!(receiver.count("/hook"), 4);
    program.stop().await;
}

/// The time limit for "at once", after the ready line.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn what_was_due_while_it_was_down_is_delivered_at_once() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let ladder = ["--ladder", "700ms,1h,1h,1h"];
    let program = home.serve(&ladder).await;
    let api = home.admin(&program).await;
    let (webhook, _) = api.webhook(&receiver.url("/hook"), &[]).await;
    receiver.behaviour("/hook", Behaviour::first_of_each_event(1, Behaviour::status(500), Behaviour::ok()));
    for n in 0..30 {
        api.published(&[], &payload("opened", &format!("INC-{n}"), n), 1).await;
    }
    let retrying = async || {
        let all = api.deliveries(&webhook).await;
        all.iter().all(|delivery| !delivery["attempts"].as_array().unwrap().is_empty())
    };
    crate::support::eventually("every first attempt is recorded", retrying).await;
    program.kill().await;
    let before = receiver.count("/hook");
    // The server stays down until the last retry is due.
    pause(Duration::from_millis(800)).await;

    let program = home.serve(&ladder).await;
    let all = receiver.wait_for("/hook", 61, SOON).await.unwrap();
    assert!(before < 61, "all retries were made before the kill");
    let seconds = all.iter().filter(|received| received.header("x-statuspulse-attempt") == Some("2")).count();
    assert_eq!(seconds, 30, "each retry once");
    api.at(&program.origin).all_delivered(&webhook).await;
    program.stop().await;
}

/// The publisher did not get the answer and repeats the call. The event is fanned out once.
#[tokio::test]
async fn an_event_published_again_after_a_death_is_the_same_event() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    let (webhook, _) = api.webhook(&receiver.url("/hook"), &[]).await;
    let payload = payload("opened", "INC-1", 1);
    let first = api.publish(&[], &payload, Some("key 1")).await.unwrap().expect(202);
    program.kill().await;
    let program = home.serve(&[]).await;
    let api = api.at(&program.origin);
    let again = api.publish(&[], &payload, Some("key 1")).await.unwrap().expect(202);
    assert_eq!(again, first);
    let other = crate::support::payload("opened", "INC-2", 1);
    api.publish(&[], &other, Some("key 1")).await.unwrap().expect(409);
    api.all_delivered(&webhook).await;
    assert_eq!(api.deliveries(&webhook).await.len(), 1);
    let came: Arc<[Received]> = receiver.received("/hook")[1..].into();
    assert!(came.iter().all(|received| received.body == payload.as_bytes()));
    program.stop().await;
}
