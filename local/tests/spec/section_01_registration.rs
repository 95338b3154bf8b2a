//! Section 1 of docs/behaviour.md: registration and the handshake.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use statuspulse_core::attempt::Class;
use statuspulse_core::event::EventType;

use crate::support::*;

#[tokio::test]
async fn takes_a_url_and_events_and_has_defaults_for_the_rest() {
    let world = World::new().await;
    let asked = json!({"url": URL, "events": ["incident_opened"]});
    let created = world.post("/v1/webhooks", &asked).await.expect(201);
    assert_eq!(created["url"], URL);
    assert_eq!(created["events"], json!(["incident_opened"]));
    assert_eq!(created["destination"], "json");
    assert_eq!(created["monitor_groups"], json!([]));
    assert_eq!(created["description"], Value::Null);
}

#[tokio::test]
async fn takes_groups_a_description_and_headers_which_it_sends() {
    let world = World::new().await;
    let more = json!({"monitor_groups": ["API gateway", "api gateway"], "description": "on-call",
        "destination": "json", "headers": {"X-Team": "core", "Authorization": "Basic c2VjcmV0"}});
    let hook = world.register_with(URL, more).await;
    let shown = world.webhook(&hook).await;
    assert_eq!(shown["monitor_groups"], json!(["API gateway", "api gateway"]));
    assert_eq!(shown["description"], "on-call");
    let handshake = &world.receivers.calls(URL)[0];
    assert_eq!((handshake.header("x-team"), handshake.header("authorization")), ("core", "Basic c2VjcmV0"));
}

#[tokio::test]
async fn names_every_field_it_does_not_take() {
    let world = World::new().await;
    let refused = async |body: Value| world.post("/v1/webhooks", &body).await.refused();
    assert_eq!(refused(json!({})).await, ["/url", "/events"]);
    assert_eq!(refused(json!({"url": URL, "events": []})).await, ["/events"]);
    assert_eq!(refused(json!({"url": URL, "events": ["incident_opened", "deploy"]})).await, ["/events/1"]);
    assert_eq!(refused(json!({"url": URL, "events": ["Incident_Opened"]})).await, ["/events/0"]);
    let with = |name: &str, value: Value| {
        let mut body = json!({"url": URL, "events": ["incident_opened"]});
        body[name] = value;
        body
    };
    assert_eq!(refused(with("monitor_groups", json!([""]))).await, ["/monitor_groups"]);
    assert_eq!(refused(with("monitor_groups", json!("api"))).await, ["/monitor_groups"]);
    assert_eq!(refused(with("destination", json!("carrier-pigeon"))).await, ["/destination"]);
    assert_eq!(refused(with("description", json!(7))).await, ["/description"]);
    assert_eq!(refused(with("headers", json!({"Host": "x"}))).await, ["/headers/Host"]);
    assert_eq!(refused(with("event", json!([]))).await, ["/event"]);
    assert!(world.receivers.all().is_empty(), "no endpoint is called");
    assert!(world.all("/v1/webhooks").await.is_empty(), "no webhook is created");
}

#[tokio::test]
async fn a_secret_is_shown_at_creation_and_never_again() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    assert!(hook.secret.starts_with("whsec_") && hook.secret.len() == 6 + 44, "base64 of 32 bytes");
    let path = format!("/v1/webhooks/{}", hook.id);
    let later = [
        world.get(&path).await,
        world.get("/v1/webhooks").await,
        world.patch(&path, json!({"description": "x"})).await,
        world.post(&format!("{path}/verify"), &Value::Null).await,
        world.post(&format!("{path}/test"), &Value::Null).await,
        world.post(&format!("{path}/pause"), &Value::Null).await,
        world.post(&format!("{path}/resume"), &Value::Null).await,
    ];
    for answer in later {
        answer.expect(200);
        assert!(!answer.text.contains(&hook.secret) && !answer.text.contains("whsec_"), "{}", answer.text);
    }
}

#[tokio::test]
async fn the_handshake_is_one_signed_post_within_five_seconds() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let calls = world.receivers.calls(URL);
    let [handshake] = calls.as_slice() else { panic!("one call: {calls:?}") };
    assert_eq!(handshake.event(), "handshake");
    assert_eq!(handshake.timeout, Duration::from_secs(5));
    verify_all(handshake, &hook.secret);
    let body: Value = serde_json::from_slice(&handshake.body).unwrap();
    assert_eq!(body["event_type"], "handshake");
    let shown = world.webhook(&hook).await;
    assert_eq!(shown["status"], "active");
    let expected = json!({"ok": true, "status_code": 200, "reason": null, "at": "2024-03-15T14:22:01Z",
                          "duration_ms": 0});
    assert_eq!(shown["handshake"], expected);
}

