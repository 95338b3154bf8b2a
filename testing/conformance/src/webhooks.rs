//! Webhooks, and the cache of them that publishers and workers read.

use std::sync::Arc;
use std::time::Duration;

use statuspulse_core::audit::{AccountEntry, Action, Actor, ActorKind, Change};
use statuspulse_core::destination::Destination;
use statuspulse_core::event::EventType;
use statuspulse_core::ids::KeyId;
use statuspulse_core::message::{DomainEventKind, EventMessage, JobMessage, Message, ScheduledMessage};
use statuspulse_core::notification::{Notification, NotificationKind, NotificationState};
use statuspulse_core::ports::Conflict;
use statuspulse_core::rotation::{Digests, Rehearsal, StyleChoice};
use statuspulse_core::secret::Secret;
use statuspulse_core::webhook::{
    BulkJob, Headers, Health, JobKind, Pause, PauseReason, Settings, State, Webhook,
};

use crate::Stage;

/// A webhook in which every optional field has a value.
fn eventful(stage: &Stage) -> Webhook {
    let mut webhook = stage.webhook(stage.account_id());
    let now = stage.now();
    webhook.settings = Settings {
        url: webhook.settings.url,
        // Each destination has a webhook of its own in the case.
        destination: Destination::default(),
        events: vec![EventType::IncidentResolved, EventType::IncidentOpened],
        monitor_groups: vec!["Payments, EU".to_owned(), "päge\"s".to_owned()],
        description: Some("On-call, \u{1f525}".to_owned()),
        headers: Headers([("X-Api-Key".to_owned(), "k1".to_owned())].into()),
    };
    let rehearsal = Rehearsal { status_code: Some(401), refusal: Some("It answered 401.".to_owned()) };
    webhook.keys.rotate(Secret::generate(stage.dice()), StyleChoice::Rehearsed(rehearsal), now).unwrap();
    webhook.keys = webhook.keys.showing(Digests::New);
    webhook.state = State::Paused(Pause {
        reason: PauseReason::Failures,
        since: now,
        last_error: Some("The endpoint answered 503.".to_owned()),
        failing_since: Some(now),
    });
    webhook.notification = Some(Notification {
        id: 12,
        kind: NotificationKind::Failing { last_error: "The endpoint answered 503.".to_owned() },
        at: now,
        state: NotificationState::Sending { tries: 2, until: now },
        answered: true,
    });
    webhook.health = Health { outage: 3, failing_since: Some(now), consecutive_failures: 4 };
    webhook.handshake.reason = Some("no answer".to_owned());
    webhook.handshake.duration = Duration::from_micros(87_654);
    let by = Actor { kind: ActorKind::Key, key_id: Some(KeyId::new(now, stage.dice())), address: None };
    for (change, by) in Change::ALL.iter().copied().zip([Actor::STATUSPULSE, by].into_iter().cycle()) {
        webhook.audit.add(change, by, now);
    }
    webhook.resumed_in = 2;
    webhook.job = Some(BulkJob {
        kind: JobKind::Release,
        page: 3,
        due: now,
        leased_until: Some(now),
        outage: 2,
        ramp: 2,
        setbacks: 1,
        drained: 17,
    });
    webhook.generation = 9;
    webhook.audit = webhook.audit.saved();
    webhook
}

pub(crate) async fn a_webhook_comes_back_as_it_was_kept(stage: Stage) {
    let webhook = eventful(&stage);
    stage.store.create_webhook(&webhook).await.unwrap();
    let pending = Webhook { state: State::Pending, ..stage.webhook(webhook.account_id) };
    stage.store.create_webhook(&pending).await.unwrap();
    let mut created = vec![webhook.clone(), pending];
    for destination in Destination::samples() {
        let mut webhook = stage.webhook(webhook.account_id);
        webhook.settings.destination = destination;
        stage.store.create_webhook(&webhook).await.unwrap();
        created.push(webhook);
    }

    let stage = stage.reopened().await;
    for kept in &created {
        assert_eq!(stage.store.webhook(kept.id).await.unwrap().as_deref(), Some(kept));
    }
    let paused =
        |reason| NotificationKind::Paused { reason, last_error: "The endpoint answered 410.".to_owned() };
    let pauses = [
        (PauseReason::Gone, Some((paused(PauseReason::Gone), NotificationState::Pending))),
        (PauseReason::Permanent, Some((paused(PauseReason::Permanent), NotificationState::Sent))),
        (PauseReason::Manual, Some((NotificationKind::Recovered { drained: 3 }, NotificationState::Sent))),
        (PauseReason::Manual, None),
    ];
    for (reason, notification) in pauses {
        let mut latest = Webhook::clone(&stage.store.webhook(webhook.id).await.unwrap().unwrap());
        let State::Paused(pause) = &mut latest.state else { panic!("it is paused") };
        pause.reason = reason;
        latest.notification = notification.map(|(kind, state)| Notification {
            id: latest.version,
            kind,
            at: stage.now(),
            state,
            answered: false,
        });
        stage.store.save_webhook(&latest).await.unwrap().unwrap();
        latest.version += 1;
        let beside = stage.beside().await;
        assert_eq!(beside.store.webhook(webhook.id).await.unwrap().as_deref(), Some(&latest));
    }
    assert!(stage.store.webhook(stage.webhook_id()).await.unwrap().is_none());
}

