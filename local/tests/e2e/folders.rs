//! Data folders that the program refuses, and does not change.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;
use statuspulse_kit::{Receiver, ReceiverOptions};

use crate::support::{Ended, Home, payload};

/// Runs a server that delivers some events, and stops it.
async fn used(home: &Home) {
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    let (webhook, _) = api.webhook(&receiver.url("/"), &[]).await;
    for n in 0..20 {
        api.published(&[], &payload("opened", &format!("INC-{n}"), n), 1).await;
    }
    api.all_delivered(&webhook).await;
    program.stop().await;
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_second_server_on_a_folder_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    let said = Ended::of(home.serve_command(&[])).await.refused();
    assert!(said.contains("another server is using the data folder"), "{said}");
    assert!(said.contains(home.data().to_str().unwrap()), "{said}");
    api.published(&[], &payload("opened", "INC-1", 1), 0).await;
    program.stop().await;
    home.serve(&[]).await.stop().await;
}

/// Events that were answered with 202 are delivered. The first one that cannot be written is answered with 503.
#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_accepted() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    let (webhook, _) = api.webhook(&receiver.url("/"), &[]).await;
    program.stop().await;

    let program = home.serve_on_a_full_disk(2048).await;
    let api = api.at(&program.origin);
    let note = "x".repeat(50_000);
    let mut accepted = 0;
    let refused = loop {
        let text = payload("opened", &format!("INC-{accepted}"), accepted);
        let text = text.replacen("\"details\":{", &format!("\"details\":{{\"note\":\"{note}\","), 1);
        assert!(text.len() > note.len(), "{text}");
        let answer = api.publish(&[], &text, None).await.unwrap();
        if answer.status != 202 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 1_000, "the disk is never full");
    };
    assert!(accepted > 5, "the disk was full after only {accepted} events");
    let problem = refused.expect(503);
    assert_eq!((&problem["code"], &problem["status"]), (&json!("unavailable"), &json!(503)), "{problem}");
    // The server still runs and can read.
    assert_eq!(api.shown(&webhook).await["status"], "active");
    program.kill().await;

    let program = home.serve(&[]).await;
    let api = api.at(&program.origin);
    api.published(&[], &payload("opened", "INC-LAST", accepted), 1).await;
    api.all_delivered(&webhook).await;
    let ids: HashSet<_> = receiver
        .received("/")
        .iter()
        .filter_map(|seen| seen.header("webhook-id").map(str::to_owned))
        .collect();
    assert!(ids.len() > accepted + 1, "{} of {accepted} events arrived, handshake included", ids.len());
    program.stop().await;
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_as_it_is() {
    let home = Home::new();
    used(&home).await;
    let file = home.data().join("statuspulse.db");
    assert_eq!(files(&home.data()).len(), 3, "an orderly stop leaves the lock, the key and the database");
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[4096..].fill(0xa5);
    for content in [damaged, b"no database at all, just text; ".repeat(50), whole[..4096].to_vec()] {
        fs::write(&file, &content).unwrap();
        for command in [home.serve_command(&[]), home.command(&["keys", "list", "--data", "data"])] {
            let said = Ended::of(command).await.refused();
            assert!(said.contains("the database") && said.contains("cannot use"), "{said}");
            assert!(fs::read(&file).unwrap() == content, "a file was changed");
        }
    }
    fs::write(&file, &whole).unwrap();
    home.serve(&[]).await.stop().await;
}

/// A copy of a folder in use can be torn: SQLite opens it, and finds out when it reads the wrong page.
#[tokio::test]
async fn a_torn_copy_is_refused_before_a_page_of_it_is_used() {
    let home = Home::new();
    used(&home).await;
    let file = home.data().join("statuspulse.db");
    let whole = fs::read(&file).unwrap();
    let mut torn = whole.clone();
    let last = torn.len() - 4096;
    torn[last..].fill(0);
    fs::write(&file, &torn).unwrap();
    let said = Ended::of(home.serve_command(&[])).await.refused();
    assert!(said.contains("is damaged") && said.contains("restore a backup"), "{said}");
    assert!(fs::read(&file).unwrap() == torn, "a file was changed");
    fs::write(&file, &whole).unwrap();
    home.serve(&[]).await.stop().await;
}

#[tokio::test]
async fn another_folder_s_key_file_is_refused() {
    let home = Home::new();
    used(&home).await;
    let key = home.data().join("secret.key");
    fs::write(&key, [7; 32]).unwrap();
    let said = Ended::of(home.serve_command(&[])).await.refused();
    assert!(said.contains("secret.key"), "{said}");
}

/// Root can write anywhere, so as root the test runs the program as the user nobody.
#[tokio::test]
async fn a_folder_that_may_only_be_read_is_refused_and_left_as_it_is() {
    const NOBODY: u32 = 65_534;
    let home = Home::new();
    used(&home).await;
    fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let data = home.data();
    let is_root = fs::metadata(&data).unwrap().uid() == 0;
    for (path, _) in files(&data) {
        fs::set_permissions(path, PermissionsExt::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(&data, PermissionsExt::from_mode(0o555)).unwrap();
    let before = files(&data);
    let program = home.path().join("statuspulse");
    fs::copy(env!("CARGO_BIN_EXE_statuspulse"), &program).unwrap();
    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::set_permissions(&empty, PermissionsExt::from_mode(0o555)).unwrap();
    for folder in [&data, &empty, &home.path().join("empty/below")] {
        let mut command = tokio::process::Command::new(&program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder).current_dir("/");
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let said = Ended::of(command).await.refused();
        assert!(said.contains("the data folder") && said.contains("ermission denied"), "{said}");
    }
    assert!(files(&data) == before, "a file was changed");
    assert_eq!(files(&empty).len(), 0);
    fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).unwrap();
}
