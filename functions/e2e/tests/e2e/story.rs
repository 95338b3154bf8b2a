//! The whole story of the product, on AWS.

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_kit::api::{LONG, eventually, payload, text};
use statuspulse_kit::{Answer, Behaviour, Per, Received, verify};

use crate::stack::{PAGERDUTY, SLACK, Stack};
use crate::{dashboard, permissions};

const HOOK: &str = "/hooks/statuspulse";
const SLOW: &str = "/hooks/slow";
/// Attempts that take so long are slow.
const SLOW_FROM: Duration = Duration::from_millis(5_100);
const OWNERS: &str = "/hooks/owners";
const CHANNEL: &str = "/slack/channel";
const ENGINEERS: &str = "/slack/engineers";

fn deliveries(received: Vec<Received>) -> Vec<Received> {
    let is_delivery = |request: &Received| {
        request.header("x-statuspulse-event").is_some_and(|event| event.starts_with("incident_"))
    };
    received.into_iter().filter(is_delivery).collect()
}

/// One stack for all stories, because the comparison of permissions at the end needs all their calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_functions_keep_the_promises_and_need_exactly_what_the_template_grants() {
    let stack = Stack::start([1, 1, 2, 3]).await;
    what_an_owner_does_takes_effect(&stack).await;
    from_a_call_of_the_api_to_a_signed_post_through_ladder_pause_slack_resume_and_drain(&stack).await;
    an_incident_reaches_pagerduty_and_slack_and_the_account_is_notified_in_its_own_channel(&stack).await;
    a_rotation_that_its_receiver_does_not_notice(&stack).await;
    a_slow_webhook_has_a_queue_of_its_own(&stack).await;
    an_environment_that_was_frozen_uses_no_connection_from_before(&stack).await;
    the_data_key_is_replaced(&stack).await;
    dashboard::shows_and_does_the_same(&stack).await;
    permissions::are_used_and_enough(&stack.emulator);
}

