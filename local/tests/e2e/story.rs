//! The whole story over TLS, from the handshake to a rotation, with a ladder of fractions of a second.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_kit::{Behaviour, Received, Receiver, verify};

use crate::support::{Api, Home, LONG, Program, eventually, payload, text};

const HOOK: &str = "/hooks/t0p-secret-path";
const SLACK: &str = "/services/T0/B0/slack-token";
const WAITS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(300),
    Duration::from_millis(400),
    Duration::from_millis(500),
];

struct Story {
    receiver: Receiver,
    program: Program,
    api: Api,
    webhook: String,
    secret: String,
    /// Requests to [`HOOK`] so far, including the handshake.
    came: u64,
}

impl Story {
    async fn begin(home: &Home, receiver: Receiver, ca: &Path) -> Self {
        let flags = [
            "--ladder",
            "200ms,300ms,400ms,500ms",
            "--dev-extra-ca",
            ca.to_str().unwrap(),
            "--slack-url",
            &receiver.url(SLACK),
            "--public-url",
            "https://hooks.example.com",
        ];
        let program = home.serve(&flags).await;
        let operator = program.api(&home.operator_key().await);
        let account = operator.post("/v1/accounts", &json!({ "name": "Acme & <Sons>" })).await.expect(201);
        let api = program.api(&text(&account, "key"));
        let body = json!({
            "url": receiver.url(HOOK),
            "events": ["incident_opened", "incident_resolved"],
            "monitor_groups": ["EU", "US"],
            "headers": { "X-Customer": "of ours" },
        });
        let made = api.post("/v1/webhooks", &body).await.expect(201);
        assert_eq!((&made["status"], &made["handshake"]["ok"]), (&json!("active"), &json!(true)));
        let (webhook, secret) = (text(&made, "id"), text(&made, "secret"));
        Self { receiver, program, api, webhook, secret, came: 1 }
    }

    /// Waits for the next `n` requests to [`HOOK`], and asserts that there are no more.
    async fn next(&mut self, n: u64) -> Vec<Received> {
        let from = usize::try_from(self.came).unwrap();
        self.came += n;
        let all = self.receiver.wait_for(HOOK, self.came, LONG).await.unwrap();
        assert_eq!(u64::try_from(all.len()).unwrap(), self.came, "more requests than expected");
        all[from..].to_vec()
    }

    async fn shown(&self) -> Value {
        self.api.shown(&self.webhook).await
    }

    async fn act(&self, action: &str, body: &Value) -> Value {
        self.api.post(&format!("/v1/webhooks/{}/{action}", self.webhook), body).await.expect(200)
    }
}

fn header<'r>(received: &'r Received, name: &str) -> &'r str {
    received.header(name).unwrap_or_else(|| panic!("no {name}"))
}

