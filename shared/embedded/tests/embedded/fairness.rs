//! An account, and in it a slow receiver, occupies only its own share of the slots, and a backlog uses disk, not memory.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use statuspulse_core::delivery::Delivery;
use statuspulse_core::event::Event;
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::message::QueueName;
use statuspulse_embedded::Received;

use crate::stage::{Stage, account, attempt};

/// Receives messages until there is no more, without completing any.
fn hanging(stage: &Stage, queue: QueueName) -> Vec<Received> {
    std::iter::from_fn(|| stage.receive(queue)).collect()
}

fn share_of(received: &[Received], webhook: WebhookId) -> usize {
    received.iter().filter(|received| received.message.webhook_id() == webhook).count()
}

const SLOTS: usize = 1024;

/// Completes 500 messages at once, so that the webhook's concurrency limit is high.
async fn opened(stage: &Stage, webhook: WebhookId) {
    stage.sent_many(webhook, 500).await;
    for _ in 0..500 {
        stage.receive(QueueName::First).expect("a message is ready").done();
    }
}

#[tokio::test]
async fn a_webhook_of_which_nothing_is_known_is_called_64_times_at_once() {
    let stage = Stage::new();
    stage.sent_many(stage.webhook_id(), 500).await;
    assert_eq!(hanging(&stage, QueueName::First).len(), 64);
}

#[tokio::test]
async fn a_webhook_takes_a_small_part_of_the_slots_and_holds_up_no_other() {
    let stage = Stage::new();
    let (busy, other) = (stage.webhook_id(), stage.webhook_id());
    // One message is always in progress, so that the webhook's concurrency limit is kept.
    stage.sent_many(busy, 1).await;
    let _first = stage.receive(QueueName::First).unwrap();
    opened(&stage, busy).await;
    stage.sent_many(busy, 5_000).await;
    let in_work = hanging(&stage, QueueName::First);
    assert!((SLOTS / 4..=SLOTS * 2 / 7).contains(&in_work.len()), "{} in progress", in_work.len());

    let sent = stage.sent_many(other, 1).await;
    let received = stage.receive(QueueName::First).expect("the other webhook has a slot");
    assert_eq!(attempt(&received).delivery_id, sent[0].id);
    assert!(stage.receive(QueueName::First).is_none());
}

#[tokio::test]
async fn a_webhook_that_hangs_is_soon_called_a_few_times_at_once_and_more_often_again_when_it_answers() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    stage.sent_many(webhook, 2_000).await;
    let in_work = hanging(&stage, QueueName::First);
    stage.pass(Duration::from_secs(10));
    in_work.into_iter().for_each(Received::done);
    let mut in_work = hanging(&stage, QueueName::First);
    assert_eq!(in_work.len(), 8);
    for _ in 0..20 {
        in_work.swap_remove(0).done();
        in_work.extend(hanging(&stage, QueueName::First));
    }
    assert_eq!(in_work.len(), 28);
}

/// Sends `each` messages to each of so many new webhooks of one account.
async fn flood(stage: &Stage, account: AccountId, webhooks: usize, each: usize) {
    for _ in 0..webhooks {
        stage.sent_of(account, stage.webhook_id(), each).await;
    }
}

#[tokio::test]
async fn an_account_with_500_webhooks_that_hang_leaves_more_than_half_of_the_slots_to_others() {
    let stage = Stage::new();
    let (loud, quiet) = (stage.account_id(), stage.account_id());
    flood(&stage, loud, 500, 10).await;
    let in_work = hanging(&stage, QueueName::First);
    assert!((SLOTS * 7 / 16..=SLOTS / 2).contains(&in_work.len()), "{} in progress", in_work.len());

    stage.sent_of(quiet, stage.webhook_id(), 50).await;
    let others = hanging(&stage, QueueName::First);
    assert!(others.iter().all(|received| received.message.account_id() == quiet));
    assert_eq!(others.len(), 50, "they do not wait");
}

#[tokio::test]
async fn three_accounts_whose_webhooks_hang_leave_a_quarter_of_the_slots_to_others() {
    let stage = Stage::new();
    let mut in_work = vec![];
    for _ in 0..3 {
        flood(&stage, stage.account_id(), 500, 2).await;
    }
    in_work.extend(hanging(&stage, QueueName::First));
    assert!(in_work.len() <= SLOTS * 3 / 4, "{} in progress", in_work.len());
    stage.sent_of(stage.account_id(), stage.webhook_id(), 20).await;
    assert_eq!(hanging(&stage, QueueName::First).len(), 20);
}