async fn from_a_call_of_the_api_to_a_signed_post_through_ladder_pause_slack_resume_and_drain(stack: &Stack) {
    let (webhook, secret) = stack.admin.webhook(&stack.receiver.url(HOOK), &[]).await;

    // The handshake, and an event: byte for byte, with both signatures.
    let body = payload("opened", "INC-1", 1);
    stack.admin.published(&[], &body, 1).await;
    let came = stack.arrived(HOOK, 2).await;
    assert_eq!(came[0].header("x-statuspulse-event"), Some("handshake"));
    let first = &came[1];
    assert_eq!(first.body, body.as_bytes());
    assert_eq!(first.header("x-statuspulse-attempt"), Some("1"));
    assert!(verify::statuspulse(&secret, &first.body, first.header("x-statuspulse-signature").unwrap()));
    let header = |name| first.header(name).unwrap();
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    assert!(verify::standard_webhooks(&secret, id, at, &first.body, header("webhook-signature")));

    // An event from the bus for this account.
    let over_the_bus = payload("updated", "INC-1", 2);
    let detail = format!("{{\"account_id\":\"{}\",\"payload\":{over_the_bus}}}", stack.account);
    stack.emulator.put_event("statuspulse.incidents", "incident_updated", &detail);
    let came = stack.arrived(HOOK, 3).await;
    let (sent, got): (Value, Value) =
        (serde_json::from_str(&over_the_bus).unwrap(), serde_json::from_slice(&came[2].body).unwrap());
    assert_eq!(got, sent);
    assert!(String::from_utf8_lossy(&came[2].body).contains("9223372036854775809"), "digits are lost");

    // A repeated idempotency key fans out once. With another body it is refused.
    let again = payload("resolved", "INC-1", 3);
    let publish = async |body: &str| stack.admin.publish(&[], body, Some("key-1")).await.unwrap();
    let (one, two) = (publish(&again).await.expect(202), publish(&again).await.expect(202));
    assert_eq!(one["event_id"], two["event_id"]);
    publish(&payload("resolved", "INC-1", 4)).await.expect(409);
    stack.arrived(HOOK, 4).await;
    stack.quiet().await;
    assert_eq!(stack.receiver.count(HOOK), 4);

    // A delivery that waits behind a retry is sent after it is delivered.
    stack.receiver.behaviour(HOOK, Behaviour::first(1, Behaviour::status(503), Behaviour::ok()));
    stack.admin.published(&[], &payload("opened", "INC-4", 8), 1).await;
    stack.admin.published(&[], &payload("resolved", "INC-4", 9), 1).await;
    let events: Vec<_> = stack.arrived(HOOK, 7).await.split_off(4);
    let events: Vec<_> =
        events.iter().map(|request| request.header("x-statuspulse-event").unwrap()).collect();
    assert_eq!(events, ["incident_opened", "incident_opened", "incident_resolved"]);
    stack.admin.all_delivered(&webhook).await;

    // A failing endpoint gets all attempts of the ladder. Later events of the incident wait.
    stack.receiver.behaviour(HOOK, Behaviour::status(503));
    stack.receiver.behaviour(SLACK, Behaviour::Slack);
    stack.admin.published(&[], &payload("opened", "INC-2", 5), 1).await;
    stack.admin.published(&[], &payload("resolved", "INC-2", 6), 1).await;
    stack.receiver.wait_for_text(SLACK, "is failing", LONG).await.unwrap();
    stack.receiver.behaviour(SLACK, Behaviour::first(1, Behaviour::status(500), Behaviour::Slack));
    let paused = stack.until(&webhook, "it is paused", |webhook| webhook["status"] == "paused").await;
    assert_eq!(paused["paused"]["reason"], "failures");
    assert_eq!(paused["consecutive_failures"], 4);
    let attempts = deliveries(stack.arrived(HOOK, 12).await).split_off(6);
    let numbers: Vec<_> =
        attempts.iter().map(|request| request.header("x-statuspulse-attempt").unwrap()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
    assert!(attempts.iter().all(|request| request.body == attempts[0].body), "the body changed");
    for (wait, pair) in [1, 1, 2, 3].into_iter().zip(attempts.windows(2)) {
        assert!(pair[1].at - pair[0].at >= wait * 1_000_000_000, "a retry came too early");
    }

    // Engineers get one notification, although Slack fails at first. New deliveries are held.
    let notification = String::from_utf8(stack.arrived(SLACK, 3).await[2].body.to_vec()).unwrap();
    assert!(
        notification.contains(&webhook)
            && notification.contains("Acme &amp; Sons")
            && notification.contains("503"),
        "{notification}"
    );
    stack.admin.published(&[], &payload("opened", "INC-3", 7), 1).await;
    stack.until(&webhook, "three are held", |webhook| webhook["held_deliveries"] == 3).await;
    stack.quiet().await;
    assert_eq!(stack.receiver.count(SLACK), 3);
    assert_eq!(stack.receiver.count(HOOK), 12, "a paused webhook was called");

    // After the resume the held deliveries are sent, each incident in order.
    stack.receiver.behaviour(HOOK, Behaviour::ok());
    let resumed = stack.admin.post(&format!("/v1/webhooks/{webhook}/resume"), &json!({})).await.expect(200);
    assert_eq!(resumed, json!({"status": "active", "held": 3}));
    let drained = deliveries(stack.arrived(HOOK, 15).await).split_off(11);
    let of = |incident: &str| -> Vec<String> {
        let body = |request: &Received| serde_json::from_slice::<Value>(&request.body).unwrap();
        drained
            .iter()
            .map(body)
            .filter(|body| body["incident_id"] == incident)
            .map(|body| text(&body, "event_type"))
            .collect()
    };
    assert_eq!(of("INC-2"), ["incident_opened", "incident_resolved"]);
    assert_eq!(of("INC-3"), ["incident_opened"]);
    stack.admin.all_delivered(&webhook).await;
    stack.receiver.wait_for_text(SLACK, "is answering again, 3 deliveries drained", LONG).await.unwrap();
    assert_eq!(stack.receiver.count(SLACK), 4);

    // Domain events were published on the bus, and no message is in a dead-letter queue.
    let news = stack
        .emulator
        .calls()
        .iter()
        .filter(|call| call.action == "PutEvents" && call.function == "pause")
        .count();
    assert!(news >= 2, "the pause and the resume must be published");
    changes_stand_in_the_audit_log(stack, &webhook).await;
    stack.quiet().await;
    no_message_is_dead(stack);
}

/// Who changed the webhook is in the account's audit log, with the address that API Gateway saw, and was published.
async fn changes_stand_in_the_audit_log(stack: &Stack, webhook: &str) {
    let log = stack.admin.get(&format!("/v1/audit-log?webhook_id={webhook}")).await.expect(200);
    let entries = log["data"].as_array().unwrap();
    let made = |action: &str| {
        let entry = entries.iter().find(|entry| entry["action"] == action);
        entry.unwrap_or_else(|| panic!("no {action} in {log}"))["by"].clone()
    };
    assert_eq!(made("webhook.paused")["kind"], "statuspulse");
    for action in ["webhook.created", "webhook.resumed"] {
        let by = made(action);
        assert_eq!(by["kind"], "key");
        assert!(by["address"].as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()), "{by}");
    }
    let calls = stack.emulator.calls();
    let published =
        |call: &&statuspulse_emulator::Call| call.action == "PutEvents" && call.function == "registration";
    assert!(calls.iter().filter(published).count() >= 2);
}