/// A store may forget the hint. It changes nothing else, and no change of the webhook fails because of it.
pub(crate) async fn a_hint_that_a_webhook_was_slow_changes_nothing_else(stage: Stage) {
    let webhook = stage.webhook(stage.account_id());
    stage.store.create_webhook(&webhook).await.unwrap();
    let until = stage.now().checked_add(Duration::from_secs(600)).unwrap();
    stage.store.mark_slow(&webhook, until).await.unwrap();
    let list = stage.store.webhooks(webhook.account_id).await.unwrap();
    let by_id = stage.store.webhook(webhook.id).await.unwrap().unwrap();
    assert_eq!(list.readable[0].slow_until, by_id.slow_until, "both have the hint, or none");
    assert!(by_id.slow_until.is_none_or(|known| known == until));
    assert_eq!(Webhook { slow_until: None, ..Webhook::clone(&by_id) }, webhook);
    stage.store.save_webhook(&webhook).await.unwrap().unwrap();
    let unknown = Webhook { id: stage.webhook_id(), ..webhook };
    stage.store.mark_slow(&unknown, until).await.unwrap();
    assert!(stage.store.webhook(unknown.id).await.unwrap().is_none());
}

/// If the store does not send the messages in the same step, they stay in the record until they are removed.
pub(crate) async fn an_outbox_is_sent_or_stored_with_its_webhook(stage: Stage) {
    let mut webhook = stage.webhook(stage.account_id());
    stage.store.create_webhook(&webhook).await.unwrap();
    let (account_id, webhook_id) = (webhook.account_id, webhook.id);
    let job = JobMessage { account_id, webhook_id, generation: 3, page: 7 };
    let event = DomainEventKind::Paused { reason: "gone".to_owned(), last_error: Some("\"410\"".to_owned()) };
    let event = EventMessage { account_id, webhook_id, at: stage.now(), event };
    let due = stage.now().checked_add(Duration::from_secs(3600)).unwrap();
    webhook.outbox = vec![
        ScheduledMessage { message: Message::Job(job), due },
        ScheduledMessage { message: Message::Event(event), due: stage.now() },
    ];
    stage.store.save_webhook(&webhook).await.unwrap().unwrap();
    let stage = stage.reopened().await;
    let kept = stage.store.webhook(webhook.id).await.unwrap().unwrap();
    let expected = if stage.store.sends() { vec![] } else { webhook.outbox.clone() };
    assert_eq!(kept.outbox, expected);
    let sent = Webhook { outbox: vec![], ..Webhook::clone(&kept) };
    stage.store.save_webhook(&sent).await.unwrap().unwrap();
    assert_eq!(stage.store.webhook(webhook.id).await.unwrap().unwrap().outbox, []);
}

