//! Rules 6.5 and 6.7: resume, discard and delete.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_core::limits::DRAIN_PAGE_MAX;

use crate::support::*;

/// Creates a paused webhook with this many held deliveries, all of different incidents.
async fn holding(world: &World, count: usize) -> Hook {
    let hook = world.register(URL).await;
    world.act(&hook, "pause").await;
    for n in 0..count {
        world.publish(&opened(&format!("INC-{n:04}"))).await;
    }
    world.run_until_idle().await;
    assert_eq!(world.webhook(&hook).await["held_deliveries"], count);
    hook
}

/// The number of attempts in each second, starting with the second `from`.
fn rate(world: &World, from: i64) -> Vec<usize> {
    let mut rate = vec![];
    for second in world.seconds(URL).into_iter().filter(|second| *second >= from) {
        let slot = usize::try_from(second - from).unwrap();
        if rate.len() <= slot {
            rate.resize(slot + 1, 0);
        }
        rate[slot] += 1;
    }
    rate
}

#[tokio::test]
async fn a_resume_drains_a_thousand_oldest_first_at_a_bounded_rate_and_each_once() {
    let world = World::new().await;
    let hook = holding(&world, 1000).await;
    world.advance(HOUR).await;
    let resumed = world.act(&hook, "resume").await;
    assert_eq!(resumed, json!({"status": "active", "held": 1000}));
    world.run_until_idle().await;
    assert_eq!(
        world.attempts(URL).len(),
        1,
        "the first is due at once, the others of its page within the second"
    );
    world.advance(MINUTE).await;
    assert_eq!(rate(&world, 3600), [10, 20, 40, 80, 100, 100, 100, 100, 100, 100, 100, 100, 50]);
    let sent = world.attempts(URL);
    let bodies: Vec<_> = sent.iter().map(|seen| seen.text().to_owned()).collect();
    assert!(bodies.is_sorted(), "oldest first");
    assert_eq!(bodies.iter().collect::<HashSet<_>>().len(), 1000);
    assert_eq!(world.webhook(&hook).await["held_deliveries"], 0);
}

