//! The invariants of docs/behaviour.md, one by one. See also `random_runs.rs`, and `deaths.rs` for crashes.

use serde_json::{Value, json};
use statuspulse_core::delivery::{DeliveryFilter, State};
use statuspulse_core::limits;
use statuspulse_core::message::Message;
use statuspulse_core::ports::Records;

use crate::support::*;

#[tokio::test]
async fn i1_an_accepted_event_has_exactly_one_delivery_for_each_matching_webhook() {
    let world = World::new().await;
    let hooks = [world.register(URL).await, world.register(OTHER).await];
    for _ in 0..5 {
        let published = world.publish_with(&opened("A"), &[], Some("k")).await.expect(202);
        assert_eq!(published["deliveries"], 2);
        world.run_until_idle().await;
    }
    let payload = opened("B");
    let publish = || world.publish_with(&payload, &[], Some("twice at once"));
    let (one, two) = tokio::join!(publish(), publish());
    assert_eq!(one.expect(202), two.expect(202));
    world.run_until_idle().await;
    for hook in &hooks {
        assert_eq!(world.statuses(hook).await, ["delivered", "delivered"]);
        assert_eq!(world.attempts(&hook.url).len(), 2);
    }
}

/// The event was stored, but its publisher got an error and does not repeat the call. It must not block its incident.
#[tokio::test]
async fn i2_no_delivery_waits_on_nothing_after_a_publisher_that_never_came_back() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.fuse.lose_answer();
    assert_eq!(world.publish_with(&opened("A"), &[], Some("k")).await.problem(503), "unavailable");
    let world = world.restart().await;
    world.publish(&resolved("A")).await;
    world.advance(HOUR).await;
    assert_eq!(world.statuses(&hook).await, ["delivered", "delivered"]);
    let sent: Vec<_> = world.attempts(URL).iter().map(|seen| seen.event().to_owned()).collect();
    assert_eq!(sent, ["incident_opened", "incident_resolved"]);
}

#[tokio::test]
async fn i3_every_attempt_has_the_same_bytes_and_ids_across_rounds_and_restarts() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A").replace("1240", "1240.50")).await;
    world.advance(HOUR * 2).await;
    let world = world.restart().await;
    world.act(&hook, "resume").await;
    world.advance(HOUR * 2).await;
    world.act(&hook, "resume").await;
    world.receivers.answers(URL, 200);
    world.advance(HOUR).await;
    let sent = world.attempts(URL);
    assert_eq!(sent.len(), 11);
    for seen in &sent {
        assert_eq!(seen.body, sent[0].body);
        for id in ["webhook-id", "X-StatusPulse-Event-Id", "X-StatusPulse-Delivery-Id"] {
            assert_eq!(seen.header(id), sent[0].header(id));
        }
    }
}

#[tokio::test]
async fn i4_no_attempt_starts_after_a_pause_or_a_delete_was_answered() {
    for action in ["pause", "delete"] {
        let world = World::new().await;
        let hook = world.register(URL).await;
        let path = format!("/v1/webhooks/{}", hook.id);
        for n in 0..20 {
            world.publish(&opened(&format!("INC-{n}"))).await;
        }
        for _ in 0..7 {
            let received = world.next_message().await.unwrap();
            world.work_on(received).await;
        }
        match action {
            "pause" => drop(world.act(&hook, "pause").await),
            _ => drop(world.delete(&path).await.expect(204)),
        }
        world.publish(&opened("NEW")).await;
        world.advance(HOUR * 24).await;
        assert_eq!(world.attempts(URL).len(), 7, "{action}");
    }
}