pub(crate) async fn an_unreadable_webhook_costs_the_others_nothing_and_can_be_removed(stage: Stage) {
    let account = stage.account_id();
    let (healthy, damaged) = (stage.webhook(account), stage.webhook(account));
    for webhook in [&healthy, &damaged] {
        stage.store.create_webhook(webhook).await.unwrap();
    }
    let stage = stage.with_damaged(account, damaged.id).await;
    let listed = async || {
        let listed = stage.store.webhooks(account).await.unwrap();
        listed.readable.iter().map(|webhook| webhook.id).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, [healthy.id]);
    assert_eq!(stage.store.webhooks(account).await.unwrap().unreadable, [damaged.id]);
    assert_eq!(stage.store.webhooks(stage.account_id()).await.unwrap().unreadable, []);
    let error = stage.store.webhook(damaged.id).await.unwrap_err();
    assert!(error.is_unreadable(), "{error}");
    stage.store.save_webhook(&healthy).await.unwrap().unwrap();

    let made = (stage.now(), Actor::OWNER);
    let entry =
        AccountEntry::new(account, made, Action::WebhookDeleted, &damaged.id, vec![]).about(damaged.id);
    stage.store.remove_unreadable_webhook(damaged.id, &entry).await.unwrap();
    assert_eq!(stage.store.webhook(damaged.id).await.unwrap(), None);
    let log = stage.store.audit_log(account, Some(damaged.id), None, 9).await.unwrap();
    assert_eq!(log.items, [entry]);
    assert_eq!(stage.store.webhooks(account).await.unwrap().unreadable, []);
    assert_eq!(listed().await, [healthy.id]);
}

/// The change and its entries are stored together or not at all, and each entry once.
pub(crate) async fn a_change_of_a_webhook_stands_in_the_audit_log(stage: Stage) {
    let by = Actor {
        kind: ActorKind::Operator,
        key_id: Some(KeyId::new(stage.now(), stage.dice())),
        address: Some("2001:db8::7".parse().unwrap()),
    };
    let mut webhook = stage.webhook(stage.account_id());
    webhook.audit.add(Change::Created, by, stage.now());
    let created = webhook.audit_entries();
    stage.store.create_webhook(&webhook).await.unwrap();

    stage.pass(Duration::from_secs(1));
    let kept = stage.store.webhook(webhook.id).await.unwrap().unwrap();
    assert_eq!(kept.audit_entries(), [], "they are saved");
    assert_eq!(kept.audit.entries(), webhook.audit.entries());
    let mut changed = Webhook::clone(&kept);
    changed.audit.add(Change::Paused, Actor::STATUSPULSE, stage.now());
    changed.audit.add(Change::Updated, by, stage.now());
    stage.store.save_webhook(&changed).await.unwrap().unwrap();
    assert_eq!(stage.store.save_webhook(&changed).await.unwrap(), Err(Conflict));

    let mut stale = Webhook::clone(&kept);
    stale.audit.add(Change::Deleted, by, stage.now());
    assert_eq!(stage.store.save_webhook(&stale).await.unwrap(), Err(Conflict));
    let unchanged = stage.store.webhook(webhook.id).await.unwrap().unwrap();
    stage.store.save_webhook(&unchanged).await.unwrap().unwrap();

    let stage = stage.reopened().await;
    let mut expected = [created, changed.audit_entries()].concat();
    expected.sort_by_key(|entry| std::cmp::Reverse(entry.id));
    for of in [None, Some(webhook.id)] {
        let log = stage.store.audit_log(webhook.account_id, of, None, 9).await.unwrap();
        assert_eq!((log.items, log.next), (expected.clone(), None));
    }
    // Not even that there are more.
    let theirs = stage.store.audit_log(stage.account_id(), Some(webhook.id), None, 1).await.unwrap();
    assert_eq!((theirs.items, theirs.next), (vec![], None));
}

pub(crate) async fn saving_a_webhook_from_an_old_version_is_a_conflict_and_writes_nothing(stage: Stage) {
    let webhook = stage.webhook(stage.account_id());
    stage.store.create_webhook(&webhook).await.unwrap();
    let first = Webhook { state: State::Deleted, ..webhook.clone() };
    let stale = Webhook { generation: 77, ..webhook.clone() };
    assert_eq!(stage.store.save_webhook(&first).await.unwrap(), Ok(()));
    assert_eq!(stage.store.save_webhook(&stale).await.unwrap(), Err(Conflict));

    let expected = Webhook { version: 1, ..first };
    assert_eq!(stage.store.webhook(webhook.id).await.unwrap().as_deref(), Some(&expected));
    let stage = stage.reopened().await;
    assert_eq!(stage.store.webhook(webhook.id).await.unwrap().as_deref(), Some(&expected));
}