/// The first attempts at a webhook that was slow wait in their own queue, so that they delay no others.
async fn a_slow_webhook_has_a_queue_of_its_own(stack: &Stack) {
    stack.admin.webhook(&stack.receiver.url(SLOW), &["slow"]).await;
    stack.receiver.behaviour(SLOW, Behaviour::delayed(SLOW_FROM, Behaviour::ok()));
    let sends = || {
        let calls = stack.emulator.calls();
        let to_slow = |call: &&statuspulse_emulator::Call| {
            call.function == "fanout" && call.resource.as_deref() == Some("SlowQueue")
        };
        calls.iter().filter(to_slow).count()
    };
    stack.admin.published(&["slow"], &payload("opened", "INC-SLOW-1", 1), 2).await;
    stack.arrived(SLOW, 2).await;
    stack.quiet().await;
    assert_eq!(sends(), 0, "nothing is known of it");
    stack.receiver.behaviour(SLOW, Behaviour::ok());
    stack.admin.published(&["slow"], &payload("opened", "INC-SLOW-2", 2), 2).await;
    stack.arrived(SLOW, 3).await;
    assert_eq!(sends(), 1);
    stack.quiet().await;
    no_message_is_dead(stack);
}

/// By calls that can be repeated, while events are delivered.
async fn the_data_key_is_replaced(stack: &Stack) {
    let path = "/hooks/rekeyed";
    let (webhook, secret) = stack.admin.webhook(&stack.receiver.url(path), &["rekeyed"]).await;
    let (mut steps, mut n) = (vec![], 1);
    loop {
        stack.admin.published(&["rekeyed"], &payload("opened", &format!("INC-REKEY-{n}"), n), 2).await;
        let done = stack.emulator.invoke("Registration", &json!({"rekey": {}}));
        steps.push(text(&done, "step"));
        if done["step"] == "done" {
            assert!(done["sealed"].as_u64().unwrap() > 5, "{done}");
            break;
        }
        stack.pass(Duration::from_secs(done["again_in_seconds"].as_u64().unwrap()), 1).await;
        n += 1;
    }
    assert_eq!(steps, ["announced", "switched", "done"]);
    stack.admin.published(&["rekeyed"], &payload("opened", "INC-REKEY-LAST", 9), 2).await;
    let calls = deliveries(stack.arrived(path, 5).await);
    for call in &calls {
        let header = call.header("x-statuspulse-signature").unwrap();
        assert!(verify::statuspulse(&secret, &call.body, header));
    }
    stack.admin.all_delivered(&webhook).await;
}

