//! Accounts, API keys and sessions.

use std::time::Duration;

use statuspulse_core::access::{Account, ApiKey, KeyHash, Role, Session, SessionKind};
use statuspulse_core::admin::accounts::{created_account, created_key, revoked_key};
use statuspulse_core::audit::{AccountEntry, Action, Actor, ActorKind, FieldChange};
use statuspulse_core::ids::KeyId;
use statuspulse_core::limits;
use statuspulse_core::once::Draw;
use statuspulse_core::ports::Conflict;
use statuspulse_core::quota::{Quota, Quotas};
use statuspulse_core::target::{AllowedDomains, EndpointUrl};

use crate::Stage;

pub(crate) async fn an_account_is_kept_with_its_first_key(stage: Stage) {
    let account = stage.account("Acme \"& Söhne\"");
    let end = stage.now().checked_add(Duration::from_secs(60)).unwrap();
    let (key, text) = ApiKey::generate(Some(account.id), Role::Admin, Some(end), stage.now(), stage.dice());
    stage.store.create_account(&account, &key, &created_account(&account, &key, Actor::OWNER)).await.unwrap();

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
    stage.store.create_account(&first, &key, &created_account(&first, &key, Actor::OWNER)).await.unwrap();
    // The same key again: a hash must be unique.
    let error = stage
        .store
        .create_account(&second, &key, &created_account(&second, &key, Actor::OWNER))
        .await
        .unwrap_err();
    assert_eq!(error.doing, "creating an account");
    assert!(stage.store.account(second.id).await.unwrap().is_none());
}

pub(crate) async fn saving_an_account_from_an_old_version_is_a_conflict_and_writes_nothing(stage: Stage) {
    let mut account = stage.account("Acme");
    let (key, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), stage.dice());
    stage.store.create_account(&account, &key, &created_account(&account, &key, Actor::OWNER)).await.unwrap();
    let stale = account.clone();

    account.name = "Acme GmbH".to_owned();
    account.allowed_domains =
        AllowedDomains::parse(vec!["example.com".to_owned(), "*.example.org".to_owned()]).unwrap();
    account.slack = Some(EndpointUrl::restore("https://hooks.slack.com/services/T/B/x").unwrap());
    account.quotas.set(Quota::WebhooksPerUrl, Some(7));
    assert_eq!(stage.store.save_account(&account, &updated(&account)).await.unwrap(), Ok(()));
    assert_eq!(stage.store.save_account(&stale, &updated(&stale)).await.unwrap(), Err(Conflict));

    let stage = stage.reopened().await;
    let kept = stage.store.account(account.id).await.unwrap().unwrap();
    assert_eq!((kept.name.as_str(), kept.version), ("Acme GmbH", 1));
    assert_eq!(kept.allowed_domains.as_strings(), account.allowed_domains.as_strings());
    assert_eq!(kept.slack, account.slack);
    assert_eq!(kept.quotas, account.quotas);
    assert_eq!(stage.store.quotas(account.id).await.unwrap(), account.quotas);
    assert_eq!(stage.store.quotas(stage.account_id()).await.unwrap(), Quotas::default());

    let without = Account { slack: None, ..kept };
    assert_eq!(stage.store.save_account(&without, &updated(&without)).await.unwrap(), Ok(()));
    assert_eq!(stage.store.account(account.id).await.unwrap().unwrap().slack, None);
}

pub(crate) async fn a_revoked_key_is_still_found_and_says_since_when(stage: Stage) {
    let account = stage.account("Acme");
    let make = |role| ApiKey::generate(Some(account.id), role, None, stage.now(), stage.dice());
    let (admin, _) = make(Role::Admin);
    stage
        .store
        .create_account(&account, &admin, &created_account(&account, &admin, Actor::OWNER))
        .await
        .unwrap();
    stage.pass(Duration::from_secs(1));
    let (viewer, text) = make(Role::Viewer);
    stage.store.create_key(&viewer, None).await.unwrap();
    assert_eq!(stage.store.keys(account.id).await.unwrap(), [admin, viewer.clone()]);

    let stranger = stage.account_id();
    let first = stage.now();
    assert!(
        !stage
            .store
            .revoke_key(viewer.id, &revoked_key(stranger, viewer.id, (first, Actor::OWNER)), None)
            .await
            .unwrap()
            .unwrap()
    );
    let unknown = KeyId::new(first, stage.dice());
    assert!(
        !stage
            .store
            .revoke_key(unknown, &revoked_key(account.id, unknown, (first, Actor::OWNER)), None)
            .await
            .unwrap()
            .unwrap()
    );
    assert!(
        stage
            .store
            .revoke_key(viewer.id, &revoked_key(account.id, viewer.id, (first, Actor::OWNER)), None)
            .await
            .unwrap()
            .unwrap()
    );
    stage.pass(Duration::from_secs(60));
    assert!(
        stage
            .store
            .revoke_key(viewer.id, &revoked_key(account.id, viewer.id, (stage.now(), Actor::OWNER)), None)
            .await
            .unwrap()
            .unwrap()
    );

    let found = stage.store.key_by_hash(&KeyHash::of(text.reveal())).await.unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(first), "the time of the first revocation is kept");
    assert!(stage.store.key_by_hash(&KeyHash::of("spk_unknown")).await.unwrap().is_none());
}

