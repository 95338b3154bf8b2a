//! Pruning deletes what is older than the retention, and nothing else.

use std::time::Duration;

use statuspulse_core::access::{ApiKey, Role};
use statuspulse_core::admin::accounts::created_account;
use statuspulse_core::audit::Actor;
use statuspulse_core::delivery::{Delivery, State};
use statuspulse_core::event::Event;
use statuspulse_core::limits;
use statuspulse_core::ports::{Acceptance, Accounts, Deliveries, Records, Usage, Webhooks};
use statuspulse_core::webhook::{self, Webhook};

use crate::stage::Stage;

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test]
async fn finished_deliveries_and_their_events_go_when_they_are_older_than_the_retention() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let mut old = vec![];
    for end in [State::Delivered, State::Failed, State::Discarded, State::Cancelled] {
        let delivery = stage.accepted(webhook, "INC-1").await;
        old.push(stage.saved(delivery, end).await.delivery);
    }
    stage.pass(MOMENT);
    let young = stage.accepted(webhook, "INC-1").await;
    let young = stage.saved(young, State::Delivered).await.delivery;

    stage.pass(limits::RETENTION - MOMENT);
    assert_eq!(stage.store.prune(stage.now()).await.unwrap(), 0, "exactly as old as the retention is kept");
    stage.pass(MOMENT);
    assert_eq!(stage.store.prune(stage.now()).await.unwrap(), 8, "four deliveries and their events");
    for gone in old {
        assert!(stage.store.delivery(&[gone.webhook_id], gone.id).await.unwrap().is_none());
        assert!(stage.store.event(gone.event_id).await.unwrap().is_none());
    }
    assert!(stage.store.delivery(&[young.webhook_id], young.id).await.unwrap().is_some());
    assert!(stage.store.event(young.event_id).await.unwrap().is_some());
}

#[tokio::test]
async fn unfinished_deliveries_stay_however_old_with_the_events_they_need() {
    let stage = Stage::new();
    let (webhook, other) = (stage.webhook_id(), stage.webhook_id());
    let event = stage.event("INC-1");
    let asked = vec![Delivery::new(&event, webhook), Delivery::new(&event, other)];
    let Acceptance::Accepted(kept) = stage.store.accept(&event, asked).await.unwrap() else {
        panic!("a new event")
    };
    stage.saved(kept[0].clone(), State::Delivered).await;
    let held = stage.saved(kept[1].clone(), State::Held).await.delivery;
    let waiting = stage.accepted(other, "INC-1").await;
    let scheduled = stage.accepted(other, "INC-2").await;
    let unwanted = stage.event("INC-3");
    stage.store.accept(&unwanted, vec![]).await.unwrap();

    stage.pass(limits::RETENTION * 2);
    assert_eq!(stage.store.prune(stage.now()).await.unwrap(), 2, "a delivery, and an unwanted event");
    assert!(stage.store.delivery(&[kept[0].webhook_id], kept[0].id).await.unwrap().is_none());
    assert!(stage.store.event(unwanted.id).await.unwrap().is_none());
    for delivery in [held, waiting, scheduled] {
        assert_eq!(
            stage.store.delivery(&[delivery.webhook_id], delivery.id).await.unwrap(),
            Some(delivery.clone())
        );
        assert!(stage.store.event(delivery.event_id).await.unwrap().is_some(), "its body is still needed");
    }
}

/// Finished and unfinished deliveries, over several pages.
#[tokio::test]
async fn a_long_history_is_pruned_to_its_end() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let mut stay = vec![];
    for n in 0..1_300 {
        let delivery = stage.accepted(webhook, &format!("INC-{n}")).await;
        if n % 100 == 0 {
            stay.push(delivery.id);
        } else {
            stage.saved(delivery, State::Delivered).await;
        }
    }
    stage.pass(limits::RETENTION + MOMENT);
    assert_eq!(stage.store.prune(stage.now()).await.unwrap(), 2 * (1_300 - stay.len()));
    let filter = statuspulse_core::delivery::DeliveryFilter::default();
    let mut left = stage.store.deliveries(&[webhook], &filter, None, 100).await.unwrap().items;
    left.reverse();
    assert_eq!(left.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), stay);
}

