//! The key of a folder is replaced, while a server uses it and wherever that was interrupted.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use statuspulse_core::access::{ApiKey, Role};
use statuspulse_core::admin::accounts::created_account;
use statuspulse_core::audit::Actor;
use statuspulse_core::once::Draw;
use statuspulse_core::ports::{Accounts, Records, Webhooks};
use statuspulse_core::sealing::{SealedFormat, Sealer, SealingKey};
use statuspulse_core::target::EndpointUrl;
use statuspulse_core::webhook::Webhook;
use statuspulse_embedded::{BackupError, OpenError, Purpose, RekeyError, rekey};

use crate::stage::{Stage, write_key};

/// Owner and sealed text of every secret in the database of a folder.
fn all_sealed(folder: &Path) -> Vec<([u8; 16], Vec<u8>)> {
    let database = Connection::open(folder.join("statuspulse.db")).unwrap();
    let mut statement = database
        .prepare(
            "SELECT id, sealed FROM webhooks UNION ALL SELECT id, slack FROM accounts WHERE slack IS NOT NULL
             UNION ALL SELECT substr(id, 1, 16), seed FROM draws",
        )
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// How many of the secrets this key opens.
fn opened_by(key: &[u8], folder: &Path) -> usize {
    let sealer = Sealer::new(SealingKey::new(key).unwrap(), SealedFormat::DerivedKeys);
    all_sealed(folder).iter().filter(|(owner, sealed)| sealer.unseal(*owner, sealed).is_ok()).count()
}

fn key_file(folder: &Path) -> PathBuf {
    folder.join("secret.key")
}

/// Some accounts, webhooks and draws; more than one transaction of a rekey takes.
async fn furnished(stage: &Stage) -> Vec<Webhook> {
    let mut account = stage.account("Acme");
    account.slack = Some(EndpointUrl::restore("https://hooks.slack.com/services/T0/B0/slackpath").unwrap());
    let (key, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), &*stage.dice);
    let entry = created_account(&account, &key, Actor::OWNER);
    stage.store.create_account(&account, &key, &entry).await.unwrap();
    let mut webhooks = vec![];
    for n in 0..450 {
        let webhook = stage.webhook(account.id);
        stage.store.create_webhook(&webhook).await.unwrap();
        if n % 150 == 0 {
            let id = [u8::try_from(n % 255).unwrap(); 32];
            let draw = Draw { id, fingerprint: [1; 32], at: stage.now(), seed: "c2VlZA==".to_owned() };
            stage.store.keep_draw(&draw).await.unwrap();
        }
        webhooks.push(webhook);
    }
    webhooks
}

async fn assert_readable(stage: &Stage, webhooks: &[Webhook]) {
    for webhook in webhooks {
        assert_eq!(stage.store.webhook(webhook.id).await.unwrap().as_deref(), Some(webhook));
    }
    let account = stage.store.account(webhooks[0].account_id).await.unwrap().unwrap();
    assert!(account.slack.is_some());
    let draw = Draw { id: [150; 32], fingerprint: [1; 32], at: stage.now(), seed: "other".to_owned() };
    assert_eq!(stage.store.keep_draw(&draw).await.unwrap().seed, "c2VlZA==");
}

#[tokio::test]
async fn nothing_opens_with_the_old_key_after_a_rekey_and_everything_with_the_new_one() {
    let stage = Stage::new();
    let webhooks = furnished(&stage).await;
    let (old, all) = (fs::read(key_file(stage.path())).unwrap(), all_sealed(stage.path()).len());
    assert_eq!(opened_by(&old, stage.path()), all);
    let mut told = vec![];
    assert_eq!(rekey(stage.path(), &mut |done, of| told.push((done, of))).unwrap(), all as u64);
    assert!(told.len() > 3 && told.last() == Some(&(all as u64, all as u64)), "{told:?}");

    let new = fs::read(key_file(stage.path())).unwrap();
    assert_eq!((opened_by(&old, stage.path()), opened_by(&new, stage.path())), (0, all));
    assert!(!stage.path().join("secret.key.next").exists());
    assert_eq!(crate::secrets::mode(&key_file(stage.path())), 0o600);
    // The server goes on, with what it reads anew and with what it writes.
    assert_readable(&stage, &webhooks).await;
    let later = stage.webhook(webhooks[0].account_id);
    stage.store.create_webhook(&later).await.unwrap();
    assert_eq!((opened_by(&old, stage.path()), opened_by(&new, stage.path())), (0, all + 1));
    let stage = stage.reopened();
    assert_readable(&stage, &webhooks).await;
    // A key that was replaced does not open the folder.
    let folder = stage.path().to_owned();
    write_key(&key_file(&folder), &old);
    assert!(matches!(stage.open_beside(Purpose::Administer).unwrap_err(), OpenError::Key(_)));
    // Again, from the new key to a third one.
    write_key(&key_file(&folder), &new);
    rekey(&folder, &mut |_, _| {}).unwrap();
    assert_eq!(opened_by(&new, &folder), 0);
    assert_readable(&stage, &webhooks).await;
}