/// Between two invocations, the wall clock goes on and the monotonic clock stops.
async fn an_environment_that_was_frozen_uses_no_connection_from_before(stack: &Stack) {
    let path = "/hooks/frozen";
    let (webhook, _) = stack.admin.webhook(&stack.receiver.url(path), &["frozen"]).await;
    stack.admin.published(&["frozen"], &payload("opened", "INC-FROZEN-1", 1), 2).await;
    stack.arrived(path, 2).await;
    stack.quiet().await;
    let before = stack.receiver.connections();
    stack.pass(Duration::from_secs(3_600), 1).await;
    stack.admin.published(&["frozen"], &payload("opened", "INC-FROZEN-2", 2), 2).await;
    stack.arrived(path, 3).await;
    stack.admin.all_delivered(&webhook).await;
    assert!(stack.receiver.connections() > before, "a kept connection from before the freeze was used");
    assert_eq!(stack.receiver.count(path), 3, "each at its first attempt");
}

pub(crate) fn no_message_is_dead(stack: &Stack) {
    for name in ["First", "Slow", "Retry1m", "Retry5m", "Retry15m", "Retry60m", "Job", "Notification"] {
        let queue = stack.emulator.output(&format!("{name}QueueUrl"));
        assert_eq!(stack.emulator.messages_in(&format!("{queue}-dlq")), 0, "{name}");
    }
}

/// A receiver that takes one digest refuses the rehearsal. It gets the new secret before the first event.
async fn a_rotation_that_its_receiver_does_not_notice(stack: &Stack) {
    let (api, path) = (&stack.admin, "/hooks/strict");
    let steps = [200, 401, 401, 200, 200].map(|status| Answer::status(status).into()).to_vec();
    stack.receiver.behaviour(path, Behaviour::Sequence { per: Per::Path, steps });
    let (webhook, old) = api.webhook(&stack.receiver.url(path), &["strict"]).await;
    let rotated = api.post(&format!("/v1/webhooks/{webhook}/rotate-secret"), &json!({})).await.expect(200);
    assert_eq!(rotated["style"], "split", "{rotated}");
    for incident in ["INC-81", "INC-82"] {
        api.published(&["strict"], &payload("opened", incident, 1), 2).await;
        stack.quiet().await;
    }
    let calls = deliveries(stack.arrived(path, 5).await);
    let new = text(&rotated, "secret");
    for (call, secret) in calls.iter().zip([&old, &new, &new]) {
        let digest = verify::statuspulse_digest(secret, &call.body);
        assert_eq!(call.header("x-statuspulse-signature"), Some(&*digest));
    }
    let shown = api.shown(&webhook).await;
    assert_eq!((&shown["rotation"]["header"], &shown["failing_since"]), (&json!("new"), &Value::Null));
    for delivery in api.deliveries(&webhook).await {
        assert_eq!(
            (&delivery["status"], delivery["attempts"].as_array().unwrap().len()),
            (&json!("delivered"), 1)
        );
    }
}

