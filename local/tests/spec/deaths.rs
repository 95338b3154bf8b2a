//! Crashes: between sending and recording, between recording and settling the message, and between any two writes.
//! What was answered is not lost, and the next process completes what was begun.

use std::sync::Arc;

use serde_json::json;
use statuspulse_core::message::QueueName;
use tokio::sync::Notify;

use crate::support::*;

/// After such a crash the attempt is repeated (I7).
#[tokio::test]
async fn a_death_between_sending_and_recording_sends_the_same_attempt_once_more() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.publish(&opened("A")).await;
    let sent = Arc::new(Notify::new());
    let reached = sent.clone();
    world.receivers.meanwhile(URL, async move {
        reached.notify_one();
        std::future::pending::<()>().await;
    });
    let received = world.next_message().await.unwrap();
    tokio::select! {
        _ = world.services.worker.handle(received.message.clone()) => panic!("the attempt must not end"),
        () = sent.notified() => {}
    }
    drop(received);
    let world = world.restart().await;
    world.advance(HOUR).await;
    let [first, second] = <[Seen; 2]>::try_from(world.attempts(URL)).unwrap();
    assert_eq!((first.attempt(), second.attempt()), (1, 1));
    assert_eq!(first.body, second.body);
    for id in ["webhook-id", "X-StatusPulse-Delivery-Id"] {
        assert_eq!(first.header(id), second.header(id));
    }
    assert_eq!(world.statuses(&hook).await, ["delivered"]);
}

#[tokio::test]
async fn a_death_after_recording_and_before_the_message_was_done_changes_nothing() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    world.publish(&resolved("A")).await;
    loop {
        while let Some(received) = world.next_message().await {
            world.work_on_and_crash(received).await;
            // The message is redelivered and settled.
            world.advance(SECOND * 2).await;
        }
        if !world.skip_to_next().await {
            break;
        }
    }
    let numbers: Vec<_> = world.attempts(URL).iter().map(Seen::attempt).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(world.statuses(&hook).await, ["held", "held"]);
    assert_eq!((world.pause_notifications().len(), world.dead_letters().await), (1, 0));
}

/// One step of a webhook's story. Returns `false` if the store failed, and then the step can be repeated.
async fn step(world: &World, hook: &Hook, step: usize) -> bool {
    let answer = match step {
        0 => world.publish_with(&opened("A"), &[], Some("0")).await,
        1 => world.publish_with(&resolved("A"), &[], Some("1")).await,
        2 => world.publish_with(&opened("B"), &[], Some("2")).await,
        3 => world.act_with(hook, "pause", json!(null)).await,
        4 => world.publish_with(&resolved("B"), &[], Some("4")).await,
        5 => world.act_with(hook, "resume", json!(null)).await,
        _ => world.publish_with(&opened("C"), &[], Some("6")).await,
    };
    let cut_off = answer.status.as_u16() == 503;
    assert!(cut_off || answer.status.is_success(), "{}", answer.text);
    !cut_off
}

/// Runs the whole story with a store that fails after this many writes. Then the process restarts, or continues with a
/// store that works again. Returns whether the story ended before the store failed.
async fn story(writes: usize, process_ends: bool) -> bool {
    let mut world = World::new().await;
    let hook = world.register(URL).await;
    world.publish(&opened("X")).await;
    world.run_until_idle().await;
    world.receivers.answers_next(URL, [500, 500]);
    world.fuse.light(writes);
    for number in 0..7 {
        let mut done = step(&world, &hook, number).await;
        world.run_until_idle().await;
        if world.fuse.is_burnt_out() {
            world = mended(world, process_ends).await;
            if !done {
                done = step(&world, &hook, number).await;
            }
        }
        assert!(done);
        world.advance(SECOND * 10).await;
        if world.fuse.is_burnt_out() {
            world = mended(world, process_ends).await;
        }
    }
    let finished = world.fuse.left().is_some();
    world.fuse.put_out();
    world.advance(HOUR * 3).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 6], "after {writes} writes");
    lanes_in_order(&world, writes);
    assert_eq!(world.dead_letters().await, 0);
    finished
}

async fn mended(world: World, process_ends: bool) -> World {
    if process_ends {
        return world.restart().await;
    }
    world.fuse.put_out();
    world
}

/// I1 to I3, I5 to I7: the process crashes after each write of the story in turn.
#[tokio::test]
async fn a_death_after_any_write_loses_nothing_and_delivers_in_order() {
    let mut writes = 0;
    while !story(writes, true).await {
        writes += 1;
    }
    assert!(writes > 30, "{writes} writes are not the whole story");
}

/// The same without a crash: only the redelivered messages repair what was interrupted.
#[tokio::test]
async fn a_store_that_fails_after_any_write_loses_nothing_and_delivers_in_order() {
    let mut writes = 0;
    while !story(writes, false).await {
        writes += 1;
    }
    assert!(writes > 30, "{writes} writes are not the whole story");
}

