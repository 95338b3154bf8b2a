//! `POST /v1/webhooks/{id}/preview`: the request that would be sent, without sending it.

use serde_json::{Value, json};

use crate::support::*;

const KEY: &str = "R01234567890abcdefghijklmnopqrst";

#[tokio::test]
async fn a_sample_of_each_type_is_what_a_publisher_may_send_and_nothing_is_sent() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    for event in ["incident_opened", "incident_updated", "incident_resolved"] {
        let preview = world.act_with(&hook, "preview", json!({"event": event})).await.expect(200);
        let body = text(&preview["body"]);
        assert_eq!(serde_json::from_str::<Value>(body).unwrap()["event_type"], event);
        assert_eq!(preview["headers"]["X-StatusPulse-Event"], event);
        assert_eq!((text(&preview["method"]), text(&preview["url"])), ("POST", URL));
        let given = format!(r#"{{"payload": {body}}}"#);
        let path = format!("/v1/webhooks/{}/preview", hook.id);
        assert_eq!(world.call("POST", &path, &[], given).await.expect(200)["body"], body, "byte for byte");
    }
    assert!(world.attempts(URL).is_empty());
    assert_eq!(world.receivers.calls(URL).len(), 1, "the handshake");
    let unnamed = world.act(&hook, "preview").await;
    assert_eq!(
        unnamed["headers"]["X-StatusPulse-Event"], "incident_opened",
        "the default is the webhook's first event type"
    );
    for wrong in [
        json!({"event": "incident_exploded"}),
        json!({"payload": {"event_type": "incident_opened"}}),
        json!({"more": 1}),
    ] {
        world.act_with(&hook, "preview", wrong).await.expect(422);
    }
}

/// If previews were signed, viewers could sign any payload, as if they had the secret.
#[tokio::test]
async fn neither_a_secret_nor_a_signature_is_in_it() {
    let world = World::new().await;
    let hook = world.register_with(URL, json!({"headers": {"Authorization": "Basic c2VjcmV0"}})).await;
    let preview = world.act(&hook, "preview").await;
    for name in ["X-StatusPulse-Signature", "webhook-signature", "Authorization"] {
        assert_eq!(preview["headers"][name], "[hidden]", "{name}");
    }
    // During a rotation with the style `split` there is one more signature header.
    for style in ["joined", "split"] {
        let hook = world.register(OTHER).await;
        world.act_with(&hook, "rotate-secret", json!({"style": style})).await.expect(200);
        let preview = world.act(&hook, "preview").await;
        let signatures: Vec<_> = preview["headers"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| name.to_ascii_lowercase().contains("signature"))
            .collect();
        assert!(signatures.len() >= 2, "{style}: {preview}");
        assert!(signatures.iter().all(|(_, value)| *value == "[hidden]"), "{style}: {preview}");
    }
    let asked = json!({"destination": "pagerduty", "routing_key": KEY, "events": ["incident_resolved"]});
    let paging = world.post("/v1/webhooks", &asked).await.expect(201);
    let preview =
        world.post(&format!("/v1/webhooks/{}/preview", text(&paging["id"])), &json!({})).await.expect(200);
    let body: Value = serde_json::from_str(text(&preview["body"])).unwrap();
    assert_eq!((text(&body["routing_key"]), text(&body["event_action"])), ("[hidden]", "resolve"));
    let asked = json!({"destination": "slack", "url": "https://hooks.slack.com/services/T/B/pathsecret", "events": ["incident_opened"]});
    let channel = world.post("/v1/webhooks", &asked).await.expect(201);
    let preview =
        world.post(&format!("/v1/webhooks/{}/preview", text(&channel["id"])), &json!({})).await.expect(200);
    assert_eq!(preview["url"], "https://hooks.slack.com/[hidden]");
    assert!(text(&preview["body"]).contains(":red_circle: checkout-api-prod is down"));
}

/// Half an emoji, and more than other calls take.
#[tokio::test]
async fn a_payload_that_publishing_takes_can_be_previewed() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let long = "x".repeat(100_000);
    for note in ["\\ud83d", long.as_str()] {
        let payload =
            opened("A").replacen("\"details\":{", &format!("\"details\":{{\"note\":\"{note}\","), 1);
        assert!(payload.contains(note));
        world.publish(&payload).await;
        let path = format!("/v1/webhooks/{}/preview", hook.id);
        world.call("POST", &path, &[], format!(r#"{{"payload": {payload}}}"#)).await.expect(200);
    }
}