/// Two tasks write all the time, as the server does, while the key is replaced twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_written_meanwhile_is_sealed_with_the_new_key() {
    let stage = Arc::new(Stage::new());
    let webhooks = furnished(&stage).await;
    let old = fs::read(key_file(stage.path())).unwrap();
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut writers = vec![];
    for of in 0..2 {
        let (stage, mine, is_over) = (stage.clone(), webhooks[of * 200].clone(), is_over.clone());
        writers.push(tokio::spawn(async move {
            let mut saves = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let latest = stage.store.webhook(mine.id).await.unwrap().unwrap();
                stage.store.save_webhook(&latest).await.unwrap().unwrap();
                let new = stage.webhook(mine.account_id);
                stage.store.create_webhook(&new).await.unwrap();
                saves += 1;
            }
            saves
        }));
    }
    let folder = stage.path().to_owned();
    let replaced = move || {
        rekey(&folder, &mut |_, _| std::thread::sleep(std::time::Duration::from_millis(3))).unwrap();
        let second = fs::read(key_file(&folder)).unwrap();
        rekey(&folder, &mut |_, _| {}).unwrap();
        second
    };
    let second = tokio::task::spawn_blocking(replaced).await.unwrap();
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    for writer in writers {
        assert!(writer.await.unwrap() > 3, "it wrote meanwhile");
    }
    stage.flushed().await;
    let third = fs::read(key_file(stage.path())).unwrap();
    assert_eq!(BTreeSet::from([&old, &second, &third]).len(), 3);
    let all = all_sealed(stage.path()).len();
    assert!(all > 460, "{all}");
    let opened = [&old, &second, &third].map(|key| opened_by(key, stage.path()));
    assert_eq!(opened, [0, 0, all]);
}

#[tokio::test]
async fn a_rekey_that_was_interrupted_anywhere_goes_on() {
    for step in 0..4 {
        let stage = Stage::new();
        let webhooks = furnished(&stage).await;
        let old = fs::read(key_file(stage.path())).unwrap();
        let mut steps = 0;
        let interrupted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            rekey(stage.path(), &mut |_, _| {
                assert!(steps < step, "it is interrupted");
                steps += 1;
            })
        }));
        if step < 3 {
            interrupted.unwrap_err();
            assert!(stage.path().join("secret.key.next").exists());
            // The server goes on meanwhile, and another one starts.
            assert_readable(&stage, &webhooks).await;
            let copy = stage.path().join("copy");
            let refused =
                statuspulse_embedded::backup(stage.path(), &copy, true, stage.now(), &mut |_, _| {});
            assert!(matches!(refused.unwrap_err(), BackupError::Rekeying(_)));
            assert!(!copy.exists());
        }
        let stage = stage.reopened();
        assert_readable(&stage, &webhooks).await;
        rekey(stage.path(), &mut |_, _| {}).unwrap();
        assert_eq!(opened_by(&old, stage.path()), 0);
        assert_readable(&stage, &webhooks).await;
        assert!(!statuspulse_embedded::inspect(stage.path()).unwrap().unwrap().rekeying);
    }
}

/// A store of version 0.1 seals all with one key, until the first rekey.
#[tokio::test]
async fn a_store_of_the_first_release_gets_derived_keys_with_its_first_rekey() {
    let folder = crate::upgrade::copied(&crate::upgrade::files().join("0.1.0"));
    let stage = Stage::in_folder(folder);
    let old = fs::read(key_file(stage.path())).unwrap();
    let key = SealingKey::new(&old).unwrap();
    stage.store.create_webhook(&stage.webhook(crate::stage::account())).await.unwrap();
    let is_derived = |key: &SealingKey| {
        all_sealed(stage.path()).iter().filter(|(_, sealed)| sealed.starts_with(&key.prefix())).count()
    };
    assert_eq!(is_derived(&key), 0, "the release before must be able to read it");
    rekey(stage.path(), &mut |_, _| {}).unwrap();
    let new = SealingKey::new(&fs::read(key_file(stage.path())).unwrap()).unwrap();
    assert_eq!(is_derived(&new), all_sealed(stage.path()).len());
    assert_eq!(opened_by(&old, stage.path()), 0);
}

#[tokio::test]
async fn what_would_lose_secrets_is_refused() {
    let stage = Stage::new();
    furnished(&stage).await;
    // An earlier version of the server writes nothing into its lock.
    fs::write(stage.path().join("lock"), "").unwrap();
    assert!(matches!(rekey(stage.path(), &mut |_, _| {}).unwrap_err(), RekeyError::EarlierServer(_)));
    let stage = stage.reopened();
    // Another one is at work.
    let mut other = None;
    rekey(stage.path(), &mut |_, _| {
        other.get_or_insert_with(|| rekey(stage.path(), &mut |_, _| {}).unwrap_err());
    })
    .unwrap();
    assert!(matches!(other.unwrap(), RekeyError::InProgress(_)));
    // Another folder's key.
    let right = fs::read(key_file(stage.path())).unwrap();
    write_key(&key_file(stage.path()), &[9; 32]);
    let refused = rekey(stage.path(), &mut |_, _| {}).unwrap_err();
    assert!(matches!(refused, RekeyError::Folder(OpenError::Key(_))), "{refused}");
    assert!(!stage.path().join("secret.key.next").exists());
    write_key(&key_file(stage.path()), &right);
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(rekey(empty.path(), &mut |_, _| {}).unwrap_err(), RekeyError::NoDatabase(_)));
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}
