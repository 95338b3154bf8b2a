//! Actions on a webhook: verify, pause, resume, rotate, test, explain.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use statuspulse_core::attempt::Class;
use statuspulse_core::delivery;
use statuspulse_core::webhook::{Health, Pause, PauseReason, State};

use crate::support::{START, World};

/// Creates a webhook that was paused by failures an hour ago, with one held delivery. Returns its path.
async fn paused(world: &World) -> String {
    let id = world.webhook().await["id"].as_str().unwrap().to_owned();
    world.delivery(&id, "inc-1", delivery::State::Held).await;
    let pause = Pause {
        reason: PauseReason::Failures,
        since: "2026-11-24T11:00:00Z".parse().unwrap(),
        last_error: Some("The endpoint answered 503.".to_owned()),
        failing_since: Some("2026-11-24T09:39:00Z".parse().unwrap()),
    };
    world
        .change_webhook(&id, |webhook| {
            webhook.state = State::Paused(pause);
            webhook.health = Health { outage: 0, failing_since: None, consecutive_failures: 4 };
        })
        .await;
    format!("/v1/webhooks/{id}")
}

#[tokio::test]
async fn a_paused_webhook_says_why_since_when_and_what_it_holds() {
    let world = World::new().await;
    let path = paused(&world).await;
    let webhook = world.viewer().get(&path).await.expect(StatusCode::OK);
    assert_eq!(webhook["status"], "paused");
    let expected = json!({
        "reason": "failures", "since": "2026-11-24T11:00:00Z", "last_error": "The endpoint answered 503.",
    });
    assert_eq!(webhook["paused"], expected);
    assert_eq!(webhook["consecutive_failures"], 4);
    assert_eq!(webhook["failing_since"], "2026-11-24T09:39:00Z");
    assert_eq!(webhook["held_deliveries"], 1);
}

#[tokio::test]
async fn a_failing_webhook_says_since_when() {
    let world = World::new().await;
    let id = world.webhook().await["id"].as_str().unwrap().to_owned();
    let health = Health {
        outage: 0,
        failing_since: Some("2026-11-24T11:58:00Z".parse().unwrap()),
        consecutive_failures: 1,
    };
    world.change_webhook(&id, |webhook| webhook.health = health).await;
    let webhook = world.viewer().get(&format!("/v1/webhooks/{id}")).await.expect(StatusCode::OK);
    assert_eq!(webhook["failing_since"], "2026-11-24T11:58:00Z");
    assert_eq!((&webhook["status"], &webhook["consecutive_failures"]), (&json!("active"), &json!(1)));
}

#[tokio::test]
async fn verifying_again_makes_a_pending_webhook_active() {
    let world = World::new().await;
    world.receiver.answers(500);
    let path = world.webhook_path().await;
    let webhook = world.admin().post_nothing(&format!("{path}/verify")).await.expect(StatusCode::OK);
    assert_eq!((&webhook["status"], &webhook["handshake"]["status_code"]), (&json!("pending"), &json!(500)));
    assert!(webhook["handshake"]["reason"].as_str().unwrap().contains("500"));
    world.receiver.answers(200);
    let webhook = world.admin().post_nothing(&format!("{path}/verify")).await.expect(StatusCode::OK);
    assert_eq!((&webhook["status"], &webhook["handshake"]["reason"]), (&json!("active"), &Value::Null));
}

#[tokio::test]
async fn what_needs_a_handshake_is_a_conflict_while_it_is_pending() {
    let world = World::new().await;
    world.receiver.answers(500);
    let path = world.webhook_path().await;
    for action in ["pause", "resume", "test"] {
        let answer = world.admin().post_nothing(&format!("{path}/{action}")).await;
        answer.refused(409, "webhook_pending");
    }
}

#[tokio::test]
async fn a_pause_by_hand_has_no_last_error() {
    let world = World::new().await;
    let path = world.webhook_path().await;
    let webhook = world.admin().post_nothing(&format!("{path}/pause")).await.expect(StatusCode::OK);
    assert_eq!(webhook["status"], "paused");
    assert_eq!(webhook["paused"], json!({ "reason": "manual", "since": START, "last_error": null }));
}

#[tokio::test]
async fn a_resume_says_how_many_deliveries_were_held() {
    let world = World::new().await;
    for body in
        [json!({}), json!({ "held": "deliver" }), json!({ "held": "discard" }), json!({ "held": null })]
    {
        let resume = format!("{}/resume", paused(&world).await);
        let answer = world.admin().post(&resume, &body).await.expect(StatusCode::OK);
        assert_eq!(answer, json!({ "status": "active", "held": 1 }));
    }
    let resume = format!("{}/resume", paused(&world).await);
    let first = world.admin().post_nothing(&resume).await.expect(StatusCode::OK);
    assert_eq!(first, json!({ "status": "active", "held": 1 }));
    let second = world.admin().post_nothing(&resume).await.expect(StatusCode::OK);
    assert_eq!(second, json!({ "status": "active", "held": 0 }));
}

#[tokio::test]
async fn a_resume_that_says_something_else_is_refused() {
    let world = World::new().await;
    let resume = format!("{}/resume", paused(&world).await);
    world.admin().post(&resume, &json!({ "held": "burn" })).await.names(&["/held"]);
    world.admin().post(&resume, &json!({ "held": true })).await.names(&["/held"]);
    world.admin().post(&resume, &json!({ "hold": "discard" })).await.names(&["/hold"]);
    world.admin().call("POST", &resume, "{").await.refused(400, "malformed_body");
}

