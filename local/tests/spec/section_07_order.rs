//! Section 7 of docs/behaviour.md: the order of an incident's events.

use std::time::Duration;

use serde_json::json;

use crate::support::*;

fn events(world: &World) -> Vec<String> {
    world.attempts(URL).iter().map(|seen| seen.event().to_owned()).collect()
}

#[tokio::test]
async fn a_resolved_waits_for_an_opened_that_is_retried_and_goes_at_once_when_that_is_delivered() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [500, 500]);
    world.publish(&opened("A")).await;
    world.publish(&updated("A")).await;
    world.publish(&resolved("A")).await;
    world.run_until_idle().await;
    assert_eq!(world.statuses(&hook).await, ["retrying", "waiting", "waiting"]);
    assert!(world.deliveries(&hook).await[1]["next_attempt_at"].is_null());
    world.advance(HOUR).await;
    let opened = "incident_opened";
    assert_eq!(events(&world), [opened, opened, opened, "incident_updated", "incident_resolved"]);
    assert_eq!(world.seconds(URL), [0, 60, 360, 360, 360]);
    assert_eq!(world.statuses(&hook).await, ["delivered"; 3]);
}

#[tokio::test]
async fn it_also_goes_at_once_when_the_one_before_it_has_failed_for_good() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let poison = world.publish(&opened("A")).await;
    world.receivers.answers_event(URL, &poison, 422);
    world.publish(&resolved("A")).await;
    world.advance(MINUTE).await;
    world.publish(&opened("B")).await;
    world.advance_to(HOUR * 3).await;
    assert_eq!(world.statuses(&hook).await, ["failed", "delivered", "delivered"]);
    let resolved = world.attempts(URL).pop().unwrap();
    assert_eq!(
        (resolved.event(), resolved.at.as_second() - start().as_second()),
        ("incident_resolved", 4860)
    );
}

#[tokio::test]
async fn other_incidents_are_not_held_up() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let stuck = world.publish(&opened("A")).await;
    world.receivers.answers_event(URL, &stuck, 500);
    world.publish(&resolved("A")).await;
    world.publish(&opened("B")).await;
    world.publish(&resolved("B")).await;
    world.publish(&opened("a")).await;
    world.run_until_idle().await;
    let expected = ["retrying", "waiting", "delivered", "delivered", "delivered"];
    assert_eq!(world.statuses(&hook).await, expected);
}

#[tokio::test]
async fn the_same_incident_of_another_webhook_is_a_lane_of_its_own() {
    let world = World::new().await;
    world.register(URL).await;
    let well = world.register(OTHER).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    world.publish(&resolved("A")).await;
    world.run_until_idle().await;
    assert_eq!(world.statuses(&well).await, ["delivered", "delivered"]);
    assert_eq!(events(&world), ["incident_opened"]);
}

#[tokio::test]
async fn order_holds_through_a_pause_and_its_drain() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    for incident in ["A", "B", "C"] {
        world.publish(&opened(incident)).await;
        world.publish(&updated(incident)).await;
    }
    world.advance(HOUR * 2).await;
    assert_eq!(world.status(&hook).await, "paused");
    for incident in ["A", "B", "C"] {
        world.publish(&resolved(incident)).await;
    }
    world.run_until_idle().await;
    let before = world.attempts(URL).len();
    world.receivers.answers(URL, 200);
    world.act(&hook, "resume").await;
    world.advance(MINUTE).await;
    let drained = world.attempts(URL).split_off(before);
    assert_eq!(drained.len(), 9);
    for incident in ["A", "B", "C"] {
        let name = format!(r#""incident_id":"{incident}""#);
        let lane: Vec<_> =
            drained.iter().filter(|seen| seen.text().contains(&name)).map(|seen| seen.event()).collect();
        assert_eq!(lane, ["incident_opened", "incident_updated", "incident_resolved"]);
    }
}

