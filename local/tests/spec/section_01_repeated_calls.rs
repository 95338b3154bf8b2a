//! Rule 1.8 of docs/behaviour.md: calls that show something once can be repeated.

use serde_json::{Value, json};

use crate::support::*;

const KEY: (&str, &str) = ("Idempotency-Key", "onboarding-42");

/// Makes this call with the idempotency key.
async fn call(api: &Api, path: &str, body: &Value) -> Answer {
    api.call("POST", path, &[KEY], body.to_string()).await
}

#[tokio::test]
async fn a_repeated_registration_makes_one_webhook_and_shows_the_same_secret() {
    let world = World::new().await;
    let asked = json!({"url": URL, "events": ["incident_opened"]});
    let first = call(&world, "/v1/webhooks", &asked).await.expect(201);
    world.advance(HOUR).await;
    let again = call(&world, "/v1/webhooks", &asked).await.expect(201);
    assert_eq!(first, again);
    assert!(text(&first["secret"]).starts_with("whsec_"));
    assert_eq!(world.all("/v1/webhooks").await.len(), 1);
    assert_eq!(world.receivers.calls(URL).len(), 1, "one handshake");
    let created =
        world.all("/v1/audit-log").await.iter().filter(|entry| entry["action"] == "webhook.created").count();
    assert_eq!(created, 1);

    let other = json!({"url": OTHER, "events": ["incident_opened"]});
    assert_eq!(call(&world, "/v1/webhooks", &other).await.problem(409), "idempotency_key_reused");
    let theirs = call(&world.another_account().await, "/v1/webhooks", &asked).await.expect(201);
    assert_ne!(theirs["id"], first["id"], "their keys are their own");
    let world = world.restart().await;
    assert_eq!(call(&world, "/v1/webhooks", &asked).await.expect(201), first);
    world.delete(&format!("/v1/webhooks/{}", text(&first["id"]))).await.expect(204);
    assert_eq!(call(&world, "/v1/webhooks", &asked).await.problem(409), "idempotency_key_reused");
    world.advance(HOUR * 23).await;
    world.prune().await;
    let next_day = call(&world, "/v1/webhooks", &asked).await.expect(201);
    assert_ne!(next_day["id"], first["id"]);
}

#[tokio::test]
async fn a_call_whose_process_died_is_completed_by_its_repetition() {
    for is_written in [false, true] {
        let world = World::new().await;
        let asked = json!({"url": URL, "events": ["incident_opened"]});
        if is_written {
            world.fuse.lose_answer();
        } else {
            world.fuse.light(0);
        }
        call(&world, "/v1/webhooks", &asked).await.problem(503);
        world.fuse.put_out();
        assert_eq!(world.all("/v1/webhooks").await.len(), usize::from(is_written));
        let made = call(&world, "/v1/webhooks", &asked).await.expect(201);
        assert_eq!(world.all("/v1/webhooks").await.len(), 1);
        assert_eq!(call(&world, "/v1/webhooks", &asked).await.expect(201)["secret"], made["secret"]);
    }
}

#[tokio::test]
async fn a_repeated_rotation_rotates_once_and_shows_the_same_secret() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let path = format!("/v1/webhooks/{}/rotate-secret", hook.id);
    let first = call(&world, &path, &json!({})).await.expect(200);
    world.advance(MINUTE).await;
    assert_eq!(call(&world, &path, &json!({})).await.expect(200), first);
    assert_eq!(world.post(&path, &json!({})).await.problem(409), "rotation_in_progress");
    assert_eq!(call(&world, &path, &json!({"style": "split"})).await.problem(409), "idempotency_key_reused");
    let other = world.register(OTHER).await;
    let others =
        call(&world, &format!("/v1/webhooks/{}/rotate-secret", other.id), &json!({})).await.expect(200);
    assert_ne!(others["secret"], first["secret"]);
    // After another rotation the secret of the first call must not come back.
    world.act(&hook, "rotate-secret/finish").await;
    world.advance(MINUTE).await;
    world.act(&hook, "rotate-secret").await;
    assert_eq!(call(&world, &path, &json!({})).await.problem(409), "idempotency_key_reused");
}

#[tokio::test]
async fn a_repeated_key_account_or_link_is_the_same_one() {
    let world = World::new().await;
    let viewer = json!({"role": "viewer", "name": "Wall screen"});
    let key = call(&world, "/v1/keys", &viewer).await.expect(201);
    let before = world.all("/v1/keys").await.len();
    assert_eq!(call(&world, "/v1/keys", &viewer).await.expect(201), key);
    assert_eq!(world.all("/v1/keys").await.len(), before);
    world.with_key(text(&key["key"])).get("/v1/webhooks").await.expect(200);

    let account = json!({"name": "Acme"});
    let made = call(&world.operator, "/v1/accounts", &account).await.expect(201);
    assert_eq!(call(&world.operator, "/v1/accounts", &account).await.expect(201), made);
    world.with_key(text(&made["key"])).get("/v1/account").await.expect(200);

    let link = world.call("POST", "/v1/dashboard-sessions", &[KEY], "").await.expect(201);
    assert_eq!(world.call("POST", "/v1/dashboard-sessions", &[KEY], "").await.expect(201), link);

    let long = "k".repeat(256);
    for (name, wrong) in [("", "empty"), (long.as_str(), "long")] {
        let refused = world.call("POST", "/v1/keys", &[("Idempotency-Key", name)], viewer.to_string()).await;
        assert_eq!(refused.refused(), ["Idempotency-Key"], "{wrong}");
    }
}
