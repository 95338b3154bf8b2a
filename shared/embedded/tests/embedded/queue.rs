//! Messages are delivered at least once, never before they are due, and never again when they are done.

use std::time::Duration;

use bytes::Bytes;
use statuspulse_core::delivery::Delivery;
use statuspulse_core::message::{JobMessage, Message, NotifyMessage, QueueName, ScheduledMessage};
use statuspulse_core::ports::Queue;
use statuspulse_embedded::RECEIVES_MAX;

use crate::stage::{Stage, account, attempt, within_a_minute};

const NOTHING: Bytes = Bytes::new();

fn delivery(stage: &Stage) -> Delivery {
    Delivery::new(&stage.event("INC-1"), stage.webhook_id())
}

#[tokio::test]
async fn a_message_does_not_come_before_its_time() {
    let stage = Stage::new();
    let (late, soon) = (delivery(&stage), delivery(&stage));
    stage.sent_in(&late, 3, Duration::from_secs(300), &NOTHING).await;
    stage.sent_in(&soon, 2, Duration::from_secs(60), &NOTHING).await;
    let first_due = stage.now().checked_add(Duration::from_secs(60)).unwrap();
    assert_eq!(stage.store.next_due(), Some(first_due), "the earlier one counts");

    stage.pass(Duration::from_secs(60) - Duration::from_millis(1));
    assert!(stage.receive_due().await.is_none());
    stage.pass(Duration::from_millis(1));
    let due: Vec<_> = stage.drained().await.iter().map(|message| message.delivery_id).collect();
    assert_eq!(due, [soon.id]);
    stage.pass(Duration::from_secs(240));
    let due: Vec<_> = stage.drained().await.iter().map(|message| message.delivery_id).collect();
    assert_eq!(due, [late.id]);
    assert_eq!(stage.store.next_due(), None);
}

#[tokio::test]
async fn a_waiter_is_notified_when_an_earlier_message_arrives() {
    let stage = Stage::new();
    stage.sent_in(&delivery(&stage), 3, Duration::from_secs(300), &NOTHING).await;
    within_a_minute(stage.store.next_due_came_closer()).await;
    stage.sent_in(&delivery(&stage), 2, Duration::from_secs(60), &NOTHING).await;
    within_a_minute(stage.store.next_due_came_closer()).await;
}

#[tokio::test]
async fn each_kind_of_message_comes_in_its_own_queue() {
    let stage = Stage::new();
    let first = delivery(&stage);
    let again = Delivery { round: 2, ..delivery(&stage) };
    let webhook_id = stage.webhook_id();
    let job = Message::Job(JobMessage { account_id: account(), webhook_id, generation: 4, page: 7 });
    let notify = Message::Notify(NotifyMessage { account_id: account(), webhook_id, notification: 5 });
    stage.sent(&first, &NOTHING).await;
    stage.sent(&again, &NOTHING).await;
    let due = stage.now();
    let wakeups = [job, notify].map(|message| ScheduledMessage { message, due });
    stage.store.send(wakeups.to_vec()).await.unwrap();

    let stage = stage.reopened();
    assert_eq!(attempt(&stage.receive(QueueName::First).unwrap()).delivery_id, first.id);
    assert_eq!(attempt(&stage.receive(QueueName::Retry).unwrap()).key.round, 2);
    let Message::Job(job) = stage.receive(QueueName::Upkeep).unwrap().message else { panic!("the job") };
    assert_eq!(job, JobMessage { account_id: account(), webhook_id, generation: 4, page: 7 });
    // The job was received and dropped above. It does not delay the notification.
    let Message::Notify(notify) = stage.receive(QueueName::Upkeep).unwrap().message else {
        panic!("the notification")
    };
    assert_eq!(notify, NotifyMessage { account_id: account(), webhook_id, notification: 5 });
    for queue in statuspulse_embedded::queues() {
        assert!(stage.receive(queue).is_none());
    }
}

#[tokio::test]
async fn who_waits_for_a_message_gets_it_when_it_is_sent() {
    let stage = Stage::new();
    let delivery = delivery(&stage);
    let store = stage.store.clone();
    let waiting = tokio::spawn(async move { store.receive(QueueName::First).await });
    tokio::task::yield_now().await;
    stage.sent(&delivery, &NOTHING).await;
    let received = within_a_minute(waiting).await.unwrap().unwrap();
    assert_eq!(attempt(&received).delivery_id, delivery.id);
}

