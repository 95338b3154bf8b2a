//! Concurrency: many attempts, changes and jobs at the same time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use serde_json::{Value, json};
use statuspulse_core::attempt::Began;
use statuspulse_core::ids::DeliveryId;
use tokio::sync::Notify;

use crate::support::*;

type Attempt<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Starts up to this many attempts and leaves them in flight, as if their receivers hung.
async fn hanging(world: &World, count: usize) -> Vec<Attempt<'_>> {
    let mut hanging: Vec<Attempt<'_>> = vec![];
    while hanging.len() < count
        && let Some(received) = world.next_message().await
    {
        let mut attempt: Attempt<'_> = Box::pin(world.work_on(received));
        assert_eq!(attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
        hanging.push(attempt);
    }
    hanging
}

/// Leaves 251 attempts in flight, more than a page of a job, among them those of INC-0 to INC-249. A webhook gets this
/// many slots only if it has succeeded before and was never idle since.
async fn hundreds_hanging(world: &World) -> Vec<Attempt<'_>> {
    world.publish(&opened("FIRST")).await;
    let mut stuck = hanging(world, 1).await;
    for n in 0..250 {
        world.publish(&opened(&format!("WELL-{n}"))).await;
    }
    world.run_until_idle().await;
    for n in 0..250 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.receivers.answers(URL, 500);
    stuck.extend(hanging(world, 250).await);
    assert_eq!(stuck.len(), 251);
    stuck
}

/// A receiver that hangs occupies only its webhook's share of the slots.
#[tokio::test]
async fn a_receiver_that_hangs_does_not_hold_up_the_others() {
    let world = World::new().await;
    let bad = world.register_with(URL, json!({"monitor_groups": ["bad"]})).await;
    let good = world.register_with(OTHER, json!({"monitor_groups": ["good"]})).await;
    for n in 0..2000 {
        world.publish_with(&opened(&format!("INC-{n}")), &["bad"], None).await.expect(202);
    }
    let stuck = hanging(&world, 2000).await;
    assert!(stuck.len() < 600, "{} of its messages are in progress, more than its share", stuck.len());
    for n in 0..9 {
        world.publish_with(&opened(&format!("INC-{n}")), &["good"], None).await.expect(202);
    }
    world.run_until_idle().await;
    assert_eq!(world.statuses(&good).await, ["delivered"; 9]);
    all_of(stuck).await;
    world.run_until_idle().await;
    assert!(world.statuses(&bad).await.iter().all(|status| status == "delivered"));
    assert_eq!(world.attempts(URL).len(), 2000);
}

/// With 32 concurrent workers the streak still goes up one rung at a time, and there is one pause.
#[tokio::test]
async fn a_hundred_payloads_that_fail_at_the_same_moment_in_many_workers_are_one_outage() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    for n in 0..100 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    let mut streaks = vec![];
    loop {
        world.run_until_idle_with(32).await;
        streaks.push(world.webhook(&hook).await["consecutive_failures"].as_u64().unwrap());
        if !world.skip_to_next().await {
            break;
        }
    }
    streaks.dedup();
    assert_eq!(streaks, [0, 1, 2, 3, 4]);
    let of_fifth = world.attempts(URL).iter().filter(|seen| seen.attempt() == 5).count();
    assert!((1..=32).contains(&of_fifth), "{of_fifth} fifth attempts: only those in flight at the pause");
    assert_eq!((world.pause_notifications().len(), *world.metrics.pauses.lock().unwrap()), (1, 1));
    assert_eq!(world.statuses(&hook).await, ["held"; 100]);
}

/// More attempts hang than fit a page of the hold job. The deliveries behind them are held nevertheless.
#[tokio::test]
async fn a_pause_while_hundreds_of_attempts_hang_holds_what_is_behind_them() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let stuck = hundreds_hanging(&world).await;
    world.publish(&resolved("INC-0")).await;
    world.publish(&resolved("INC-249")).await;
    world.act(&hook, "pause").await;
    world.run_until_idle().await;
    all_of(stuck).await;
    world.advance(MINUTE).await;
    let statuses = world.statuses(&hook).await;
    let count = |status| statuses.iter().filter(|other| **other == status).count();
    // The first one and the 250 after it succeeded.
    assert_eq!((count("delivered"), count("held"), statuses.len()), (251, 252, 503));
    assert_eq!(world.webhook(&hook).await["held_deliveries"], 252);
}

