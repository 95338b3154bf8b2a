//! I2 at the start: whatever waits on nothing gets a message, and nothing gets a second one.

use std::time::Duration;

use statuspulse_core::alert::{Alert, AlertKind, Notice};
use statuspulse_core::delivery::State;
use statuspulse_core::message::{Message, Queue};
use statuspulse_core::ports::Webhooks;
use statuspulse_core::webhook::{self, Pause, PauseReason, Sweep, SweepMode, Webhook};

use crate::stage::Stage;

#[tokio::test]
async fn an_event_that_was_kept_but_not_set_going_goes_after_a_death() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let lost = stage.accepted(webhook, "INC-1").await;
    // Behind it one waits, which the first wakes; beside it stand one with its message, one held, one done.
    stage.accepted(webhook, "INC-1").await;
    let sent = stage.accepted(webhook, "INC-2").await;
    stage.sent(&sent, &stage.event("INC-2").body).await;
    for (n, state) in [State::Held, State::Delivered].into_iter().enumerate() {
        let other = stage.accepted(webhook, &format!("INC-DONE-{n}")).await;
        stage.saved(other, state).await;
    }
    let mut after = stage.reopened_after_a_death().await;
    for start in 0..2 {
        let came = after.drained().await;
        let mut ids: Vec<_> = came.iter().map(|message| message.delivery_id).collect();
        ids.sort();
        let mut expected = vec![lost.id, sent.id];
        expected.sort();
        assert_eq!(ids, expected, "start {start}");
        let recovered = came.iter().find(|message| message.delivery_id == lost.id).unwrap();
        assert_eq!((recovered.step.round, recovered.step.number), (1, 1));
        assert!(recovered.body.starts_with(b"{\"incident_id\":\"INC-1\""), "with its body");
        // What has a message again has no second one; both are still scheduled, and so come once a start.
        after = after.reopened();
    }
}

#[tokio::test]
async fn a_retry_without_a_message_keeps_its_time_and_its_step() {
    let stage = Stage::new();
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    let due = stage.now().checked_add(Duration::from_secs(900)).unwrap();
    stage.saved(delivery, State::Scheduled { number: 4, at: due }).await;
    let after = stage.reopened_after_a_death().await;
    assert_eq!(after.store.next_due(), Some(due));
    after.pass(Duration::from_secs(900) - Duration::from_millis(1));
    assert!(after.receive_due().await.is_none());
    after.pass(Duration::from_millis(1));
    assert_eq!(after.drained().await[0].step.number, 4);
}

#[tokio::test]
async fn sweeps_and_notices_without_a_message_go_on() {
    let stage = Stage::new();
    let now = stage.now();
    let quiet = stage.webhook(stage.account_id());
    let sweep = Some(Sweep {
        mode: SweepMode::Release,
        outage: 0,
        begun: now,
        step: 3,
        due: now,
        ramp: 0,
        setbacks: 0,
        let_go: 0,
    });
    let swept = Webhook { sweep, epoch: 8, ..stage.webhook(quiet.account_id) };
    let paused = |notice| {
        let reason = PauseReason::Failures;
        let pause = Pause { reason, since: now, last_error: None, failing_since: None };
        let kind = AlertKind::Paused { reason, last_error: "It answered 503.".to_owned() };
        let alert = Some(Alert { kind, at: now, notice, answered: false });
        Webhook { state: webhook::State::Paused(pause), alert, epoch: 2, ..stage.webhook(quiet.account_id) }
    };
    let (due, told) = (paused(Notice::Due), paused(Notice::Done));
    let sending = paused(Notice::Sending { tries: 1, until: now });
    let holding = stage.webhook(quiet.account_id);
    for webhook in [&quiet, &swept, &due, &told, &sending, &holding] {
        stage.store.create_webhook(webhook).await.unwrap();
    }
    let held = stage.accepted(holding.id, "INC-1").await;
    stage.saved(held, State::Held).await;
    let held_while_paused = stage.accepted(told.id, "INC-1").await;
    stage.saved(held_while_paused, State::Held).await;

    let after = stage.reopened_after_a_death().await;
    after.store.make_due_ready().await.unwrap();
    let mut woken = vec![];
    while let Some(received) = after.receive(Queue::Upkeep) {
        let Message::Sweep(message) = received.message.clone() else {
            panic!("a sweep's message sees to all")
        };
        woken.push((message.webhook_id, message.epoch, message.step));
        received.done();
    }
    woken.sort();
    let mut expected = vec![(swept.id, 8, 3), (due.id, 2, 0), (sending.id, 2, 0), (holding.id, 1, 0)];
    expected.sort();
    assert_eq!(woken, expected);
}
