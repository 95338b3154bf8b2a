//! Section 3 of docs/behaviour.md: publishing.

use std::time::Duration;

use serde_json::json;

use crate::support::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The samples in `events/` have the format of the product page: indented by two spaces, without a line break at the
/// end.
#[tokio::test]
async fn the_samples_of_the_product_page_are_delivered_byte_for_byte() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");
    let world = World::new().await;
    let hook = world.register(URL).await;
    for name in ["incident_opened", "incident_updated", "incident_resolved"] {
        let sample = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
        world.publish(&sample).await;
        world.run_until_idle().await;
        let sent = world.attempts(URL).pop().unwrap();
        assert_eq!(sent.text(), sample);
        assert_eq!(sent.event(), name);
        verify_all(&sent, &hook.secret);
    }
}

#[test]
fn the_samples_are_those_of_the_seed() {
    let opened = include_str!("../../../events/incident_opened.json");
    let resolved = include_str!("../../../events/incident_resolved.json");
    assert!(
        opened
            .starts_with("{\n  \"event_type\": \"incident_opened\",\n  \"incident_id\": \"INC-8842-ALPHA\",")
    );
    assert!(opened.ends_with("    \"latency_ms\": 1240,\n    \"region\": \"us-east-1\"\n  }\n}"));
    let end = "    \"engineer_notes\": \"Cache flush restored connectivity\"\n  }\n}";
    assert!(resolved.starts_with("{\n  \"event_type\": \"incident_resolved\",") && resolved.ends_with(end));
}

