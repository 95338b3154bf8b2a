//! Rule 10.4 of docs/behaviour.md: the account's audit log.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::*;

const LOG: &str = "/v1/audit-log";

/// What was done and what kind of actor did it, oldest first.
async fn acts(world: &World, path: &str) -> Vec<(String, String)> {
    let mut all = world.all(path).await;
    all.reverse();
    let act = |entry: &Value| (text(&entry["action"]).to_owned(), text(&entry["by"]["kind"]).to_owned());
    all.iter().map(act).collect()
}

async fn latest(world: &World) -> Value {
    world.get(&format!("{LOG}?limit=1")).await.expect(200)["data"][0].clone()
}

#[tokio::test]
async fn each_change_of_an_account_stands_in_its_log_with_who_made_it() {
    let world = World::new().await;
    let account = text(&world.get("/v1/account").await.expect(200)["id"]).to_owned();
    let hook = world.register(URL).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    world.patch(&path, json!({"events": ["incident_opened"]})).await.expect(200);
    let event = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let delivery = world.delivery(&hook, &event).await["id"].clone();
    world.post(&format!("/v1/deliveries/{}/redeliver", text(&delivery)), &Value::Null).await.expect(202);
    world.act_with(&hook, "redeliver", json!({"since": "2024-03-15T00:00:00Z"})).await.expect(202);
    for act in
        ["pause", "resume", "rotate-secret", "rotate-secret/finish", "rotate-secret", "rotate-secret/cancel"]
    {
        world.advance(SECOND).await;
        world.act(&hook, act).await;
    }
    let key = world.post("/v1/keys", &json!({"role": "viewer", "name": "Wall screen"})).await.expect(201);
    world.delete(&format!("/v1/keys/{}", text(&key["id"]))).await.expect(204);
    world.patch("/v1/account", json!({"allowed_domains": ["hooks.yourcompany.com"]})).await.expect(200);
    let quotas = json!({"events_per_minute": 7});
    let set = format!("/v1/accounts/{account}/quotas");
    world.operator.call("PATCH", &set, &[], quotas.to_string()).await.expect(200);
    Browser::signed_in(&world).await;
    Browser::new(&world).submit("/dashboard/sign-in", &[("key", &world.key)]).await.expect(200);
    world.receivers.answers(URL, 410);
    world.publish(&opened("B")).await;
    world.run_until_idle().await;
    // Entries of the same millisecond come in any order.
    world.advance(Duration::from_millis(1)).await;
    world.delete(&path).await.expect(204);
    let found = acts(&world, LOG).await;
    let found: Vec<_> = found.iter().map(|(action, by)| (&**action, &**by)).collect();
    let expected = [
        ("account.created", "operator"),
        ("webhook.created", "key"),
        ("webhook.updated", "key"),
        ("delivery.redelivered", "key"),
        ("webhook.redelivered", "key"),
        ("webhook.paused", "key"),
        ("webhook.resumed", "key"),
        ("webhook.secret_rotated", "key"),
        ("webhook.rotation_finished", "key"),
        ("webhook.secret_rotated", "key"),
        ("webhook.rotation_cancelled", "key"),
        ("key.created", "key"),
        ("key.revoked", "key"),
        ("account.updated", "key"),
        ("quotas.updated", "operator"),
        ("session.created", "key"),
        ("session.created", "key"),
        ("webhook.paused", "statuspulse"),
        ("webhook.deleted", "key"),
    ];
    let sorted = |mut acts: Vec<(_, _)>| {
        acts.sort_unstable();
        acts
    };
    assert_eq!(sorted(found), sorted(expected.to_vec()));

    // Those of the webhook are found after it is deleted, and over a restart.
    let of_webhook = format!("{LOG}?webhook_id={}", hook.id);
    let all = acts(&world, &of_webhook).await;
    assert_eq!(all.len(), 12);
    assert_eq!(all.last().unwrap().0, "webhook.deleted");
    let world = world.restart().await;
    assert_eq!(acts(&world, &of_webhook).await, all);
}

