//! Section 13 of docs/behaviour.md: what one account may use. That none delays another is tested with the queues
//! (`shared/embedded/tests/embedded/fairness.rs`) and with the look-ups of names (`shared/outbound`).

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_core::ids::AccountId;
use statuspulse_core::limits;

use crate::support::*;

/// Sets quotas of the account, as an operator.
async fn set(world: &World, quotas: Value) -> Value {
    let account = world.get("/v1/account").await.expect(200)["id"].clone();
    let path = format!("/v1/accounts/{}/quotas", text(&account));
    world.operator.call("PATCH", &path, &[], quotas.to_string()).await.expect(200)
}

async fn publisher_of(world: &World) -> Api {
    let key = world.post("/v1/keys", &json!({"role": "publisher"})).await.expect(201);
    world.with_key(text(&key["key"]))
}

async fn publish(caller: &Api, incident: &str) -> Answer {
    caller.publish_with(&opened(incident), &[], None).await
}

/// The code of a refusal, and its `Retry-After`.
fn refused(answer: &Answer, status: u16) -> (String, Option<u64>) {
    let wait = answer.headers.get("retry-after").map(|seconds| seconds.to_str().unwrap().parse().unwrap());
    (answer.problem(status), wait)
}

#[tokio::test]
async fn beyond_its_rate_of_events_a_publisher_is_refused_and_may_go_on_later() {
    let world = World::new().await;
    set(&world, json!({"events_per_minute": 60})).await;
    // A sixth may come at once.
    let publisher = publisher_of(&world).await;
    for n in 0..10 {
        publish(&publisher, &format!("INC-{n}")).await.expect(202);
    }
    let answer = publish(&publisher, "INC-10").await;
    assert_eq!(refused(&answer, 429), ("rate_limited".to_owned(), Some(1)));
    // An alert of the operator is never refused for what the account's own keys have used.
    let account = world.get("/v1/account").await.expect(200)["id"].clone();
    let real = format!(r#"{{"account_id": {account}, "payload": {}}}"#, opened("INC-REAL"));
    world.operator.call("POST", "/v1/events", &[], real).await.expect(202);
    world.advance(Duration::from_secs(1)).await;
    publish(&publisher, "INC-10").await.expect(202);
    assert_eq!(publish(&publisher, "INC-11").await.problem(429), "rate_limited");
}

#[tokio::test]
async fn an_event_waits_for_its_account_s_events_in_progress_and_for_no_other_s() {
    let world = World::new().await;
    let publisher = publisher_of(&world).await;
    let other = world.operator.post("/v1/accounts", &json!({"name": "Another"})).await.expect(201);
    let other = world.with_key(text(&other["key"]));
    let account: AccountId = world.account_id.parse().unwrap();
    let in_progress = &world.services.publisher.in_progress;
    let all_of_it = in_progress.begin(account, limits::EVENT_BYTES_AT_ONCE).await;

    let mut waiting = Box::pin(publish(&publisher, "INC-1"));
    let others = async {
        publish(&other, "INC-1").await.expect(202);
        let operators = format!(r#"{{"account_id": "{account}", "payload": {}}}"#, opened("INC-2"));
        world.operator.call("POST", "/v1/events", &[], operators).await.expect(202);
        // What is refused does not wait either.
        set(&world, json!({"kept_bytes": 1})).await;
        assert_eq!(publish(&publisher, "INC-3").await.problem(409), "quota_exceeded");
    };
    tokio::select! {
        biased;
        answer = &mut waiting => panic!("it did not wait: {}", answer.text),
        () = others => {}
    }
    drop(all_of_it);
    waiting.await.expect(202);
}

#[tokio::test]
async fn the_bytes_of_events_have_a_rate_and_a_quota() {
    let world = World::new().await;
    let publisher = publisher_of(&world).await;
    // With the envelope around the payload.
    let bytes = opened("INC-0").len() + r#"{"monitor_groups": [], "payload": }"#.len();
    set(&world, json!({"event_bytes_per_minute": 30 * 5 * bytes})).await;
    for n in 0..5 {
        publish(&publisher, &format!("INC-{n}")).await.expect(202);
    }
    assert_eq!(publish(&publisher, "INC-5").await.problem(429), "rate_limited");

    // Five are kept. An event to no webhook takes only its own bytes.
    set(&world, json!({"event_bytes_per_minute": null, "kept_bytes": 6 * bytes})).await;
    publish(&publisher, "INC-5").await.expect(202);
    let answer = publish(&publisher, "INC-6").await;
    assert!(answer.text.contains("kept_bytes"), "{}", answer.text);
    assert_eq!(answer.problem(409), "quota_exceeded");
    // They are deleted when they are old.
    world.advance(Duration::from_secs(31 * 24 * 3600)).await;
    world.prune().await;
    publish(&publisher, "INC-7").await.expect(202);
}

#[tokio::test]
async fn a_call_counts_once_more_for_each_4_kib_of_its_body() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    set(&world, json!({"calls_per_minute": 60})).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    let text = json!({"description": "x".repeat(400)}).to_string();
    let size = (9 * 4096).to_string();
    world.call("PATCH", &path, &[("Content-Length", &size)], text).await.expect(200);
    assert_eq!(world.get(&path).await.problem(429), "rate_limited", "ten may come at once");
}

#[tokio::test]
async fn calls_and_probes_have_rates_of_their_own() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let test = format!("/v1/webhooks/{}/test", hook.id);
    set(&world, json!({"probes_per_minute": 2, "calls_per_minute": 180})).await;
    for _ in 0..2 {
        world.post(&test, &json!({})).await.expect(200);
    }
    assert_eq!(world.post(&test, &json!({})).await.problem(429), "rate_limited");
    let new = json!({"url": OTHER, "events": ["incident_opened"]});
    assert_eq!(world.post("/v1/webhooks", &new).await.problem(429), "rate_limited", "a handshake is a probe");
    let mut calls = 0;
    let refused = loop {
        let answer = world.get("/v1/webhooks").await;
        if answer.status != 200 {
            break answer;
        }
        calls += 1;
    };
    assert!((20..=30).contains(&calls), "{calls}");
    assert_eq!(refused.problem(429), "rate_limited");
    let another = world.another_account().await;
    another.get("/v1/webhooks").await.expect(200);
    world.advance(Duration::from_secs(60)).await;
    world.post("/v1/webhooks", &new).await.expect(201);
}

