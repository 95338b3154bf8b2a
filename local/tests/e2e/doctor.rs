//! `statuspulse doctor`: what it finds, and what it leaves alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use statuspulse_kit::{Authority, CertificateSpec, Receiver, ReceiverOptions};

use crate::support::{Ended, Home};

const LOOPBACK: [&str; 2] = ["--dev-allow-cidr", "127.0.0.0/8"];

async fn examined(home: &Home, more: &[&str]) -> Ended {
    let mut command = home.command(&["doctor", "--data", "data"]);
    command.args(more);
    if !more.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    Ended::of(command).await
}

/// The lines about a subject, in the order of the output: how bad it is, and the words.
fn about<'o>(ended: &'o Ended, subject: &str) -> Vec<(&'o str, &'o str)> {
    let split = |line: &'o str| Some((line.get(..8)?.trim(), line.get(9..21)?.trim(), line.get(22..)?));
    let lines = ended.out.lines().filter_map(split);
    lines.filter(|(_, of, _)| *of == subject).map(|(level, _, words)| (level, words)).collect()
}

/// Asserts that a line about the subject is as bad as this and has these words.
fn says(ended: &Ended, subject: &str, level: &str, words: &str) {
    let lines = about(ended, subject);
    assert!(
        lines.iter().any(|(is, said)| *is == level && said.contains(words)),
        "{level} {words}: {}",
        ended.out
    );
}

#[tokio::test]
async fn a_folder_is_examined_while_it_is_served_and_when_it_is_not() {
    let home = Home::new();
    let missing = examined(&home, &[]).await;
    says(&missing, "folder", "warning", "has no database yet");
    assert!(!home.data().exists(), "it makes nothing");

    let program = home.serve(&[]).await;
    let address = program.address().to_owned();
    let served = examined(&home, &["--listen", &address]).await;
    says(&served, "folder", "ok", "is whole, and its key fits");
    says(&served, "folder", "ok", "a server uses it");
    says(&served, "listen", "ok", "is taken, as a server uses the folder");
    assert!(about(&served, "folder").iter().all(|(level, _)| *level == "ok"), "{}", served.out);
    program.stop().await;

    let before = fs::read(home.data().join("statuspulse.db")).unwrap();
    let ended = examined(&home, &[]).await;
    says(&ended, "folder", "ok", "no server uses it");
    says(&ended, "disk", "ok", "MB are free");
    says(&ended, "open files", if raised() { "ok" } else { "warning" }, "may be open");
    assert_eq!(fs::read(home.data().join("statuspulse.db")).unwrap(), before, "it changes nothing");

    fs::set_permissions(home.data().join("secret.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let open = examined(&home, &[]).await;
    says(&open, "folder", "PROBLEM", "others can read");
    assert_eq!(open.code, Some(1));
    fs::write(home.data().join("secret.key"), [7; 31]).unwrap();
    says(&examined(&home, &[]).await, "folder", "PROBLEM", "does not match the database");
    fs::write(home.data().join("exported"), "").unwrap();
    fs::write(home.data().join("secret.key"), [7; 32]).unwrap();
    says(&examined(&home, &[]).await, "folder", "PROBLEM", "was exported");
    let mut damaged = before.clone();
    let end = damaged.len();
    damaged[end / 2..].fill(0xa5);
    fs::write(home.data().join("statuspulse.db"), damaged).unwrap();
    says(&examined(&home, &[]).await, "folder", "PROBLEM", "database");
}

/// Whether this machine allows as many open files as are needed.
fn raised() -> bool {
    let hard = std::process::Command::new("bash").args(["-c", "ulimit -Hn"]).output().unwrap();
    String::from_utf8_lossy(&hard.stdout).trim().parse().map_or(true, |most: u64| most >= 8192)
}

#[tokio::test]
async fn options_the_port_and_the_addresses_are_examined() {
    let home = Home::new();
    let wrong = examined(&home, &["--slack-url", "http://x", "--public-url", "https://x.example/v1"]).await;
    says(&wrong, "options", "PROBLEM", "--slack-url");
    assert_eq!(wrong.code, Some(1));
    let loose = examined(
        &home,
        &["--listen", "0.0.0.0:0", "--public-url", "http://x.example", LOOPBACK[0], LOOPBACK[1]],
    );
    let loose = loose.await;
    for words in ["--dev-allow-cidr", "without TLS", "--public-url is http", "no --slack-url"] {
        says(&loose, "options", "warning", words);
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    says(&examined(&home, &["--listen", &address]).await, "listen", "PROBLEM", &address);

    let echo = Receiver::start(ReceiverOptions::plain()).unwrap();
    echo.behaviour("/ip", statuspulse_kit::Answer::status(200).body("203.0.113.9\n"));
    let url = echo.url("/ip");
    let from = async |promised: &[&str]| {
        let mut more = vec!["--echo-url", url.as_str()];
        more.extend(promised);
        examined(&home, &more).await
    };
    says(&from(&[]).await, "egress", "warning", "203.0.113.9");
    says(&from(&["--egress-ips", "203.0.113.8,203.0.113.9"]).await, "egress", "ok", "as promised");
    says(&from(&["--egress-ips", "203.0.113.8"]).await, "egress", "PROBLEM", "203.0.113.8");
    echo.behaviour("/ip", statuspulse_kit::Answer::status(200).body("<html>"));
    says(&from(&[]).await, "egress", "PROBLEM", "which is no address");
}

#[tokio::test]
async fn endpoints_are_connected_to_and_get_nothing() {
    let home = Home::new();
    let authority = Authority::fresh().unwrap();
    let ca = home.path().join("ca.pem");
    fs::write(&ca, authority.ca_pem()).unwrap();
    let good =
        Receiver::start(ReceiverOptions::tls(authority.issue(CertificateSpec::Good).unwrap())).unwrap();
    let expired = authority.issue(CertificateSpec::Expired).unwrap();
    let expired = Receiver::start(ReceiverOptions::tls(expired)).unwrap();
    let (good_url, expired_url) = (good.url("/in"), expired.url("/in"));
    let mut more = vec![LOOPBACK[0], LOOPBACK[1], "--dev-extra-ca", ca.to_str().unwrap()];
    more.extend([
        good_url.as_str(),
        &expired_url,
        "https://127.0.0.1:1/",
        "https://user@x.example/",
        "https://10.1.2.3/",
    ]);
    let ended = examined(&home, &more).await;
    says(&ended, "endpoint", "ok", &good_url);
    says(&ended, "endpoint", "PROBLEM", &expired_url);
    let levels: Vec<_> = about(&ended, "endpoint").iter().map(|(level, _)| (*level).to_owned()).collect();
    assert_eq!(levels, ["ok", "PROBLEM", "PROBLEM", "PROBLEM", "PROBLEM"], "{}", ended.out);
    assert_eq!(good.count("/in"), 0, "nothing is sent");
}