#[tokio::test]
async fn an_update_carries_its_status_time_and_details() {
    let world = World::new().await;
    world.register(URL).await;
    for status in ["investigating", "identified", "monitoring"] {
        world.publish(&updated("A").replace("identified", status)).await;
    }
    let wrong = updated("A").replace("identified", "resolved");
    assert_eq!(world.publish_with(&wrong, &[], None).await.refused(), ["/payload/status"]);
    let without_time = updated("A").replace("updated_at", "changed_at");
    assert_eq!(world.publish_with(&without_time, &[], None).await.refused(), ["/payload/updated_at"]);
    let wrong = updated("A").replace(r#""previous_status":"investigating""#, r#""previous_status":7"#);
    let refused = world.publish_with(&wrong, &[], None).await.refused();
    assert_eq!(refused, ["/payload/details/previous_status"]);
}

#[tokio::test]
async fn names_every_field_that_is_missing_or_wrong() {
    let world = World::new().await;
    let refused = async |payload: &str| world.publish_with(payload, &[], None).await.refused();
    assert_eq!(refused("{}").await, ["/payload/event_type"]);
    assert_eq!(refused(r#"{"event_type":"deploy"}"#).await, ["/payload/event_type"]);
    let expected = ["incident_id", "monitor_name", "status", "triggered_at", "details"];
    let expected = expected.map(|name| format!("/payload/{name}"));
    assert_eq!(refused(r#"{"event_type":"incident_opened"}"#).await, expected);
    let wrong = opened("A").replace("503", r#""503""#).replace("1240", "true");
    let expected = ["/payload/details/response_code", "/payload/details/latency_ms"];
    assert_eq!(refused(&wrong).await, expected);
    assert_eq!(refused("[]").await, ["/payload"]);
    let empty = world.call("POST", "/v1/events", &[], "{}").await;
    assert_eq!(empty.refused(), ["/payload"]);
    let typo = format!(r#"{{"monitor_group": ["a"], "payload": {}}}"#, opened("A"));
    assert_eq!(world.call("POST", "/v1/events", &[], typo).await.refused(), ["/monitor_group"]);
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_400() {
    let world = World::new().await;
    for body in ["", "payload", "[]", "{", "{\"payload\":{}}x", "\u{feff}{}"] {
        let answer = world.call("POST", "/v1/events", &[], body).await;
        assert_eq!(answer.problem(400), "malformed_body", "{body:?}");
    }
    let answer = world.call("POST", "/v1/events", &[], b"{\"payload\":\"\xff\"}".to_vec()).await;
    assert_eq!(answer.problem(400), "malformed_body");
}

#[tokio::test]
async fn unknown_fields_are_kept_and_delivered() {
    let world = World::new().await;
    world.register(URL).await;
    let payload = opened("A").replace(
        r#""details":{"#,
        r#""runbook":{"url":"https://x","steps":[1,2,null]},"details":{"extra":[],"#,
    );
    world.publish(&payload).await;
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL)[0].text(), payload);
}

/// Everything that a JSON library would change if it parsed the payload and wrote it again.
#[tokio::test]
async fn numbers_keep_their_digits_keys_their_order_and_texts_their_escapes() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let numbers = r#""latency_ms":1240.50,"a":9223372036854775809,"z":1e21,"b":-0.0,"big":123456789012345678901234567890.10,"small":1E-400"#;
    let texts = r#""emoji":"🔥\ud83d\udd25","escapes":"\u00e9\/\\\"\u0000","separators":"  ""#;
    let payload =
        opened("A").replace(r#""latency_ms":1240"#, &format!("{numbers},\n\t {texts} ,\"nested\":[[{{}} ]]"));
    world.receivers.answers_next(URL, [500, 500]);
    world.publish(&payload).await;
    world.advance(HOUR).await;
    let sent = world.attempts(URL);
    assert_eq!(sent.len(), 3);
    for seen in sent {
        assert_eq!(seen.text(), payload, "every attempt has the same bytes");
        verify_all(&seen, &hook.secret);
    }
}

#[tokio::test]
async fn whitespace_around_and_inside_the_payload_is_the_publishers() {
    let world = World::new().await;
    world.register(URL).await;
    let payload =
        opened("A").replace(':', " :\t").replace("2024-03-15T14 :\t22 :\t01Z", "2024-03-15T14:22:01Z");
    let payload = payload.replace("https :\t//", "https://").replacen('{', "{ \r\n", 1);
    world.publish(&payload).await;
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL)[0].text(), payload);
}

#[tokio::test]
async fn a_key_that_stands_twice_is_refused_since_receivers_would_disagree() {
    let world = World::new().await;
    let twice = opened("A").replacen('{', r#"{"status":"identified","#, 1);
    assert_eq!(world.publish_with(&twice, &[], None).await.refused(), ["/payload/status"]);
    let escaped = opened("A").replacen('{', r#"{"st\u0061tus":"identified","#, 1);
    assert_eq!(world.publish_with(&escaped, &[], None).await.refused(), ["/payload/status"]);
    let inside = opened("A").replace(r#""region""#, r#""latency_ms":1,"region""#);
    assert_eq!(world.publish_with(&inside, &[], None).await.refused(), ["/payload/details/latency_ms"]);
    let envelope = format!(r#"{{"payload":{0},"payload":{0}}}"#, opened("A"));
    assert_eq!(world.call("POST", "/v1/events", &[], envelope).await.refused(), ["/payload"]);
}

#[tokio::test]
async fn times_are_utc_with_z_and_any_other_offset_or_none_is_422() {
    let world = World::new().await;
    world.register(URL).await;
    for time in ["2024-03-15T14:22:01Z", "2024-02-29T00:00:00Z", "2024-03-15T14:22:01.123456789Z"] {
        world.publish(&opened("A").replace("2024-03-15T14:22:01Z", time)).await;
    }
    let wrong = [
        "2024-03-15T14:22:01+00:00",
        "2024-03-15T14:22:01-00:00",
        "2024-03-15T14:22:01+01:00",
        "2024-03-15T14:22:01",
        "2024-03-15T14:22:01z",
        "2024-03-15 14:22:01Z",
        "2024-03-15t14:22:01Z",
        "2024-03-15",
        "2024-02-30T00:00:00Z",
        "2024-03-15T24:00:01Z",
        "2024-03-15T14:22Z",
        "20240315T142201Z",
        "2024-03-15T14:22:01.Z",
        "2024-03-15T14:22:01Z[UTC]",
        " 2024-03-15T14:22:01Z",
        "1710512521",
        "",
    ];
    for time in wrong {
        let payload = opened("A").replace("2024-03-15T14:22:01Z", time);
        assert_eq!(
            world.publish_with(&payload, &[], None).await.refused(),
            ["/payload/triggered_at"],
            "{time}"
        );
    }
    let number = opened("A").replace(r#""2024-03-15T14:22:01Z""#, "1710512521");
    assert_eq!(world.publish_with(&number, &[], None).await.refused(), ["/payload/triggered_at"]);
    let another = opened("A").replacen('{', r#"{"resolved_at":"2024-03-15T14:22:01+02:00","#, 1);
    assert_eq!(world.publish_with(&another, &[], None).await.refused(), ["/payload/resolved_at"]);
}

/// A 202 promises that the event is not lost (rule 3.4).
#[tokio::test]
async fn what_was_accepted_survives_the_end_of_the_process() {
    let world = World::new().await;
    world.register(URL).await;
    let event = world.publish(&opened("A")).await;
    let world = world.restart().await;
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL)[0].event_id(), event);
    assert_eq!(world.attempts(URL).len(), 1);
}

#[tokio::test]
async fn the_same_key_with_the_same_body_makes_no_second_fan_out() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let first = world.publish_with(&opened("A"), &["a"], Some("run-1")).await.expect(202);
    world.run_until_idle().await;
    world.advance(HOUR).await;
    let again = world.publish_with(&opened("A"), &["a"], Some("run-1")).await.expect(202);
    assert_eq!(first, again);
    world.run_until_idle().await;
    assert_eq!((world.attempts(URL).len(), world.deliveries(&hook).await.len()), (1, 1));
    let other = world.publish_with(&opened("A"), &["a"], Some("run-2")).await.expect(202);
    assert_ne!(other["event_id"], first["event_id"]);
}

#[tokio::test]
async fn the_same_key_with_another_body_or_other_groups_is_409() {
    let world = World::new().await;
    world.register(URL).await;
    world.publish_with(&opened("A"), &["a"], Some("k")).await.expect(202);
    let others = [(opened("B"), vec!["a"]), (opened("A"), vec!["b"]), (opened("A"), vec!["a", "b"])];
    for (payload, groups) in others {
        let answer = world.publish_with(&payload, &groups, Some("k")).await;
        assert_eq!(answer.problem(409), "idempotency_key_reused");
    }
    let spaced = opened("A").replacen(',', ", ", 1);
    assert_eq!(world.publish_with(&spaced, &["a"], Some("k")).await.problem(409), "idempotency_key_reused");
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL).len(), 1);
}

#[tokio::test]
async fn a_key_belongs_to_its_account() {
    let world = World::new().await;
    let another = world.another_account().await;
    let ours = world.publish_with(&opened("A"), &[], Some("k")).await.expect(202);
    let theirs = another.publish_with(&opened("B"), &[], Some("k")).await.expect(202);
    assert_ne!(ours["event_id"], theirs["event_id"]);
}

#[tokio::test]
async fn a_key_has_1_to_255_characters_and_stands_once() {
    let world = World::new().await;
    world.publish_with(&opened("A"), &[], Some(&"k".repeat(255))).await.expect(202);
    let answer = world.publish_with(&opened("A"), &[], Some(&"k".repeat(256))).await;
    assert_eq!(answer.refused(), ["Idempotency-Key"]);
    assert_eq!(world.publish_with(&opened("A"), &[], Some("")).await.refused(), ["Idempotency-Key"]);
    let envelope = format!(r#"{{"payload":{}}}"#, opened("A"));
    let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    assert_eq!(world.call("POST", "/v1/events", &twice, envelope).await.refused(), ["Idempotency-Key"]);
}

/// The publisher gets no 202 and repeats the call. Each matching webhook receives the event once.
#[tokio::test]
async fn a_fan_out_that_broke_off_anywhere_is_completed_by_the_repeated_call() {
    for writes in 0..2 {
        let world = World::new().await;
        world.register(URL).await;
        world.register(OTHER).await;
        if writes == 0 {
            world.fuse.light(0)
        } else {
            world.fuse.lose_answer()
        }
        let first = world.publish_with(&opened("A"), &[], Some("k")).await;
        assert_eq!(first.problem(503), "unavailable");
        let world = world.restart().await;
        let again = world.publish_with(&opened("A"), &[], Some("k")).await.expect(202);
        assert_eq!(again["deliveries"], 2);
        world.run_until_idle().await;
        world.advance(HOUR).await;
        assert_eq!((world.attempts(URL).len(), world.attempts(OTHER).len()), (1, 1), "after {writes} writes");
    }
}

#[tokio::test]
async fn a_payload_has_128_kib_at_most_and_is_never_dropped_in_silence() {
    let world = World::new().await;
    world.register(URL).await;
    let largest = payload_of_size(128 * 1024);
    world.publish(&largest).await;
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL)[0].text(), largest);
    let answer = world.publish_with(&payload_of_size(128 * 1024 + 1), &[], None).await;
    assert_eq!(answer.problem(413), "too_large");
    assert!(text(&answer.json()["detail"]).contains("131072"), "the error names the limit: {}", answer.text);
    let answer = world.publish_with(&payload_of_size(1024 * 1024), &[], None).await;
    assert_eq!(answer.problem(413), "too_large");
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL).len(), 1);
}

#[tokio::test]
async fn an_operator_publishes_for_the_account_it_names() {
    let world = World::new().await;
    world.register(URL).await;
    let envelope = |account: &str| format!(r#"{{"account_id":"{account}","payload":{}}}"#, opened("A"));
    let publish = async |body: String| world.operator.call("POST", "/v1/events", &[], body).await;
    assert_eq!(publish(envelope(&world.account_id)).await.expect(202)["deliveries"], 1);
    let without = format!(r#"{{"payload":{}}}"#, opened("A"));
    assert_eq!(publish(without).await.refused(), ["/account_id"]);
    assert_eq!(publish(envelope("acc_01HS17VFS8FD7MSPZHG9F9601K")).await.problem(404), "not_found");
    assert_eq!(publish(envelope("acc_x")).await.refused(), ["/account_id"]);
    let own = world.call("POST", "/v1/events", &[], envelope(&world.account_id)).await;
    own.expect(202);
    let another = world.another_account().await;
    let foreign = another.call("POST", "/v1/events", &[], envelope(&world.account_id)).await;
    assert_eq!(foreign.problem(404), "not_found");
    assert_eq!(json!(null), world.get("/v1/account").await.expect(200)["key"]);
}

/// Rule 3.7: a publisher cannot make the operator's alert look like one that was seen.
#[tokio::test]
async fn the_idempotency_keys_of_an_operator_and_of_an_account_are_separate() {
    let world = World::new().await;
    world.register(URL).await;
    let key = "INC-8842-opened";
    let own = world.publish_with(&opened("INC-1"), &[], Some(key)).await.expect(202);
    let account = world.get("/v1/account").await.expect(200)["id"].clone();
    let envelope = format!(r#"{{"account_id": {account}, "payload": {}}}"#, opened("INC-8842"));
    let publish = async || {
        world.operator.call("POST", "/v1/events", &[("Idempotency-Key", key)], envelope.clone()).await
    };
    let operators = publish().await.expect(202);
    assert_ne!(own["event_id"], operators["event_id"]);
    assert_eq!(operators["deliveries"], 1);
    assert_eq!(publish().await.expect(202)["event_id"], operators["event_id"]);
    assert_eq!(
        world.publish_with(&opened("INC-2"), &[], Some(key)).await.problem(409),
        "idempotency_key_reused"
    );
}

/// Rule 3.8: receivers that remember ids must not drop what is published with a key whose 30 days are over. Two starts,
/// because the ids of a key change once in 30 days, and that must not be seen earlier.
#[tokio::test]
async fn a_key_makes_a_new_event_when_it_is_used_again_after_30_days_and_not_before() {
    for start in [Duration::ZERO, 15 * DAY] {
        let world = World::new().await;
        world.register(URL).await;
        world.clock.pass(start);
        let publish = async |incident| world.publish_with(&opened(incident), &[], Some("daily-check")).await;
        let first = publish("INC-1").await.expect(202)["event_id"].clone();
        for days in [1, 14, 14] {
            world.clock.pass(days * DAY);
            assert_eq!(publish("INC-1").await.expect(202)["event_id"], first);
            assert_eq!(publish("INC-2").await.problem(409), "idempotency_key_reused");
        }
        world.clock.pass(DAY);
        let second = publish("INC-2").await.expect(202);
        assert_ne!(second["event_id"], first);
        assert_eq!(second["deliveries"], 1);
        assert_eq!(publish("INC-2").await.expect(202)["event_id"], second["event_id"]);
    }
}

/// Half an emoji, in a key or in a value, is no reason to refuse an alert.
#[tokio::test]
async fn half_an_emoji_arrives_as_it_came_and_as_a_replacement_character_where_it_is_shown() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let channel = "https://hooks.slack.com/services/T1/B1/x";
    let slack = world.register_with(channel, json!({"destination": "slack"})).await;
    let payload = opened("A")
        .replace("checkout-api-prod", r"checkout \ud83d api")
        .replace(r#""region""#, r#""\udd25":1,"region""#);
    let event = world.publish(&payload).await;
    world.run_until_idle().await;
    let sent = &world.attempts(URL)[0];
    assert_eq!(sent.text(), payload, "byte for byte");
    verify_all(sent, &hook.secret);
    assert_eq!(world.delivery(&slack, &event).await["status"], "delivered");
    let message = world.attempts(channel)[0].text().to_owned();
    assert!(
        message.contains("checkout \u{fffd} api") || message.contains(r"checkout \ufffd api"),
        "{message}"
    );
}
