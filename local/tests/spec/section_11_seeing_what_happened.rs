//! Section 11 of docs/behaviour.md: lists of deliveries, and redelivery. OpenAPI and dashboard have their own tests.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn a_delivery_shows_all_its_attempts() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let slow = Reply::from(503)
        .header("x-request-id", "7f3a")
        .body("try later")
        .lasting(Duration::from_millis(1234));
    world.receivers.answers_next(URL, [slow, Reply::from(200).body("thanks")]);
    let event = world.publish(&opened("A")).await;
    world.advance(HOUR).await;
    let listed = world.delivery(&hook, &event).await;
    let path = format!("/v1/webhooks/{}/deliveries/{}", hook.id, text(&listed["id"]));
    let shown = world.get(&path).await.expect(200);
    assert_eq!(shown, listed);
    assert_eq!((&shown["status"], &shown["next_attempt_at"]), (&json!("delivered"), &Value::Null));
    let reason = "The endpoint answered 503: the service behind it is not available.";
    assert_eq!(
        shown["attempts"],
        json!([
            {"number": 1, "trigger": "event", "at": "2024-03-15T14:22:01Z", "status_code": 503, "class": "http_5xx", "reason": reason,
             "duration_ms": 1234, "response_headers": [{"name": "x-request-id", "value": "7f3a"}], "response": "try later"},
            {"number": 2, "trigger": "event", "at": "2024-03-15T14:23:02.234Z", "status_code": 200, "class": null, "reason": null,
             "duration_ms": 0, "response_headers": [], "response": "thanks"},
        ])
    );
}

/// The trigger of a delivery, and those of its attempts.
async fn triggers(world: &World, hook: &Hook, event: &str) -> (String, Vec<String>) {
    let delivery = world.delivery(hook, event).await;
    let attempts = delivery["attempts"].as_array().unwrap().iter();
    (
        text(&delivery["trigger"]).to_owned(),
        attempts.map(|attempt| text(&attempt["trigger"]).to_owned()).collect(),
    )
}

#[tokio::test]
async fn a_delivery_and_each_attempt_say_why_they_were_begun() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let event = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let is = async |trigger: &str, attempts: &[&str]| {
        let found = triggers(&world, &hook, &event).await;
        assert_eq!(
            (&*found.0, &*found.1),
            (trigger, &*attempts.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
        );
    };
    is("event", &["event"]).await;
    let id = world.delivery(&hook, &event).await["id"].clone();
    let again = format!("/v1/deliveries/{}/redeliver", text(&id));

    world.receivers.answers(URL, 410);
    let asked = world.post(&again, &json!({})).await.expect(202);
    assert_eq!(asked["trigger"], "redelivery");
    world.run_until_idle().await;
    // The answer paused the webhook. The delivery is held, so its next attempt is triggered by a resume.
    is("resume", &["event", "redelivery"]).await;
    world.receivers.answers(URL, 200);
    world.act(&hook, "resume").await;
    world.run_until_idle().await;
    is("resume", &["event", "redelivery", "resume"]).await;

    // A redelivery during a pause is held, but its trigger is still the redelivery and not the resume.
    world.act(&hook, "pause").await;
    world.run_until_idle().await;
    world.post(&again, &json!({})).await.expect(202);
    is("redelivery", &["event", "redelivery", "resume"]).await;
    world.act(&hook, "resume").await;
    world.run_until_idle().await;
    is("redelivery", &["event", "redelivery", "resume", "redelivery"]).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"]);
}

