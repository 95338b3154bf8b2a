//! The audit log of a webhook (rule 11.4).

use serde_json::{Value, json};

use crate::section_11_dashboard::{key, path};
use crate::support::*;

/// The entries, newest first: the change, and the prefix of the API key that made it.
async fn log(world: &World, hook: &Hook) -> Vec<(String, Option<String>)> {
    let log = world.get(&format!("/v1/webhooks/{}/audit-log", hook.id)).await.expect(200);
    let entry = |entry: &Value| {
        let by = entry["by"]["key_prefix"].as_str().map(str::to_owned);
        (text(&entry["change"]).to_owned(), by)
    };
    log["data"].as_array().unwrap().iter().map(entry).collect()
}

/// The prefix of the newest API key.
async fn prefix_of_latest_key(world: &World) -> String {
    text(&world.all("/v1/keys").await.last().unwrap()["prefix"]).to_owned()
}

#[tokio::test]
async fn each_change_stands_in_the_log_with_the_key_it_was_made_with() {
    let world = World::new().await;
    let first = prefix_of_latest_key(&world).await;
    world.receivers.answers_handshakes(URL, 404);
    let hook = world.register(URL).await;
    world.receivers.answers_handshakes(URL, 200);
    world.act(&hook, "verify").await;
    let colleague = Browser::signed_in(&key(&world, "admin").await).await;
    let second = prefix_of_latest_key(&world).await;
    let edited = [("url", URL), ("events", "incident_opened")];
    colleague.submit(&path(&hook, "/edit"), &edited).await.expect(200);
    for form in ["/pause", "/resume", "/rotate", "/rotate/finish", "/pause", "/discard"] {
        colleague.submit(&path(&hook, form), &[]).await.expect(200);
    }
    world.receivers.answers(URL, 410);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let (first, second) = (Some(&*first), Some(&*second));
    let found = log(&world, &hook).await;
    let found: Vec<_> = found.iter().map(|(change, by)| (&**change, by.as_deref())).collect();
    assert_eq!(
        found,
        [
            ("paused", None),
            ("resumed_discarding", second),
            ("paused", second),
            ("rotation_finished", second),
            ("secret_rotated", second),
            ("resumed", second),
            ("paused", second),
            ("updated", second),
            ("verified", first),
            ("created", first),
        ]
    );
    assert_ne!(first, second);
}

#[tokio::test]
async fn what_was_refused_or_changed_nothing_is_not_in_the_log() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_handshakes(URL, 500);
    world.receivers.answers_handshakes(OTHER, 500);
    world.act(&hook, "verify").await;
    let own = format!("/v1/webhooks/{}", hook.id);
    world.patch(&own, json!({"url": OTHER})).await.problem(422);
    world.patch(&own, json!({"events": []})).await.problem(422);
    world.act(&hook, "resume").await;
    world.act_with(&hook, "rotate-secret/finish", json!({})).await.problem(409);
    assert_eq!(log(&world, &hook).await.len(), 1);
    world.act(&hook, "pause").await;
    world.act(&hook, "pause").await;
    world.act(&hook, "rotate-secret").await;
    world.act_with(&hook, "rotate-secret", json!({})).await.problem(409);
    let changes: Vec<_> = log(&world, &hook).await.into_iter().map(|(change, _)| change).collect();
    assert_eq!(changes, ["secret_rotated", "paused", "created"]);
}

#[tokio::test]
async fn the_log_keeps_the_latest_twenty_over_a_restart() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    for _ in 0..10 {
        world.act(&hook, "pause").await;
        world.act(&hook, "resume").await;
        world.run_until_idle().await;
    }
    let before = log(&world, &hook).await;
    assert_eq!(before.len(), 20);
    assert_eq!(
        (&*before[0].0, &*before[19].0),
        ("resumed", "paused"),
        "the creation is no longer in the log"
    );
    let world = world.restart().await;
    assert_eq!(log(&world, &hook).await, before);
}

#[tokio::test]
async fn a_webhooks_page_shows_the_log_and_names_a_key_that_is_revoked_since() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let made = world.post("/v1/keys", &json!({"role": "admin"})).await.expect(201);
    world.with_key(text(&made["key"])).act(&hook, "pause").await;
    world.delete(&format!("/v1/keys/{}", text(&made["id"]))).await.expect(204);
    let viewer = Browser::signed_in(&key(&world, "viewer").await).await;
    let page = viewer.open(&path(&hook, "")).await;
    page.says("Audit log")
        .says(&format!("2024-03-15 14:22:01 UTC Paused API key {}…", text(&made["prefix"])));
    page.says("Created API key spk_");

    world.act(&hook, "resume").await;
    world.receivers.answers(URL, 410);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    viewer.open(&path(&hook, "")).await.says("Paused StatusPulse");
}