#[tokio::test]
async fn i5_events_of_one_incident_arrive_in_order_though_many_are_in_work_at_once() {
    for seed in 0..20 {
        let world = World::with(seed, |_| {}).await;
        world.register(URL).await;
        let dice = Dice::of(seed);
        let mut expected = vec![];
        for n in 0..40 {
            let incident = format!("INC-{}", dice.below(4));
            let id = world.publish(&updated(&incident).replace("Cache", &n.to_string())).await;
            if dice.below(5) == 0 && n < 30 {
                world.receivers.answers_next(URL, [500]);
            }
            expected.push((incident, id));
        }
        loop {
            world.run_until_idle_with(8).await;
            if !world.skip_to_next().await {
                break;
            }
        }
        for incident in 0..4 {
            let incident = format!("INC-{incident}");
            let lane: Vec<_> =
                expected.iter().filter(|(of, _)| *of == incident).map(|(_, id)| id.clone()).collect();
            let arrived: Vec<_> = world
                .attempts(URL)
                .into_iter()
                .filter(|seen| seen.succeeded() && lane.contains(&seen.event_id().to_owned()))
                .map(|seen| seen.event_id().to_owned())
                .collect();
            assert_eq!(arrived, lane, "seed {seed}");
        }
    }
}

#[tokio::test]
async fn i6_one_pause_one_notice_and_one_resume_one_drain_though_every_message_comes_twice() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 410);
    for n in 0..30 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    twice_each(&world).await;
    assert_eq!((world.status(&hook).await.as_str(), world.pause_notifications().len()), ("paused", 1));
    assert_eq!(world.webhook(&hook).await["held_deliveries"], 30);
    world.receivers.answers(URL, 200);
    world.act(&hook, "resume").await;
    twice_each(&world).await;
    assert_eq!(world.attempts(URL).len(), 31);
    assert_eq!(world.pause_notifications().len(), 1);
}

/// Handles every message twice, until no message is left.
async fn twice_each(world: &World) {
    loop {
        while let Some(received) = world.next_message().await {
            world.handle(received.message.clone()).await;
            world.work_on(received).await;
        }
        if !world.skip_to_next().await {
            return;
        }
    }
}

#[tokio::test]
async fn i7_a_message_delivered_twice_never_climbs_a_rung_twice() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    let mut streaks = vec![];
    for _ in 0..5 {
        let received = world.next_message().await.unwrap();
        let message = received.message.clone();
        world.handle(message.clone()).await;
        world.handle(message.clone()).await;
        let (one, two) = tokio::join!(
            world.services.worker.handle(message.clone()),
            world.services.worker.handle(message)
        );
        one.and(two).unwrap();
        received.done();
        world.run_until_idle().await;
        streaks.push(world.webhook(&hook).await["consecutive_failures"].as_u64().unwrap());
        if let Some(due) = world.next_due().await {
            world.clock.set(due);
        }
    }
    assert_eq!(streaks, [0, 1, 2, 3, 4]);
    assert_eq!(world.seconds(URL), [0, 60, 360, 1260, 4860]);
}

#[tokio::test]
async fn i7_two_workers_with_the_same_message_make_one_request() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [500]);
    world.publish(&opened("A")).await;
    let received = world.next_message().await.unwrap();
    let workers: Vec<_> =
        (0..5).map(|_| Box::pin(async { world.handle(received.message.clone()).await })).collect();
    all_of(workers).await;
    assert_eq!(world.attempts(URL).len(), 1);
    assert_eq!(
        world.delivery(&hook, world.attempts(URL)[0].event_id()).await["attempts"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn i7_a_message_from_far_below_does_nothing() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    let first = world.next_message().await.unwrap();
    let old = first.message.clone();
    world.work_on(first).await;
    world.advance(MINUTE * 7).await;
    assert_eq!(world.attempts(URL).len(), 3);
    for _ in 0..10 {
        world.handle(old.clone()).await;
        world.run_until_idle().await;
    }
    let mut changed = old.clone();
    if let Message::Attempt(attempt) = &mut changed {
        attempt.key.number = 5;
    }
    world.handle(changed).await;
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL).len(), 3);
    world.advance(HOUR * 2).await;
    assert_eq!(world.seconds(URL), [0, 60, 360, 1260, 4860]);
    assert_eq!(world.status(&hook).await, "paused");
}

