//! Records and the messages they call for are committed together, so the process cannot die between the two.

use std::time::Duration;

use statuspulse_core::delivery::{Delivery, State, Timing};
use statuspulse_core::message::{JobMessage, Message, QueueName, ScheduledMessage};
use statuspulse_core::ports::{Acceptance, Deliveries, Records};

use crate::stage::Stage;

#[tokio::test]
async fn an_accepted_event_is_set_going_by_its_acceptance() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let first = stage.accepted(webhook, "INC-1").await;
    // The next delivery of the lane waits, but has a message too, because its webhook may be paused.
    let waiting = stage.accepted(webhook, "INC-1").await;
    let event = stage.event("INC-2");
    let other = stage.accepted_event(&event, webhook).await;
    // A publisher that repeats its call gets the same answer, and nothing is sent twice.
    let again = stage.store.accept(&event, vec![Delivery::new(&event, webhook)]).await.unwrap();
    assert!(matches!(again, Acceptance::Accepted(found) if found == [other.clone()]));

    let after = stage.reopened_after_a_death().await;
    let came = after.drained().await;
    let ids: Vec<_> = came.iter().map(|message| message.delivery_id).collect();
    assert_eq!(ids, [first.id, waiting.id, other.id]);
}

#[tokio::test]
async fn the_next_attempt_is_sent_with_the_record_that_schedules_it() {
    let stage = Stage::new();
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    stage.drained().await;
    let due = stage.now().checked_add(Duration::from_secs(900)).unwrap();
    stage.saved(delivery, State::Scheduled { number: 4, at: due, timing: Timing::OnTime }).await;
    let after = stage.reopened_after_a_death().await;
    assert_eq!(after.store.next_due(), Some(due));
    after.pass(Duration::from_secs(900) - Duration::from_millis(1));
    assert!(after.receive_due().await.is_none());
    after.pass(Duration::from_millis(1));
    assert_eq!(after.drained().await[0].key.number, 4);
}

#[tokio::test]
async fn the_end_of_a_delivery_promotes_the_next_of_its_incident() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    for end in [State::Delivered, State::Failed, State::Discarded, State::Cancelled] {
        let first = stage.accepted(webhook, "INC-1").await;
        let second = stage.accepted(webhook, "INC-1").await;
        stage.drained().await;
        stage.saved(first, end).await;
        let after = stage.reopened_after_a_death().await;
        let promoted = after.store.delivery(&[webhook], second.id).await.unwrap().unwrap();
        assert_eq!(promoted.state, State::first_attempt(stage.now()), "after {end:?}");
        let came: Vec<_> = after.drained().await.iter().map(|message| message.delivery_id).collect();
        assert_eq!(came, [second.id], "after {end:?}");
        stage.drained().await;
        stage.saved(promoted, State::Delivered).await;
    }
}

#[tokio::test]
async fn what_a_webhook_owes_is_sent_with_its_record() {
    let stage = Stage::new();
    let mut webhook = stage.webhook(stage.account_id());
    stage.store.create_webhook(&webhook).await.unwrap();
    let job = JobMessage { account_id: webhook.account_id, webhook_id: webhook.id, generation: 3, page: 0 };
    webhook.outbox = vec![ScheduledMessage { message: Message::Job(job), due: stage.now() }];
    stage.store.save_webhook(&webhook).await.unwrap().unwrap();
    // A failed compare-and-set sends nothing.
    assert!(stage.store.save_webhook(&webhook).await.unwrap().is_err());
    let after = stage.reopened_after_a_death().await;
    let received = after.receive(QueueName::Upkeep).unwrap();
    assert_eq!(received.message, Message::Job(job));
    assert!(after.receive(QueueName::Upkeep).is_none());
}

/// The record and its messages are committed even if the caller no longer waits for the answer.
#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_record_without_its_messages() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let mut events = vec![];
    for n in 0..50 {
        let event = stage.event(&format!("INC-{n}"));
        let mut accepting = Box::pin(stage.store.accept(&event, vec![Delivery::new(&event, webhook)]));
        // Polls once, then drops the call.
        let asked = std::future::poll_fn(|context| {
            std::task::Poll::Ready(accepting.as_mut().poll(context).is_ready())
        });
        asked.await;
        drop(accepting);
        events.push(event);
    }
    stage.flushed().await;
    let mut kept = vec![];
    for event in &events {
        if stage.store.event(event.id).await.unwrap().is_some() {
            kept.push(Delivery::new(event, webhook).id);
        }
    }
    assert_eq!(kept.len(), 50, "each call had begun");
    let came: Vec<_> = stage.drained().await.iter().map(|message| message.delivery_id).collect();
    assert_eq!(came, kept);
}
