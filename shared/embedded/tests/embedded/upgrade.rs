//! Stores that another version has written: see `testing/upgrade/README.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use statuspulse_core::access::{ApiKey, KeyHash, Role, Session, SessionKind};
use statuspulse_core::admin::accounts::created_account;
use statuspulse_core::audit::{AccountEntry, Action, Actor};
use statuspulse_core::delivery::{DeliveryFilter, State, Status, Timing};
use statuspulse_core::ports::{Accounts, Deliveries, DeliveryQuery, Records, Sessions, Webhooks};
use statuspulse_core::quota::Quota;
use statuspulse_core::webhook::Webhook;
use tempfile::TempDir;

use crate::stage::{Stage, account, attempt, write_key};

const NAME: &str = "Acme";
const SESSION: KeyHash = KeyHash([6; 32]);

pub(crate) fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/upgrade")
}

/// Writes a store with one record of each kind to the folder of this release.
async fn write_current() {
    let to = files().join(env!("CARGO_PKG_VERSION"));
    let folder = tempfile::tempdir().unwrap();
    write_key(&folder.path().join("secret.key"), &[7; 32]);
    let stage = Stage::in_folder(folder);
    let mut owner = stage.account(NAME);
    owner.id = account();
    owner.quotas.set(Quota::EventsPerMinute, Some(77));
    let (admin, _) = ApiKey::generate(Some(owner.id), Role::Admin, None, stage.now(), &*stage.dice);
    stage.store.create_account(&owner, &admin, &created_account(&owner, &admin, Actor::OWNER)).await.unwrap();
    let expires_at = stage.now().checked_add(Duration::from_secs(3_600)).unwrap();
    let session = Session { hash: SESSION, kind: SessionKind::Browser, key: admin.hash, expires_at };
    stage.store.create_session(&session, None).await.unwrap();
    let webhook = stage.webhook(owner.id);
    stage.store.create_webhook(&webhook).await.unwrap();
    let due = stage.now().checked_add(Duration::from_secs(60)).unwrap();
    let ends = [
        State::Scheduled { number: 2, at: due, timing: Timing::OnTime },
        State::Held,
        State::Delivered,
        State::Failed,
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let delivery = stage.accepted(webhook.id, &format!("INC-{n}")).await;
        stage.saved(delivery, end).await;
    }
    // Their first attempts are over. That of one more is due.
    stage.drained().await;
    stage.accepted(webhook.id, "INC-FIRST").await;
    let Stage { store, folder, .. } = stage;
    drop(store);
    let database = rusqlite::Connection::open(folder.path().join("statuspulse.db")).unwrap();
    let _none_yet = fs::remove_file(to.join("store.db"));
    database.execute("VACUUM INTO ?1", [to.join("store.db").to_str().unwrap()]).unwrap();
    fs::copy(folder.path().join("secret.key"), to.join("secret.key")).unwrap();
}

/// A copy of the store of a release.
pub(crate) fn copied(release: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(release.join("store.db"), folder.path().join("statuspulse.db")).unwrap();
    // Git keeps no modes.
    write_key(&folder.path().join("secret.key"), &fs::read(release.join("secret.key")).unwrap());
    folder
}

fn releases() -> Vec<PathBuf> {
    let all = fs::read_dir(files()).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = all.filter(|path| path.join("store.db").exists()).collect();
    assert!(!found.is_empty(), "no release has a store");
    found
}

async fn only_webhook(stage: &Stage) -> Webhook {
    let list = stage.store.webhooks(account()).await.unwrap();
    let [webhook] = &list.readable[..] else { panic!("{list:?}") };
    Webhook::clone(webhook)
}

/// Everything that the store of a release has is there and goes on.
async fn goes_on(stage: &Stage) {
    let [owner] = &stage.store.accounts_by_name(NAME).unwrap()[..] else { panic!("no account") };
    assert_eq!(owner.quotas.of(Quota::EventsPerMinute), 77);
    let keys = stage.store.keys(owner.id).await.unwrap();
    assert_eq!(keys.iter().map(|key| key.role).collect::<Vec<_>>(), [Role::Admin]);
    assert_eq!(stage.store.session(&SESSION).await.unwrap().unwrap().kind, SessionKind::Browser);
    let webhook = only_webhook(stage).await;

    let page = stage.store.deliveries(&[webhook.id], &DeliveryFilter::default(), None, 100).await.unwrap();
    let statuses: Vec<_> = page.items.iter().map(|delivery| delivery.status()).collect();
    assert_eq!(
        statuses,
        [Status::Retrying, Status::Failed, Status::Delivered, Status::Held, Status::Retrying]
    );
    for delivery in &page.items {
        assert!(stage.store.event(delivery.event_id).await.unwrap().is_some());
    }
    let held = stage.store.query(webhook.id, DeliveryQuery::Held, 10).await.unwrap();
    assert_eq!((held.len(), stage.store.held(webhook.id).await.unwrap()), (1, 1));

    // The first attempt that was due, and the retry when it is due.
    let first = stage.receive_due().await.expect("the first attempt");
    assert_eq!(attempt(&first).key.number, 1);
    first.done();
    assert!(stage.receive_due().await.is_none());
    stage.pass(Duration::from_secs(61));
    let retry = stage.receive_due().await.expect("the retry");
    assert_eq!(attempt(&retry).key.number, 2);
    retry.done();
    stage.accepted(webhook.id, "INC-NEW").await;
    assert!(stage.receive_due().await.is_some());
}