#[tokio::test]
async fn an_entry_says_what_changed_and_by_which_key() {
    let world = World::new().await;
    let made = world.post("/v1/keys", &json!({"role": "admin", "name": "Kim's laptop"})).await.expect(201);
    let kim = world.with_key(text(&made["key"]));
    let hook = world.register(URL).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    world.advance(SECOND).await;
    kim.patch(
        &path,
        json!({"events": ["incident_opened"], "monitor_groups": ["eu", "us"], "description": null}),
    )
    .await
    .expect(200);
    let entry = latest(&world).await;
    assert_eq!(entry["action"], "webhook.updated");
    assert_eq!((&entry["webhook_id"], &entry["object_id"]), (&json!(hook.id), &json!(hook.id)));
    let by = json!({
        "kind": "key", "key_id": made["id"], "key_prefix": made["prefix"], "key_name": "Kim's laptop",
        "address": null,
    });
    assert_eq!(entry["by"], by);
    let all = "incident_opened, incident_updated, incident_resolved";
    let changes = json!([
        {"field": "events", "old": all, "new": "incident_opened"},
        {"field": "monitor_groups", "old": null, "new": "eu, us"},
    ]);
    assert_eq!(entry["changes"], changes);

    world.advance(SECOND).await;
    kim.patch("/v1/account", json!({"allowed_domains": ["hooks.yourcompany.com"]})).await.expect(200);
    let changes = json!([{"field": "allowed_domains", "old": null, "new": "hooks.yourcompany.com"}]);
    assert_eq!(latest(&world).await["changes"], changes);

    // What is refused or changes nothing leaves no entry.
    let before = world.all(LOG).await.len();
    kim.patch(&path, json!({"events": []})).await.problem(422);
    kim.post("/v1/keys", &json!({"role": "king"})).await.problem(422);
    kim.delete("/v1/keys/key_01HS17VFS8FD7MSPZHG9F96010").await.problem(404);
    world.act(&hook, "resume").await;
    assert_eq!(world.all(LOG).await.len(), before);
}

#[tokio::test]
async fn no_secret_is_in_the_log() {
    let world = World::new().await;
    let url = "https://hooks.yourcompany.com/in/pathtoken1?sig=querytoken2";
    let asked = json!({
        "url": url, "events": ["incident_opened"], "headers": {"Authorization": "Bearer headertoken3"},
    });
    let made = world.post("/v1/webhooks", &asked).await.expect(201);
    let path = format!("/v1/webhooks/{}", text(&made["id"]));
    let changed = json!({
        "url": "https://hooks.yourcompany.com/in/pathtoken4", "headers": {"X-Api-Key": "headertoken5"},
    });
    world.advance(SECOND).await;
    world.patch(&path, changed).await.expect(200);
    let changes = latest(&world).await["changes"].clone();
    let expected = json!([
        {"field": "url", "old": "[hidden]", "new": "[hidden]"},
        {"field": "headers/Authorization", "old": "[hidden]", "new": null},
        {"field": "headers/X-Api-Key", "old": null, "new": "[hidden]"},
    ]);
    assert_eq!(changes, expected);
    world.advance(SECOND).await;
    world.patch("/v1/account", json!({"slack_url": SLACK})).await.expect(200);
    let slack = json!([{"field": "slack_url", "old": null, "new": "[hidden]"}]);
    assert_eq!(latest(&world).await["changes"], slack);
    let rotated = world.post(&format!("{path}/rotate-secret"), &Value::Null).await.expect(200);
    let pager = json!({
        "destination": "pagerduty", "routing_key": "0123456789abcdef0123456789abcdef", "events": ["incident_opened"],
    });
    world.receivers.answers_handshakes(PAGERDUTY_EVENTS, 202);
    world.post("/v1/webhooks", &pager).await.expect(201);
    let key = world.post("/v1/keys", &json!({"role": "viewer"})).await.expect(201);
    Browser::signed_in(&world).await;
    let log = json!(world.all(LOG).await).to_string();
    let secrets = [
        "pathtoken",
        "querytoken",
        "headertoken",
        "slackpathsecret",
        "0123456789abcdef",
        text(&made["secret"]),
        text(&rotated["secret"]),
        text(&key["key"]),
        "spd_",
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}

#[tokio::test]
async fn the_log_belongs_to_its_account_and_is_read_with_the_right_to_read() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let viewer = world.post("/v1/keys", &json!({"role": "viewer"})).await.expect(201);
    let publisher = world.post("/v1/keys", &json!({"role": "publisher"})).await.expect(201);
    world.with_key(text(&viewer["key"])).get(LOG).await.expect(200);
    world.with_key(text(&publisher["key"])).get(LOG).await.problem(403);
    world.operator.get(LOG).await.problem(403);
    world.with_key("").get(LOG).await.problem(401);
    let another = world.another_account().await;
    let theirs = another.get(&format!("{LOG}?webhook_id={}", hook.id)).await.expect(200);
    assert_eq!(theirs, json!({"data": [], "next_cursor": null}));
    assert_eq!(another.all(LOG).await.len(), 1, "their own creation");
    assert_eq!(world.get(&format!("{LOG}?webhook_id=x")).await.refused(), ["webhook_id"]);
    assert_eq!(world.get(&format!("{LOG}?since=x")).await.refused(), ["since"]);
}