#[tokio::test]
async fn a_rotation_answers_with_the_new_secret_and_when_the_old_one_ends() {
    let world = World::new().await;
    let table = [
        ("", "joined"),
        ("{}", "joined"),
        (r#"{"style":"auto"}"#, "joined"),
        (r#"{"style":"joined"}"#, "joined"),
        (r#"{"style":"split"}"#, "split"),
    ];
    for (body, style) in table {
        let made = world.webhook().await;
        let path = format!("/v1/webhooks/{}", made["id"].as_str().unwrap());
        let rotated =
            world.admin().call("POST", &format!("{path}/rotate-secret"), body).await.expect(StatusCode::OK);
        assert_eq!(rotated["window_ends_at"], "2026-11-25T12:00:00Z");
        assert!(rotated["secret"].as_str().unwrap().starts_with("whsec_"));
        assert_ne!(rotated["secret"], made["secret"]);
        assert_eq!(rotated["style"], style);
        assert_eq!(rotated.as_object().unwrap().len(), 4);
        let shown = world.viewer().get(&path).await;
        assert_eq!(shown.expect(StatusCode::OK)["secret_window_ends_at"], "2026-11-25T12:00:00Z");
        assert!(!shown.text.contains("whsec_"));
    }
}

#[tokio::test]
async fn a_window_ends_by_itself_or_by_hand() {
    let world = World::new().await;
    let path = world.webhook_path().await;
    let (rotate, finish) = (format!("{path}/rotate-secret"), format!("{path}/rotate-secret/finish"));
    world.admin().post_nothing(&finish).await.refused(409, "no_rotation");
    world.admin().post_nothing(&rotate).await.expect(StatusCode::OK);
    world.admin().post_nothing(&rotate).await.refused(409, "rotation_in_progress");
    let webhook = world.admin().post_nothing(&finish).await.expect(StatusCode::OK);
    assert_eq!((&webhook["secret_window_ends_at"], webhook.get("secret")), (&Value::Null, None));
    world.admin().post_nothing(&rotate).await.expect(StatusCode::OK);
    world.pass(Duration::from_secs(24 * 3600));
    assert!(world.viewer().get(&path).await.expect(StatusCode::OK)["secret_window_ends_at"].is_null());
    world.admin().post(&rotate, &json!({ "style": "loud" })).await.names(&["/style"]);
}

#[tokio::test]
async fn a_test_answers_with_its_result() {
    let world = World::new().await;
    let test = format!("{}/test", world.webhook_path().await);
    let result = world.admin().post_nothing(&test).await.expect(StatusCode::OK);
    assert_eq!(result["request"]["method"], "POST");
    let outcome = |mut result: Value| {
        result.as_object_mut().unwrap().remove("request");
        result
    };
    let taken =
        json!({ "ok": true, "status_code": 200, "reason": null, "duration_ms": 42, "response": null });
    assert_eq!(outcome(result), taken);
    world.receiver.fails(Class::Dns, "The name could not be looked up.");
    let result = world.admin().post(&test, &json!({})).await.expect(StatusCode::OK);
    let expected = json!({ "ok": false, "status_code": null, "reason": "The name could not be looked up.",
    "duration_ms": 42, "response": null });
    assert_eq!(outcome(result), expected);
    world.admin().post(&test, &json!({ "event": "test" })).await.names(&["/event"]);
    world.admin().post(&test, &json!({ "payload": {} })).await.names(&["/payload"]);
}

#[tokio::test]
async fn a_call_without_fields_refuses_fields() {
    let world = World::new().await;
    let path = world.webhook_path().await;
    for action in ["verify", "pause", "rotate-secret/finish", "rotate-secret/cancel", "test"] {
        let answer = world.admin().post(&format!("{path}/{action}"), &json!({ "held": "discard" })).await;
        answer.names(&["/held"]);
    }
}

#[tokio::test]
async fn explain_says_which_rule_excludes_an_event() {
    let world = World::new().await;
    let path = world.webhook_path().await;
    world.admin().patch(&path, &json!({ "monitor_groups": ["Core", "Edge"] })).await.expect(StatusCode::OK);
    let explain = async |query: &str| {
        let answer = world.viewer().get(&format!("{path}/explain?{query}")).await.expect(StatusCode::OK);
        assert!(answer["reason"].is_string());
        (answer["would_receive"].clone(), answer["rule"].clone())
    };
    let yes = (json!(true), Value::Null);
    assert_eq!(explain("event=incident_opened&monitor_groups=Other,Edge").await, yes);
    assert_eq!(explain("event=incident_opened&monitor_groups=Other&monitor_groups=Edge").await, yes);
    assert_eq!(explain("event=incident_updated&monitor_groups=Edge").await, (json!(false), json!("events")));
    assert_eq!(explain("event=incident_opened").await, (json!(false), json!("monitor_groups")));
    assert_eq!(
        explain("event=incident_opened&monitor_groups=edge").await,
        (json!(false), json!("monitor_groups"))
    );
    let id = path.trim_start_matches("/v1/webhooks/");
    let event = world.delivery(id, "inc-1", delivery::State::Delivered).await.event_id;
    assert_eq!(explain(&format!("event={event}")).await, yes);
}

#[tokio::test]
async fn explain_names_a_wrong_parameter() {
    let world = World::new().await;
    let path = world.webhook_path().await;
    let explain = async |query: &str| world.viewer().get(&format!("{path}/explain{query}")).await;
    explain("").await.names(&["event"]);
    explain("?event=incident_exploded").await.names(&["event"]);
    explain("?event=incident_opened&event=incident_opened").await.names(&["event"]);
    explain("?event=incident_opened&groups=Core").await.names(&["groups"]);
    explain("?event=evt_01ARZ3NDEKTSV4RRFFQ69G5FAV").await.refused(404, "not_found");
}