/// The drain releases the whole lane in one page. Only its first delivery is attempted until it is delivered.
#[tokio::test]
async fn a_lane_whose_head_fails_again_during_the_drain_waits_for_it() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.act(&hook, "pause").await;
    for payload in [opened("A"), updated("A"), resolved("A")] {
        world.publish(&payload).await;
    }
    world.run_until_idle().await;
    assert_eq!(world.statuses(&hook).await, ["held"; 3]);
    world.receivers.answers_next(URL, [500, 500]);
    world.act(&hook, "resume").await;
    world.run_until_idle().await;
    assert_eq!(world.statuses(&hook).await, ["retrying", "waiting", "waiting"]);
    world.advance(HOUR).await;
    let opened = "incident_opened";
    assert_eq!(events(&world), [opened, opened, opened, "incident_updated", "incident_resolved"]);
    assert_eq!(world.seconds(URL), [0, 60, 360, 360, 360]);
}

#[tokio::test]
async fn an_event_that_comes_during_the_drain_waits_for_the_older_ones_of_its_incident() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.act(&hook, "pause").await;
    for n in 0..30 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.run_until_idle().await;
    world.act(&hook, "resume").await;
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL).len(), 1);
    world.publish(&resolved("INC-29")).await;
    world.publish(&opened("NEW")).await;
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL).len(), 2, "the new incident is sent at once, the old one keeps its order");
    world.advance(MINUTE).await;
    let lane: Vec<_> =
        world.attempts(URL).into_iter().filter(|seen| seen.text().contains("INC-29")).collect();
    assert_eq!(lane.iter().map(Seen::event).collect::<Vec<_>>(), ["incident_opened", "incident_resolved"]);
    assert_eq!(world.attempts(URL).len(), 32);
}

#[tokio::test]
async fn a_later_event_never_starts_while_an_earlier_one_is_in_flight() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.publish(&opened("A")).await;
    let api = world.with_key(&world.key);
    world.receivers.meanwhile(URL, async move {
        api.publish(&resolved("A")).await;
    });
    let first = world.next_message().await.unwrap();
    world.work_on(first).await;
    assert_eq!(world.attempts(URL).len(), 1);
    assert_eq!(world.statuses(&hook).await[0], "delivered");
    world.run_until_idle().await;
    assert_eq!(events(&world), ["incident_opened", "incident_resolved"]);
}

#[tokio::test]
async fn a_lane_of_a_hundred_drains_in_order_when_its_head_gets_through() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [500]);
    for n in 0..100 {
        let numbered = updated("A").replace("Cache", &format!("{n:03} Cache"));
        world.publish(&numbered).await;
    }
    world.advance(MINUTE).await;
    let bodies: Vec<_> = world.attempts(URL).iter().skip(1).map(|seen| seen.text().to_owned()).collect();
    let mut sorted = bodies.clone();
    sorted.sort_unstable();
    assert_eq!((bodies.len(), &bodies), (100, &sorted));
    assert!(world.statuses(&hook).await.iter().all(|status| status == "delivered"));
}

/// The redelivery does not change deliveries that are finished. New events of the incident wait for it.
#[tokio::test]
async fn a_redelivery_by_hand_does_not_disturb_what_follows_it() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let first = world.publish(&opened("A")).await;
    world.publish(&resolved("A")).await;
    world.run_until_idle().await;
    let id = world.delivery(&hook, &first).await["id"].clone();
    let path = format!("/v1/webhooks/{}/deliveries/{}/redeliver", hook.id, text(&id));
    world.receivers.answers_next(URL, [500]);
    world.post(&path, &json!(null)).await.expect(202);
    world.run_until_idle().await;
    world.publish(&updated("A")).await;
    world.run_until_idle().await;
    assert_eq!(world.statuses(&hook).await, ["retrying", "delivered", "waiting"]);
    world.advance(Duration::from_secs(60)).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 3]);
}
