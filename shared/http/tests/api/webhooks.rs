//! Registering, showing, changing and deleting webhooks.

use http::StatusCode;
use serde_json::{Value, json};
use statuspulse_core::attempt::Class;

use crate::support::{START, World, field_names, opened};

const SHOWN: [&str; 17] = [
    "consecutive_failures",
    "created_at",
    "description",
    "destination",
    "events",
    "failing_since",
    "handshake",
    "headers",
    "held_deliveries",
    "id",
    "monitor_groups",
    "paused",
    "rotation",
    "secret_window_ends_at",
    "status",
    "updated_at",
    "url",
];

fn full_body() -> Value {
    json!({
        "url": "https://hooks.example.com/in?token=t0ps3cret",
        "events": ["incident_resolved", "incident_opened"],
        "monitor_groups": ["Core", "Ünïcode, with a comma"], "destination": "json",
        "description": "Pager of team 7", "headers": { "Authorization": "Basic aHVudGVyMg==",
        "X-Team": "seven" },
    })
}

#[tokio::test]
async fn a_registration_answers_with_the_webhook_and_its_secret() {
    let world = World::new().await;
    let answer = world.admin().post("/v1/webhooks", &full_body()).await;
    let mut webhook = answer.expect(StatusCode::CREATED);
    assert_eq!(answer.header("location"), format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap()));
    assert!(webhook["id"].as_str().unwrap().starts_with("whe_"));
    assert!(webhook["secret"].as_str().unwrap().starts_with("whsec_"));
    let object = webhook.as_object_mut().unwrap();
    object.remove("id");
    object.remove("secret");
    let expected = json!({
        "url": "https://hooks.example.com/in?token=t0ps3cret", "destination": "json",
        "events": ["incident_resolved", "incident_opened"], "monitor_groups": ["Core", "Ünïcode, with a comma"],
        "description": "Pager of team 7", "headers": { "Authorization": "[hidden]", "X-Team": "[hidden]" },
        "status": "active", "paused": null, "consecutive_failures": 0, "failing_since": null,
        "held_deliveries": 0,
        "handshake": { "ok": true, "status_code": 200, "reason": null, "duration_ms": 42, "at": START },
        "secret_window_ends_at": null, "rotation": null, "created_at": START, "updated_at": START,
    });
    assert_eq!(webhook, expected);
}

