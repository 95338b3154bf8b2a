//! Section 4 of docs/behaviour.md: the delivery and its signature.

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_core::attempt::{Began, Class};
use statuspulse_core::message::{Message, QueueName};

use crate::support::*;

#[tokio::test]
async fn the_first_attempt_is_due_at_the_moment_of_acceptance() {
    let world = World::new().await;
    world.register(URL).await;
    world.publish(&opened("A")).await;
    let received = world.next_message().await.expect("a message is due at once");
    assert!(matches!(&received.message, Message::Attempt(message) if message.key.number == 1));
    world.work_on(received).await;
    assert_eq!(world.seconds(URL), [0]);
}

/// The lag ends when the connection is opened, after the name look-up.
#[tokio::test]
async fn the_lag_from_acceptance_to_start_is_recorded_for_each_attempt() {
    let world = World::new().await;
    world.register(URL).await;
    world.receivers.answers_next(URL, [Reply::from(500).beginning_after(Duration::from_millis(12))]);
    world.publish(&opened("A")).await;
    world.advance(MINUTE * 2).await;
    let began = world.metrics.began.lock().unwrap().clone();
    assert_eq!(began, [Began::First(Duration::from_millis(12)), Began::Retry]);
    assert_eq!(*world.metrics.ended.lock().unwrap(), [Some(Class::Http5xx), None]);
}

#[tokio::test]
async fn events_that_waited_or_were_held_have_a_series_of_their_own() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [500]);
    world.publish(&opened("A")).await;
    world.publish(&resolved("A")).await;
    world.advance(MINUTE).await;
    let began = || world.metrics.began.lock().unwrap().clone();
    let (first, waited) = (Began::First(Duration::ZERO), Began::FirstAfterWait(Duration::ZERO));
    assert_eq!(began(), [first, Began::Retry, waited], "the last one waited for the first of its incident");
    world.act(&hook, "pause").await;
    world.publish(&opened("B")).await;
    world.advance(HOUR).await;
    world.act(&hook, "resume").await;
    world.run_until_idle().await;
    assert_eq!(began(), [first, Began::Retry, waited, waited], "this one was held");
}

#[tokio::test]
async fn retries_and_upkeep_stand_in_other_queues_than_first_attempts() {
    let world = World::new().await;
    world.register(URL).await;
    world.register(OTHER).await;
    world.receivers.answers(URL, 500);
    for n in 0..100 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.run_until_idle().await;
    world.clock.pass(MINUTE);
    world.publish(&opened("NEW")).await;
    let first = world.next_message().await.unwrap();
    assert_eq!(first.message.queue(), QueueName::First, "before the 200 retries that were due earlier");
    world.work_on(first).await;
    let retry = loop {
        let next = world.next_message().await.unwrap();
        if next.message.queue() != QueueName::First {
            break next;
        }
        world.work_on(next).await;
    };
    assert_eq!(retry.message.queue(), QueueName::Retry);
}

#[tokio::test]
async fn an_attempt_carries_the_headers_the_documentation_names_and_no_others() {
    let world = World::new().await;
    let hook = world.register_with(URL, json!({"headers": {"X-Team": "core"}})).await;
    let event = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let seen = &world.attempts(URL)[0];
    let delivery = world.delivery(&hook, &event).await;
    assert_eq!(seen.header("Content-Type"), "application/json");
    assert_eq!(seen.header("User-Agent"), "StatusPulse-Webhooks/1");
    assert_eq!(seen.header("X-StatusPulse-Event"), "incident_opened");
    assert_eq!(seen.header("X-StatusPulse-Event-Id"), event);
    assert_eq!(seen.header("X-StatusPulse-Delivery-Id"), text(&delivery["id"]));
    assert_eq!(seen.header("X-StatusPulse-Attempt"), "1");
    assert_eq!(seen.header("webhook-id"), event);
    assert_eq!(seen.header("webhook-timestamp"), "1710512521");
    let mut names: Vec<_> = seen.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "content-type",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
        "x-statuspulse-attempt",
        "x-statuspulse-delivery-id",
        "x-statuspulse-event",
        "x-statuspulse-event-id",
        "x-statuspulse-signature",
        "x-team",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn attempts_1_to_5_have_the_same_ids_and_body_a_rising_number_and_a_fresh_timestamp() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    world.advance(HOUR * 2).await;
    let seen = world.attempts(URL);
    let numbers: Vec<_> = seen.iter().map(Seen::attempt).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    for attempt in &seen {
        assert_eq!(attempt.body, seen[0].body);
        for same in ["X-StatusPulse-Event-Id", "X-StatusPulse-Delivery-Id", "webhook-id"] {
            assert_eq!(attempt.header(same), seen[0].header(same));
        }
        assert_eq!(attempt.header("webhook-timestamp"), attempt.at.as_second().to_string());
        verify_all(attempt, &hook.secret);
    }
}