#[tokio::test]
async fn a_message_that_is_done_does_not_come_again() {
    let stage = Stage::new();
    stage.sent(&delivery(&stage), &NOTHING).await;
    stage.sent_in(&delivery(&stage), 2, Duration::from_secs(1), &NOTHING).await;
    stage.pass(Duration::from_secs(1));
    assert_eq!(stage.drained().await.len(), 2);
    for stage in [stage.reopened_after_a_death().await, stage.reopened()] {
        stage.pass(Duration::from_secs(24 * 3600));
        assert!(stage.receive_due().await.is_none());
        assert_eq!(stage.store.next_due(), None);
    }
}

#[tokio::test]
async fn a_message_that_is_to_come_again_does_so_at_its_time_without_a_mark_of_failure() {
    let stage = Stage::new();
    stage.sent(&delivery(&stage), &NOTHING).await;
    let minute = Duration::from_secs(60);
    for _ in 0..RECEIVES_MAX * 2 {
        let received = stage.receive_due().await.unwrap();
        received.again(stage.now().checked_add(minute).unwrap());
        stage.flushed().await;
        stage.pass(minute - Duration::from_millis(1));
        assert!(stage.receive_due().await.is_none());
        stage.pass(Duration::from_millis(1));
    }
    let stage = stage.reopened_after_a_death().await;
    stage.receive_due().await.unwrap().done();
    assert_eq!(stage.store.census().await.unwrap().dead_letters, 0);
}

/// Drops the message until it is a dead letter. Returns the waits between its deliveries.
async fn given_up(stage: &Stage) -> Vec<Duration> {
    let mut waits = vec![];
    drop(stage.receive_due().await.unwrap());
    for _ in 1..RECEIVES_MAX {
        stage.flushed().await;
        let due = stage.store.next_due().unwrap();
        let wait = Duration::try_from(due.duration_since(stage.now())).unwrap();
        stage.pass(wait - Duration::from_millis(1));
        assert!(stage.receive_due().await.is_none());
        stage.pass(Duration::from_millis(1));
        drop(stage.receive_due().await.unwrap());
        waits.push(wait);
    }
    stage.flushed().await;
    waits
}

#[tokio::test]
async fn a_dropped_message_comes_again_after_growing_waits_until_it_is_a_dead_letter() {
    let stage = Stage::new();
    let delivery = delivery(&stage);
    stage.sent_in(&delivery, 2, Duration::ZERO, &NOTHING).await;
    let waits = given_up(&stage).await;
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 64, 64, 64].map(Duration::from_secs));
    assert_eq!(stage.store.census().await.unwrap().dead_letters, 1);
    assert_eq!(stage.store.next_due(), None);
    stage.pass(Duration::from_secs(24 * 3600));
    assert!(stage.receive_due().await.is_none());

    // The next start puts it back. It is tried as often as a new message.
    let stage = stage.reopened();
    assert_eq!(stage.store.census().await.unwrap().dead_letters, 0);
    assert_eq!(given_up(&stage).await, waits);
    assert_eq!(stage.store.census().await.unwrap().dead_letters, 1);
    let stage = stage.reopened_after_a_death().await;
    let back = stage.receive_due().await.unwrap();
    assert_eq!(attempt(&back).delivery_id, delivery.id);
    back.done();
    let stage = stage.reopened();
    assert_eq!(stage.store.census().await.unwrap().dead_letters, 0);
    assert!(stage.receive_due().await.is_none());
}

#[tokio::test]
async fn a_command_beside_the_server_puts_no_dead_letter_back() {
    let stage = Stage::new();
    stage.sent(&delivery(&stage), &NOTHING).await;
    given_up(&stage).await;
    drop(stage.open_beside(statuspulse_embedded::Purpose::Administer).unwrap());
    assert_eq!(stage.store.census().await.unwrap().dead_letters, 1);
}

/// More messages than one transaction moves, all due at once.
#[tokio::test]
async fn a_flood_that_is_due_at_one_moment_comes_completely_and_once() {
    let stage = Stage::new();
    let mut sent = std::collections::HashSet::new();
    let due = stage.now().checked_add(Duration::from_secs(60)).unwrap();
    let mut wakeups = vec![];
    for _ in 0..1_700 {
        let delivery = delivery(&stage);
        let webhook_id = delivery.webhook_id;
        sent.insert(webhook_id);
        wakeups.push(ScheduledMessage {
            message: Message::Job(JobMessage { account_id: account(), webhook_id, generation: 1, page: 0 }),
            due,
        });
    }
    stage.store.send(wakeups).await.unwrap();
    assert!(stage.receive_due().await.is_none());
    stage.pass(Duration::from_secs(60));
    stage.store.make_due_ready().await.unwrap();
    while let Some(received) = stage.receive(QueueName::Upkeep) {
        assert!(sent.remove(&received.message.webhook_id()), "it came twice");
        received.done();
    }
    assert_eq!(sent.len(), 0);
}
