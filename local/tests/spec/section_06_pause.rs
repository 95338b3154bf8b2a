//! Section 6 of docs/behaviour.md: pauses and their notifications. The resume is in `section_06_resume.rs`.

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_core::attempt::Class;

use crate::support::*;

/// From the first to the last attempt of a payload. The attempts are after 0, 1, 6, 21 and 81 minutes.
const LADDER: Duration = Duration::from_secs(81 * 60);

/// The whole timeline of rule 6.1.
#[tokio::test]
async fn pauses_after_the_four_retries_of_one_payload_failed_81_minutes_after_the_first() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 503);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    for (minutes, streak) in [(0, 0), (1, 1), (6, 2), (21, 3), (81, 4)] {
        let at = MINUTE * minutes;
        if minutes > 0 {
            world.advance_to(at - Duration::from_millis(1)).await;
            let before = world.webhook(&hook).await;
            assert_eq!(
                (&before["consecutive_failures"], &before["status"]),
                (&json!(streak - 1), &json!("active"))
            );
        }
        world.advance_to(at).await;
        let shown = world.webhook(&hook).await;
        assert_eq!(shown["consecutive_failures"], streak, "after {minutes} minutes");
        assert_eq!(shown["failing_since"], "2024-03-15T14:22:01Z");
    }
    let shown = world.webhook(&hook).await;
    assert_eq!(shown["status"], "paused");
    let last_error = "The endpoint answered 503: the service behind it is not available.";
    let paused = json!({"reason": "failures", "since": "2024-03-15T15:43:01Z", "last_error": last_error});
    assert_eq!(shown["paused"], paused);
    assert_eq!(
        (&shown["held_deliveries"], world.statuses(&hook).await),
        (&json!(1), vec!["held".to_owned()])
    );
    world.advance(HOUR * 48).await;
    assert_eq!(world.attempts(URL).len(), 5, "there is no sixth attempt");
    assert_eq!(world.pause_notifications().len(), 1);
    assert_eq!(*world.metrics.pauses.lock().unwrap(), 1);
}

/// Each payload has its own ladder, but the streak goes up by rung and not by payload.
#[tokio::test]
async fn a_hundred_payloads_that_fail_in_one_second_are_one_outage() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    for n in 0..100 {
        world.publish(&opened(&format!("INC-{n}"))).await;
        world.advance(Duration::from_millis(10)).await;
    }
    assert_eq!(world.attempts(URL).len(), 100);
    for (minutes, streak) in [(0, 0), (1, 1), (6, 2), (21, 3)] {
        world.advance_to(MINUTE * minutes + SECOND).await;
        assert_eq!(world.webhook(&hook).await["consecutive_failures"], streak);
        assert_eq!(world.attempts(URL).len(), 100 * (usize::from(u8::try_from(streak).unwrap()) + 1));
    }
    world.advance_to(LADDER - Duration::from_millis(1)).await;
    assert_eq!((world.status(&hook).await.as_str(), world.attempts(URL).len()), ("active", 400));
    world.advance_to(LADDER).await;
    assert_eq!(world.status(&hook).await, "paused");
    assert_eq!(world.attempts(URL).len(), 401, "the last attempt of the first ladder, and none after it");
    world.advance(HOUR * 24).await;
    assert_eq!(world.attempts(URL).len(), 401);
    assert_eq!(world.webhook(&hook).await["held_deliveries"], 100);
    assert!(world.statuses(&hook).await.iter().all(|status| status == "held"));
    assert_eq!(world.pause_notifications().len(), 1);
    assert!(
        world.pause_notifications()[0].contains("100 deliveries are held"),
        "{}",
        world.pause_notifications()[0]
    );
}

#[tokio::test]
async fn any_2xx_sets_the_streak_back_to_0() {
    let world = World::with(1, |deployment| deployment.retry_early = false).await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    let failing = world.publish(&opened("A")).await;
    world.receivers.answers_event(URL, &failing, 500);
    world.advance_to(MINUTE * 25).await;
    assert_eq!(world.webhook(&hook).await["consecutive_failures"], 3);
    world.receivers.answers(URL, 201);
    world.publish(&opened("B")).await;
    world.run_until_idle().await;
    let shown = world.webhook(&hook).await;
    assert_eq!((&shown["consecutive_failures"], &shown["failing_since"]), (&json!(0), &Value::Null));
    world.advance(HOUR * 3).await;
    let shown = world.webhook(&hook).await;
    assert_eq!((&shown["status"], &shown["consecutive_failures"]), (&json!("active"), &json!(0)));
}