/// Rule 4.3: the header contains the digest and nothing else.
#[tokio::test]
async fn the_signature_header_is_the_lowercase_hex_digest_of_the_raw_body_alone() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.publish(&opened("🔥 \\u00e9")).await;
    world.run_until_idle().await;
    let seen = &world.attempts(URL)[0];
    let signature = seen.header("X-StatusPulse-Signature");
    assert_eq!(signature, hex_digest(&hook.secret, &seen.body));
    assert!(
        signature.len() == 64 && signature.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    );
    assert_eq!(seen.header("webhook-signature"), standard_signature(&hook.secret, seen));
}

#[tokio::test]
async fn each_webhook_has_a_secret_of_its_own() {
    let world = World::new().await;
    let (one, two) = (world.register(URL).await, world.register(OTHER).await);
    assert_ne!(one.secret, two.secret);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    verify_all(&world.attempts(URL)[0], &one.secret);
    verify_all(&world.attempts(OTHER)[0], &two.secret);
}

#[tokio::test]
async fn only_2xx_is_success_and_everything_else_has_a_class_and_a_sentence() {
    let table: [(u16, Option<&str>); 27] = [
        (200, None),
        (201, None),
        (202, None),
        (204, None),
        (299, None),
        (100, Some("bad_response")),
        (101, Some("bad_response")),
        (300, Some("redirect")),
        (301, Some("redirect")),
        (304, Some("redirect")),
        (308, Some("redirect")),
        (400, Some("http_4xx")),
        (401, Some("http_4xx")),
        (404, Some("http_4xx")),
        (408, Some("http_4xx")),
        (409, Some("http_4xx")),
        (413, Some("http_4xx")),
        (422, Some("http_4xx")),
        (425, Some("http_4xx")),
        (429, Some("http_4xx")),
        (500, Some("http_5xx")),
        (502, Some("http_5xx")),
        (503, Some("http_5xx")),
        (504, Some("http_5xx")),
        (599, Some("http_5xx")),
        (600, Some("bad_response")),
        (999, Some("bad_response")),
    ];
    for (status, class) in table {
        let world = World::new().await;
        let hook = world.register(URL).await;
        world.receivers.answers(URL, status);
        let event = world.publish(&opened("A")).await;
        world.run_until_idle().await;
        let delivery = world.delivery(&hook, &event).await;
        let attempt = &delivery["attempts"][0];
        assert_eq!(attempt["class"], json!(class), "{status}");
        assert_eq!(attempt["status_code"], status);
        let expected = if class.is_none() { "delivered" } else { "retrying" };
        assert_eq!(delivery["status"], expected, "{status}");
        if class.is_some() {
            let reason = text(&attempt["reason"]);
            assert!(reason.contains(&status.to_string()) && reason.ends_with('.'), "{reason}");
        } else {
            assert_eq!(attempt["reason"], Value::Null);
        }
    }
}

#[tokio::test]
async fn a_failure_without_an_answer_is_shown_with_its_class_and_sentence() {
    for class in Class::ALL.iter().copied() {
        let world = World::new().await;
        let hook = world.register(URL).await;
        world.receivers.answers(URL, Reply::fails(class, "What to fix."));
        let event = world.publish(&opened("A")).await;
        world.run_until_idle().await;
        let attempt = world.delivery(&hook, &event).await["attempts"][0].clone();
        assert_eq!(attempt["class"], class.name());
        assert_eq!((&attempt["reason"], &attempt["status_code"]), (&json!("What to fix."), &Value::Null));
        assert_eq!(world.webhook(&hook).await["failing_since"], "2024-03-15T14:22:01Z");
    }
}