#[tokio::test]
async fn a_resumed_webhook_starts_with_a_clean_slate_and_a_ladder_of_its_own() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    world.advance(HOUR * 2).await;
    world.act(&hook, "resume").await;
    let shown = world.webhook(&hook).await;
    assert_eq!((&shown["status"], &shown["consecutive_failures"]), (&json!("active"), &json!(0)));
    assert_eq!((&shown["paused"], &shown["failing_since"]), (&Value::Null, &Value::Null));
    world.advance(HOUR * 2).await;
    let times = [0, 60, 360, 1260, 4860].map(|second| second + 7200);
    assert_eq!(world.seconds(URL)[5..], times);
    let numbers: Vec<_> = world.attempts(URL).iter().map(Seen::attempt).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
    assert_eq!(world.status(&hook).await, "paused");
    assert_eq!(world.pause_notifications().len(), 2, "one notification for each pause");
    assert_eq!(world.deliveries(&hook).await[0]["attempts"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn resuming_twice_delivers_once() {
    let world = World::new().await;
    let hook = holding(&world, 35).await;
    assert_eq!(world.act(&hook, "resume").await["held"], 35);
    assert_eq!(world.act(&hook, "resume").await, json!({"status": "active", "held": 0}));
    world.run_until_idle().await;
    world.act(&hook, "resume").await;
    world.advance(MINUTE).await;
    assert_eq!(rate(&world, 0), [10, 20, 5], "the second resume does not make it faster");
    world.act(&hook, "resume").await;
    world.advance(HOUR).await;
    assert_eq!(world.attempts(URL).len(), 35);
}

#[tokio::test]
async fn what_becomes_of_what_a_resume_releases_is_counted_for_that_resume() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let of_resume = async || {
        let stats = world.get(&format!("/v1/webhooks/{}/stats", hook.id)).await.expect(200);
        stats["resume"].clone()
    };
    assert_eq!(of_resume().await, json!(null));
    world.act(&hook, "pause").await;
    for n in 0..3 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.run_until_idle().await;
    let first = world.now();
    world.act(&hook, "resume").await;
    world.advance(SECOND * 10).await;
    // What was not held is not part of it.
    world.publish(&opened("INC-9")).await;
    world.run_until_idle().await;
    let expected = json!({"at": first.to_string(), "delivered": 3, "failed_attempts": 0, "given_up": 0});
    assert_eq!(of_resume().await, expected);

    world.act(&hook, "pause").await;
    world.publish(&opened("INC-4")).await;
    world.run_until_idle().await;
    world.receivers.answers(URL, 500);
    let second = world.now();
    world.act(&hook, "resume").await;
    world.advance(SECOND * 10).await;
    let expected = json!({"at": second.to_string(), "delivered": 0, "failed_attempts": 1, "given_up": 0});
    assert_eq!(of_resume().await, expected);
    let browser = world.browser().await;
    let page = browser.open(&format!("/dashboard/webhooks/{}", hook.id)).await.expect(200);
    page.says("has ended").says("0 delivered, 1 failed attempt, 0 given up");
    world.receivers.answers(URL, 200);
    world.advance(MINUTE).await;
    assert_eq!(of_resume().await["delivered"], 1);
    assert_eq!(world.get("/v1/stats").await.expect(200)["resume"], json!(null));
}

#[tokio::test]
async fn two_resumes_at_once_deliver_once() {
    let world = World::new().await;
    let hook = holding(&world, 35).await;
    let (one, two) = tokio::join!(world.act(&hook, "resume"), world.act(&hook, "resume"));
    assert_eq!((&one["status"], &two["status"]), (&json!("active"), &json!("active")));
    world.advance(MINUTE).await;
    assert_eq!(rate(&world, 0), [10, 20, 5]);
}

#[tokio::test]
async fn a_resume_that_discards_drops_what_is_held_and_delivers_what_comes_after() {
    let world = World::new().await;
    let hook = holding(&world, 450).await;
    world.publish(&resolved("INC-0000")).await;
    world.run_until_idle().await;
    let resumed = world.act_with(&hook, "resume", json!({"held": "discard"})).await.expect(200);
    assert_eq!(resumed, json!({"status": "active", "held": 451}));
    world.publish(&opened("NEW")).await;
    world.advance(HOUR).await;
    let statuses = world.statuses(&hook).await;
    assert!(statuses[..451].iter().all(|status| status == "discarded"));
    assert_eq!(statuses[451..], ["delivered"]);
    assert_eq!(world.attempts(URL).len(), 1);
}

#[tokio::test]
async fn an_unknown_choice_is_422_and_the_webhook_stays_paused() {
    let world = World::new().await;
    let hook = holding(&world, 1).await;
    assert_eq!(world.act_with(&hook, "resume", json!({"held": "drop"})).await.refused(), ["/held"]);
    assert_eq!(world.status(&hook).await, "paused");
}

#[tokio::test]
async fn a_pause_in_the_middle_of_a_drain_holds_the_rest_and_a_resume_goes_on() {
    let world = World::new().await;
    let hook = holding(&world, 100).await;
    world.act(&hook, "resume").await;
    world.advance(SECOND).await;
    assert_eq!(world.attempts(URL).len(), 11);
    world.act(&hook, "pause").await;
    world.advance(HOUR).await;
    assert_eq!((world.attempts(URL).len(), &world.webhook(&hook).await["held_deliveries"]), (11, &json!(89)));
    assert_eq!(world.act(&hook, "resume").await["held"], 89);
    world.advance(MINUTE).await;
    assert_eq!(rate(&world, 3601), [10, 20, 40, 19], "the rate starts at the lowest again");
    assert!(world.statuses(&hook).await.iter().all(|status| status == "delivered"));
}

/// While the webhook fails, deliveries are sent one at a time, with doubling waits.
#[tokio::test]
async fn a_receiver_that_fails_again_during_the_drain_gets_one_delivery_at_a_time() {
    let world = World::new().await;
    let hook = holding(&world, 100).await;
    world.act(&hook, "resume").await;
    world.run_until_idle().await;
    world.receivers.answers(URL, 500);
    world.advance(Duration::from_secs(40)).await;
    let second_page = rate(&world, 0);
    assert_eq!(second_page[..2], [10, 1]);
    assert_eq!(world.seconds(URL)[10..], [1, 6, 16, 36]);
    world.receivers.answers(URL, 200);
    world.advance(HOUR * 2).await;
    assert!(world.statuses(&hook).await.iter().all(|status| status == "delivered"));
    assert_eq!(world.status(&hook).await, "active");
}

#[tokio::test]
async fn a_receiver_that_stays_down_after_a_resume_is_paused_again_and_keeps_the_rest() {
    let world = World::new().await;
    let hook = holding(&world, 500).await;
    world.receivers.answers(URL, 500);
    world.act(&hook, "resume").await;
    world.advance(HOUR * 3).await;
    let shown = world.webhook(&hook).await;
    assert_eq!((&shown["status"], &shown["held_deliveries"]), (&json!("paused"), &json!(500)));
    assert_eq!(world.pause_notifications().len(), 1);
    let probed = world.attempts(URL).iter().map(|seen| seen.event_id().to_owned()).collect::<HashSet<_>>();
    assert!(probed.len() < 50, "{} of 500 deliveries were attempted", probed.len());
}

#[tokio::test]
async fn one_poison_payload_among_the_held_does_not_stop_the_rest() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.act(&hook, "pause").await;
    let poison = world.publish(&opened("POISON")).await;
    world.receivers.answers_event(URL, &poison, 422);
    for n in 0..60 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.run_until_idle().await;
    world.act(&hook, "resume").await;
    world.advance(MINUTE).await;
    let statuses = world.statuses(&hook).await;
    assert_eq!(statuses[0], "retrying");
    assert!(statuses[1..].iter().all(|status| status == "delivered"));
}

