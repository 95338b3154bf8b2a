//! Arrivals: records of another deployment are stored as they are.

use std::time::Duration;

use statuspulse_core::access::{ApiKey, Role};
use statuspulse_core::attempt::{Attempt, Class, Failure, Trigger};
use statuspulse_core::audit::{AccountEntry, Action, Actor};
use statuspulse_core::delivery::{Delivery, DeliveryFilter, FailedIn, State, Timing};
use statuspulse_core::event::Event;
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::moving::ExportId;
use statuspulse_core::ports::{Acceptance, DeliveryQuery};
use statuspulse_core::webhook::Webhook;

use crate::Stage;

pub(crate) async fn an_account_is_arriving_until_it_has_arrived(stage: Stage) {
    let account = stage.account("acme");
    let (export, other) = (ExportId::new(stage.dice()), ExportId::new(stage.dice()));
    assert_eq!(stage.store.arriving(account.id).await.unwrap(), None);
    assert!(stage.store.take_account(&account, export).await.unwrap());
    assert!(!stage.store.take_account(&account, export).await.unwrap(), "it is taken once");
    assert!(!stage.store.take_account(&account, other).await.unwrap());
    assert_eq!(stage.store.arriving(account.id).await.unwrap(), Some(export));
    let kept = stage.store.account(account.id).await.unwrap().unwrap();
    assert_eq!((kept.name, kept.version, kept.created_at), ("acme".to_owned(), 0, account.created_at));

    let made = (stage.now(), Actor::OWNER);
    let entry = AccountEntry::new(account.id, made, Action::AccountImported, &account.id, vec![]);
    stage.store.end_arrival(&entry).await.unwrap();
    assert_eq!(stage.store.arriving(account.id).await.unwrap(), None);
    let log = stage.store.audit_log(account.id, None, None, 10).await.unwrap().items;
    assert_eq!(log, std::slice::from_ref(&entry));
    stage.pass(Duration::from_secs(1));
    let late =
        AccountEntry::new(account.id, (stage.now(), Actor::OWNER), Action::AccountImported, &1, vec![]);
    stage.store.end_arrival(&late).await.unwrap();
    assert_eq!(stage.store.audit_log(account.id, None, None, 10).await.unwrap().items, [entry]);
    assert!(!stage.store.take_account(&account, export).await.unwrap(), "it is there already");
    assert_eq!(stage.store.arriving(account.id).await.unwrap(), None);
}

pub(crate) async fn keys_webhooks_and_entries_arrive_as_they_are_and_once(stage: Stage) {
    let account = stage.account("acme");
    stage.store.take_account(&account, ExportId::new(stage.dice())).await.unwrap();
    let (key, _) = ApiKey::generate(Some(account.id), Role::Viewer, None, stage.now(), stage.dice());
    let used = Some(stage.now());
    let key = ApiKey { name: Some("wall".to_owned()), revoked_at: used, last_used_at: used, ..key };
    assert!(stage.store.take_key(&key).await.unwrap());
    assert!(!stage.store.take_key(&ApiKey { name: None, ..key.clone() }).await.unwrap());
    assert_eq!(stage.store.key_by_hash(&key.hash).await.unwrap(), Some(key.clone()));
    assert_eq!(stage.store.keys(account.id).await.unwrap(), [key]);

    let webhook = Webhook { version: 7, ..stage.webhook(account.id) };
    assert!(stage.store.take_webhook(&webhook).await.unwrap());
    assert!(!stage.store.take_webhook(&Webhook { generation: 9, ..webhook.clone() }).await.unwrap());
    assert_eq!(*stage.store.webhook(webhook.id).await.unwrap().unwrap(), webhook);
    assert_eq!(*stage.store.webhooks(account.id).await.unwrap().readable[0], webhook);
    stage.store.save_webhook(&webhook).await.unwrap().unwrap();
    assert_eq!(stage.store.webhook(webhook.id).await.unwrap().unwrap().version, 8);

    let made = (stage.now(), Actor::OWNER);
    let entry =
        AccountEntry::new(account.id, made, Action::WebhookCreated, &webhook.id, vec![]).about(webhook.id);
    for _ in 0..2 {
        stage.store.take_entry(&entry).await.unwrap();
    }
    for about in [None, Some(webhook.id)] {
        let log = stage.store.audit_log(account.id, about, None, 10).await.unwrap().items;
        assert_eq!(log, std::slice::from_ref(&entry));
    }
}

/// An event with one delivery in this state, as another deployment had it.
fn moved(
    stage: &Stage,
    (account, webhook): (AccountId, WebhookId),
    incident: &str,
    state: State,
) -> (Event, Delivery) {
    stage.pass(Duration::from_millis(1));
    let event = Event { account_id: account, ..stage.event(incident) };
    let failed = Attempt {
        number: 2,
        trigger: Trigger::Event,
        at: stage.now(),
        signed_at: stage.now(),
        status_code: Some(503),
        failure: Some(Failure::new(Class::Timeout, "503")),
        duration: Duration::from_micros(1500),
        response_headers: vec![("server".to_owned(), "nginx".to_owned())],
        response: Some("busy".to_owned()),
    };
    let delivery = Delivery {
        state,
        round: 3,
        trigger: Trigger::Resume,
        failed_in: Some(FailedIn { first: 1, last: 2 }),
        attempts: vec![failed],
        version: 9,
        ..Delivery::new(&event, webhook)
    };
    (event, delivery)
}