fn lanes_in_order(world: &World, writes: usize) {
    for incident in ["A", "B"] {
        let name = format!(r#""incident_id":"{incident}""#);
        let sent = world.attempts(URL);
        let mut lane: Vec<_> =
            sent.iter().filter(|seen| seen.text().contains(&name)).map(Seen::event).collect();
        lane.dedup();
        assert_eq!(lane, ["incident_opened", "incident_resolved"], "after {writes} writes");
    }
}

/// The same for the end of a ladder: the pause, its held deliveries and its notification.
#[tokio::test]
async fn a_death_after_any_write_of_a_pause_still_pauses_holds_and_tells() {
    let mut finished = false;
    for writes in 0..100 {
        let mut world = World::new().await;
        let hook = world.register(URL).await;
        world.receivers.answers(URL, 500);
        for payload in [opened("A"), resolved("A"), opened("B")] {
            world.publish(&payload).await;
            world.run_until_idle().await;
        }
        world.advance_to(MINUTE * 81 - SECOND).await;
        world.fuse.light(writes);
        world.advance(SECOND).await;
        world.publish_with(&opened("C"), &[], Some("c")).await;
        if world.fuse.is_burnt_out() {
            world = world.restart().await;
            world.publish_with(&opened("C"), &[], Some("c")).await.expect(202);
        } else {
            finished = true;
            world.fuse.put_out();
        }
        world.advance(HOUR).await;
        assert_eq!(world.status(&hook).await, "paused", "after {writes} writes");
        assert_eq!(world.statuses(&hook).await, ["held"; 4], "after {writes} writes");
        let sent = world.pause_notifications().len();
        assert!(
            (1..=2).contains(&sent),
            "{sent} notifications after {writes} writes: 2 only if the first was not recorded"
        );
        if finished {
            assert_eq!(sent, 1);
            break;
        }
    }
    assert!(finished);
}

/// A resume, a discard or a delete whose caller got an error and does not repeat the call. After the restart it is
/// completed if it was recorded.
#[tokio::test]
async fn a_change_whose_caller_never_came_back_is_done_or_not_done_but_never_half_done() {
    for writes in 0..4 {
        for action in ["resume", "discard", "delete"] {
            let world = World::new().await;
            let hook = world.register(URL).await;
            world.act(&hook, "pause").await;
            for n in 0..3 {
                world.publish(&opened(&format!("INC-{n}"))).await;
            }
            world.run_until_idle().await;
            world.fuse.light(writes);
            match action {
                "resume" => drop(world.act_with(&hook, "resume", json!(null)).await),
                "discard" => drop(world.act_with(&hook, "resume", json!({"held": "discard"})).await),
                _ => drop(world.delete(&format!("/v1/webhooks/{}", hook.id)).await),
            }
            let world = world.restart().await;
            world.advance(HOUR).await;
            let shown = world.get(&format!("/v1/webhooks/{}", hook.id)).await;
            if shown.status.as_u16() == 404 {
                assert!(world.attempts(URL).is_empty());
                continue;
            }
            let expected = match (shown.json()["status"].as_str().unwrap(), action) {
                ("paused", _) => "held",
                (_, "resume") => "delivered",
                _ => "discarded",
            };
            assert_eq!(world.statuses(&hook).await, [expected; 3], "{action} after {writes} writes");
        }
    }
}

/// Messages that were received but not settled before a restart are delivered again.
#[tokio::test]
async fn what_was_in_work_when_the_process_died_comes_again() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    for n in 0..30 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    let mut in_work = vec![];
    while let Some(received) = world.next_message().await {
        assert_eq!(received.message.queue(), QueueName::First);
        in_work.push(received);
    }
    assert_eq!(in_work.len(), 30);
    drop(in_work);
    let world = world.restart().await;
    world.advance(MINUTE).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 30]);
    assert_eq!((world.attempts(URL).len(), world.dead_letters().await), (30, 0));
}

/// No worker handles messages, as if the queue were lost. Reconciling sends only messages again that are long overdue.
#[tokio::test]
async fn the_look_at_every_record_counts_what_is_long_overdue() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let look = async || world.services.worker.reconcile_all().await.unwrap();
    for event in [opened("A"), resolved("A"), opened("B")] {
        world.publish(&event).await;
    }
    world.clock.pass(MINUTE * 10);
    assert_eq!(look().await, 0, "a worker may still have the messages");
    world.clock.pass(SECOND);
    assert_eq!(look().await, 3, "two attempts and the lane behind one of them");
    world.run_until_idle().await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 3]);

    world.act(&hook, "pause").await;
    world.run_until_idle().await;
    for event in [opened("C"), resolved("C")] {
        world.publish(&event).await;
    }
    assert_eq!(look().await, 0);
    world.clock.pass(MINUTE * 10 + SECOND);
    assert_eq!(look().await, 2, "an attempt and the lane behind it, which must be held");
    world.run_until_idle().await;
    assert_eq!(world.statuses(&hook).await[3..], ["held", "held"]);
    world.act_with(&hook, "resume", json!({"held": "discard"})).await.expect(200);
    world.run_until_idle().await;

    world.receivers.answers(URL, 410);
    world.publish(&opened("D")).await;
    let received = world.next_message().await.unwrap();
    world.work_on(received).await;
    world.clock.pass(MINUTE * 10);
    assert_eq!(look().await, 0);
    world.clock.pass(SECOND);
    assert_eq!(look().await, 2, "the hold job and the notification of the pause");
    world.run_until_idle().await;
    assert_eq!(look().await, 0);
}
