//! The writer: group commit, syncs, and failed writes.
//!
//! Whether `fdatasync` really makes bytes durable cannot be tested here. These tests check that `durable` does not
//! succeed without it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rusqlite::Connection;
use statuspulse_core::access::{ApiKey, Role};
use statuspulse_core::admin::accounts::created_account;
use statuspulse_core::audit::Actor;
use statuspulse_core::delivery::{Delivery, DeliveryFilter, State};
use statuspulse_core::event::Event;
use statuspulse_core::message::QueueName;
use statuspulse_core::ports::{Accounts, Clock, Deliveries, Records};
use statuspulse_embedded::Received;

use crate::stage::{Stage, within_a_minute};

fn file_of(stage: &Stage) -> Connection {
    Connection::open(stage.path().join("statuspulse.db")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_write_at_once_all_get_what_they_wrote() {
    const WRITERS: usize = 8;
    const EACH: usize = 200;
    let stage = Arc::new(Stage::new());
    let webhook = stage.webhook_id();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let stage = stage.clone();
        writers.spawn(async move {
            for n in 0..EACH {
                let delivery = stage.accepted(webhook, &format!("INC-{writer}-{}", n / 2)).await;
                assert_eq!(delivery.state == State::Waiting, n % 2 == 1);
                stage.sent(&delivery, &Bytes::new()).await;
                let saved =
                    stage.store.save_delivery(&delivery.clone().with_state(State::Held)).await.unwrap();
                assert_eq!(saved.unwrap().delivery.version, 1);
                stage.store.durable().await.unwrap();
                let read = stage.store.delivery(&[delivery.webhook_id], delivery.id).await.unwrap().unwrap();
                assert_eq!(read.state, State::Held, "every later read sees the write");
            }
        });
    }
    writers.join_all().await;
    let all = u64::try_from(WRITERS * EACH).unwrap();
    let stage = Arc::into_inner(stage).unwrap().reopened();
    assert_eq!(stage.store.held(webhook).await.unwrap(), all);
    let listed = stage.store.deliveries(&[webhook], &DeliveryFilter::default(), None, 5_000).await.unwrap();
    let ids: HashSet<_> = listed.items.iter().map(|delivery| delivery.id).collect();
    let messages: HashSet<_> = stage.drained().await.iter().map(|message| message.delivery_id).collect();
    assert_eq!(ids, messages);
    assert_eq!(ids.len(), WRITERS * EACH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_waiter_is_notified_after_a_sync() {
    let stage = Arc::new(Stage::new());
    stage.store.durable().await.unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..64 {
        let stage = stage.clone();
        waiting.spawn(async move {
            for _ in 0..20 {
                if n % 2 == 0 {
                    stage.accepted(stage.webhook_id(), "INC-1").await;
                }
                within_a_minute(stage.store.durable()).await.unwrap();
            }
        });
    }
    waiting.join_all().await;
}

/// Without the log, writes can no longer become durable, so `durable` must fail.
#[tokio::test]
async fn after_a_failed_sync_every_call_fails() {
    let stage = Stage::new();
    stage.accepted(stage.webhook_id(), "INC-1").await;
    std::fs::remove_file(stage.path().join("statuspulse.db-wal")).unwrap();
    let (one, two) = tokio::join!(stage.store.durable(), stage.store.durable());
    for result in [one, two, stage.store.durable().await] {
        assert_eq!(result.unwrap_err().doing, "making writes durable");
    }
    stage.accepted(stage.webhook_id(), "INC-2").await;
    stage.store.durable().await.unwrap_err();
}

#[tokio::test]
async fn a_write_that_waits_for_another_program_s_is_done_after_it() {
    let stage = Stage::new();
    let file = file_of(&stage);
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let event = stage.event("INC-1");
    let ask = stage.store.accept(&event, vec![]);
    let (asked, ()) = tokio::join!(ask, async { file.execute_batch("COMMIT").unwrap() });
    asked.unwrap();
    assert!(stage.store.event(event.id).await.unwrap().is_some());
}

/// Makes the creation of any account fail, to simulate a failing disk.
const REFUSE_ACCOUNTS: &str =
    "CREATE TRIGGER refuse BEFORE INSERT ON accounts BEGIN SELECT RAISE(ABORT, 'no'); END";

async fn create_account(stage: &Stage) -> bool {
    let account = stage.account("Acme");
    let (key, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), &*stage.dice);
    stage.store.create_account(&account, &key, &created_account(&account, &key, Actor::OWNER)).await.is_ok()
}

/// However much one account has queued, another account's write does not wait behind all of it.
#[tokio::test]
async fn accounts_take_turns_to_write() {
    let stage = Stage::new();
    let file = file_of(&stage);
    let many: Vec<_> = (0..500).map(|n| stage.event(&format!("INC-{n}"))).collect();
    let other = Event { account_id: stage.account_id(), ..stage.event("INC-OTHER") };
    // While another program writes, all of them wait.
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (accepted, its, ()) = tokio::join!(
        join_all(many.iter().map(|event| stage.store.accept(event, vec![]))),
        stage.store.accept(&other, vec![]),
        async { file.execute_batch("COMMIT").unwrap() },
    );
    assert!(accepted.iter().all(Result::is_ok) && its.is_ok());
    let sql = "SELECT count(*) FROM events WHERE seq < (SELECT seq FROM events WHERE id = ?1)";
    let before: i64 = file.query_row(sql, [other.id.to_bytes()], |row| row.get(0)).unwrap();
    assert!(before <= 2, "{before} writes of the busy account came before the other account's");
}

#[tokio::test]
async fn a_failed_batch_leaves_nothing_behind_and_fails_for_all_its_callers() {
    let stage = Stage::new();
    let file = file_of(&stage);
    file.execute_batch(REFUSE_ACCOUNTS).unwrap();
    let (good, fine) = (stage.event("INC-1"), stage.event("INC-2"));
    // While another program writes, the three jobs wait. Afterwards they run in one batch.
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (accepted, created, also, ()) = tokio::join!(
        stage.store.accept(&good, vec![]),
        create_account(&stage),
        stage.store.accept(&fine, vec![]),
        async { file.execute_batch("COMMIT").unwrap() },
    );
    assert!(!created);
    for (result, event) in [(accepted, &good), (also, &fine)] {
        let kept = stage.store.event(event.id).await.unwrap().is_some();
        assert_eq!(result.is_ok(), kept, "the answer must match what is stored");
    }
    file.execute_batch("DROP TRIGGER refuse").unwrap();
    assert!(create_account(&stage).await, "the next write works");
}

/// I2: if the batch that makes messages ready is rolled back, the messages must still be due.
#[tokio::test]
async fn messages_that_could_not_be_made_ready_are_still_due() {
    let stage = Stage::new();
    let delivery = Delivery::new(&stage.event("INC-1"), stage.webhook_id());
    stage.sent_in(&delivery, 2, Duration::from_secs(60), &Bytes::new()).await;
    stage.pass(Duration::from_secs(60));
    let file = file_of(&stage);
    file.execute_batch("CREATE TRIGGER refuse BEFORE INSERT ON ready BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    assert!(stage.store.make_due_ready().await.is_err());
    file.execute_batch("DROP TRIGGER refuse").unwrap();
    assert!(stage.store.next_due().is_some_and(|due| due <= stage.now()));
    assert_eq!(stage.drained().await.len(), 1);
}

/// I2: if the worker has finished but the row cannot be changed, the message must be delivered again.
#[tokio::test]
async fn a_message_whose_end_could_not_be_written_comes_again() {
    let stage = Stage::new();
    let file = file_of(&stage);
    for settle in ["done", "again", "dropped"] {
        let sent = stage.sent_many(stage.webhook_id(), 1).await;
        let received = stage.receive(QueueName::First).unwrap();
        file.execute_batch(
            "CREATE TRIGGER refuse BEFORE DELETE ON ready BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();
        match settle {
            "done" => received.done(),
            "again" => received.again(stage.now()),
            _ => drop(received),
        }
        stage.flushed().await;
        assert!(stage.receive(QueueName::First).is_none(), "{settle}: it came again while writes fail");
        file.execute_batch("DROP TRIGGER refuse").unwrap();
        let due = stage.store.next_due().expect("the message is due again");
        stage.pass(Duration::try_from(due.duration_since(stage.clock.now())).unwrap_or_default());
        let again = stage.drained().await;
        assert_eq!(again.len(), 1, "{settle}");
        assert_eq!(again[0].delivery_id, sent[0].id, "{settle}");
        stage.flushed().await;
        assert!(stage.receive_due().await.is_none(), "{settle}: it came twice");
    }
}

#[tokio::test]
async fn the_log_is_copied_back_and_nothing_is_lost_by_it() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let body = Bytes::from(format!("{{\"x\":\"{}\"}}", "x".repeat(60_000)));
    let mut all = vec![];
    // About 24 MiB, well past the size at which the checkpoint starts.
    for n in 0..400 {
        let event = Event { body: body.clone(), ..stage.event(&format!("INC-{n}")) };
        all.push(stage.accepted_event(&event, webhook).await);
        stage.store.durable().await.unwrap();
    }
    let main = std::fs::metadata(stage.path().join("statuspulse.db")).unwrap().len();
    for stage in [stage.reopened_after_a_death().await, stage.reopened()] {
        for delivery in &all {
            assert_eq!(stage.store.event(delivery.event_id).await.unwrap().unwrap().body, body);
        }
    }
    assert!(main > 1024 * 1024, "the database file has {main} bytes: no checkpoint ran");
}

/// While nothing can be recorded, nothing new is begun. So after a full disk only what was in progress comes twice.
#[tokio::test]
async fn while_writes_fail_no_message_is_handed_out() {
    let stage = Stage::new();
    let file = file_of(&stage);
    stage.sent_many(stage.webhook_id(), 20).await;
    let in_progress: Vec<_> = (0..5).map(|_| stage.receive(QueueName::First).unwrap()).collect();
    file.execute_batch("CREATE TRIGGER refuse BEFORE DELETE ON ready BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    file.execute_batch("CREATE TRIGGER full BEFORE INSERT ON probe BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    in_progress.into_iter().for_each(Received::done);
    crate::stage::within_a_minute(stage.store.write_failed()).await;
    stage.flushed().await;
    assert!(stage.receive(QueueName::First).is_none(), "its outcome could not be recorded");
    // A write that happens to succeed does not mean that the next one will.
    assert!(create_account(&stage).await);
    assert!(stage.receive(QueueName::First).is_none());
    assert!(stage.store.make_due_ready().await.is_err());

    file.execute_batch("DROP TRIGGER refuse; DROP TRIGGER full").unwrap();
    stage.pass(Duration::from_secs(3600));
    let came = stage.drained().await;
    assert_eq!(came.len(), 20, "fifteen for the first time, and five that were in progress");
}

/// A reader that stays open keeps the log from starting over. When it is gone, the log is cut back.
#[tokio::test]
async fn the_log_is_cut_back_after_a_reader_kept_it_long() {
    let stage = Stage::new();
    let log = stage.path().join("statuspulse.db-wal");
    let reader = file_of(&stage);
    reader.execute_batch("BEGIN; SELECT count(*) FROM events;").unwrap();
    let body = Bytes::from(vec![b' '; 128 * 1024]);
    let write = async |count: usize| {
        for n in 0..count {
            let event = Event { body: body.clone(), ..stage.event(&format!("INC-{n}")) };
            stage.store.accept(&event, vec![]).await.unwrap();
        }
    };
    write(1_200).await;
    let long = std::fs::metadata(&log).unwrap().len();
    assert!(long > 140 * 1024 * 1024, "{long}");
    reader.execute_batch("COMMIT").unwrap();
    for _ in 0..5_000 {
        stage.store.accept(&stage.event("INC-SMALL"), vec![]).await.unwrap();
        stage.store.durable().await.unwrap();
        if std::fs::metadata(&log).unwrap().len() < long {
            break;
        }
    }
    let cut = std::fs::metadata(&log).unwrap().len();
    assert!(cut <= 130 * 1024 * 1024, "{cut} of {long}");
}

/// While many callers write without a pause, the checkpoint thread never reaches the end of the log. Then the writer
/// itself must, or the log would grow for as long as the load lasts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_short_under_a_constant_load() {
    let stage = std::sync::Arc::new(Stage::new());
    let log = stage.path().join("statuspulse.db-wal");
    let body = Bytes::from(vec![b' '; 128 * 1024]);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..32 {
        let (stage, body) = (stage.clone(), body.clone());
        callers.spawn(async move {
            for n in 0..200 {
                let event = Event { body: body.clone(), ..stage.event(&format!("INC-{caller}-{n}")) };
                stage.store.accept(&event, vec![]).await.unwrap();
            }
        });
    }
    let mut longest = 0;
    while let Some(done) = callers.join_next().await {
        done.unwrap();
        longest = longest.max(std::fs::metadata(&log).unwrap().len());
    }
    assert!(longest < 256 * 1024 * 1024, "{} MiB", longest >> 20);
}