/// Only errors. The test of section 8 searches answers, notifications and files.
#[tokio::test]
async fn i8_no_secret_is_in_any_error() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let wrong = format!("{}x", hook.secret);
    let secret = json!({"url": URL, "events": ["incident_opened"], "secret": wrong});
    let errors = [
        world.post("/v1/webhooks", &secret).await,
        world.patch(&format!("/v1/webhooks/{}", hook.id), json!({"secret": hook.secret})).await,
        world.act_with(&hook, "rotate-secret", json!({"secret": hook.secret})).await,
        world.act_with(&hook, "rotate-secret/finish", Value::Null).await,
        world.with_key(&hook.secret).get("/v1/webhooks").await,
        world.get(&format!("/v1/webhooks/{}", hook.secret)).await,
    ];
    for error in errors {
        assert!(!error.status.is_success());
        assert!(!error.text.contains(&hook.secret) && !error.text.contains(&world.key), "{}", error.text);
    }
}

/// A check whose time is over goes on in its next run, in the middle of an account, too.
#[tokio::test]
async fn a_check_of_all_webhooks_goes_on_where_it_stopped() {
    let world = World::new().await;
    let mut hooks = vec![world.register(URL).await, world.register(OTHER).await];
    let neighbour = world.another_account().await;
    hooks.push(neighbour.register(OTHER).await);
    // The message of a page is lost, for each of them.
    for hook in &hooks[..2] {
        world.act(hook, "pause").await;
    }
    neighbour.act(&hooks[2], "pause").await;
    while let Some(lost) = world.next_message().await {
        lost.done();
    }
    world.advance(HOUR).await;
    let mut after = None;
    let mut checked = vec![];
    for _ in &hooks {
        // Its time is over at once, so each run checks one webhook.
        let run = world.services.worker.reconcile_until(after, world.now()).await.unwrap();
        assert_eq!(run.repairs, 1);
        after = run.stopped;
        checked.push(run.stopped.unwrap().webhook.to_string());
    }
    checked.sort_unstable();
    let mut all: Vec<_> = hooks.iter().map(|hook| hook.id.clone()).collect();
    all.sort_unstable();
    assert_eq!(checked, all, "each once");
    assert_eq!(*world.metrics.lost_messages.lock().unwrap(), 3);
}

/// Accounts are read page by page.
#[tokio::test]
async fn a_check_reaches_every_account() {
    let world = World::new().await;
    for _ in 0..limits::PAGE_MAX {
        let account = world.another_account().await;
        let hook = account.register(OTHER).await;
        account.act(&hook, "pause").await;
    }
    while let Some(lost) = world.next_message().await {
        lost.done();
    }
    world.advance(HOUR).await;
    assert_eq!(world.services.worker.reconcile_all().await.unwrap(), limits::PAGE_MAX as u64);
}

/// I2: if a message was lost, reconciling finds the record, counts it, and sends the message again.
#[tokio::test]
async fn lost_messages_are_found_and_sent_again() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let other = world.register(OTHER).await;
    world.receivers.answers_next(URL, [500]);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    world.publish(&resolved("A")).await;
    world.run_until_idle().await;
    assert_eq!(world.services.worker.reconcile_all().await.unwrap(), 0, "no message was lost yet");

    // The message of a retry is lost, which also blocks the delivery behind it; and the first message of a job.
    assert!(world.skip_to_next().await);
    while let Some(lost) = world.next_message().await {
        lost.done();
    }
    world.act(&other, "pause").await;
    while let Some(lost) = world.next_message().await {
        lost.done();
    }
    world.advance(HOUR).await;
    assert_eq!(world.statuses(&hook).await, ["retrying", "waiting"]);
    assert_eq!(world.services.worker.reconcile_all().await.unwrap(), 2, "the retry and the job");
    world.run_until_idle().await;
    assert_eq!(world.statuses(&hook).await, ["delivered", "delivered"]);
    assert_eq!(*world.metrics.lost_messages.lock().unwrap(), 2);
    assert_eq!(world.services.worker.reconcile_all().await.unwrap(), 0);

    // A delivery that is held although its webhook is active.
    let filter = DeliveryFilter::default();
    let page = world
        .services
        .admin
        .deliveries
        .deliveries(&[hook.id.parse().unwrap()], &filter, None, 1)
        .await
        .unwrap();
    let held = page.items[0].clone().with_state(State::Held);
    world.store.save_delivery(&held).await.unwrap().unwrap();
    assert_eq!(world.services.worker.reconcile_all().await.unwrap(), 1);
    world.advance(MINUTE).await;
    assert_eq!(world.statuses(&hook).await, ["delivered", "delivered"]);
}