async fn what_an_owner_does_takes_effect(stack: &Stack) {
    let api = &stack.admin;
    let (webhook, _) = api.webhook(&stack.receiver.url(OWNERS), &[]).await;
    let path = format!("/v1/webhooks/{webhook}");

    // Test, explain, rotation, change.
    assert_eq!(api.post(&format!("{path}/test"), &json!({})).await.expect(200)["ok"], true);
    api.get(&format!("{path}/explain?event=incident_opened")).await.expect(200);
    api.post(&format!("{path}/rotate-secret"), &json!({})).await.expect(200);
    api.published(&[], &payload("opened", "INC-1", 1), 1).await;
    let signed = deliveries(stack.arrived(OWNERS, 4).await);
    assert!(signed[0].header("x-statuspulse-signature").unwrap().contains(','), "both secrets sign");
    api.post(&format!("{path}/rotate-secret/finish"), &json!({})).await.expect(200);
    api.patch(&path, &json!({"description": "On-call"})).await.expect(200);

    // Keys: created, used, listed.
    let key = api.post("/v1/keys", &json!({"role": "viewer"})).await.expect(201);
    let viewer = api.with_key(&text(&key, "key"));
    viewer.get("/v1/webhooks").await.expect(200);
    viewer.post(&format!("{path}/pause"), &json!({})).await.expect(403);
    assert_eq!(api.get("/v1/keys").await.expect(200)["data"].as_array().unwrap().len(), 2);

    // A redelivery; a pause by hand; held deliveries discarded at the resume.
    api.all_delivered(&webhook).await;
    let delivery = text(&api.deliveries(&webhook).await[0], "id");
    // A delivery can be found by its id alone, among all webhooks of the account.
    api.webhook(&stack.receiver.url("/hooks/other"), &["another group"]).await;
    assert_eq!(api.get(&format!("/v1/deliveries/{delivery}")).await.expect(200)["id"], delivery.as_str());
    api.post(&format!("{path}/deliveries/{delivery}/redeliver"), &json!({})).await.expect(202);
    stack.arrived(OWNERS, 4).await;
    api.post(&format!("{path}/pause"), &json!({})).await.expect(200);
    api.published(&[], &payload("opened", "INC-2", 2), 1).await;
    stack.until(&webhook, "it is held", |webhook| webhook["held_deliveries"] == 1).await;
    let resume = json!({"held": "discard"});
    api.post(&format!("{path}/resume"), &resume).await.expect(200);
    eventually("it is discarded", async || api.deliveries(&webhook).await[0]["status"] == "discarded").await;

    // A webhook that is deleted while a retry waits is no longer called, and answers 404.
    stack.receiver.behaviour(OWNERS, Behaviour::status(500));
    api.published(&[], &payload("opened", "INC-3", 3), 1).await;
    stack.arrived(OWNERS, 5).await;
    api.delete(&path).await.expect(204);
    api.get(&path).await.expect(404);
    stack.quiet().await;
    let before = stack.receiver.count(OWNERS);
    stack.pass(std::time::Duration::from_secs(30), 3).await;
    assert_eq!(stack.receiver.count(OWNERS), before);
    no_message_is_dead(stack);
}

async fn an_incident_reaches_pagerduty_and_slack_and_the_account_is_notified_in_its_own_channel(
    stack: &Stack,
) {
    let api = &stack.admin;
    for path in [CHANNEL, ENGINEERS] {
        stack.receiver.behaviour(path, Behaviour::Slack);
    }
    let engineers = json!({"slack_url": stack.receiver.url(ENGINEERS)});
    let account = api.patch("/v1/account", &engineers).await.expect(200);
    assert!(text(&account, "slack_url").ends_with("/[hidden]"), "{account}");
    assert_eq!(api.post("/v1/account/slack/test", &json!({})).await.expect(200)["ok"], true);
    let (groups, events) = (["pages"], ["incident_opened"]);
    let key = "R01234567890abcdefghijklmnopqrst";
    let paging =
        json!({"destination": "pagerduty", "routing_key": key, "events": events, "monitor_groups": groups});
    let channel = json!({"destination": "slack", "url": stack.receiver.url(CHANNEL), "events": events, "monitor_groups": groups});
    let paging = text(&api.post("/v1/webhooks", &paging).await.expect(201), "id");
    let channel = text(&api.post("/v1/webhooks", &channel).await.expect(201), "id");
    let body = payload("opened", "INC-PAGES", 1);
    let accepted = api.publish(&groups, &body, None).await.unwrap().expect(202);
    assert!(accepted["deliveries"].as_u64().unwrap() >= 2, "{accepted}");
    for webhook in [&paging, &channel] {
        api.all_delivered(webhook).await;
    }
    let paged: Value = serde_json::from_slice(&stack.arrived(PAGERDUTY, 2).await[1].body).unwrap();
    assert_eq!((&paged["event_action"], &paged["dedup_key"]), (&json!("trigger"), &json!("INC-PAGES")));

    // The channel is archived: the webhook is paused at once, and the account's own channel gets the notification.
    stack.receiver.behaviour(CHANNEL, Behaviour::Answer(Answer::status(410).body("channel_is_archived")));
    api.publish(&groups, &payload("opened", "INC-MORE", 2), None).await.unwrap().expect(202);
    stack.until(&channel, "it is paused", |webhook| webhook["paused"]["reason"] == "permanent").await;
    let notification = &stack.arrived(ENGINEERS, 2).await[1];
    assert!(String::from_utf8_lossy(&notification.body).contains("the channel is archived"));
    stack.quiet().await;
    no_message_is_dead(stack);
}
