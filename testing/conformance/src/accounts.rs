//! Accounts, API keys and sessions.

use std::time::Duration;

use statuspulse_core::access::{Account, ApiKey, KeyHash, Role, Session, SessionKind};
use statuspulse_core::ids::KeyId;
use statuspulse_core::limits;
use statuspulse_core::ports::Conflict;
use statuspulse_core::quota::{Quota, Quotas};
use statuspulse_core::target::{AllowedDomains, EndpointUrl};

use crate::Stage;

pub(crate) async fn an_account_is_kept_with_its_first_key(stage: Stage) {
    let account = stage.account("Acme \"& Söhne\"");
    let end = stage.now().checked_add(Duration::from_secs(60)).unwrap();
    let (key, text) = ApiKey::generate(Some(account.id), Role::Admin, Some(end), stage.now(), stage.dice());
    stage.store.create_account(&account, &key).await.unwrap();

    let stage = stage.reopened().await;
    let kept = stage.store.account(account.id).await.unwrap().unwrap();
    assert_eq!((kept.id, kept.name, kept.version), (account.id, account.name.clone(), 0));
    assert_eq!(kept.created_at, account.created_at);
    let found = stage.store.key_by_hash(&KeyHash::of(text.reveal())).await.unwrap();
    assert_eq!(found, Some(key));
    assert!(stage.store.account(stage.account_id()).await.unwrap().is_none());
}

pub(crate) async fn an_account_whose_key_cannot_be_kept_is_not_kept_either(stage: Stage) {
    let (first, second) = (stage.account("First"), stage.account("Second"));
    let (key, _) = ApiKey::generate(Some(first.id), Role::Admin, None, stage.now(), stage.dice());
    stage.store.create_account(&first, &key).await.unwrap();
    // The same key again: a hash must be unique.
    let error = stage.store.create_account(&second, &key).await.unwrap_err();
    assert_eq!(error.doing, "creating an account");
    assert!(stage.store.account(second.id).await.unwrap().is_none());
}

pub(crate) async fn saving_an_account_from_an_old_version_is_a_conflict_and_writes_nothing(stage: Stage) {
    let mut account = stage.account("Acme");
    let (key, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), stage.dice());
    stage.store.create_account(&account, &key).await.unwrap();
    let stale = account.clone();

    account.name = "Acme GmbH".to_owned();
    account.allowed_domains =
        AllowedDomains::parse(vec!["example.com".to_owned(), "*.example.org".to_owned()]).unwrap();
    account.slack = Some(EndpointUrl::restore("https://hooks.slack.com/services/T/B/x").unwrap());
    account.quotas.set(Quota::WebhooksPerUrl, Some(7));
    assert_eq!(stage.store.save_account(&account).await.unwrap(), Ok(()));
    assert_eq!(stage.store.save_account(&stale).await.unwrap(), Err(Conflict));

    let stage = stage.reopened().await;
    let kept = stage.store.account(account.id).await.unwrap().unwrap();
    assert_eq!((kept.name.as_str(), kept.version), ("Acme GmbH", 1));
    assert_eq!(kept.allowed_domains.as_strings(), account.allowed_domains.as_strings());
    assert_eq!(kept.slack, account.slack);
    assert_eq!(kept.quotas, account.quotas);
    assert_eq!(stage.store.quotas(account.id).await.unwrap(), account.quotas);
    assert_eq!(stage.store.quotas(stage.account_id()).await.unwrap(), Quotas::default());

    let without = Account { slack: None, ..kept };
    assert_eq!(stage.store.save_account(&without).await.unwrap(), Ok(()));
    assert_eq!(stage.store.account(account.id).await.unwrap().unwrap().slack, None);
}

pub(crate) async fn a_revoked_key_is_still_found_and_says_since_when(stage: Stage) {
    let account = stage.account("Acme");
    let make = |role| ApiKey::generate(Some(account.id), role, None, stage.now(), stage.dice());
    let (admin, _) = make(Role::Admin);
    stage.store.create_account(&account, &admin).await.unwrap();
    stage.pass(Duration::from_secs(1));
    let (viewer, text) = make(Role::Viewer);
    stage.store.create_key(&viewer).await.unwrap();
    assert_eq!(stage.store.keys(account.id).await.unwrap(), [admin, viewer.clone()]);

    let stranger = stage.account_id();
    let first = stage.now();
    assert!(!stage.store.revoke_key(stranger, viewer.id, first).await.unwrap());
    let unknown = KeyId::new(first, stage.dice());
    assert!(!stage.store.revoke_key(account.id, unknown, first).await.unwrap());
    assert!(stage.store.revoke_key(account.id, viewer.id, first).await.unwrap());
    stage.pass(Duration::from_secs(60));
    assert!(stage.store.revoke_key(account.id, viewer.id, stage.now()).await.unwrap());

    let found = stage.store.key_by_hash(&KeyHash::of(text.reveal())).await.unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(first), "the time of the first revocation is kept");
    assert!(stage.store.key_by_hash(&KeyHash::of("spk_unknown")).await.unwrap().is_none());
}