#[tokio::test]
async fn anything_but_exactly_200_leaves_it_pending_and_says_what_to_fix() {
    let world = World::new().await;
    for status in [100, 199, 201, 202, 204, 206, 299, 301, 302, 307, 400, 401, 404, 410, 429, 500, 503, 600] {
        world.receivers.answers_handshakes(URL, status);
        let asked = json!({"url": URL, "events": ["incident_opened"]});
        let created = world.post("/v1/webhooks", &asked).await.expect(201);
        assert_eq!(created["status"], "pending", "{status}");
        assert_eq!(created["handshake"]["ok"], false);
        assert_eq!(created["handshake"]["status_code"], status);
        let reason = text(&created["handshake"]["reason"]);
        assert!(reason.contains(&status.to_string()) && reason.contains("exactly 200"), "{reason}");
    }
    let hang = Reply::fails(Class::Timeout, "The endpoint did not answer within 5 s.");
    world.receivers.answers_handshakes(URL, hang);
    let pending = world.register(URL).await;
    let shown = world.webhook(&pending).await;
    assert_eq!(
        (shown["status"].as_str(), &shown["handshake"]["status_code"]),
        (Some("pending"), &Value::Null)
    );
    assert_eq!(shown["handshake"]["reason"], "The endpoint did not answer within 5 s.");
}

#[tokio::test]
async fn verify_tries_again_until_the_endpoint_answers_200() {
    let world = World::new().await;
    world.receivers.answers_handshakes(URL, 404);
    let hook = world.register(URL).await;
    assert_eq!(world.act(&hook, "verify").await["status"], "pending");
    world.receivers.answers_handshakes(URL, 200);
    world.advance(MINUTE).await;
    let verified = world.act(&hook, "verify").await;
    assert_eq!(verified["status"], "active");
    assert_eq!(verified["handshake"]["at"], "2024-03-15T14:23:01Z");
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL).len(), 1);
    assert_eq!(world.receivers.calls(URL).len(), 4, "three handshakes and one event");
}

#[tokio::test]
async fn a_failing_verify_of_an_active_webhook_takes_nothing_away() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_handshakes(URL, 500);
    let verified = world.act(&hook, "verify").await;
    assert_eq!((verified["status"].as_str(), &verified["handshake"]["ok"]), (Some("active"), &json!(false)));
}

#[tokio::test]
async fn a_pending_webhook_never_receives_an_event_nor_is_paused_or_tested() {
    let world = World::new().await;
    world.receivers.answers_handshakes(URL, 204);
    let hook = world.register(URL).await;
    let published = world.publish_with(&opened("A"), &[], None).await.expect(202);
    assert_eq!(published["deliveries"], 0);
    for action in ["pause", "resume", "test"] {
        assert_eq!(world.act_with(&hook, action, Value::Null).await.problem(409), "webhook_pending");
    }
    world.receivers.answers_handshakes(URL, 200);
    world.act(&hook, "verify").await;
    world.advance(HOUR).await;
    assert!(world.attempts(URL).is_empty(), "events from before the handshake are not delivered after it");
    assert!(world.deliveries(&hook).await.is_empty());
}

#[tokio::test]
async fn a_new_url_shakes_hands_first_and_then_gets_everything() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let patched = world.patch(&format!("/v1/webhooks/{}", hook.id), json!({"url": OTHER})).await.expect(200);
    assert_eq!((patched["url"].as_str(), patched["status"].as_str()), (Some(OTHER), Some("active")));
    verify_all(&world.receivers.calls(OTHER)[0], &hook.secret);
    world.advance(HOUR * 2).await;
    assert_eq!(world.seconds(URL), [0]);
    assert_eq!(world.seconds(OTHER), [60], "the retry goes to the new URL");
}

#[tokio::test]
async fn a_new_url_that_fails_its_handshake_is_422_and_nothing_has_changed() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let before = world.webhook(&hook).await;
    world.receivers.answers_handshakes(OTHER, 503);
    let path = format!("/v1/webhooks/{}", hook.id);
    let change = json!({"url": OTHER, "description": "new", "events": ["incident_resolved"]});
    assert_eq!(world.patch(&path, change).await.problem(422), "handshake_failed");
    assert_eq!(world.webhook(&hook).await, before);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    assert_eq!((world.attempts(URL).len(), world.attempts(OTHER).len()), (1, 0));
}