#[tokio::test]
async fn a_deleted_webhook_goes_once_it_is_old_and_none_of_its_deliveries_is_kept() {
    let stage = Stage::new();
    let deleted = Webhook { state: webhook::State::Deleted, ..stage.webhook(stage.account_id()) };
    let living = stage.webhook(stage.account_id());
    for webhook in [&deleted, &living] {
        stage.store.create_webhook(webhook).await.unwrap();
    }
    let deleted_at_once = Webhook { generation: 2, ..deleted.clone() };
    stage.store.save_webhook(&deleted_at_once).await.unwrap().unwrap();
    let delivery = stage.accepted(deleted.id, "INC-1").await;
    let is_known = async |stage: &Stage| {
        let beside = stage.reopened_after_a_death().await;
        assert!(beside.store.webhook(living.id).await.unwrap().is_some());
        beside.store.webhook(deleted.id).await.unwrap().is_some()
    };

    stage.pass(limits::RETENTION + MOMENT);
    stage.store.prune(stage.now()).await.unwrap();
    assert!(is_known(&stage).await, "it still has an unfinished delivery");
    stage.saved(delivery, State::Cancelled).await;
    stage.store.prune(stage.now()).await.unwrap();
    assert!(!is_known(&stage).await);
}

#[tokio::test]
async fn the_disk_space_of_what_is_deleted_is_returned() {
    let stage = Stage::new();
    let body = bytes::Bytes::from(vec![b' '; 128 * 1024]);
    for n in 0..400 {
        let event = Event { body: body.clone(), ..stage.event(&format!("INC-{n}")) };
        stage.store.accept(&event, vec![]).await.unwrap();
    }
    let size = async |stage: Stage| {
        // Closing the last connection checkpoints the log.
        let reopened = stage.reopened();
        (std::fs::metadata(reopened.path().join("statuspulse.db")).unwrap().len(), reopened)
    };
    let (full, stage) = size(stage).await;
    assert!(full > 50 * 1024 * 1024, "{full}");
    stage.pass(limits::RETENTION + MOMENT);
    assert_eq!(stage.store.prune(stage.now()).await.unwrap(), 400);
    let (pruned, _stage) = size(stage).await;
    assert!(pruned < 20 * 1024 * 1024, "{pruned} of {full} bytes are left");
}

/// What an account keeps is counted when it is stored and when it is deleted.
#[tokio::test]
async fn what_an_account_keeps_is_counted() {
    let stage = Stage::new();
    let account = stage.account("Acme");
    let (key, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), &*stage.dice);
    stage.store.create_account(&account, &key, &created_account(&account, &key, Actor::OWNER)).await.unwrap();
    let kept = async || stage.store.bytes_kept(account.id).await.unwrap();
    assert_eq!(kept().await, Some(0));
    let event = Event { account_id: account.id, ..stage.event("INC-1") };
    let asked = vec![Delivery::new(&event, stage.webhook_id()), Delivery::new(&event, stage.webhook_id())];
    let Acceptance::Accepted(deliveries) = stage.store.accept(&event, asked.clone()).await.unwrap() else {
        panic!("a new event")
    };
    stage.store.accept(&event, asked).await.unwrap();
    let bytes = event.body.len() as u64 + 2 * limits::DELIVERY_BYTES;
    assert_eq!(kept().await, Some(bytes), "the repeated call stores nothing");
    for delivery in deliveries {
        stage.saved(delivery, State::Delivered).await;
    }
    stage.pass(limits::RETENTION + MOMENT);
    stage.store.prune(stage.now()).await.unwrap();
    assert_eq!(kept().await, Some(0));
}