#[tokio::test]
async fn secrets_are_in_no_answer_after_the_first() {
    let world = World::new().await;
    let made = world.admin().post("/v1/webhooks", &full_body()).await.expect(StatusCode::CREATED);
    let path = format!("/v1/webhooks/{}", made["id"].as_str().unwrap());
    let answers = [
        world.viewer().get("/v1/webhooks").await,
        world.viewer().get(&path).await,
        world.admin().patch(&path, &json!({ "description": "x" })).await,
        world.admin().post_nothing(&format!("{path}/verify")).await,
        world.admin().post_nothing(&format!("{path}/pause")).await,
    ];
    for answer in answers {
        answer.expect(StatusCode::OK);
        for secret in [made["secret"].as_str().unwrap(), "whsec_", "aHVudGVyMg", "seven"] {
            assert!(!answer.text.contains(secret), "{secret} is in {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_webhook_and_a_list_of_them_show_the_same_fields() {
    let world = World::new().await;
    let path = world.webhook_path().await;
    let one = world.viewer().get(&path).await.expect(StatusCode::OK);
    assert_eq!(field_names(&one), SHOWN);
    let list = world.viewer().get("/v1/webhooks").await.expect(StatusCode::OK);
    assert_eq!(list, json!({ "data": [one], "next_cursor": null }));
}

#[tokio::test]
async fn a_failed_handshake_leaves_the_webhook_pending_with_the_reason_in_words() {
    let world = World::new().await;
    world.receiver.answers(204);
    let webhook = world.webhook().await;
    assert_eq!(webhook["status"], "pending");
    let handshake = &webhook["handshake"];
    assert_eq!((&handshake["ok"], &handshake["status_code"]), (&json!(false), &json!(204)));
    assert!(handshake["reason"].as_str().unwrap().contains("exactly 200"));
    world.receiver.fails(Class::Timeout, "No answer within 5 s.");
    let webhook = world.webhook().await;
    assert_eq!(
        webhook["handshake"],
        json!({ "ok": false, "status_code": null, "reason": "No answer within 5 s.", "duration_ms": 42, "at": START })
    );
}

#[tokio::test]
async fn a_url_that_may_not_be_called_is_refused_by_name() {
    let world = World::new().await;
    let body = |url: &str| json!({ "url": url, "events": ["incident_opened"] });
    for url in
        ["http://hooks.example.com/", "https://127.0.0.1/", "https://u:p@hooks.example.com/", "nonsense"]
    {
        world.admin().post("/v1/webhooks", &body(url)).await.names(&["/url"]);
    }
    world.receiver.fails(Class::TargetNotPublic, "The name does not lead to a public address.");
    world.admin().post("/v1/webhooks", &body("https://inside.example.com/")).await.names(&["/url"]);
    assert_eq!(world.admin().get("/v1/webhooks").await.expect(StatusCode::OK)["data"], json!([]));
}

#[tokio::test]
async fn every_wrong_field_of_a_registration_is_named_at_once() {
    let world = World::new().await;
    world.admin().post("/v1/webhooks", &json!({})).await.names(&["/url", "/events"]);
    let body = json!({
        "url": 1, "events": ["incident_opened", "incident_exploded"], "destination": "fax",
        "monitor_groups": "Core",
        "description": ["x"], "headers": { "Host": "x", "X-Fine": "x" }, "name/with~signs": 1,
    });
    let answer = world.admin().post("/v1/webhooks", &body).await;
    let pointers = [
        "/url",
        "/destination",
        "/events/1",
        "/monitor_groups",
        "/description",
        "/headers/Host",
        "/name~1with~0signs",
    ];
    answer.names(&pointers);
    let problem = answer.refused(422, "invalid_fields");
    assert!(problem["detail"].as_str().unwrap().ends_with("(and 6 more: see errors)"), "{problem}");
    world
        .admin()
        .post("/v1/webhooks", &json!({ "url": "https://a.example/", "events": [] }))
        .await
        .names(&["/events"]);
}

#[tokio::test]
async fn what_cannot_be_read_and_what_the_rules_refuse_are_named_together() {
    let world = World::new().await;
    let misspelt = json!({ "urls": "https://a.example/" });
    world.admin().post("/v1/webhooks", &misspelt).await.names(&["/url", "/events", "/urls"]);
    let path = world.webhook_path().await;
    let body = json!({
        "url": null, "routing_key": "x", "events": 7, "monitor_groups": [""], "description": 1,
        "headers": { "X-Number": 1, "X-Team": "a", "x-team": "b" }, "id": "x",
    });
    world.admin().patch(&path, &body).await.names(&[
        "/url",
        "/routing_key",
        "/events",
        "/monitor_groups",
        "/description",
        "/headers/X-Number",
        "/headers/x-team",
        "/id",
    ]);
    world.admin().post("/v1/keys", &json!({ "role": "king", "expires_at": 1, "x": 1 })).await.names(&[
        "/role",
        "/expires_at",
        "/x",
    ]);
    let account = json!({ "slack_url": "x", "allowed_domains": ["a.example", "-"], "x": 1 });
    world.admin().patch("/v1/account", &account).await.names(&["/allowed_domains/1", "/slack_url", "/x"]);
    let payload =
        json!({ "event": "x", "payload": { "event_type": "incident_opened", "status": 1 }, "x": 1 });
    let preview = world.admin().post(&format!("{path}/preview"), &payload).await;
    preview.names(&[
        "/event",
        "/payload/incident_id",
        "/payload/monitor_name",
        "/payload/status",
        "/payload/triggered_at",
        "/payload/details",
        "/x",
    ]);
}

#[tokio::test]
async fn a_change_answers_with_the_changed_webhook() {
    let world = World::new().await;
    let path = world.webhook_path().await;
    let body = json!({ "url": "https://new.example.com/", "events": ["incident_updated"],
    "monitor_groups": ["A"],
        "description": "new", "headers": { "X-New": "1" } });
    let changed = world.admin().patch(&path, &body).await.expect(StatusCode::OK);
    assert_eq!(field_names(&changed), SHOWN);
    for name in ["url", "events", "monitor_groups", "description"] {
        assert_eq!(changed[name], body[name]);
    }
    assert_eq!(changed["headers"], json!({ "X-New": "[hidden]" }));
    let cleared = json!({ "monitor_groups": null, "description": null, "headers": null });
    let changed = world.admin().patch(&path, &cleared).await.expect(StatusCode::OK);
    assert_eq!(changed["monitor_groups"], json!([]));
    assert_eq!((&changed["description"], &changed["headers"]), (&Value::Null, &json!({})));
    world.admin().patch(&path, &json!({ "url": null, "events": null })).await.names(&["/url", "/events"]);
    world
        .admin()
        .patch(&path, &json!({ "destination": "slack", "id": "x" }))
        .await
        .refused(422, "invalid_fields");
}

#[tokio::test]
async fn a_new_url_that_fails_its_handshake_changes_nothing() {
    let world = World::new().await;
    let path = world.webhook_path().await;
    let before = world.admin().get(&path).await.expect(StatusCode::OK);
    world.receiver.answers(500);
    let answer = world.admin().patch(&path, &json!({ "url": "https://new.example.com/" })).await;
    let problem = answer.refused(422, "handshake_failed");
    assert_eq!(problem["errors"][0]["pointer"], "/url");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("500"), "{problem}");
    assert_eq!(world.admin().get(&path).await.expect(StatusCode::OK), before);
}

#[tokio::test]
async fn a_deleted_webhook_is_gone() {
    let world = World::new().await;
    let path = world.webhook_path().await;
    let answer = world.admin().delete(&path).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    world.admin().get(&path).await.refused(404, "not_found");
    world.admin().delete(&path).await.refused(404, "not_found");
    assert_eq!(world.admin().get("/v1/webhooks").await.expect(StatusCode::OK)["data"], json!([]));
}

/// A damaged record costs the other webhooks of its account nothing.
#[tokio::test]
async fn an_unreadable_webhook_is_listed_by_its_id_and_can_be_deleted() {
    let world = World::new().await;
    let healthy = world.webhook_path().await;
    let damaged = world.webhook_path().await;
    let id = damaged.rsplit('/').next().unwrap();
    world.store.damage(id.parse().unwrap());
    let list = world.admin().get("/v1/webhooks").await.expect(StatusCode::OK);
    assert_eq!((list["data"].as_array().unwrap().len(), &list["unreadable"]), (1, &json!([id])));
    world.webhook_path().await;
    let event = world.admin().post("/v1/events", &opened("inc-1")).await.expect(StatusCode::ACCEPTED);
    assert_eq!(event["deliveries"], 2, "{event}");
    world.admin().get(&healthy).await.expect(StatusCode::OK);
    let refused = world.admin().get(&damaged).await.refused(503, "unavailable");
    assert!(refused["detail"].as_str().unwrap().contains(id), "{refused}");
    world.stranger().delete(&damaged).await.refused(404, "not_found");
    let gone = world.admin().delete(&damaged).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let list = world.admin().get("/v1/webhooks").await.expect(StatusCode::OK);
    assert_eq!((list["data"].as_array().unwrap().len(), &list["unreadable"]), (2, &Value::Null));
    world.admin().get(&damaged).await.refused(404, "not_found");
}
