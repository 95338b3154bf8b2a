//! Secrets at rest.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use statuspulse_core::access::{Account, ApiKey, Role};
use statuspulse_core::admin::accounts::created_account;
use statuspulse_core::audit::{AccountEntry, Action, Actor};
use statuspulse_core::destination::{Address, Destination};
use statuspulse_core::ports::{Accounts, Records, Webhooks};
use statuspulse_core::rotation::{RotationStyle, StyleChoice};
use statuspulse_core::secret::Secret;
use statuspulse_core::target::EndpointUrl;
use statuspulse_core::webhook::Webhook;
use statuspulse_embedded::{Embedded, OpenError, Purpose};

use crate::stage::{Stage, write_key};

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The bytes of all files in the folder except the key file.
fn all_bytes(folder: &Path) -> Vec<u8> {
    let mut all = vec![];
    let mut names = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("secret.key") {
            names.push(path.file_name().unwrap().to_owned());
            all.extend(fs::read(path).unwrap());
        }
    }
    assert!(names.iter().any(|name| name == "statuspulse.db"), "{names:?}");
    all
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn webhook_with_secrets(stage: &Stage) -> (Webhook, Vec<String>) {
    let mut webhook = stage.webhook(stage.account_id());
    let old = webhook.keys.current().reveal().to_owned();
    let new = Secret::generate(&*stage.dice);
    webhook.keys.rotate(new.clone(), StyleChoice::Asked(RotationStyle::Joined), stage.now()).unwrap();
    let header = "customer-credential-7d1e".to_owned();
    webhook.settings.headers.0 = [("X-Customer-Key".to_owned(), header.clone())].into();
    stage.store.create_webhook(&webhook).await.unwrap();
    (webhook, vec![old, new.reveal().to_owned(), header])
}

#[tokio::test]
async fn no_secret_and_no_custom_header_s_value_stands_in_the_files() {
    let stage = Stage::new();
    let (mut webhook, mut secrets) = webhook_with_secrets(&stage).await;
    let mut addresses = 0;
    for destination in Destination::samples() {
        let mut webhook = stage.webhook(webhook.account_id);
        let url = format!("https://hooks.example.com/{}/a-secret-path", destination.name());
        let secret = match destination.format().address() {
            Address::Url => continue,
            Address::SecretUrl => url.clone(),
            Address::RoutingKey => destination.routing_key().unwrap().reveal().to_owned(),
        };
        webhook.settings.url = EndpointUrl::restore(&url).unwrap();
        webhook.settings.destination = destination;
        stage.store.create_webhook(&webhook).await.unwrap();
        let shown = format!("{webhook:?}");
        assert!(!shown.contains(&secret), "{shown}");
        secrets.push(secret);
        addresses += 1;
    }
    assert!(addresses >= 2, "a secret URL and a routing key");
    let engineers = "https://hooks.slack.com/services/T1/B1/engineers-path".to_owned();
    let mut account = Account::new("Acme", stage.now(), &*stage.dice).unwrap();
    account.slack = Some(EndpointUrl::restore(&engineers).unwrap());
    let (first, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), &*stage.dice);
    stage
        .store
        .create_account(&account, &first, &created_account(&account, &first, Actor::OWNER))
        .await
        .unwrap();
    stage.store.save_account(&account, &updated(&account)).await.unwrap().unwrap();
    assert!(!format!("{account:?}").contains(&engineers));
    secrets.push(engineers);
    webhook.settings.description = Some("a text that is no secret".to_owned());
    stage.store.save_webhook(&webhook).await.unwrap().unwrap();
    let check = |folder: &Path| {
        let bytes = all_bytes(folder);
        assert!(holds(&bytes, "a text that is no secret"), "the search must find a text that is not sealed");
        for secret in &secrets {
            assert!(!holds(&bytes, secret));
            assert!(!holds(&bytes, secret.trim_start_matches("whsec_")));
        }
    };
    // With the write-ahead log, as while the server runs, and without it, after an orderly end.
    assert!(stage.path().join("statuspulse.db-wal").exists());
    check(stage.path());
    let stage = stage.reopened();
    let kept = stage.store.webhook(webhook.id).await.unwrap().unwrap();
    assert_eq!((&kept.keys, &kept.settings.headers), (&webhook.keys, &webhook.settings.headers));
    check(stage.path());
}