#[tokio::test]
async fn what_failed_and_is_made_again_says_so_and_what_came_during_a_pause_too() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let failed = world.publish(&opened("A")).await;
    world.receivers.answers_event(URL, &failed, 422);
    for n in 0..90 {
        world.publish(&opened(&format!("INC-{n}"))).await;
        world.advance(MINUTE).await;
    }
    assert_eq!(world.delivery(&hook, &failed).await["status"], "failed");
    world.receivers.answers_event(URL, &failed, 200);
    world.act_with(&hook, "redeliver", json!({"since": "2024-03-15T14:22:01Z"})).await.expect(202);
    world.run_until_idle().await;
    let (trigger, attempts) = triggers(&world, &hook, &failed).await;
    assert_eq!((&*trigger, &*attempts[5]), ("redelivery", "redelivery"));
    assert!(attempts[..5].iter().all(|trigger| trigger == "event"));

    world.act(&hook, "pause").await;
    let held = world.publish(&opened("C")).await;
    world.run_until_idle().await;
    assert_eq!(triggers(&world, &hook, &held).await, ("resume".to_owned(), vec![]));
    world.act(&hook, "resume").await;
    world.run_until_idle().await;
    assert_eq!(triggers(&world, &hook, &held).await, ("resume".to_owned(), vec!["resume".to_owned()]));
}

#[tokio::test]
async fn the_first_kibibyte_of_a_response_is_kept_as_safe_text() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let replies = [
        Reply::from(200).body("x".repeat(5000)),
        Reply::from(200).body(b"\xff\xfe\x00\x1b[31m<script>\r\n\tend".to_vec()),
        Reply::from(200).body("é".repeat(1000)),
    ];
    world.receivers.answers_next(URL, replies);
    let mut kept = vec![];
    for n in 0..3 {
        let event = world.publish(&opened(&format!("INC-{n}"))).await;
        world.run_until_idle().await;
        kept.push(text(&world.delivery(&hook, &event).await["attempts"][0]["response"]).to_owned());
    }
    assert_eq!(kept[0], "x".repeat(1024));
    assert_eq!(kept[1], "\u{fffd}\u{fffd}\u{fffd}\u{fffd}[31m<script>\r\n\tend");
    assert_eq!(kept[2], "é".repeat(512));
}

#[tokio::test]
async fn deliveries_are_filtered_by_status_type_incident_and_time() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let poison = world.publish(&opened("A")).await;
    world.receivers.answers_event(URL, &poison, 422);
    world.advance(MINUTE).await;
    for payload in [opened("B"), updated("B"), resolved("B"), resolved("A")] {
        world.publish(&payload).await;
    }
    world.advance(SECOND).await;
    let path = format!("/v1/webhooks/{}/deliveries", hook.id);
    let count = async |query: &str| world.all(&format!("{path}?{query}")).await.len();
    assert_eq!(count("").await, 5);
    assert_eq!(count("status=retrying").await, 1);
    assert_eq!(count("status=waiting").await, 1);
    assert_eq!(count("status=delivered").await, 3);
    assert_eq!(count("status=held").await, 0);
    assert_eq!(count("event_type=incident_resolved").await, 2);
    assert_eq!(count("incident_id=A").await, 2);
    assert_eq!(count("incident_id=a").await, 0);
    assert_eq!(count("incident_id=B&event_type=incident_updated&status=delivered").await, 1);
    assert_eq!(count("since=2024-03-15T14:23:01Z").await, 4);
    assert_eq!(count("until=2024-03-15T14:23:01Z").await, 1);
    assert_eq!(count("since=2024-03-15T14:23:02Z").await, 0);
    for (wrong, field) in [("status=ok", "status"), ("event_type=x", "event_type"), ("since=now", "since")] {
        assert_eq!(world.get(&format!("{path}?{wrong}")).await.refused(), [field]);
    }
    assert_eq!(world.get(&format!("{path}?stat=held")).await.refused(), ["stat"]);
}

#[tokio::test]
async fn deliveries_are_kept_for_30_days_and_unfinished_ones_for_longer() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    world.act(&hook, "pause").await;
    world.publish(&opened("B")).await;
    world.advance(HOUR * 24 * 30).await;
    world.prune().await;
    assert_eq!(world.statuses(&hook).await, ["delivered", "held"]);
    world.advance(SECOND).await;
    world.prune().await;
    assert_eq!(world.statuses(&hook).await, ["held"]);
    world.act(&hook, "resume").await;
    world.advance(MINUTE).await;
    assert_eq!(world.attempts(URL)[1].text(), opened("B"), "the event's body was kept too");
}

async fn redeliver(world: &World, hook: &Hook, event: &str) -> Answer {
    let id = world.delivery(hook, event).await["id"].clone();
    world.post(&format!("/v1/webhooks/{}/deliveries/{}/redeliver", hook.id, text(&id)), &Value::Null).await
}