pub(crate) async fn a_key_has_a_name_and_the_time_of_its_last_use(stage: Stage) {
    let account = stage.account("Acme");
    let (admin, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), stage.dice());
    stage
        .store
        .create_account(&account, &admin, &created_account(&account, &admin, Actor::OWNER))
        .await
        .unwrap();
    stage.pass(Duration::from_secs(1));
    let (key, text) = ApiKey::generate(Some(account.id), Role::Viewer, None, stage.now(), stage.dice());
    let key = ApiKey { name: Some("Wall screen, EU".to_owned()), ..key };
    stage.store.create_key(&key, None).await.unwrap();
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
    stage
        .store
        .revoke_key(key.id, &revoked_key(account.id, key.id, (stage.now(), Actor::OWNER)), None)
        .await
        .unwrap()
        .unwrap();
    stage.pass(limits::KEY_USE_EVERY);
    stage.store.remember_use(&key, stage.now()).await.unwrap();
    let found = stage.store.key_by_hash(&hash).await.unwrap().unwrap();
    assert!(found.revoked_at.is_some());
    assert_eq!((found.name, found.last_used_at), (key.name, Some(stage.now())));
}

pub(crate) async fn a_change_of_an_account_or_a_key_stands_in_its_audit_log(stage: Stage) {
    let account = stage.account("Acme");
    let (admin, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), stage.dice());
    let by = Actor { kind: ActorKind::Key, key_id: Some(admin.id), address: Some([203, 0, 113, 7].into()) };
    let mut expected = vec![created_account(&account, &admin, by)];
    stage.store.create_account(&account, &admin, &expected[0]).await.unwrap();
    let entry = |stage: &Stage, fields| {
        AccountEntry::new(account.id, (stage.now(), by), Action::AccountUpdated, &account.id, fields)
    };

    stage.pass(Duration::from_secs(1));
    let field = |name: &str, old: Option<&str>, new: Option<&str>| FieldChange {
        field: name.to_owned(),
        old: old.map(str::to_owned),
        new: new.map(str::to_owned),
    };
    let fields =
        vec![field("allowed_domains", None, Some("a.example")), field("slack_url", Some("[hidden]"), None)];
    let changed = entry(&stage, fields);
    stage.store.save_account(&account, &changed).await.unwrap().unwrap();
    let refused =
        AccountEntry::new(account.id, (stage.now(), by), Action::QuotasUpdated, &account.id, vec![]);
    assert_eq!(stage.store.save_account(&account, &refused).await.unwrap(), Err(Conflict));
    expected.push(changed);

    stage.pass(Duration::from_secs(1));
    let (key, _) = ApiKey::generate(Some(account.id), Role::Viewer, None, stage.now(), stage.dice());
    expected.push(created_key(account.id, &key, by));
    stage.store.create_key(&key, expected.last()).await.unwrap();
    let session = Session::generate(SessionKind::Browser, key.hash, stage.now(), stage.dice()).0;
    stage.pass(Duration::from_secs(1));
    expected.push(AccountEntry::new(
        account.id,
        (stage.now(), Actor::OWNER),
        Action::SessionCreated,
        &key.id,
        vec![],
    ));
    stage.store.create_session(&session, expected.last()).await.unwrap();

    for again in [false, true] {
        stage.pass(Duration::from_secs(1));
        let revoked = revoked_key(account.id, key.id, (stage.now(), by));
        assert!(stage.store.revoke_key(key.id, &revoked, None).await.unwrap().unwrap());
        if !again {
            expected.push(revoked);
        }
    }
    stage.pass(Duration::from_secs(1));
    let webhook = stage.webhook_id();
    let act = AccountEntry::new(account.id, (stage.now(), by), Action::WebhookRedelivered, &webhook, vec![]);
    expected.push(act.about(webhook));
    for _ in 0..2 {
        stage.store.add_audit_entry(expected.last().unwrap()).await.unwrap();
    }

    expected.reverse();
    let stage = stage.reopened().await;
    let log = async |of, after, limit| stage.store.audit_log(account.id, of, after, limit).await.unwrap();
    let all = log(None, None, 100).await;
    assert_eq!((&all.items, all.next), (&expected, None));
    let (mut joined, mut after) = (vec![], None);
    loop {
        let page = log(None, after, 2).await;
        assert!(page.items.len() <= 2);
        joined.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(joined, expected, "pages join without a gap or a repeat");
    assert_eq!(log(Some(webhook), None, 9).await.items, expected[..1]);
    let stranger = stage.account_id();
    for of in [None, Some(webhook)] {
        for limit in [1, 9] {
            let theirs = stage.store.audit_log(stranger, of, None, limit).await.unwrap();
            assert_eq!((theirs.items, theirs.next), (vec![], None));
        }
    }
}