#[tokio::test]
async fn a_delete_while_hundreds_of_attempts_hang_ends_what_is_behind_them() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let stuck = hundreds_hanging(&world).await;
    let last = world.publish(&resolved("INC-249")).await;
    world.delete(&format!("/v1/webhooks/{}", hook.id)).await.expect(204);
    world.run_until_idle().await;
    all_of(stuck).await;
    world.advance(HOUR * 3).await;
    let webhook = hook.id.parse().unwrap();
    let event = world.services.admin.deliveries.event(last.parse().unwrap()).await.unwrap().unwrap();
    let id = DeliveryId::derive(event.id, event.accepted_at, webhook);
    let delivery = world.services.admin.deliveries.delivery(&[webhook], id).await.unwrap().unwrap();
    assert_eq!(delivery.status().name(), "cancelled");
    assert_eq!(world.attempts(URL).len(), 501);
}

/// An attempt is in flight while its webhook is paused and resumed. Its delivery continues its ladder and is not sent
/// twice.
#[tokio::test]
async fn a_pause_and_a_resume_in_the_middle_of_an_attempt_make_no_second_one_of_it() {
    for status in [200, 500] {
        let world = World::new().await;
        let hook = world.register(URL).await;
        world.receivers.answers_next(URL, [status]);
        let (api, target) = (world.with_key(&world.key), hook.clone());
        world.receivers.meanwhile(URL, async move {
            api.act(&target, "pause").await;
            api.act(&target, "resume").await;
        });
        world.publish(&opened("A")).await;
        world.advance(HOUR).await;
        assert_eq!(world.statuses(&hook).await, ["delivered"]);
        assert_eq!(world.attempts(URL).len(), if status == 200 { 1 } else { 2 });
    }
}

/// Runs `work` until right before its next write of this kind. It continues when the returned `Notify` is notified.
async fn stopped_before<'a>(
    world: &'a World,
    write: Write,
    mut work: Attempt<'a>,
) -> (Attempt<'a>, Arc<Notify>) {
    let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (signal, awaited) = (reached.clone(), go_on.clone());
    world.fuse.before(write, async move {
        signal.notify_one();
        awaited.notified().await;
    });
    tokio::select! {
        () = &mut work => panic!("it ended without a write of {write:?}"),
        () = reached.notified() => {}
    }
    (work, go_on)
}

/// A worker reads that the webhook is paused and then stalls. Meanwhile the webhook is resumed and its drain ends. When
/// the worker holds the delivery afterwards, it must also start a release.
#[tokio::test]
async fn a_delivery_that_is_held_after_the_end_of_the_drain_is_released() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.act(&hook, "pause").await;
    world.run_until_idle().await;
    world.publish(&opened("A")).await;
    let received = world.next_message().await.unwrap();
    let (work, go_on) = stopped_before(&world, Write::Held, Box::pin(world.work_on(received))).await;
    world.act(&hook, "resume").await;
    world.advance(MINUTE).await;
    go_on.notify_one();
    work.await;
    world.advance(MINUTE).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"]);
}

/// The same with the worker of the hold job. It stalls before it holds a delivery that waits behind an attempt in
/// flight.
#[tokio::test]
async fn a_delivery_that_a_hold_job_holds_after_the_end_of_the_drain_is_released() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let answer = Arc::new(Notify::new());
    let answered = answer.clone();
    world.receivers.meanwhile(URL, async move { answered.notified().await });
    world.publish(&opened("A")).await;
    let mut in_flight = hanging(&world, 1).await;
    world.publish(&resolved("A")).await;
    world.act(&hook, "pause").await;
    let page = world.next_message().await.unwrap();
    let (work, go_on) = stopped_before(&world, Write::Held, Box::pin(world.work_on(page))).await;
    world.act(&hook, "resume").await;
    world.advance(SECOND * 2).await;
    go_on.notify_one();
    work.await;
    answer.notify_one();
    in_flight.remove(0).await;
    world.advance(MINUTE * 2).await;
    assert_eq!(world.statuses(&hook).await, ["delivered", "delivered"]);
}