#[tokio::test]
async fn accounts_take_turns_whatever_the_number_of_their_webhooks() {
    let stage = Stage::new();
    let (large, small) = (stage.account_id(), stage.account_id());
    flood(&stage, large, 100, 3).await;
    stage.sent_of(small, stage.webhook_id(), 20).await;
    for stage in [stage.reopened_after_a_death().await, stage] {
        for _ in 0..20 {
            let pair = [(); 2].map(|()| stage.receive(QueueName::First).unwrap());
            let came = HashSet::from([pair[0].message.account_id(), pair[1].message.account_id()]);
            assert_eq!(came, HashSet::from([large, small]));
            pair.into_iter().for_each(Received::done);
        }
    }
}

#[tokio::test]
async fn the_slow_webhooks_of_an_account_leave_room_for_its_others() {
    let stage = Stage::new();
    flood(&stage, account(), 500, 4).await;
    let in_work = hanging(&stage, QueueName::First);
    assert!(in_work.len() > SLOTS * 7 / 16, "{} in progress", in_work.len());
    stage.pass(Duration::from_secs(10));
    in_work.into_iter().for_each(Received::done);

    // They were slow once, which is remembered. Now they leave a part of the account's share free.
    let in_work = hanging(&stage, QueueName::First);
    assert!(in_work.len() <= SLOTS * 2 / 5, "{} in progress", in_work.len());
    let healthy = stage.webhook_id();
    stage.sent_many(healthy, 30).await;
    assert_eq!(share_of(&hanging(&stage, QueueName::First), healthy), 30);
}

#[tokio::test]
async fn that_a_webhook_was_slow_is_remembered_when_it_has_no_messages() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    stage.sent_many(webhook, 64).await;
    let in_work = hanging(&stage, QueueName::First);
    stage.pass(Duration::from_secs(10));
    in_work.into_iter().for_each(Received::done);
    assert!(stage.receive(QueueName::First).is_none());
    stage.sent_many(webhook, 64).await;
    assert_eq!(hanging(&stage, QueueName::First).len(), 8);
}

/// Bodies in progress are in memory.
#[tokio::test]
async fn the_bodies_in_progress_are_bounded_in_bytes_and_shared_by_account() {
    let stage = Stage::new();
    let body = Bytes::from(vec![b' '; 128 * 1024]);
    let (large, small) = (stage.account_id(), stage.account_id());
    for account_id in [large, small] {
        for _ in 0..10 {
            let webhook = stage.webhook_id();
            for n in 0..20 {
                let event = Event { account_id, body: body.clone(), ..stage.event(&format!("INC-{n}")) };
                stage.accepted_event(&event, webhook).await;
            }
        }
        let in_work = hanging(&stage, QueueName::First);
        let bytes = in_work.len() * body.len();
        let share = if account_id == large { 8 } else { 4 };
        assert!(bytes <= share * 1024 * 1024, "{bytes} bytes in progress");
        assert!(bytes > (share - 1) * 1024 * 1024, "{bytes} bytes in progress");
        std::mem::forget(in_work);
    }
}

#[tokio::test]
async fn many_accounts_that_hang_leave_a_slot_for_the_next() {
    let stage = Stage::new();
    let mut all = vec![];
    for _ in 0..50 {
        flood(&stage, stage.account_id(), 10, 10).await;
        all.extend(hanging(&stage, QueueName::First));
    }
    let last = stage.account_id();
    flood(&stage, last, 10, 10).await;
    let others = hanging(&stage, QueueName::First);
    assert!(!others.is_empty(), "none of {} slots was left", all.len());
    assert!(others.iter().all(|received| received.message.account_id() == last));
    assert!(all.len() + others.len() <= SLOTS);
}

#[tokio::test]
async fn the_queues_do_not_take_each_other_s_slots() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    stage.sent_many(webhook, 2_000).await;
    let _in_work = hanging(&stage, QueueName::First);
    let retry = Delivery { round: 2, ..Delivery::new(&stage.event("INC-1"), webhook) };
    stage.sent(&retry, &Bytes::new()).await;
    assert_eq!(attempt(&stage.receive(QueueName::Retry).unwrap()).delivery_id, retry.id);
}