#[tokio::test]
async fn a_change_that_leaves_the_url_as_it_is_shakes_no_hands() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    world.patch(&path, json!({"url": URL, "events": ["incident_resolved"]})).await.expect(200);
    world.patch(&path, json!({"monitor_groups": ["api"], "description": null})).await.expect(200);
    assert_eq!(world.receivers.calls(URL).len(), 1, "only the handshake of the registration");
    let shown = world.webhook(&hook).await;
    assert_eq!(
        (&shown["events"], &shown["monitor_groups"]),
        (&json!(["incident_resolved"]), &json!(["api"]))
    );
}

#[tokio::test]
async fn a_pending_webhook_becomes_active_by_a_url_that_passes() {
    let world = World::new().await;
    world.receivers.answers_handshakes(URL, 404);
    let hook = world.register(URL).await;
    let patched = world.patch(&format!("/v1/webhooks/{}", hook.id), json!({"url": OTHER})).await.expect(200);
    assert_eq!(patched["status"], "active");
}

#[tokio::test]
async fn webhooks_are_listed_shown_and_deleted() {
    let world = World::new().await;
    let first = world.register(URL).await;
    let second = world.register(OTHER).await;
    let listed = world.all("/v1/webhooks?limit=1").await;
    let mut ids: Vec<_> = listed.iter().map(|webhook| text(&webhook["id"])).collect();
    ids.sort_unstable();
    let mut both = [first.id.as_str(), second.id.as_str()];
    both.sort_unstable();
    assert_eq!(ids, both);
    let path = format!("/v1/webhooks/{}", first.id);
    world.delete(&path).await.expect(204);
    for answer in [world.get(&path).await, world.delete(&path).await, world.patch(&path, json!({})).await] {
        assert_eq!(answer.problem(404), "not_found");
    }
    assert_eq!(world.all("/v1/webhooks").await.len(), 1);
}

#[tokio::test]
async fn a_test_event_is_signed_sent_now_and_answered_with_its_result() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world
        .receivers
        .answers_next(URL, [Reply::from(204).body("thanks").lasting(Duration::from_millis(37)), 500.into()]);
    let tested = world.act(&hook, "test").await;
    let outcome = ["ok", "status_code", "reason", "duration_ms", "response"].map(|name| tested[name].clone());
    assert_eq!(outcome, [json!(true), json!(204), Value::Null, json!(37), json!("thanks")]);
    let tested = world.act(&hook, "test").await;
    assert_eq!((&tested["ok"], &tested["status_code"]), (&json!(false), &json!(500)));
    assert!(text(&tested["reason"]).contains("500"));
    let sent = &world.receivers.calls(URL)[1];
    assert_eq!(sent.event(), "test");
    verify_all(sent, &hook.secret);
    assert_eq!(
        world.webhook(&hook).await["consecutive_failures"],
        0,
        "a test does not change the webhook's health"
    );
    assert!(world.deliveries(&hook).await.is_empty());
}

#[tokio::test]
async fn a_sample_of_a_type_is_sent_as_a_delivery_of_it_would_be_and_shown_as_it_was_sent() {
    let world = World::new().await;
    let key = "0123456789abcdef0123456789ABCDEF";
    let slack = "https://hooks.slack.com/services/T000/B000/secret";
    let hooks = [
        (URL, world.register_with(URL, json!({"headers": {"X-Api-Key": "k1"}})).await),
        (slack, world.register_with(slack, json!({"destination": "slack"})).await),
        (
            PAGERDUTY_EVENTS,
            world
                .register_with("", json!({"url": null, "destination": "pagerduty", "routing_key": key}))
                .await,
        ),
    ];
    let each = hooks.iter().flat_map(|hook| EventType::ALL.iter().map(move |event| (hook, event.name())));
    for ((url, hook), name) in each {
        // Slack takes one message a second.
        world.advance(SECOND).await;
        let tested = world.act_with(hook, "test", json!({"event": name})).await.expect(200);
        assert_eq!(tested["ok"], true, "{tested}");
        let preview = world.act_with(hook, "preview", json!({"event": name})).await.expect(200);
        let (request, sent) = (&tested["request"], world.receivers.calls(url).pop().unwrap());
        assert_eq!((&request["url"], &request["body"]), (&preview["url"], &preview["body"]));
        assert_eq!(text(&request["body"]).replace("[hidden]", key), sent.text());
        assert_eq!(sent.event(), name);
        for (header, value) in request["headers"].as_object().unwrap() {
            let hidden = header == "X-Api-Key";
            assert_eq!(text(value), if hidden { "[hidden]" } else { sent.header(header) }, "{header}");
        }
        verify_all(&sent, &hook.secret);
        assert!(world.deliveries(hook).await.is_empty());
    }
    let refused = world.act_with(&hooks[0].1, "test", json!({"event": "handshake", "payload": {}})).await;
    assert_eq!(refused.refused(), ["/event", "/payload"]);
}