/// Whether a request is signed with this secret. Asserts that both signatures agree.
fn is_signed(received: &Received, secret: &str) -> bool {
    let (id, at) = (header(received, "webhook-id"), header(received, "webhook-timestamp"));
    let standard = header(received, "webhook-signature");
    let plain = verify::statuspulse(secret, &received.body, header(received, "x-statuspulse-signature"));
    let by_standard = verify::standard_webhooks(secret, id, at, &received.body, standard);
    assert_eq!(plain, by_standard, "the two signatures disagree");
    plain
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_story() {
    let home = Home::new();
    let (receiver, ca) = home.tls_receiver();
    let mut story = Story::begin(&home, receiver, &ca).await;
    the_handshake_was_signed(&story);
    only_what_was_asked_for_is_delivered(&mut story).await;
    failing_it_climbs_the_ladder_and_is_paused(&mut story).await;
    slack_is_notified_once(&story).await;
    resumed_it_gets_what_was_held(&mut story).await;
    rotated_it_is_signed_with_both_secrets(&mut story).await;
    let over = "is answering again, 25 deliveries drained";
    story.receiver.wait_for_text(SLACK, over, LONG).await.unwrap();
    for text in ["was paused", over] {
        assert_eq!(story.receiver.count_text(SLACK, text), 1, "{text}");
    }
    assert_eq!(story.receiver.count(HOOK), story.came);
    assert!(story.receiver.tls_handshakes() > 0);
    story.program.stop().await;
}

fn the_handshake_was_signed(story: &Story) {
    let handshake = &story.receiver.received(HOOK)[0];
    assert_eq!(header(handshake, "x-statuspulse-event"), "handshake");
    assert!(is_signed(handshake, &story.secret));
}

async fn only_what_was_asked_for_is_delivered(story: &mut Story) {
    let wanted = payload("opened", "INC-1", 1);
    story.api.published(&["EU"], &payload("updated", "INC-1", 0), 0).await;
    story.api.published(&["eu", "Asia"], &payload("opened", "INC-1", 0), 0).await;
    story.api.published(&[], &payload("opened", "INC-1", 0), 0).await;
    let published = story.api.published(&["Asia", "EU", "US"], &wanted, 1).await;
    let received = story.next(1).await.remove(0);
    assert_eq!(received.body, wanted.as_bytes(), "byte for byte");
    assert!(is_signed(&received, &story.secret));
    let expected = [
        ("content-type", "application/json"),
        ("user-agent", "StatusPulse-Webhooks/1"),
        ("x-statuspulse-event", "incident_opened"),
        ("x-statuspulse-event-id", published["event_id"].as_str().unwrap()),
        ("webhook-id", published["event_id"].as_str().unwrap()),
        ("x-statuspulse-attempt", "1"),
        ("x-customer", "of ours"),
    ];
    for (name, value) in expected {
        assert_eq!(header(&received, name), value, "{name}");
    }
}

async fn failing_it_climbs_the_ladder_and_is_paused(story: &mut Story) {
    story.receiver.behaviour(HOOK, Behaviour::status(503));
    story.api.published(&["EU"], &payload("opened", "INC-2", 2), 1).await;
    let attempts = story.next(5).await;
    let id = header(&attempts[0], "x-statuspulse-delivery-id");
    for (number, attempt) in (1..).zip(&attempts) {
        assert_eq!(header(attempt, "x-statuspulse-attempt"), format!("{number}"));
        assert_eq!(header(attempt, "x-statuspulse-delivery-id"), id);
        assert_eq!(attempt.body, attempts[0].body);
        assert!(is_signed(attempt, &story.secret));
    }
    for (pair, wait) in attempts.windows(2).zip(WAITS) {
        let waited = Duration::from_nanos(pair[1].at.saturating_sub(pair[0].at));
        assert!(waited >= wait, "a retry came {waited:?} after the previous attempt, not after {wait:?}");
    }
    eventually("it is paused", async || story.shown().await["status"] == "paused").await;
    let shown = story.shown().await;
    assert_eq!((&shown["paused"]["reason"], &shown["consecutive_failures"]), (&json!("failures"), &json!(4)));

    for n in 0..12 {
        story.api.published(&["EU"], &payload("opened", &format!("INC-HELD-{n}"), n), 1).await;
        story.api.published(&["EU"], &payload("resolved", &format!("INC-HELD-{n}"), n), 1).await;
    }
    eventually("all deliveries are held", async || story.shown().await["held_deliveries"] == 25).await;
    assert_eq!(story.receiver.count(HOOK), story.came, "nothing is attempted while it is paused");
}

async fn slack_is_notified_once(story: &Story) {
    let notification = story.receiver.wait_for_text(SLACK, "was paused", LONG).await.unwrap();
    let said: Value = serde_json::from_slice(&notification.body).unwrap();
    let said = text(&said, "text");
    assert!(said.contains("Acme &amp; &lt;Sons&gt;"), "{said}");
    assert!(said.contains(&story.webhook) && said.contains("503"), "{said}");
    assert!(said.contains("https://hooks.example.com/"), "{said}");
    for secret in [&*story.secret, "t0p-secret-path", "slack-token", "of ours"] {
        assert!(!said.contains(secret), "{said}");
    }
}

async fn resumed_it_gets_what_was_held(story: &mut Story) {
    story.receiver.behaviour(HOOK, Behaviour::ok());
    let resumed = story.act("resume", &json!({})).await;
    assert_eq!((&resumed["status"], &resumed["held"]), (&json!("active"), &json!(25)));
    // A second resume delivers nothing twice.
    story.act("resume", &json!({})).await;
    let drained = story.next(25).await;
    let mut by_incident: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for received in &drained {
        assert!(ids.insert(header(received, "x-statuspulse-delivery-id")), "a delivery arrived twice");
        assert!(is_signed(received, &story.secret));
        let body: Value = serde_json::from_slice(&received.body).unwrap();
        by_incident.entry(text(&body, "incident_id")).or_default().push(text(&body, "event_type"));
    }
    assert_eq!(by_incident.remove("INC-2"), Some(vec!["incident_opened".to_owned()]));
    assert_eq!(by_incident.len(), 12);
    for (incident, events) in by_incident {
        assert_eq!(events, ["incident_opened", "incident_resolved"], "{incident}");
    }
    story.api.all_delivered(&story.webhook).await;
    eventually("its health is good", async || {
        let shown = story.shown().await;
        (&shown["consecutive_failures"], &shown["held_deliveries"]) == (&json!(0), &json!(0))
    })
    .await;
}

async fn rotated_it_is_signed_with_both_secrets(story: &mut Story) {
    let rotated = story.act("rotate-secret", &json!({})).await;
    let new = text(&rotated, "secret");
    assert_ne!(new, story.secret);
    assert_eq!(header(&story.next(1).await[0], "x-statuspulse-event"), "handshake");
    assert_eq!(rotated["style"], "joined");
    story.api.published(&["EU"], &payload("opened", "INC-3", 3), 1).await;
    let received = story.next(1).await.remove(0);
    assert!(is_signed(&received, &new) && is_signed(&received, &story.secret));
    let first = verify::statuspulse_digest(&new, &received.body);
    assert!(header(&received, "x-statuspulse-signature").starts_with(&first), "the new signature is first");
    assert!(!story.shown().await.to_string().contains(&new));

    story.act("rotate-secret/finish", &json!({})).await;
    story.api.published(&["EU"], &payload("resolved", "INC-3", 3), 1).await;
    let received = story.next(1).await.remove(0);
    assert!(is_signed(&received, &new) && !is_signed(&received, &story.secret));
    story.secret = new;
}