#[tokio::test]
async fn webhooks_take_turns() {
    let stage = Stage::new();
    let webhooks = [stage.webhook_id(), stage.webhook_id(), stage.webhook_id()];
    stage.sent_many(webhooks[0], 300).await;
    stage.sent_many(webhooks[1], 20).await;
    stage.sent_many(webhooks[2], 20).await;
    for stage in [stage.reopened_after_a_death().await, stage] {
        for _ in 0..20 {
            let round: Vec<_> = (0..3).map(|_| stage.receive(QueueName::First).unwrap()).collect();
            let came: HashSet<_> = round.iter().map(|received| received.message.webhook_id()).collect();
            assert_eq!(came, HashSet::from(webhooks));
            round.into_iter().for_each(Received::done);
        }
    }
}

#[tokio::test]
async fn a_long_backlog_comes_completely_and_in_order_though_more_is_sent_meanwhile() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let mut sent = stage.sent_many(webhook, 1_000).await;
    let mut came = vec![];
    let mut kept = std::collections::VecDeque::new();
    while let Some(received) = stage.receive(QueueName::First) {
        came.push(attempt(&received).delivery_id);
        // A few messages are always in progress, as with a slow receiver. More are sent now and then.
        kept.push_back(received);
        if kept.len() > 5
            && let Some(oldest) = kept.pop_front()
        {
            oldest.done();
        }
        if came.len() % 7 == 0 && sent.len() < 2_000 {
            sent.extend(stage.sent_many(webhook, 11).await);
        }
    }
    assert!(sent.len() >= 2_000);
    assert_eq!(came, sent.iter().map(|delivery| delivery.id).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backlog_that_many_work_on_and_many_add_to_comes_completely_and_once() {
    const SENDERS: usize = 4;
    const EACH: usize = 400;
    let stage = std::sync::Arc::new(Stage::new());
    let webhook = stage.webhook_id();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        let stage = stage.clone();
        senders.spawn(async move {
            let mut sent = vec![];
            while sent.len() < EACH {
                sent.extend(stage.sent_many(webhook, 8).await);
            }
            sent
        });
    }
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (store, arrived) = (stage.store.clone(), arrived.clone());
        workers.spawn(async move {
            loop {
                while let Some(received) = store.try_receive(QueueName::First).unwrap() {
                    arrived.send(attempt(&received).delivery_id).unwrap();
                    received.done();
                }
                tokio::task::yield_now().await;
            }
        });
    }
    let mut sent: HashSet<_> =
        senders.join_all().await.into_iter().flatten().map(|delivery| delivery.id).collect();
    while !sent.is_empty() {
        let came = crate::stage::within_a_minute(arrivals.recv()).await.unwrap();
        assert!(sent.remove(&came), "{came} came twice");
    }
}

/// A body that is not in memory is not in the message either. The worker reads it from the event.
#[tokio::test]
async fn of_a_backlog_only_the_first_few_bodies_are_in_memory() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let in_memory = Bytes::from_static(b"{\"in\":\"memory\"}");
    for n in 0..300 {
        let delivery = stage.accepted(webhook, &format!("INC-{n}")).await;
        stage.sent(&delivery, &in_memory).await;
    }
    let came = stage.drained().await;
    assert_eq!(came.len(), 600, "each acceptance sent one as well");
    let from_memory = came.iter().filter(|message| !message.body.is_empty()).count();
    assert!((1..=64).contains(&from_memory), "{from_memory} bodies of one webhook were in memory");
}

/// Messages are sent while the end of the backlog is read from disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_comes_while_the_backlog_is_read_is_not_forgotten() {
    let stage = std::sync::Arc::new(Stage::new());
    for round in 0..150 {
        let webhook = stage.webhook_id();
        stage.sent_many(webhook, 70 + round % 30).await;
        let sender = tokio::spawn({
            let stage = stage.clone();
            async move {
                for _ in 0..10 {
                    stage.sent_many(webhook, 1).await;
                }
            }
        });
        for _ in 0..80 + round % 30 {
            crate::stage::within_a_minute(stage.store.receive(QueueName::First)).await.unwrap().done();
        }
        sender.await.unwrap();
    }
}