#[tokio::test]
async fn a_410_pauses_at_once_and_tells() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [410]);
    world.publish(&opened("A")).await;
    world.publish(&opened("B")).await;
    world.run_until_idle().await;
    let shown = world.webhook(&hook).await;
    assert_eq!(
        (shown["status"].as_str(), shown["paused"]["reason"].as_str()),
        (Some("paused"), Some("gone"))
    );
    assert_eq!(shown["held_deliveries"], 2);
    assert_eq!(world.attempts(URL).len(), 1);
    assert_eq!(world.pause_notifications().len(), 1);
    assert!(world.pause_notifications()[0].contains("410 Gone"), "{}", world.pause_notifications()[0]);
    world.advance(HOUR * 24).await;
    assert_eq!((world.attempts(URL).len(), world.pause_notifications().len()), (1, 1));
}

/// `shared/outbound` enforces the time limit, and has the tests for it.
#[tokio::test]
async fn an_attempt_is_given_ten_seconds() {
    let world = World::new().await;
    world.register(URL).await;
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL)[0].timeout, Duration::from_secs(10));
}

/// Rule 4.7: an attempt that we could not make is put back, and says nothing about the receiver.
#[tokio::test]
async fn an_attempt_that_cannot_be_made_on_our_side_counts_for_nothing_and_comes_again() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.cannot_be_called(URL, 3);
    let event = world.publish(&opened("A")).await;
    let behind = world.publish(&resolved("A")).await;
    world.run_until_idle().await;
    let delivery = world.delivery(&hook, &event).await;
    assert_eq!((&delivery["attempts"], &delivery["delayed"]), (&json!([]), &json!(true)));
    assert_eq!(world.delivery(&hook, &behind).await["delayed"], false);
    let browser = world.browser().await;
    let page = format!("/dashboard/webhooks/{}/deliveries/{}", hook.id, delivery["id"].as_str().unwrap());
    browser.open(&page).await.expect(200).says("delayed on our side");
    let shown = world.webhook(&hook).await;
    assert_eq!((&shown["status"], &shown["failing_since"]), (&json!("active"), &Value::Null));
    assert_eq!((world.attempts(URL).len(), *world.metrics.not_made.lock().unwrap()), (0, 1));
    world.advance(SECOND * 15).await;
    let attempts = world.attempts(URL);
    let events: Vec<_> = attempts.iter().map(|seen| (seen.event_id().to_owned(), seen.attempt())).collect();
    assert_eq!(events, [(event, 1), (behind, 1)], "in their order, and on the first rung");
    assert_eq!(*world.metrics.not_made.lock().unwrap(), 3);
    assert_eq!(world.delivery(&hook, attempts[0].event_id()).await["delayed"], false);
    browser.open(&page).await.expect(200).does_not_say("delayed on our side");
    assert_eq!(
        (world.statuses(&hook).await, world.dead_letters().await),
        (vec!["delivered".to_owned(); 2], 0)
    );
}

/// The same for a burst: none of its deliveries is lost or counted.
#[tokio::test]
async fn a_burst_that_cannot_be_sent_on_our_side_comes_again() {
    let world = World::new().await;
    let channel = "https://hooks.slack.com/services/T1/B1/channelsecret";
    let hook = world.register_with(channel, json!({"destination": "slack"})).await;
    for n in 0..20 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.receivers.cannot_be_called(channel, 2);
    world.run_until_idle().await;
    world.advance(MINUTE).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 20]);
    for delivery in world.deliveries(&hook).await {
        assert_eq!(delivery["attempts"].as_array().unwrap().len(), 1, "{delivery}");
    }
}

/// A handshake that we cannot send leaves nothing behind, and the caller is asked to repeat the call.
#[tokio::test]
async fn a_handshake_that_cannot_be_sent_on_our_side_creates_nothing() {
    let world = World::new().await;
    world.receivers.answers(OTHER, 200);
    world.receivers.cannot_be_called(OTHER, 1);
    let asked = json!({"url": OTHER, "events": ["incident_opened"]});
    let refused = world.post("/v1/webhooks", &asked).await.expect(503);
    assert_eq!(refused["code"], "unavailable");
    assert_eq!(world.get("/v1/webhooks").await.expect(200)["data"], json!([]));
    world.post("/v1/webhooks", &asked).await.expect(201);
}