#[tokio::test]
async fn a_finished_delivery_is_made_again_on_request_with_the_same_ids_and_body() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let event = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let again = redeliver(&world, &hook, &event).await.expect(202);
    assert_eq!((&again["event_id"], &again["status"]), (&json!(event), &json!("retrying")));
    world.run_until_idle().await;
    let [first, second] = <[Seen; 2]>::try_from(world.attempts(URL)).unwrap();
    assert_eq!((&first.body, first.header("webhook-id")), (&second.body, second.header("webhook-id")));
    let id = "X-StatusPulse-Delivery-Id";
    assert_eq!((first.header(id), second.attempt()), (second.header(id), 1));
    verify_all(&second, &hook.secret);
    let delivery = world.delivery(&hook, &event).await;
    assert_eq!(
        (&delivery["status"], delivery["attempts"].as_array().unwrap().len()),
        (&json!("delivered"), 2)
    );
}

#[tokio::test]
async fn an_unfinished_delivery_is_not_made_again() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    let retried = world.publish(&opened("A")).await;
    let waits = world.publish(&resolved("A")).await;
    world.run_until_idle().await;
    assert_eq!(redeliver(&world, &hook, &waits).await.problem(409), "delivery_unfinished");
    world.act(&hook, "pause").await;
    world.run_until_idle().await;
    let held = redeliver(&world, &hook, &retried).await;
    assert_eq!(held.problem(409), "delivery_unfinished");
    assert!(text(&held.json()["detail"]).contains("resume"));
}

#[tokio::test]
async fn a_redelivery_on_a_paused_webhook_is_held() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let event = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    world.act(&hook, "pause").await;
    assert_eq!(redeliver(&world, &hook, &event).await.expect(202)["status"], "held");
    world.advance(HOUR).await;
    assert_eq!(world.attempts(URL).len(), 1);
    world.act(&hook, "resume").await;
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL).len(), 2);
}

#[tokio::test]
async fn a_redelivery_that_fails_climbs_a_ladder_of_its_own() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let event = world.publish(&opened("A")).await;
    world.advance(HOUR).await;
    world.receivers.answers(URL, 500);
    redeliver(&world, &hook, &event).await.expect(202);
    world.advance(HOUR * 2).await;
    assert_eq!(world.seconds(URL)[1..], [3600, 3660, 3960, 4860, 8460]);
    assert_eq!(world.status(&hook).await, "paused");
}

#[tokio::test]
async fn all_failed_deliveries_since_a_time_are_made_again_at_a_bounded_rate() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let poison: Vec<_> = {
        let mut ids = vec![];
        for n in 0..40 {
            let id = world.publish(&opened(&format!("INC-{n}"))).await;
            world.receivers.answers_event(URL, &id, 422);
            ids.push(id);
            world.advance(SECOND).await;
        }
        ids
    };
    world.publish(&opened("OK")).await;
    world.advance(HOUR * 2).await;
    assert_eq!(world.statuses(&hook).await.iter().filter(|status| *status == "failed").count(), 40);
    for id in &poison {
        world.receivers.answers_event(URL, id, 200);
    }
    // A success, because a failing webhook would be probed with one delivery at a time.
    world.publish(&opened("WELL")).await;
    world.run_until_idle().await;
    let before = world.attempts(URL).len();
    let again = json!({"since": "2024-03-15T14:22:11Z"});
    assert_eq!(
        world.act_with(&hook, "redeliver", again.clone()).await.expect(202),
        json!({"deliveries": 30})
    );
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL).len(), before + 1);
    world.advance(MINUTE).await;
    assert_eq!(world.attempts(URL).len(), before + 30);
    let statuses = world.statuses(&hook).await;
    assert!(statuses[..10].iter().all(|status| status == "failed"));
    assert!(statuses[10..].iter().all(|status| status == "delivered"));
    assert_eq!(world.act_with(&hook, "redeliver", again).await.expect(202), json!({"deliveries": 0}));
    assert_eq!(world.act_with(&hook, "redeliver", json!({})).await.refused(), ["/since"]);
}
