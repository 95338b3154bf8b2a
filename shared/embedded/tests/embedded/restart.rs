//! A start continues where the process before it stopped or died.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use statuspulse_core::event::Event;
use statuspulse_core::message::QueueName;
use statuspulse_core::ports::{Claim, Deliveries};

use crate::stage::{Stage, attempt};

#[tokio::test]
async fn messages_in_progress_at_a_crash_come_again_at_once_with_those_that_waited() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let sent = stage.sent_many(webhook, 200).await;
    let done: Vec<_> = (0..50).map(|_| stage.receive(QueueName::First).unwrap()).collect();
    let mut settled = vec![];
    for received in done {
        settled.push(attempt(&received).delivery_id);
        received.done();
    }
    let in_work: Vec<_> = (0..100).map(|_| stage.receive(QueueName::First).unwrap()).collect();

    let after = stage.reopened_after_a_death().await;
    let came: Vec<_> = after.drained().await.iter().map(|message| message.delivery_id).collect();
    let expected: Vec<_> =
        sent.iter().map(|delivery| delivery.id).filter(|id| !settled.contains(id)).collect();
    assert_eq!(came, expected, "in order, without those that were done");
    drop(in_work);
}

#[tokio::test]
async fn what_became_due_while_nobody_ran_is_due_at_the_start() {
    let stage = Stage::new();
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    stage.drained().await;
    stage.sent_in(&delivery, 5, Duration::from_secs(3600), &Bytes::new()).await;
    let stage = stage.reopened();
    assert!(stage.receive_due().await.is_none());
    assert!(stage.store.next_due().is_some());
    let stage = stage.reopened();
    stage.pass(Duration::from_secs(3 * 3600));
    assert_eq!(attempt(&stage.receive_due().await.unwrap()).delivery_id, delivery.id);
}

#[tokio::test]
async fn a_claim_dies_with_its_process() {
    let stage = Stage::new();
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    assert!(matches!(stage.claim(&delivery, 1).await, Claim::Claimed(_)));
    let after = stage.reopened_after_a_death().await;
    assert!(matches!(after.claim(&delivery, 1).await, Claim::Claimed(_)));
}

#[tokio::test]
async fn the_bodies_of_messages_are_in_their_events_byte_for_byte() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let long = format!("{{\"text\":\"{}\"}}", "é\u{1f525}\\u0000".repeat(8_000));
    let bodies = ["{}", "{\"n\":1240.50,  \"big\":9223372036854775809}", "{\"b\":1,\"a\":2,\"b\":1}", &long];
    let mut sent = BTreeMap::new();
    for (n, body) in bodies.into_iter().enumerate() {
        let body = Bytes::from(body.to_owned());
        let event = Event { body: body.clone(), ..stage.event(&format!("INC-{n}")) };
        let delivery = stage.accepted_event(&event, webhook).await;
        match n % 2 {
            0 => stage.sent(&delivery, &body).await,
            _ => stage.sent_in(&delivery, 2, Duration::from_secs(60), &body).await,
        }
        sent.insert(delivery.id, body);
    }
    let stage = stage.reopened();
    stage.pass(Duration::from_secs(60));
    let mut came = BTreeMap::new();
    for message in stage.drained().await {
        assert!(message.body.is_empty(), "its worker reads it from the event");
        let event = stage.store.event(message.event_id).await.unwrap().unwrap();
        came.insert(message.delivery_id, event.body.clone());
    }
    assert_eq!(came, sent);
}

#[tokio::test]
async fn a_copy_of_the_folder_is_a_backup() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let delivery = stage.accepted(webhook, "INC-1").await;
    let mut copy = stage.reopened_after_a_death().await;
    drop(stage);
    for _ in 0..3 {
        assert_eq!(
            copy.store.delivery(&[delivery.webhook_id], delivery.id).await.unwrap().as_ref(),
            Some(&delivery)
        );
        copy = copy.reopened();
    }
    assert_eq!(copy.drained().await.len(), 1);
}

#[tokio::test]
async fn an_orderly_end_leaves_all_in_one_file() {
    let stage = Stage::new();
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    // A read leaves a read-only connection in the pool.
    assert!(stage.store.delivery(&[delivery.webhook_id], delivery.id).await.unwrap().is_some());
    let Stage { store, folder, clock, .. } = stage;
    drop(store);
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["lock", "secret.key", "statuspulse.db"]);
    let store =
        statuspulse_embedded::Embedded::open(folder.path(), statuspulse_embedded::Purpose::Serve, clock)
            .unwrap();
    assert_eq!(store.delivery(&[delivery.webhook_id], delivery.id).await.unwrap(), Some(delivery));
}
