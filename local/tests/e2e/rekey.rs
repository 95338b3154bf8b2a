//! The encryption key is replaced while the server delivers, and after a replacement was killed.

use std::fs;

use statuspulse_kit::{Receiver, ReceiverOptions, verify};

use crate::support::{Ended, Home, LONG, payload};

async fn rekey(home: &Home) -> String {
    Ended::of(home.command(&["rekey", "--data", "data"])).await.succeeded()
}

#[tokio::test]
async fn a_busy_server_gets_a_new_key_and_nothing_is_lost() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    let mut webhooks = vec![];
    for n in 0..60 {
        let path = format!("/hooks/{n}");
        let (id, secret) = api.webhook(&receiver.url(&path), &[&format!("group {n}")]).await;
        webhooks.push((id, secret, path));
    }
    let file = home.data().join("secret.key");
    let mut keys = vec![fs::read(&file).unwrap()];
    // Killed at once, and as soon as there is a next key; and run again.
    let next = home.data().join("secret.key.next");
    for waits in [false, true, true] {
        let mut child = home.command(&["rekey", "--data", "data"]).spawn().unwrap();
        while waits && !next.exists() && child.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        drop(child.kill().await);
        let said = rekey(&home).await;
        assert!(said.contains("secrets are sealed with a new key"), "{said}");
        keys.push(fs::read(&file).unwrap());
    }
    assert_eq!(fs::read_dir(home.data()).unwrap().filter(|found| is_key(found.as_ref().unwrap())).count(), 1);
    let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "each run makes a new key");
    // The server that has run all the time, and one that starts anew.
    delivers(&api, &receiver, &webhooks, 1).await;
    let more = api.webhook(&receiver.url("/hooks/more"), &["group more"]).await;
    webhooks.push((more.0, more.1, "/hooks/more".to_owned()));
    program.stop().await;
    let program = home.serve(&[]).await;
    let api = api.at(&program.origin);
    delivers(&api, &receiver, &webhooks, 2).await;
    program.stop().await;
    // With an old key the folder is refused.
    let new = fs::read(&file).unwrap();
    for old in keys.iter().filter(|old| **old != new) {
        fs::write(&file, old).unwrap();
        let refused = Ended::of(home.command(&["backup", "--data", "data", "copy"])).await;
        let restored = Ended::of(home.command(&["restore", "--data", "other", "copy"])).await;
        assert!(restored.err.contains("the key does not match"), "{} {}", refused.err, restored.err);
        fs::remove_file(home.path().join("copy")).unwrap();
    }
    fs::write(&file, new).unwrap();
}

fn is_key(file: &fs::DirEntry) -> bool {
    file.file_name().to_string_lossy().starts_with("secret.key")
}

/// Publishes one event for some webhooks each, and checks their signatures.
async fn delivers(
    api: &statuspulse_kit::api::Api,
    receiver: &Receiver,
    webhooks: &[(String, String, String)],
    n: usize,
) {
    for (_, secret, path) in webhooks.iter().step_by(7) {
        let group = path.replace("/hooks/", "group ");
        api.published(&[&group], &payload("opened", &format!("INC-{path}-{n}"), n), 1).await;
        // And the handshake.
        let received = receiver.wait_for(path, n as u64 + 1, LONG).await.unwrap();
        let last = received.last().unwrap();
        assert!(verify::statuspulse(secret, &last.body, last.header("x-statuspulse-signature").unwrap()));
    }
}