async fn take(stage: &Stage, (event, delivery): &(Event, Delivery)) -> (bool, bool) {
    let event = stage.store.take_event(event, &[delivery.webhook_id]).await.unwrap();
    (event, stage.store.take_delivery(delivery).await.unwrap())
}

/// A webhook that has arrived, and its account.
async fn arrived(stage: &Stage) -> (AccountId, WebhookId) {
    let account = stage.account("acme");
    stage.store.take_account(&account, ExportId::new(stage.dice())).await.unwrap();
    let webhook = stage.webhook(account.id);
    stage.store.take_webhook(&webhook).await.unwrap();
    (account.id, webhook.id)
}

pub(crate) async fn deliveries_arrive_in_their_states_and_once(stage: Stage) {
    let to = arrived(&stage).await;
    let retry =
        State::Scheduled { number: 3, at: stage.now(), timing: Timing::Early { ladder_at: stage.now() } };
    let again = State::first_attempt(stage.now());
    let states =
        [State::Held, retry, again, State::Delivered, State::Failed, State::Discarded, State::Cancelled];
    let mut all = vec![];
    for (number, state) in states.into_iter().enumerate() {
        all.push(moved(&stage, to, &format!("INC-{number}"), state));
    }
    let waiting = moved(&stage, to, "INC-0", State::Waiting);
    all.push(waiting);
    for each in &all {
        assert_eq!(take(&stage, each).await, (true, true));
    }
    for each in &all {
        assert_eq!(take(&stage, each).await, (false, false), "it is taken once");
    }
    for (event, delivery) in &all {
        assert_eq!(*stage.store.event(event.id).await.unwrap().unwrap(), *event);
        let found = stage.store.delivery(&[to.1], delivery.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(delivery), "{:?}", delivery.state);
        // The publisher repeats its call here.
        let repeated = stage.store.accept(event, vec![Delivery::new(event, to.1)]).await.unwrap();
        let Acceptance::Accepted(kept) = repeated else { panic!("it is the same event") };
        assert_eq!(kept, std::slice::from_ref(delivery));
    }
    assert_eq!(stage.store.held(to.1).await.unwrap(), 1);
    let states_of = async |query| {
        let found = stage.store.query(to.1, query, 100).await.unwrap();
        found.into_iter().map(|delivery| delivery.state).collect::<Vec<_>>()
    };
    assert_eq!(states_of(DeliveryQuery::Held).await, [State::Held]);
    assert_eq!(states_of(DeliveryQuery::Moving).await, [retry, again, State::Waiting]);
    assert_eq!(states_of(DeliveryQuery::Released).await, [again]);
    assert_eq!(states_of(DeliveryQuery::Unfinished).await, [State::Held, retry, again, State::Waiting]);
    let page = stage.store.deliveries(&[to.1], &DeliveryFilter::default(), None, 100).await.unwrap();
    assert_eq!(page.items.len(), all.len());
}

pub(crate) async fn a_lane_that_arrived_goes_on_in_its_order(stage: Stage) {
    let to = arrived(&stage).await;
    let retry = State::Scheduled { number: 3, at: stage.now(), timing: Timing::OnTime };
    let lane = [moved(&stage, to, "INC-1", retry), moved(&stage, to, "INC-1", State::Waiting)];
    for each in &lane {
        take(&stage, each).await;
    }
    let [(_, first), (_, second)] = lane;
    let head = async || stage.store.lane_head(to.1, "INC-1").await.unwrap().map(|head| head.id);
    assert_eq!(head().await, Some(first.id));
    let third = stage.accepted(to.1, "INC-1").await;
    assert_eq!(third.state, State::Waiting, "a new event is behind those that arrived");

    let ended = stage.saved(first.clone(), State::Delivered).await;
    assert_eq!(ended.has_successor, !stage.store.sends(), "the second waits for it");
    assert_eq!(head().await, Some(second.id));
    let promoted = stage.store.delivery(&[to.1], second.id).await.unwrap().unwrap();
    assert_eq!(matches!(promoted.state, State::Scheduled { number: 1, .. }), stage.store.sends());

    // The import is repeated after that.
    assert!(!stage.store.take_delivery(&first).await.unwrap());
    assert!(!stage.store.take_delivery(&second).await.unwrap());
    assert_eq!(stage.store.delivery(&[to.1], first.id).await.unwrap().unwrap(), ended.delivery);
    assert_eq!(stage.store.delivery(&[to.1], second.id).await.unwrap().unwrap(), promoted);
    assert_eq!(head().await, Some(second.id));
}