#[tokio::test]
async fn a_payload_whose_ladder_ends_while_others_got_through_is_poison_and_fails_alone() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let poison = world.publish(&opened("POISON")).await;
    world.receivers.answers_event(URL, &poison, 422);
    for minute in 0..90 {
        world.advance_to(MINUTE * minute + SECOND).await;
        world.publish(&opened(&format!("INC-{minute}"))).await;
    }
    world.run_until_idle().await;
    let shown = world.webhook(&hook).await;
    assert_eq!((&shown["status"], &shown["consecutive_failures"]), (&json!("active"), &json!(0)));
    let statuses = world.statuses(&hook).await;
    assert_eq!(statuses[0], "failed");
    assert!(statuses[1..].iter().all(|status| status == "delivered"));
    assert_eq!(world.delivery(&hook, &poison).await["attempts"].as_array().unwrap().len(), 5);
    assert!(world.pause_notifications().is_empty());
}

#[tokio::test]
async fn one_success_anywhere_in_the_81_minutes_makes_a_payload_poison() {
    for minute in [0, 1, 5, 20, 40, 80] {
        let world = World::new().await;
        let hook = world.register(URL).await;
        let poison = world.publish(&opened("POISON")).await;
        world.receivers.answers_event(URL, &poison, 422);
        world.advance_to(MINUTE * minute + SECOND).await;
        world.publish(&opened("OK")).await;
        world.advance(HOUR * 3).await;
        assert_eq!(world.status(&hook).await, "active", "success after {minute} minutes");
        assert_eq!(world.statuses(&hook).await, ["failed", "delivered"]);
    }
}

#[tokio::test]
async fn a_success_before_the_outage_does_not_put_off_the_pause() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.publish(&opened("OK")).await;
    world.advance(SECOND).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    world.advance(LADDER).await;
    assert_eq!(world.status(&hook).await, "paused");
}

/// A webhook that fails, recovers and fails again is paused by a ladder of the second outage.
#[tokio::test]
async fn a_pause_counts_the_second_outage_alone() {
    let world = World::with(1, |deployment| deployment.retry_early = false).await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    world.advance_to(MINUTE * 22).await;
    world.receivers.answers_next(URL, [200]);
    world.publish(&opened("B")).await;
    world.run_until_idle().await;
    world.advance_to(MINUTE * 30).await;
    world.publish(&opened("C")).await;
    world.advance_to(MINUTE * 111 - SECOND).await;
    assert_eq!(world.status(&hook).await, "active", "A's ladder ended at 81 minutes: A is a poison payload");
    world.advance(SECOND).await;
    assert_eq!(world.status(&hook).await, "paused");
    assert_eq!(world.webhook(&hook).await["failing_since"], "2024-03-15T14:52:01Z");
}

/// The successful attempt began before the failed one and ended after it. It counts, because the webhook is read again
/// after the attempt.
#[tokio::test]
async fn a_success_that_was_on_its_way_when_another_failed_counts() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let poison = world.publish(&opened("POISON")).await;
    world.receivers.answers_event(URL, &poison, 422);
    let held_back = world.next_message().await.unwrap();
    world.publish(&opened("OK")).await;
    let slow = world.next_message().await.unwrap();
    let worker = world.services.worker.clone();
    let message = held_back.message.clone();
    world.receivers.meanwhile(URL, async move {
        worker.handle(message).await.unwrap();
    });
    world.work_on(slow).await;
    held_back.done();
    assert_eq!(world.webhook(&hook).await["failing_since"], Value::Null);
    world.advance(HOUR * 3).await;
    assert_eq!(
        (world.status(&hook).await.as_str(), world.statuses(&hook).await[0].as_str()),
        ("active", "failed")
    );
}

#[tokio::test]
async fn a_notification_says_which_webhook_since_when_why_how_much_is_held_and_how_to_resume() {
    let world = World::new().await;
    let hook = world.register("https://hooks.yourcompany.com:8443/very/secret/path?token=x").await;
    world.receivers.answers(&hook.url, 503);
    world.publish(&opened("A")).await;
    world.publish(&resolved("A")).await;
    world.advance(LADDER).await;
    let notification = world.pause_notifications().pop().unwrap();
    for part in [
        "hooks.yourcompany.com:8443 of Your Company was paused",
        "https://hooks.yourcompany.com:8443",
        "Paused since: <!date^1710517381^{date_short_pretty} {time_secs}|2024-03-15T15:43:01Z>",
        "2024-03-15T14:22:01Z",
        "The endpoint answered 503",
        "2 deliveries are held",
        &format!("<https://webhooks.statuspulse.io/dashboard/webhooks/{}|Open it, and resume it", hook.id),
    ] {
        assert!(notification.contains(part), "{part} is not in {notification}");
    }
    for secret in ["very", "secret", "token", hook.secret.as_str()] {
        assert!(!notification.contains(secret), "{secret} is in {notification}");
    }
}