/// The first draw is kept for a day, whatever equal calls draw, and its seed is not readable in the store.
pub(crate) async fn a_repeated_call_finds_what_the_first_one_has_drawn(stage: Stage) {
    let draw =
        |id: u8, seed: &str, at| Draw { id: [id; 32], fingerprint: [id; 32], at, seed: seed.to_owned() };
    let first = draw(7, "first", stage.now());
    assert!(stage.store.keep_draw(&first).await.unwrap() == first);
    stage.pass(Duration::from_secs(1));
    let second = Draw { fingerprint: [8; 32], ..draw(7, "second", stage.now()) };
    assert!(stage.store.keep_draw(&second).await.unwrap() == first);
    let other = draw(9, "other", stage.now());
    assert!(stage.store.keep_draw(&other).await.unwrap() == other);

    let stage = stage.reopened().await;
    stage.pass(limits::SHOWN_AGAIN_FOR.saturating_sub(Duration::from_secs(2)));
    assert!(stage.store.keep_draw(&draw(7, "third", stage.now())).await.unwrap() == first);
    stage.pass(Duration::from_secs(1));
    let fourth = draw(7, "fourth", stage.now());
    assert!(stage.store.keep_draw(&fourth).await.unwrap() == fourth, "the first is over");
    assert!(stage.store.keep_draw(&draw(7, "fifth", stage.now())).await.unwrap() == fourth);
}

pub(crate) async fn accounts_are_listed_in_the_order_of_their_ids(stage: Stage) {
    let mut made = vec![];
    for n in 0..5 {
        stage.pass(Duration::from_millis(1));
        let account = stage.account(&format!("Account {n}"));
        let (key, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), stage.dice());
        stage
            .store
            .create_account(&account, &key, &created_account(&account, &key, Actor::OWNER))
            .await
            .unwrap();
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
        stage.store.create_session(&session, None).await.unwrap();
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

/// Some change of the account.
fn updated(account: &Account) -> AccountEntry {
    AccountEntry::new(
        account.id,
        (account.created_at, Actor::OWNER),
        Action::AccountUpdated,
        &account.id,
        vec![],
    )
}

pub(crate) async fn a_revocation_that_depends_on_other_keys_is_refused_after_a_change(stage: Stage) {
    let account = stage.account("acme");
    let (one, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), stage.dice());
    let (two, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), stage.dice());
    stage.store.create_account(&account, &one, &created_account(&account, &one, Actor::OWNER)).await.unwrap();
    stage.store.create_key(&two, None).await.unwrap();
    let entry = |key: &ApiKey| revoked_key(account.id, key.id, (stage.now(), Actor::OWNER));
    let revoke = async |key: &ApiKey, version| {
        stage.store.revoke_key(key.id, &entry(key), Some(version)).await.unwrap()
    };
    // Each revokes the other, after both have read that there are two.
    assert_eq!(revoke(&one, account.version).await, Ok(true));
    assert_eq!(revoke(&two, account.version).await, Err(Conflict));
    let kept = stage.store.key_by_hash(&two.hash).await.unwrap().unwrap();
    assert_eq!(kept.revoked_at, None, "nothing was written");
    let version = stage.store.account(account.id).await.unwrap().unwrap().version;
    assert_eq!(version, account.version + 1);
    assert_eq!(revoke(&two, version).await, Ok(true));
}