#[tokio::test]
async fn no_flood_pushes_an_entry_out_before_its_time() {
    let world = World::new().await;
    world.advance(SECOND).await;
    let hook = world.register(URL).await;
    for _ in 0..60 {
        world.act(&hook, "pause").await;
        world.act(&hook, "resume").await;
        world.advance(MINUTE).await;
    }
    let all = world.all(&format!("{LOG}?limit=100")).await;
    let found: Vec<_> = all.iter().map(|entry| text(&entry["action"])).collect();
    assert_eq!(all.len(), 122, "{found:?}");
    assert_eq!(all[121]["action"], "account.created");
    let mut ids: Vec<_> = all.iter().map(|entry| text(&entry["id"])).collect();
    ids.dedup();
    assert_eq!(ids.len(), 122);
    assert!(ids.is_sorted_by(|one, next| one > next), "newest first");

    world.advance(HOUR * 24 * 29).await;
    world.prune().await;
    assert_eq!(world.all(LOG).await.len(), 122);
    world.advance(HOUR * 24).await;
    world.prune().await;
    // Those of the last minutes of that hour are left.
    let left = world.all(LOG).await.len();
    assert!(left < 122, "{left}");
    world.advance(HOUR).await;
    world.prune().await;
    assert_eq!(world.all(LOG).await, Vec::<Value>::new());
}

#[tokio::test]
async fn the_dashboard_shows_who_changed_what() {
    let world = World::new().await;
    let made = world.post("/v1/keys", &json!({"role": "admin", "name": "Kim's laptop"})).await.expect(201);
    let kim = world.with_key(text(&made["key"]));
    let hook = world.register(URL).await;
    kim.act(&hook, "pause").await;
    kim.patch(&format!("/v1/webhooks/{}", hook.id), json!({"monitor_groups": ["<eu>"]})).await.expect(200);
    let key = world.post("/v1/keys", &json!({"role": "viewer"})).await.expect(201);
    let viewer = Browser::new(&world);
    viewer.submit("/dashboard/sign-in", &[("key", text(&key["key"]))]).await.expect(200);
    let account = viewer.open("/dashboard/account").await.expect(200);
    assert!(account.html.contains(r#"href="/dashboard/audit-log""#));
    let page = viewer.open("/dashboard/audit-log").await.expect(200);
    page.says("Webhook: paused").says("Kim's laptop").says("Signed in").says("An operator of this service");
    page.says("monitor groups: <eu>").says("Account: created");
    let of_webhook = viewer.open(&format!("/dashboard/audit-log?webhook={}", hook.id)).await.expect(200);
    of_webhook.says("Webhook: paused");
    assert!(!of_webhook.html.contains("Signed in"));
}