#[tokio::test]
async fn the_notice_escapes_what_strangers_wrote() {
    let world = World::new().await;
    let named = json!({"name": "<!channel> R&D"});
    let account = world.operator.post("/v1/accounts", &named).await.expect(201);
    let admin = world.with_key(text(&account["key"]));
    admin.register_with(URL, json!({"description": "*@here* https://evil.example"})).await;
    world.receivers.answers(URL, Reply::fails(Class::Tls, "<https://evil.example|Click> & pay"));
    admin.publish(&opened("A")).await;
    world.advance(LADDER).await;
    let notification = world.pause_notifications().pop().unwrap();
    assert!(notification.contains("&lt;!channel&gt; R&amp;D"), "{notification}");
    assert!(notification.contains("&lt;https://evil.example|Click&gt; &amp; pay"), "{notification}");
    assert!(
        !notification.contains("<!channel>") && !notification.contains("<https://evil"),
        "{notification}"
    );
    // In the channel, what strangers wrote is plain text.
    let sent = world.receivers.calls(SLACK);
    let message: Value = serde_json::from_slice(&sent[sent.len() - 1].body).unwrap();
    for block in message["blocks"].as_array().unwrap() {
        let words = block["text"]["text"].to_string();
        let is_plain = block["text"]["type"] == "plain_text";
        let is_theirs = ["evil", "channel", "here", "R&"].iter().any(|part| words.contains(part));
        assert!(is_plain || !is_theirs && block["text"]["verbatim"] == true, "{block}");
    }
}

/// Lets this many payloads fail, up to a second before the last attempt of their ladders.
async fn about_to_be_paused(world: &World, payloads: usize) {
    world.receivers.answers(URL, 500);
    for n in 0..payloads {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.advance_to(LADDER - SECOND).await;
}

/// The times of calls to Slack since the pause, in seconds after it.
fn tries_since_the_pause(world: &World) -> Vec<i64> {
    let pause = start().as_second() + 4860;
    let tries = world.receivers.calls(SLACK).into_iter().map(|seen| seen.at.as_second() - pause);
    tries.filter(|second| *second >= 0).collect()
}

#[tokio::test]
async fn slack_being_down_delays_the_notice_and_never_the_pause() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    about_to_be_paused(&world, 1).await;
    let down = Reply::fails(Class::Timeout, "No answer in time.");
    world.receivers.answers_next(SLACK, [down, 429.into(), 404.into(), 302.into()]);
    world.advance(SECOND).await;
    assert_eq!(world.status(&hook).await, "paused");
    world.advance(HOUR * 24).await;
    assert_eq!(tries_since_the_pause(&world), [0, 5, 35, 155, 755], "no further try after Slack accepted it");
}

/// Deliveries that are held while Slack is down cause no further calls of Slack.
#[tokio::test]
async fn a_notification_that_waits_for_slack_is_not_multiplied_by_what_is_held_meanwhile() {
    let world = World::new().await;
    world.register(URL).await;
    about_to_be_paused(&world, 1).await;
    world.receivers.answers(SLACK, 503);
    world.advance(SECOND).await;
    for n in 0..50 {
        world.publish(&opened(&format!("INC-{n}"))).await;
        world.advance(SECOND).await;
    }
    assert_eq!(tries_since_the_pause(&world), [0, 5, 35]);
    world.advance(HOUR * 24 * 30).await;
    assert_eq!(tries_since_the_pause(&world).len(), 36, "it is given up after 31 hours");
}

/// The other 99 payloads find the webhook paused. They do not change the schedule of the calls of Slack.
#[tokio::test]
async fn a_notification_that_waits_for_slack_is_not_multiplied_by_the_outage_that_caused_it() {
    let world = World::new().await;
    world.register(URL).await;
    about_to_be_paused(&world, 100).await;
    world.receivers.answers(SLACK, 503);
    world.advance(MINUTE * 20).await;
    assert_eq!(tries_since_the_pause(&world), [0, 5, 35, 155, 755]);
}

#[tokio::test]
async fn pausing_by_hand_what_is_paused_already_tells_nobody_again() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    about_to_be_paused(&world, 1).await;
    world.receivers.answers(SLACK, 503);
    world.advance(SECOND).await;
    for _ in 0..10 {
        world.act(&hook, "pause").await;
        world.run_until_idle().await;
    }
    assert_eq!(tries_since_the_pause(&world), [0]);
    assert_eq!(world.webhook(&hook).await["paused"]["reason"], "failures");
}