#[tokio::test]
async fn an_endpoint_and_a_host_have_few_webhooks_of_one_account() {
    let world = World::new().await;
    set(&world, json!({"webhooks_per_url": 2, "webhooks_per_host": 3})).await;
    let new = |url: &str| json!({"url": url, "events": ["incident_opened"]});
    let at_host = |path: &str| format!("{URL}{path}");
    for _ in 0..2 {
        world.post("/v1/webhooks", &new(URL)).await.expect(201);
    }
    let answer = world.post("/v1/webhooks", &new(URL)).await;
    assert!(answer.text.contains("webhooks_per_url"), "{}", answer.text);
    assert_eq!(answer.problem(409), "quota_exceeded");
    let third = world.post("/v1/webhooks", &new(&at_host("/3"))).await.expect(201);
    let answer = world.post("/v1/webhooks", &new(&at_host("/4"))).await;
    assert!(answer.text.contains("webhooks_per_host"), "{}", answer.text);
    assert_eq!(answer.problem(409), "quota_exceeded");
    // A webhook cannot be moved there either, and one that is there stays changeable.
    let path = format!("/v1/webhooks/{}", text(&third["id"]));
    let moved = |url: &str| json!({"url": url});
    assert_eq!(world.patch(&path, moved(URL)).await.problem(409), "quota_exceeded");
    world.patch(&path, moved(&at_host("/5"))).await.expect(200);
    world.another_account().await.post("/v1/webhooks", &new(URL)).await.expect(201);
    // A pending webhook receives nothing, so it does not count, but it cannot become active either.
    world.receivers.answers_handshakes(OTHER, 500);
    let mut pending = vec![];
    for _ in 0..4 {
        pending.push(world.post("/v1/webhooks", &new(OTHER)).await.expect(201)["id"].clone());
    }
    world.receivers.answers_handshakes(OTHER, 200);
    let verify = async |n: usize| {
        let path = format!("/v1/webhooks/{}/verify", text(&pending[n]));
        world.post(&path, &json!({})).await
    };
    assert_eq!(verify(0).await.expect(200)["status"], "active");
    assert_eq!(verify(1).await.expect(200)["status"], "active");
    assert_eq!(verify(2).await.problem(409), "quota_exceeded");
}

#[tokio::test]
async fn only_an_operator_sets_quotas_and_the_account_sees_them() {
    let world = World::new().await;
    let account = world.get("/v1/account").await.expect(200);
    let path = format!("/v1/accounts/{}/quotas", text(&account["id"]));
    assert_eq!(world.call("PATCH", &path, &[], "{}").await.problem(403), "forbidden");
    let call = async |body: &str| world.operator.call("PATCH", &path, &[], body.to_owned()).await;
    for (body, pointer) in [
        (r#"{"webhooks_per_url":-1}"#, "/webhooks_per_url"),
        (r#"{"kept_bytes":"1"}"#, "/kept_bytes"),
        (r#"{"kept":1}"#, "/kept"),
    ] {
        let answer = call(body).await;
        assert!(answer.text.contains(&format!("\"{pointer}\"")), "{}", answer.text);
        assert_eq!(answer.problem(422), "invalid_fields");
    }
    let unknown = "/v1/accounts/acc_01HS17VFS8E8W4T3VT3N9EWKT5/quotas";
    assert_eq!(world.operator.call("PATCH", unknown, &[], "{}").await.problem(404), "not_found");

    call(r#"{"webhooks_per_url":7}"#).await.expect(200);
    let world = world.restart().await;
    let shown = world.get("/v1/account").await.expect(200)["quotas"].clone();
    assert_eq!(shown["webhooks_per_url"], 7);
    assert_eq!(world.operator.get(&path).await.expect(200), shown);
    let reset = world.operator.call("PATCH", &path, &[], r#"{"webhooks_per_url":null}"#).await.expect(200);
    assert_eq!(reset, account["quotas"]);
}