pub(crate) async fn a_key_has_a_name_and_the_time_of_its_last_use(stage: Stage) {
    let account = stage.account("Acme");
    let (admin, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), stage.dice());
    stage.store.create_account(&account, &admin).await.unwrap();
    stage.pass(Duration::from_secs(1));
    let (key, text) = ApiKey::generate(Some(account.id), Role::Viewer, None, stage.now(), stage.dice());
    let key = ApiKey { name: Some("Wall screen, EU".to_owned()), ..key };
    stage.store.create_key(&key).await.unwrap();
    let hash = KeyHash::of(text.reveal());
    assert_eq!(stage.store.key_by_hash(&hash).await.unwrap(), Some(key.clone()));

    // It is written again only when that was a while ago, also by a process that has not seen it.
    let first = stage.now();
    for (wait, expected) in
        [(0, first), (limits::KEY_USE_EVERY.as_secs(), first.checked_add(limits::KEY_USE_EVERY).unwrap())]
    {
        stage.pass(Duration::from_secs(wait));
        let found = stage.store.key_by_hash(&hash).await.unwrap().unwrap();
        assert!(found.is_newly_used(stage.now()));
        stage.store.remember_use(&found, stage.now()).await.unwrap();
        let used = ApiKey { last_used_at: Some(expected), ..key.clone() };
        assert!(!used.is_newly_used(stage.now()));
        for store in [stage.beside().await.store, stage.store.clone()] {
            assert_eq!(store.key_by_hash(&hash).await.unwrap(), Some(used.clone()));
            assert_eq!(store.keys(account.id).await.unwrap(), [admin.clone(), used.clone()]);
        }
    }
    // A revocation leaves it as it is, and a use does not undo the revocation.
    stage.store.revoke_key(account.id, key.id, stage.now()).await.unwrap();
    stage.pass(limits::KEY_USE_EVERY);
    stage.store.remember_use(&key, stage.now()).await.unwrap();
    let found = stage.store.key_by_hash(&hash).await.unwrap().unwrap();
    assert!(found.revoked_at.is_some());
    assert_eq!((found.name, found.last_used_at), (key.name, Some(stage.now())));
}

pub(crate) async fn accounts_are_listed_in_the_order_of_their_ids(stage: Stage) {
    let mut made = vec![];
    for n in 0..5 {
        stage.pass(Duration::from_millis(1));
        let account = stage.account(&format!("Account {n}"));
        let (key, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), stage.dice());
        stage.store.create_account(&account, &key).await.unwrap();
        made.push(account.id);
    }
    // The store may have other accounts too.
    let mut after = None;
    let mut listed = vec![];
    loop {
        let page = stage.store.accounts(after, 2).await.unwrap();
        after = page.last().copied();
        listed.extend(page);
        if after.is_none() {
            break;
        }
    }
    assert!(listed.is_sorted());
    made.sort_unstable();
    let own: Vec<_> = listed.into_iter().filter(|id| made.contains(id)).collect();
    assert_eq!(own, made);
}

pub(crate) async fn a_session_is_kept_until_it_is_taken_and_can_be_taken_once(stage: Stage) {
    let (key, _) = ApiKey::generate(None, Role::Viewer, None, stage.now(), stage.dice());
    for kind in [SessionKind::Link, SessionKind::Browser] {
        let (session, text) = Session::generate(kind, key.hash, stage.now(), stage.dice());
        let hash = KeyHash::of(text.reveal());
        assert_eq!(stage.store.session(&hash).await.unwrap(), None);
        stage.store.create_session(&session).await.unwrap();
        let beside = stage.beside().await;
        assert_eq!(beside.store.session(&hash).await.unwrap(), Some(session.clone()));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let store = stage.store.clone();
                tokio::spawn(async move { store.take_session(&hash).await })
            })
            .collect();
        let mut taken = vec![];
        for task in tasks {
            taken.extend(task.await.unwrap().unwrap());
        }
        assert_eq!(taken, [session]);
        assert_eq!(stage.store.session(&hash).await.unwrap(), None);
    }
}