#[tokio::test]
async fn a_notice_is_not_sent_after_the_webhook_was_resumed() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    about_to_be_paused(&world, 1).await;
    world.receivers.answers_next(SLACK, [503, 503]);
    world.advance(SECOND * 2).await;
    world.receivers.answers(URL, 200);
    world.act(&hook, "resume").await;
    world.advance(HOUR * 24).await;
    assert_eq!(world.pause_notifications().len(), 1, "only the one that failed");
}

#[tokio::test]
async fn a_notice_that_comes_twice_is_sent_once() {
    let world = World::new().await;
    world.register(URL).await;
    world.receivers.answers(URL, 410);
    world.publish(&opened("A")).await;
    let notification = loop {
        let next = world.next_message().await.expect("a message for the notification");
        if matches!(next.message, statuspulse_core::message::Message::Notify(_)) {
            break next;
        }
        world.work_on(next).await;
    };
    let (one, two) = (notification.message.clone(), notification.message.clone());
    let (one, two) = tokio::join!(world.services.worker.handle(one), world.services.worker.handle(two));
    one.and(two).unwrap();
    world.work_on_and_crash(notification).await;
    world.advance(HOUR).await;
    assert_eq!(world.pause_notifications().len(), 1);
}

#[tokio::test]
async fn without_a_slack_address_a_webhook_is_paused_all_the_same() {
    let world = World::with(1, |deployment| deployment.slack = None).await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    world.advance(HOUR * 24).await;
    assert_eq!((world.status(&hook).await.as_str(), world.attempts(URL).len()), ("paused", 5));
    assert!(world.pause_notifications().is_empty());
}

#[tokio::test]
async fn a_pause_by_hand_is_manual_and_tells_nobody() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let paused = world.act(&hook, "pause").await;
    let expected = json!({"reason": "manual", "since": "2024-03-15T14:22:01Z", "last_error": null});
    assert_eq!((&paused["status"], &paused["paused"]), (&json!("paused"), &expected));
    world.advance(HOUR * 24).await;
    assert!(world.pause_notifications().is_empty());
    let again = world.act(&hook, "pause").await;
    assert_eq!(again["paused"], expected, "a second pause changes nothing");
}

#[tokio::test]
async fn while_paused_whatever_is_due_or_new_is_held_and_nothing_is_lost() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [500]);
    world.publish(&opened("A")).await;
    world.publish(&resolved("A")).await;
    world.run_until_idle().await;
    assert_eq!(world.statuses(&hook).await, ["retrying", "waiting"]);
    world.act(&hook, "pause").await;
    world.run_until_idle().await;
    assert_eq!(world.statuses(&hook).await, ["held", "held"]);
    world.publish(&opened("B")).await;
    world.advance(HOUR * 24).await;
    assert_eq!(world.statuses(&hook).await, ["held"; 3]);
    assert_eq!((world.attempts(URL).len(), &world.webhook(&hook).await["held_deliveries"]), (1, &json!(3)));
}

/// An event behind a held one of its incident is held too, not waiting. It is counted, and a resume that discards held
/// deliveries discards it.
#[tokio::test]
async fn while_paused_all_events_of_one_incident_are_held() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.act(&hook, "pause").await;
    world.run_until_idle().await;
    for payload in [opened("A"), updated("A"), resolved("A")] {
        world.publish(&payload).await;
        world.run_until_idle().await;
    }
    assert_eq!(world.statuses(&hook).await, ["held"; 3]);
    assert_eq!(world.webhook(&hook).await["held_deliveries"], 3);
    let discarded = world.act_with(&hook, "resume", json!({"held": "discard"})).await.expect(200);
    assert_eq!(discarded, json!({"status": "active", "held": 3}));
    world.advance(HOUR).await;
    assert_eq!(world.statuses(&hook).await, ["discarded"; 3]);
    assert!(world.attempts(URL).is_empty());
}

/// The attempt in flight is not interrupted, and its result is recorded.
#[tokio::test]
async fn a_pause_in_the_middle_of_an_attempt_lets_it_end_and_starts_no_other() {
    for (status, expected) in [(200, "delivered"), (500, "held")] {
        let world = World::new().await;
        let hook = world.register(URL).await;
        world.receivers.answers_next(URL, [status]);
        let (api, target) = (world.with_key(&world.key), hook.clone());
        world.receivers.meanwhile(URL, async move {
            api.act(&target, "pause").await;
        });
        world.publish(&opened("A")).await;
        world.publish(&resolved("A")).await;
        world.advance(HOUR * 3).await;
        assert_eq!(world.attempts(URL).len(), 1);
        assert_eq!(world.statuses(&hook).await, [expected, "held"]);
        world.act(&hook, "resume").await;
        world.advance(MINUTE).await;
        assert_eq!(world.statuses(&hook).await, ["delivered"; 2]);
    }
}
