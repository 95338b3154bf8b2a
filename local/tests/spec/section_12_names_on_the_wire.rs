//! Section 12 of docs/behaviour.md: names that clients rely on.

use serde_json::{Value, json};

use crate::support::*;

fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[track_caller]
fn has(value: &Value, expected: &[&str]) {
    let names = names(value);
    for name in expected {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
}

const WEBHOOK: [&str; 14] = [
    "id",
    "url",
    "destination",
    "events",
    "monitor_groups",
    "description",
    "status",
    "paused",
    "consecutive_failures",
    "failing_since",
    "held_deliveries",
    "handshake",
    "created_at",
    "updated_at",
];

#[tokio::test]
async fn a_webhook_has_its_names_in_every_answer_and_its_secret_in_one() {
    let world = World::new().await;
    let asked = json!({"url": URL, "events": ["incident_opened"]});
    let created = world.post("/v1/webhooks", &asked).await.expect(201);
    has(&created, &WEBHOOK);
    has(&created, &["secret"]);
    has(&created["handshake"], &["ok", "status_code", "reason", "at", "duration_ms"]);
    let path = format!("/v1/webhooks/{}", text(&created["id"]));
    let paused = world.post(&format!("{path}/pause"), &Value::Null).await.expect(200);
    has(&paused["paused"], &["reason", "since", "last_error"]);
    let listed = world.get("/v1/webhooks").await.expect(200);
    for shown in [&paused, &listed["data"][0], &world.get(&path).await.expect(200)] {
        has(shown, &WEBHOOK);
        assert!(!names(shown).contains(&"secret"));
    }
    assert!(text(&created["id"]).starts_with("whe_"));
}

#[tokio::test]
async fn a_list_has_data_and_a_cursor_that_is_null_at_its_end() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    for path in
        ["/v1/webhooks".to_owned(), "/v1/keys".to_owned(), format!("/v1/webhooks/{}/deliveries", hook.id)]
    {
        let list = world.get(&path).await.expect(200);
        assert_eq!(names(&list), ["data", "next_cursor"], "{path}");
        assert!(list["data"].is_array() && list["next_cursor"].is_null());
    }
}

#[tokio::test]
async fn accounts_and_keys_are_answered_with_their_names() {
    let world = World::new().await;
    let account = world.operator.post("/v1/accounts", &json!({"name": "A"})).await.expect(201);
    has(&account, &["id", "name", "key"]);
    let key = world.post("/v1/keys", &json!({"role": "viewer"})).await.expect(201);
    has(&key, &["id", "prefix", "role", "key"]);
}

#[tokio::test]
async fn publish_rotate_resume_and_test_are_answered_with_their_names() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let published = world.publish_with(&opened("A"), &[], None).await.expect(202);
    assert_eq!((names(&published), &published["deliveries"]), (vec!["deliveries", "event_id"], &json!(1)));
    let rotated = world.act(&hook, "rotate-secret").await;
    has(&rotated, &["secret", "window_ends_at"]);
    let shown = world.webhook(&hook).await;
    assert_eq!(shown["secret_window_ends_at"], rotated["window_ends_at"]);
    world.act(&hook, "pause").await;
    let resumed = world.act(&hook, "resume").await;
    assert_eq!((&resumed["status"], resumed["held"].is_u64()), (&json!("active"), true));
    has(
        &world.act(&hook, "test").await,
        &["ok", "status_code", "reason", "duration_ms", "response", "request"],
    );
}

#[tokio::test]
async fn a_delivery_and_its_attempts_have_their_names_and_each_status_its_word() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    let event = world.publish(&opened("A")).await;
    world.publish(&resolved("A")).await;
    world.run_until_idle().await;
    let delivery = world.delivery(&hook, &event).await;
    let expected = [
        "id",
        "event_id",
        "event_type",
        "incident_id",
        "webhook_id",
        "status",
        "next_attempt_at",
        "delayed",
        "attempts",
    ];
    has(&delivery, &expected);
    let attempt = ["number", "at", "status_code", "class", "reason", "duration_ms", "response"];
    has(&delivery["attempts"][0], &attempt);
    assert_eq!(delivery["next_attempt_at"], "2024-03-15T14:23:01Z");
    assert_eq!(delivery["webhook_id"], hook.id.as_str());
    assert_eq!(world.statuses(&hook).await, ["retrying", "waiting"]);
    world.act(&hook, "pause").await;
    world.run_until_idle().await;
    assert_eq!(world.statuses(&hook).await, ["held", "held"]);
}

#[tokio::test]
async fn times_are_written_in_utc_with_z() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 410);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    world.act(&hook, "rotate-secret").await;
    let shown = world.webhook(&hook).await;
    let delivery = world.deliveries(&hook).await[0].clone();
    for time in [
        &shown["created_at"],
        &shown["updated_at"],
        &shown["failing_since"],
        &shown["paused"]["since"],
        &shown["handshake"]["at"],
        &shown["secret_window_ends_at"],
        &delivery["attempts"][0]["at"],
    ] {
        assert!(text(time).ends_with('Z') && text(time).len() == 20, "{time}");
    }
}