#[tokio::test]
async fn an_api_key_s_text_stands_nowhere_in_the_files() {
    let stage = Stage::new();
    let (key, text) = ApiKey::generate(None, Role::Operator, None, stage.now(), &*stage.dice);
    stage.store.create_key(&key, None).await.unwrap();
    let bytes = all_bytes(stage.path());
    assert!(holds(&bytes, &key.prefix));
    assert!(!holds(&bytes, text.reveal()));
    assert!(!holds(&bytes, &text.reveal()[key.prefix.len()..]));
}

#[test]
fn the_folder_and_the_key_file_are_their_owner_s_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("made/by/us");
    let clock = Stage::new().clock;
    let store = statuspulse_embedded::Embedded::open(&folder, Purpose::Serve, clock).unwrap();
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("secret.key")), 0o600);
    assert_eq!(fs::metadata(folder.join("secret.key")).unwrap().len(), 32);
    drop(store);
}

#[tokio::test]
async fn a_webhook_sealed_twice_or_for_another_looks_different_each_time() {
    let stage = Stage::new();
    let (webhook, _) = webhook_with_secrets(&stage).await;
    let sealed = || -> Vec<u8> {
        let file = rusqlite::Connection::open(stage.path().join("statuspulse.db")).unwrap();
        file.query_row("SELECT sealed FROM webhooks", [], |row| row.get(0)).unwrap()
    };
    let first = sealed();
    stage.store.save_webhook(&webhook).await.unwrap().unwrap();
    assert_ne!(first, sealed(), "a nonce was used twice");

    // In another webhook's row it does not open. It is copied to the last row, as opening the folder tries the first.
    let other = stage.webhook(webhook.account_id);
    stage.store.create_webhook(&other).await.unwrap();
    let (from, to) = (webhook.id.min(other.id), webhook.id.max(other.id));
    let file = rusqlite::Connection::open(stage.path().join("statuspulse.db")).unwrap();
    let sql = "UPDATE webhooks SET sealed = (SELECT sealed FROM webhooks WHERE id = ?1) WHERE id = ?2";
    assert_eq!(file.execute(sql, (from.to_bytes(), to.to_bytes())).unwrap(), 1);
    drop(file);
    let beside = stage.reopened_after_a_death().await;
    let error = beside.store.webhook(to).await.unwrap_err();
    assert_eq!(error.doing, "reading a webhook");
}

/// If the server started anyway, every call and every attempt would fail.
#[tokio::test]
async fn a_wrong_or_missing_key_file_is_refused_before_anything_is_served() {
    let stage = Stage::new();
    let (webhook, _) = webhook_with_secrets(&stage).await;
    let clock = stage.clock.clone();
    let folder = stage.reopened().folder;
    let file = folder.path().join("secret.key");
    let right = fs::read(&file).unwrap();
    let open = |purpose| statuspulse_embedded::Embedded::open(folder.path(), purpose, clock.clone());
    let before = all_bytes(folder.path());

    write_key(&file, &[0x5a; 32]);
    for purpose in [Purpose::Serve, Purpose::Administer] {
        let error = open(purpose).unwrap_err();
        assert!(matches!(error, OpenError::Key(_)), "{error:?}");
        assert!(error.to_string().contains("secret.key"), "{error}");
    }
    fs::remove_file(&file).unwrap();
    assert!(matches!(open(Purpose::Serve).unwrap_err(), OpenError::Key(_)));
    assert!(!file.exists(), "a new key was created that cannot open the secrets");
    write_key(&file, &right[..31]);
    let OpenError::Folder(_, why) = open(Purpose::Serve).unwrap_err() else { panic!("the key is too short") };
    assert!(why.to_string().contains("32 bytes"), "{why}");

    write_key(&file, &right);
    assert!(all_bytes(folder.path()) == before, "a refusal changed the files");
    let store = open(Purpose::Serve).unwrap();
    assert_eq!(store.webhook(webhook.id).await.unwrap().as_deref(), Some(&webhook));
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

/// A backup or a careless copy may have left it so.
#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let stage = Stage::new();
    let Stage { store, folder, clock, .. } = stage;
    drop(store);
    let key = folder.path().join("secret.key");
    for open in [0o604, 0o640, 0o620, 0o601] {
        fs::set_permissions(&key, fs::Permissions::from_mode(open)).unwrap();
        for purpose in [Purpose::Serve, Purpose::Administer, Purpose::Move] {
            let refused = Embedded::open(folder.path(), purpose, clock.clone()).unwrap_err();
            assert!(matches!(refused, OpenError::OpenKey(_)), "{open:o}: {refused}");
        }
    }
    for closed in [0o600, 0o400] {
        fs::set_permissions(&key, fs::Permissions::from_mode(closed)).unwrap();
        Embedded::open(folder.path(), Purpose::Serve, clock.clone()).unwrap();
    }
}
