//! Backups of a server that runs, and folders made from them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use statuspulse_kit::{Receiver, ReceiverOptions};

use crate::support::{Ended, Home, payload};

async fn run(home: &Home, arguments: &[&str]) -> Ended {
    Ended::of(home.command(arguments)).await
}

/// Events are accepted all the time while the backup is made. What was answered before it began is in it.
#[tokio::test]
async fn a_backup_of_a_busy_server_is_whole_and_delivers_what_was_left() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    let (webhook, secret) = api.webhook(&receiver.url("/"), &[]).await;
    api.post(&format!("/v1/webhooks/{webhook}/pause"), &json!({})).await.expect(200);
    let note = "x".repeat(20_000);
    let publish = async |n: usize| {
        let text = payload("opened", &format!("INC-{n}"), n);
        let text = text.replacen("\"details\":{", &format!("\"details\":{{\"note\":\"{note}\","), 1);
        api.published(&[], &text, 1).await
    };
    for n in 0..100 {
        publish(n).await;
    }
    let writes = async {
        for n in 100..400 {
            publish(n).await;
        }
    };
    let (said, ()) = tokio::join!(run(&home, &["backup", "--data", "data", "copy"]), writes);
    let said = said.succeeded();
    assert!(said.starts_with("backed up 1 accounts, 1 webhooks, "), "{said}");
    let copy = home.path().join("copy");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    program.stop().await;

    let restored = run(&home, &["restore", "--data", "other", "copy"]).await.succeeded();
    assert!(restored.starts_with("restored 1 accounts, 1 webhooks, "), "{restored}");
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0", "--dev-allow-cidr", "127.0.0.0/8"]);
    command.args(["--data", "other"]);
    let program = crate::support::Program::start(command).await;
    let api = api.at(&program.origin);
    let held = api.shown(&webhook).await["held_deliveries"].as_u64().unwrap();
    assert!((100..=400).contains(&held), "{held}");
    receiver.secret("/", &secret);
    api.post(&format!("/v1/webhooks/{webhook}/resume"), &json!({})).await.expect(200);
    api.all_delivered(&webhook).await;
    assert_eq!(receiver.count("/"), held + 1, "and the handshake");
    program.stop().await;
}

#[tokio::test]
async fn a_key_that_is_kept_apart_is_needed_again() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    api.webhook(&receiver.url("/"), &[]).await;
    let said = run(&home, &["backup", "--data", "data", "--without-key", "copy"]).await.succeeded();
    assert!(said.contains("the key is not in it"), "{said}");
    program.stop().await;

    let key = fs::read(home.data().join("secret.key")).unwrap();
    let copy = fs::read(home.path().join("copy")).unwrap();
    assert!(!copy.windows(key.len()).any(|bytes| bytes == key), "the key is in the backup");
    let said = run(&home, &["restore", "--data", "other", "copy"]).await.refused();
    assert!(said.contains("--key"), "{said}");
    fs::write(home.path().join("wrong"), [7; 32]).unwrap();
    let said = run(&home, &["restore", "--data", "other", "--key", "wrong", "copy"]).await.refused();
    assert!(said.contains("does not match"), "{said}");
    let left: Vec<_> =
        fs::read_dir(home.path().join("other")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"], "nothing is half done");
    run(&home, &["restore", "--data", "other", "--key", "data/secret.key", "copy"]).await.succeeded();
    let listed = run(&home, &["keys", "list", "--data", "other"]).await.succeeded();
    assert_eq!(listed.lines().count(), 1, "{listed}");
}

#[tokio::test]
async fn nothing_is_overwritten_and_what_is_no_backup_is_refused() {
    let home = Home::new();
    let said = run(&home, &["backup", "--data", "nowhere", "copy"]).await.refused();
    assert!(said.contains("no database at"), "{said}");
    assert!(!home.path().join("nowhere").exists());
    home.serve(&[]).await.stop().await;
    run(&home, &["backup", "--data", "data", "copy"]).await.succeeded();
    let said = run(&home, &["backup", "--data", "data", "copy"]).await.refused();
    assert!(said.contains("is there already"), "{said}");
    let said = run(&home, &["restore", "--data", "data", "copy"]).await.refused();
    assert!(said.contains("is there already"), "{said}");
    let said = run(&home, &["restore", "--data", "new", "data/statuspulse.db"]).await.refused();
    assert!(said.contains("is not a backup"), "{said}");
    fs::write(home.path().join("text"), "no database at all").unwrap();
    for file in ["text", "missing"] {
        run(&home, &["restore", "--data", "new", file]).await.refused();
    }
    let mut damaged = fs::read(home.path().join("copy")).unwrap();
    let end = damaged.len();
    damaged[end / 2..].fill(0xa5);
    fs::write(home.path().join("damaged"), damaged).unwrap();
    run(&home, &["restore", "--data", "new", "damaged"]).await.refused();
    assert!(!home.path().join("new/statuspulse.db").exists());
    run(&home, &["restore", "--data", "new", "copy"]).await.succeeded();
}
