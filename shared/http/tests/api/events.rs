//! `POST /v1/events`.

use http::StatusCode;
use serde_json::json;
use statuspulse_core::limits;

use crate::support::{Answer, Client, World, opened};

async fn publish_with_key(world: &World, client: &Client<'_>, keys: &[&[u8]], body: &str) -> Answer {
    let mut request = client.request("POST", "/v1/events");
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    world.send(request.body(body.to_owned().into()).unwrap()).await
}

/// An envelope whose payload has exactly this number of bytes.
fn envelope_of(payload_bytes: usize) -> String {
    let payload = opened("inc-1")["payload"].to_string();
    let padding = payload_bytes - payload.len() - r#","pad":"""#.len();
    let payload = format!(r#"{},"pad":"{}"}}"#, payload.strip_suffix('}').unwrap(), "x".repeat(padding));
    assert_eq!(payload.len(), payload_bytes);
    format!(r#"{{"payload":{payload}}}"#)
}

#[tokio::test]
async fn an_event_is_accepted_with_its_id_and_the_number_of_webhooks_it_goes_to() {
    let world = World::new().await;
    for expected in 0..3 {
        for client in [world.publisher(), world.admin()] {
            let answer = client.post("/v1/events", &opened("inc-1")).await.expect(StatusCode::ACCEPTED);
            assert!(answer["event_id"].as_str().unwrap().starts_with("evt_"));
            assert_eq!(answer["deliveries"], expected);
            assert_eq!(answer.as_object().unwrap().len(), 2);
        }
        world.webhook().await;
    }
}

#[tokio::test]
async fn the_payload_is_kept_byte_for_byte() {
    let world = World::new().await;
    let payload = opened("inc-1")["payload"].to_string().replace("503", " 1240.50");
    let payload = format!("{{ \"z\": 9223372036854775809,\n{}", payload.strip_prefix('{').unwrap());
    let body = format!("{{\"payload\": {payload} , \"monitor_groups\": []}}");
    let answer = world.publisher().call("POST", "/v1/events", body).await.expect(StatusCode::ACCEPTED);
    assert_eq!(world.store.event_body(answer["event_id"].as_str().unwrap()), payload);
}

#[tokio::test]
async fn a_repeated_idempotency_key_gives_the_same_answer_and_another_body_a_conflict() {
    let world = World::new().await;
    world.webhook().await;
    let publisher = world.publisher();
    let body = opened("inc-1").to_string();
    let first = publish_with_key(&world, &publisher, &[b"abc"], &body).await.expect(StatusCode::ACCEPTED);
    let second = publish_with_key(&world, &publisher, &[b"abc"], &body).await.expect(StatusCode::ACCEPTED);
    assert_eq!(first, second);
    let other = opened("inc-2").to_string();
    publish_with_key(&world, &publisher, &[b"abc"], &other).await.refused(409, "idempotency_key_reused");
    publish_with_key(&world, &publisher, &[b"abd"], &other).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_wrong_idempotency_key_is_named() {
    let world = World::new().await;
    let (publisher, body, long) = (world.publisher(), opened("inc-1").to_string(), "k".repeat(256));
    let wrong: [&[&[u8]]; 4] = [&[b"a", b"b"], &[b""], &[long.as_bytes()], &["clé".as_bytes()]];
    for keys in wrong {
        publish_with_key(&world, &publisher, keys, &body).await.names(&["Idempotency-Key"]);
    }
}

#[tokio::test]
async fn an_operator_names_the_account() {
    let world = World::new().await;
    world.webhook().await;
    let mut body = opened("inc-1");
    world.operator().post("/v1/events", &body).await.names(&["/account_id"]);
    body["account_id"] = json!(world.account.to_string());
    let answer = world.operator().post("/v1/events", &body).await.expect(StatusCode::ACCEPTED);
    assert_eq!(answer["deliveries"], 1);
    world.stranger().post("/v1/events", &body).await.refused(404, "not_found");
    body["account_id"] = json!("acc_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    world.operator().post("/v1/events", &body).await.refused(404, "not_found");
}

#[tokio::test]
async fn wrong_fields_of_an_event_are_named() {
    let world = World::new().await;
    let publisher = world.publisher();
    publisher.post("/v1/events", &json!({})).await.names(&["/payload"]);
    let mut body = opened("inc-1");
    body["payload"]["triggered_at"] = json!("2026-11-24T11:59:58+01:00");
    body["payload"]["details"]["response_code"] = json!("503");
    body["groups"] = json!([]);
    let answer = publisher.post("/v1/events", &body).await;
    answer.names(&["/payload/triggered_at", "/payload/details/response_code", "/groups"]);
    publisher.call("POST", "/v1/events", "not json").await.refused(400, "malformed_body");
    publisher.post_nothing("/v1/events").await.refused(400, "malformed_body");
}

#[tokio::test]
async fn a_payload_may_have_128_kib_and_not_a_byte_more() {
    let world = World::new().await;
    let publisher = world.publisher();
    publisher
        .call("POST", "/v1/events", envelope_of(limits::PAYLOAD_BYTES))
        .await
        .expect(StatusCode::ACCEPTED);
    let answer = publisher.call("POST", "/v1/events", envelope_of(limits::PAYLOAD_BYTES + 1)).await;
    let problem = answer.refused(413, "too_large");
    assert_eq!(problem["detail"], "the payload is larger than the limit of 131072 bytes");
    for too_much in [limits::ENVELOPE_BYTES + 100, 20 * limits::ENVELOPE_BYTES] {
        publisher.call("POST", "/v1/events", envelope_of(too_much)).await.refused(413, "too_large");
    }
}

#[tokio::test]
async fn a_viewer_cannot_publish() {
    let world = World::new().await;
    world.viewer().post("/v1/events", &opened("inc-1")).await.refused(403, "forbidden");
    world.viewer().call("POST", "/v1/events", "x".repeat(300_000)).await.refused(403, "forbidden");
    world.nobody().post("/v1/events", &opened("inc-1")).await.refused(401, "unauthenticated");
}
