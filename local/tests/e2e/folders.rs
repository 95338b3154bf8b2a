//! Data folders that cannot be served, and that a refusal leaves as they were.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;
use statuspulse_kit::{Receiver, ReceiverOptions};

use crate::support::{Ended, Home, payload};

/// Serves for a while, and ends in good order.
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
    assert!(said.contains("another server is working on the data folder"), "{said}");
    assert!(said.contains(home.data().to_str().unwrap()), "{said}");
    api.published(&[], &payload("opened", "INC-1", 1), 0).await;
    program.stop().await;
    home.serve(&[]).await.stop().await;
}

/// What got its 202 is kept and delivered, whatever could not be written any more; what got none has a clear answer.
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
    assert!(accepted > 5, "{accepted} events, and the disk is full");
    let problem = refused.expect(503);
    assert_eq!((&problem["code"], &problem["status"]), (&json!("unavailable"), &json!(503)), "{problem}");
    // It is there still, and reads.
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
    assert!(ids.len() > accepted + 1, "{} of {accepted} arrived, and the handshake", ids.len());
    program.stop().await;
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_as_it_is() {
    let home = Home::new();
    used(&home).await;
    let file = home.data().join("statuspulse.db");
    assert_eq!(files(&home.data()).len(), 3, "an orderly end leaves lock, key and one file");
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[4096..].fill(0xa5);
    for content in [damaged, b"no database at all, just text; ".repeat(50), whole[..4096].to_vec()] {
        fs::write(&file, &content).unwrap();
        for command in [home.serve_command(&[]), home.command(&["keys", "list", "--data", "data"])] {
            let said = Ended::of(command).await.refused();
            assert!(said.contains("the database") && said.contains("cannot be used"), "{said}");
            assert!(fs::read(&file).unwrap() == content, "it was changed");
        }
    }
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

/// The superuser may write anywhere, so with its rights the program is run as somebody else.
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
    assert!(files(&data) == before, "it was changed");
    assert_eq!(files(&empty).len(), 0);
    fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).unwrap();
}