pub(crate) async fn a_deleted_webhook_is_found_by_its_id_but_not_listed(stage: Stage) {
    let account = stage.account_id();
    let mut kept = vec![];
    for _ in 0..3 {
        stage.pass(Duration::from_secs(1));
        let webhook = stage.webhook(account);
        stage.store.create_webhook(&webhook).await.unwrap();
        kept.push(webhook);
    }
    stage.store.create_webhook(&stage.webhook(stage.account_id())).await.unwrap();
    let listed = async |stage: &Stage| {
        let all = stage.store.webhooks(account).await.unwrap();
        all.readable.iter().map(|webhook| webhook.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(&stage).await, [kept[0].id, kept[1].id, kept[2].id], "oldest first");

    let deleted = Webhook { state: State::Deleted, ..kept[1].clone() };
    stage.store.save_webhook(&deleted).await.unwrap().unwrap();
    assert_eq!(listed(&stage).await, [kept[0].id, kept[2].id]);
    assert!(stage.store.webhook(kept[1].id).await.unwrap().unwrap().is_deleted());
    let stage = stage.reopened().await;
    assert_eq!(listed(&stage).await, [kept[0].id, kept[2].id]);
    assert!(stage.store.webhook(kept[1].id).await.unwrap().unwrap().is_deleted());
}

/// What attempts change need not be in the subscriptions. State and settings are.
pub(crate) async fn subscriptions_have_the_state_and_settings_of_each_webhook(stage: Stage) {
    let account = stage.account_id();
    let webhook = stage.webhook(account);
    stage.store.create_webhook(&webhook).await.unwrap();
    let read = async || {
        let list = stage.store.subscriptions(account).await.unwrap();
        list.readable.iter().map(|one| (one.id, one.state.clone(), one.settings.clone())).collect::<Vec<_>>()
    };
    let as_of = |webhook: &Webhook| vec![(webhook.id, webhook.state.clone(), webhook.settings.clone())];
    assert_eq!(read().await, as_of(&webhook));

    // A failure, then a change, then another failure.
    let failing = Webhook { health: Health { consecutive_failures: 3, ..webhook.health }, ..webhook.clone() };
    stage.store.save_webhook(&failing).await.unwrap().unwrap();
    assert_eq!(read().await, as_of(&webhook));
    let mut changed = Webhook { state: State::Pending, version: 1, ..failing };
    changed.settings.events = vec![EventType::IncidentResolved];
    changed.audit.add(Change::Updated, Actor::OWNER, stage.now());
    stage.store.save_webhook(&changed).await.unwrap().unwrap();
    assert_eq!(read().await, as_of(&changed));
    let saved = stage.store.webhook(webhook.id).await.unwrap().unwrap();
    let again =
        Webhook { health: Health { consecutive_failures: 4, ..saved.health }, ..Webhook::clone(&saved) };
    stage.store.save_webhook(&again).await.unwrap().unwrap();
    assert_eq!(read().await, as_of(&changed));
    let listed = stage.store.webhooks(account).await.unwrap();
    assert_eq!(listed.readable[0].health.consecutive_failures, 4, "the list has everything");

    let saved = stage.store.webhook(webhook.id).await.unwrap().unwrap();
    let mut deleted = Webhook { state: State::Deleted, ..Webhook::clone(&saved) };
    deleted.audit.add(Change::Deleted, Actor::OWNER, stage.now());
    stage.store.save_webhook(&deleted).await.unwrap().unwrap();
    assert_eq!(read().await, []);
}

/// The cache must never return a version that a completed save has replaced.
pub(crate) async fn concurrent_changes_are_not_lost_and_replaced_versions_are_not_read(stage: Stage) {
    const SAVERS: usize = 8;
    const EACH: u64 = 10;
    let stage = Arc::new(stage);
    let webhook = stage.webhook(stage.account_id());
    stage.store.create_webhook(&webhook).await.unwrap();
    let (id, account) = (webhook.id, webhook.account_id);
    let savers = (0..SAVERS).map(|_| {
        let stage = stage.clone();
        tokio::spawn(async move {
            let mut mine = 0;
            while mine < EACH {
                let mut next = Webhook::clone(&stage.store.webhook(id).await.unwrap().unwrap());
                next.generation += 1;
                if stage.store.save_webhook(&next).await.unwrap().is_ok() {
                    mine += 1;
                    let seen = stage.store.webhook(id).await.unwrap().unwrap().version;
                    let listed = stage.store.webhooks(account).await.unwrap().readable[0].version;
                    assert!(seen > next.version && listed > next.version, "an older version was read");
                }
            }
        })
    });
    for saver in savers.collect::<Vec<_>>() {
        saver.await.unwrap();
    }
    let kept = stage.store.webhook(id).await.unwrap().unwrap();
    let all = u64::try_from(SAVERS).unwrap() * EACH;
    assert_eq!((kept.version, kept.generation), (all, 1 + all));
}