/// The old retry messages become due during the drain. They belong to the round before the pause and are ignored: only
/// the drain decides when held deliveries are sent.
#[tokio::test]
async fn messages_from_before_the_pause_do_not_get_past_the_drains_rate() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    for n in 0..400 {
        world.publish(&opened(&format!("INC-{n:04}"))).await;
    }
    world.run_until_idle().await;
    world.receivers.answers(URL, 200);
    world.act(&hook, "pause").await;
    world.advance_to(MINUTE - SECOND).await;
    assert_eq!(world.webhook(&hook).await["held_deliveries"], 400);
    world.act(&hook, "resume").await;
    world.advance(MINUTE).await;
    let rate = rate(&world, 59);
    assert!(rate.iter().all(|count| *count <= DRAIN_PAGE_MAX), "{rate:?}");
    assert_eq!(rate, [10, 20, 40, 80, 100, 100, 50]);
    assert!(world.statuses(&hook).await.iter().all(|status| status == "delivered"));
}

#[tokio::test]
async fn events_that_come_while_a_drain_goes_on_are_delivered_at_once() {
    let world = World::new().await;
    let hook = holding(&world, 200).await;
    world.act(&hook, "resume").await;
    world.run_until_idle().await;
    let new = world.publish(&opened("NEW")).await;
    world.run_until_idle().await;
    assert_eq!(world.delivery(&hook, &new).await["status"], "delivered");
    assert_eq!(world.attempts(URL).len(), 2, "the first held one and the new one");
}

#[tokio::test]
async fn a_drain_goes_on_after_a_restart() {
    let world = World::new().await;
    let hook = holding(&world, 100).await;
    world.act(&hook, "resume").await;
    world.advance(SECOND).await;
    let world = world.restart().await;
    world.advance(MINUTE).await;
    assert_eq!(world.attempts(URL).len(), 100);
    assert!(world.statuses(&hook).await.iter().all(|status| status == "delivered"));
}

/// The statuses of a deleted webhook's deliveries, read from the store because the API answers 404.
async fn kept(world: &World, events: &[String], hook: &Hook) -> Vec<&'static str> {
    use statuspulse_core::ids::DeliveryId;
    let webhook = hook.id.parse().unwrap();
    let mut statuses = vec![];
    for event in events {
        let event = world.services.admin.deliveries.event(event.parse().unwrap()).await.unwrap().unwrap();
        let id = DeliveryId::derive(event.id, event.accepted_at, webhook);
        statuses.push(
            world.services.admin.deliveries.delivery(&[webhook], id).await.unwrap().unwrap().status().name(),
        );
    }
    statuses
}

#[tokio::test]
async fn deleting_a_webhook_ends_its_deliveries_the_scheduled_waiting_and_held_ones_too() {
    for paused in [false, true] {
        let world = World::new().await;
        let hook = world.register(URL).await;
        world.receivers.answers_next(URL, [200, 500, 500]);
        let mut events = vec![];
        for payload in [opened("A"), opened("B"), opened("C"), resolved("C")] {
            events.push(world.publish(&payload).await);
        }
        world.run_until_idle().await;
        if paused {
            world.act(&hook, "pause").await;
            world.run_until_idle().await;
        }
        world.delete(&format!("/v1/webhooks/{}", hook.id)).await.expect(204);
        world.advance(HOUR * 24).await;
        assert_eq!(world.attempts(URL).len(), 3);
        assert_eq!(kept(&world, &events, &hook).await, ["delivered", "cancelled", "cancelled", "cancelled"]);
        assert!(world.pause_notifications().is_empty());
    }
}

#[tokio::test]
async fn deleting_a_webhook_in_the_middle_of_an_attempt_lets_it_end_and_starts_no_other() {
    for (status, expected) in [(200, "delivered"), (500, "cancelled")] {
        let world = World::new().await;
        let hook = world.register(URL).await;
        world.receivers.answers_next(URL, [status]);
        let (api, path) = (world.with_key(&world.key), format!("/v1/webhooks/{}", hook.id));
        world.receivers.meanwhile(URL, async move {
            api.delete(&path).await.expect(204);
        });
        let events = [world.publish(&opened("A")).await, world.publish(&resolved("A")).await];
        world.advance(HOUR * 3).await;
        assert_eq!(world.attempts(URL).len(), 1);
        assert_eq!(kept(&world, &events, &hook).await, [expected, "cancelled"]);
    }
}

#[tokio::test]
async fn deleting_a_webhook_in_the_middle_of_a_drain_ends_it() {
    let world = World::new().await;
    let hook = holding(&world, 500).await;
    world.act(&hook, "resume").await;
    world.advance(SECOND).await;
    world.delete(&format!("/v1/webhooks/{}", hook.id)).await.expect(204);
    world.advance(HOUR).await;
    assert_eq!(world.attempts(URL).len(), 11);
}