#[tokio::test]
async fn a_paused_webhook_can_be_tested_before_it_is_resumed() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.act(&hook, "pause").await;
    assert_eq!(world.act(&hook, "test").await["ok"], true);
    assert_eq!(world.status(&hook).await, "paused");
}

/// A secret that a customer has made.
const OWN: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

#[tokio::test]
async fn a_customer_brings_the_secret_so_that_the_first_request_can_be_verified() {
    let world = World::new().await;
    let asked = json!({"url": URL, "events": ["incident_opened"], "secret": OWN});
    let created = world.post("/v1/webhooks", &asked).await.expect(201);
    assert_eq!((&created["status"], &created["secret"]), (&json!("active"), &json!(OWN)));
    verify_all(&world.receivers.calls(URL)[0], OWN);
    let id = text(&created["id"]).to_owned();
    let hook = Hook { id, url: URL.to_owned(), secret: OWN.to_owned() };
    assert_eq!(world.webhook(&hook).await["secret"], Value::Null);
    let world = world.restart().await;
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    verify_all(&world.attempts(URL)[0], OWN);
}

#[tokio::test]
async fn a_secret_that_is_none_is_refused_and_a_change_takes_none() {
    let world = World::new().await;
    let secret = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
    let wrong = [
        json!(""),
        json!("hunter2"),
        json!(OWN.to_uppercase()),
        json!(format!("{OWN}=")),
        json!(format!(" {OWN}")),
        json!(secret(23)),
        json!(secret(65)),
        json!(7),
    ];
    for wrong in wrong {
        let asked = json!({"url": URL, "events": ["incident_opened"], "secret": wrong});
        assert_eq!(world.post("/v1/webhooks", &asked).await.refused(), ["/secret"], "{wrong}");
    }
    assert!(world.receivers.all().is_empty());
    for bytes in [24, 33, 64] {
        let asked = json!({"url": URL, "events": ["incident_opened"], "secret": secret(bytes)});
        let created = world.post("/v1/webhooks", &asked).await.expect(201);
        assert_eq!(created["secret"], secret(bytes));
        verify_all(world.receivers.calls(URL).last().unwrap(), &secret(bytes));
        let path = format!("/v1/webhooks/{}", text(&created["id"]));
        assert_eq!(world.patch(&path, json!({"secret": OWN})).await.refused(), ["/secret"]);
    }
}

#[tokio::test]
async fn a_receiver_that_refuses_the_handshake_is_told_what_to_install_and_what_it_answered() {
    let world = World::new().await;
    for status in [400, 401, 403, 422, 500] {
        let reply = Reply::from(status).header("content-type", "text/plain").body("bad signature");
        world.receivers.answers_handshakes(URL, reply);
        let asked = json!({"url": URL, "events": ["incident_opened"]});
        let created = world.post("/v1/webhooks", &asked).await.expect(201);
        assert_eq!(created["status"], "pending");
        assert!(text(&created["secret"]).starts_with("whsec_"), "the secret to install is shown");
        let handshake = &created["handshake"];
        let reason = text(&handshake["reason"]);
        assert!(reason.contains("install the webhook's secret") && reason.contains("verify"), "{reason}");
        assert_eq!(
            (&handshake["status_code"], &handshake["response"]),
            (&json!(status), &json!("bad signature"))
        );
        let headers = json!([{"name": "content-type", "value": "text/plain"}]);
        assert_eq!(handshake["response_headers"], headers);

        let path = format!("/v1/webhooks/{}", text(&created["id"]));
        let page = world.browser().await.open(&path.replace("/v1", "/dashboard")).await;
        page.says("What the endpoint answered").says("bad signature");
        world.receivers.answers_handshakes(URL, 200);
        let verified = world.post(&format!("{path}/verify"), &Value::Null).await.expect(200);
        assert_eq!(
            (&verified["status"], &verified["handshake"]["response"]),
            (&json!("active"), &Value::Null)
        );
        world.delete(&path).await.expect(204);
    }
    // Other failures have other reasons.
    world.receivers.answers_handshakes(URL, 404);
    let asked = json!({"url": URL, "events": ["incident_opened"]});
    let created = world.post("/v1/webhooks", &asked).await.expect(201);
    assert!(!text(&created["handshake"]["reason"]).contains("secret"));
}
