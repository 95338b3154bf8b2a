//! What applies to every answer: request ids, headers, durability, internal errors; and the routes of each router.

use std::collections::HashSet;
use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use statuspulse_http::CursorKey;

use crate::support::{Fault, World, opened};

#[tokio::test]
async fn every_answer_has_its_own_id_and_forbids_caching_and_sniffing() {
    let world = World::new().await;
    let mut ids = HashSet::new();
    for path in ["/healthz", "/v1/account", "/v1/webhooks", "/nowhere", "/v1/egress-ips"] {
        let answer = world.viewer().get(path).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(answer.header("x-request-id").starts_with("req_"), "{path}");
        assert_eq!(answer.header("x-request-id").len(), 24);
        assert!(ids.insert(answer.header("x-request-id").to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_clients_own_request_id_is_ignored() {
    let world = World::new().await;
    let request = world.viewer().request("GET", "/v1/account").header("x-request-id", "forged");
    let answer = world.send(request.body("".into()).unwrap()).await;
    assert!(answer.header("x-request-id").starts_with("req_"));
}

#[tokio::test]
async fn the_egress_addresses_are_public() {
    let world = World::new().await;
    let list = world.nobody().get("/v1/egress-ips").await.expect(StatusCode::OK);
    assert_eq!(list, json!({ "data": ["104.21.45.112", "172.67.188.94"], "next_cursor": null }));
}

#[tokio::test]
async fn liveness_needs_no_key() {
    let world = World::new().await;
    let answer = world.nobody().get("/healthz").await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "ok\n"));
}

#[tokio::test]
async fn a_change_is_answered_only_once_it_cannot_be_lost() {
    let world = World::new().await;
    let path = world.webhook_path().await;
    let durable = |expected: usize, what: &str| assert_eq!(world.store.times_durable(), expected, "{what}");
    durable(1, "a registration");
    world.admin().get(&path).await.expect(StatusCode::OK);
    durable(1, "a read changes nothing");
    world.admin().patch(&path, &json!({ "x": 1 })).await.names(&["/x"]);
    durable(1, "a refusal changes nothing");
    world.admin().post_nothing(&format!("{path}/pause")).await.expect(StatusCode::OK);
    durable(2, "an action");
    world.publisher().post("/v1/events", &opened("inc-1")).await.expect(StatusCode::ACCEPTED);
    durable(3, "an event, once");
    world.admin().delete(&path).await.expect(StatusCode::NO_CONTENT);
    durable(4, "a deletion");
}

#[tokio::test]
async fn a_change_that_could_still_be_lost_is_not_promised() {
    let world = World::new().await;
    let path = world.webhook_path().await;
    world.store.break_with(Fault::NotDurable);
    let pause = world.admin().post_nothing(&format!("{path}/pause")).await;
    pause.refused(503, "unavailable");
    let rotated = world.admin().post_nothing(&format!("{path}/rotate-secret")).await;
    rotated.refused(503, "unavailable");
    assert!(!rotated.text.contains("whsec_"));
    world.publisher().post("/v1/events", &opened("inc-1")).await.refused(503, "unavailable");
    world.admin().get(&path).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn internal_errors_are_not_shown() {
    let world = World::new().await;
    world.store.break_with(Fault::Unavailable);
    for answer in [
        world.admin().get("/v1/webhooks").await,
        world.publisher().post("/v1/events", &opened("inc-1")).await,
    ] {
        answer.refused(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "1");
        assert!(!answer.text.contains("disk") && !answer.text.contains("10.0.0.7"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_panic_is_a_500_and_affects_no_other_call() {
    let world = World::new().await;
    world.store.break_with(Fault::Panics);
    let answer = world.admin().get("/v1/webhooks").await;
    answer.refused(500, "internal");
    assert!(!answer.text.contains("the store panics"));
    assert_eq!(answer.header("cache-control"), "no-store");
    world.admin().get("/v1/account").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn each_router_serves_its_own_part() {
    let mut world = World::new().await;
    world.router = statuspulse_http::publishing(Arc::clone(&world.publishing));
    world.admin().post("/v1/events", &opened("inc-1")).await.expect(StatusCode::ACCEPTED);
    world.admin().get("/v1/webhooks").await.refused(404, "unknown_path");
    world.admin().get("/v1/events").await.refused(405, "method_not_allowed");
    world.nobody().get("/docs").await.refused(404, "unknown_path");
    world.nobody().get("/healthz").await;
    world.router = statuspulse_http::registration(Arc::clone(&world.api), CursorKey::new([7; 32]));
    world.admin().get("/v1/webhooks").await.expect(StatusCode::OK);
    world.admin().post("/v1/events", &opened("inc-1")).await.refused(404, "unknown_path");
    world.admin().call("PUT", "/v1/webhooks", "").await.refused(405, "method_not_allowed");
    for path in ["/healthz", "/openapi.json", "/docs"] {
        assert_eq!(world.nobody().get(path).await.status, StatusCode::OK, "{path}");
    }
}