#[tokio::test]
async fn upgrade_goes_on_with_the_stores_of_all_releases() {
    if std::env::var_os("STATUSPULSE_WRITE_UPGRADE_FILES").is_some() {
        write_current().await;
    }
    for release in releases() {
        goes_on(&Stage::in_folder(copied(&release))).await;
    }
}

/// What a later version has added, each with a name that this version does not know.
const LATER: &str = r#"
    UPDATE accounts SET quotas = json_set(quotas, '$.replays_per_minute', 5), allowed_domains = '';
    INSERT INTO keys SELECT randomblob(16), account_id, 'auditor', 'sp_later', randomblob(32), created_at, NULL, NULL
        FROM keys LIMIT 1;
    INSERT INTO sessions SELECT zeroblob(32), 9, key, expires_at FROM sessions;
    UPDATE webhooks SET record = json_set(record, '$.priority', 'high');
    INSERT INTO webhooks SELECT randomblob(16), account_id, 0, 0, json_set(record, '$.destination', 'telex'), sealed
        FROM webhooks;
    CREATE TEMP TABLE later AS SELECT * FROM deliveries WHERE incident_id IN ('INC-0', 'INC-1', 'INC-3');
    UPDATE later SET seq = seq + 100, id = randomblob(16), incident_id = 'LATER', timing = 'at_night';
    UPDATE later SET state = 9 WHERE state > 1;
    INSERT INTO deliveries SELECT * FROM later;
    UPDATE later SET seq = seq + 100, id = randomblob(16), event_type = 'maintenance_started';
    INSERT INTO deliveries SELECT * FROM later;
    INSERT INTO ready SELECT queue, account_id, webhook_id, -1, 0, '{"kind":"archive"}' FROM ready;
    INSERT INTO ready SELECT 2, account_id, webhook_id, -2, 0, '{"kind":"archive"}' FROM ready WHERE seq > 0;
    INSERT INTO delayed VALUES (1, -1, 0, '{"kind":"archive"}');
"#;

#[tokio::test]
async fn upgrade_what_only_a_later_version_knows_costs_the_rest_nothing() {
    for release in releases() {
        let folder = copied(&release);
        let database = rusqlite::Connection::open(folder.path().join("statuspulse.db")).unwrap();
        database.execute_batch(LATER).unwrap();
        drop(database);
        let stage = Stage::in_folder(folder);
        goes_on(&stage).await;

        // Nothing of it is lost.
        let mut owner = stage.store.accounts_by_name(NAME).unwrap().remove(0);
        owner.quotas.set(Quota::CallsPerMinute, Some(9));
        stage.store.save_account(&owner, &updated(&owner)).await.unwrap().unwrap();
        let mut webhook = only_webhook(&stage).await;
        webhook.settings.description = Some("Changed after the rollback".to_owned());
        stage.store.save_webhook(&webhook).await.unwrap().unwrap();
        assert_eq!(stage.store.session(&KeyHash([0; 32])).await.unwrap(), None);
        let Stage { store, folder, .. } = stage;
        drop(store);
        let database = rusqlite::Connection::open(folder.path().join("statuspulse.db")).unwrap();
        let kept = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(kept("SELECT count(*) FROM accounts WHERE quotas LIKE '%\"replays_per_minute\":5%'"), 1);
        assert_eq!(kept("SELECT count(*) FROM webhooks WHERE record LIKE '%\"priority\":\"high\"%'"), 2);
        assert_eq!(kept("SELECT count(*) FROM deliveries WHERE incident_id = 'LATER'"), 6);
        let messages = "SELECT (SELECT count(*) FROM ready WHERE message LIKE '%archive%')
                             + (SELECT count(*) FROM dead_letters WHERE message LIKE '%archive%')";
        assert_eq!(kept(messages), 3);
    }
}

/// Some change of the account.
fn updated(account: &statuspulse_core::access::Account) -> AccountEntry {
    AccountEntry::new(
        account.id,
        (account.created_at, Actor::OWNER),
        Action::AccountUpdated,
        &account.id,
        vec![],
    )
}