/// The event was stored, but its publisher got an error and does not repeat the call. The next event of the incident,
/// which was accepted, must not wait for ever behind it.
#[tokio::test]
async fn an_event_behind_one_whose_publisher_died_does_not_wait_for_another() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.fuse.lose_answer();
    assert_eq!(world.publish_with(&opened("A"), &[], None).await.status.as_u16(), 503);
    world.publish(&resolved("A")).await;
    world.advance(HOUR).await;
    assert_eq!(world.statuses(&hook).await, ["delivered", "delivered"]);
    let attempts = world.attempts(URL);
    let arrived: Vec<_> = attempts.iter().map(Seen::event).collect();
    assert_eq!(arrived, ["incident_opened", "incident_resolved"]);
}

/// The webhook was deleted, but the caller got an error. When it repeats the call, the webhook no longer exists.
#[tokio::test]
async fn a_delete_that_was_cut_off_cancels_all_the_same() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.act(&hook, "pause").await;
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let id = hook.id.parse().unwrap();
    world.fuse.lose_answer();
    let path = format!("/v1/webhooks/{}", hook.id);
    assert_eq!(world.delete(&path).await.status.as_u16(), 503);
    world.run_until_idle().await;
    assert_eq!(world.services.admin.deliveries.held(id).await.unwrap(), 0);
    assert_eq!(world.delete(&path).await.status.as_u16(), 404);
}

/// A redelivery reads that the webhook is paused, and holds the delivery after the webhook was resumed and drained. The
/// caller gets an error and repeats the call.
#[tokio::test]
async fn a_redelivery_that_is_held_too_late_is_released_when_the_call_is_repeated() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let id = text(&world.deliveries(&hook).await[0]["id"]).to_owned();
    let path = format!("/v1/webhooks/{}/deliveries/{id}/redeliver", hook.id);
    world.act(&hook, "pause").await;
    world.run_until_idle().await;
    let ask = async { assert_eq!(world.post(&path, &Value::Null).await.status.as_u16(), 503) };
    let (asked, go_on) = stopped_before(&world, Write::Held, Box::pin(ask)).await;
    world.act(&hook, "resume").await;
    world.advance(MINUTE).await;
    world.fuse.lose_answer();
    go_on.notify_one();
    asked.await;
    assert_eq!(world.statuses(&hook).await, ["held"]);
    assert_eq!(world.post(&path, &Value::Null).await.status.as_u16(), 409);
    world.advance(MINUTE).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"]);
    assert_eq!(world.attempts(URL).len(), 2);
}

/// A delivery is held between the last query of the drain and its end. The worker sees a running drain, so the drain
/// must query once more.
#[tokio::test]
async fn a_delivery_that_is_held_between_the_drains_last_query_and_its_end_is_released() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.act(&hook, "pause").await;
    world.run_until_idle().await;
    world.publish(&opened("A")).await;
    let received = world.next_message().await.unwrap();
    let (work, go_on) = stopped_before(&world, Write::Held, Box::pin(world.work_on(received))).await;
    world.act(&hook, "resume").await;
    let drain = world.next_message().await.unwrap();
    let (drain, end) = stopped_before(&world, Write::Webhook, Box::pin(world.work_on(drain))).await;
    go_on.notify_one();
    work.await;
    assert_eq!(world.statuses(&hook).await, ["held"]);
    end.notify_one();
    drain.await;
    world.advance(MINUTE).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"]);
}

/// A ladder that began before a pause by hand ends after the resume. The resume resets the streak, but no payload got
/// through: the delivery is held and sent again, and not given up as poison.
#[tokio::test]
async fn a_receiver_that_is_down_through_a_pause_by_hand_loses_nothing() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    world.advance_to(MINUTE * 30).await;
    world.act(&hook, "pause").await;
    world.act(&hook, "resume").await;
    world.advance(HOUR * 24).await;
    assert_eq!(
        (world.status(&hook).await.as_str(), world.statuses(&hook).await),
        ("paused", vec!["held".to_owned()])
    );
}

/// Each attempt is counted in both metrics.
#[tokio::test]
async fn every_attempt_is_counted_as_begun_and_as_ended() {
    let world = World::new().await;
    world.register(URL).await;
    world.receivers.answers_next(URL, [500, 200, 404, 200]);
    for n in 0..20 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.advance(HOUR).await;
    let attempts = world.attempts(URL);
    assert_eq!(world.metrics.began.lock().unwrap().len(), attempts.len());
    assert_eq!(world.metrics.ended.lock().unwrap().len(), attempts.len());
    let first =
        world.metrics.began.lock().unwrap().iter().filter(|began| matches!(began, Began::First(_))).count();
    assert_eq!((first, attempts.len()), (20, 22));
}
