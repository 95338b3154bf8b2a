//! `GET /metrics`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use statuspulse_kit::api::client;
use statuspulse_kit::{Behaviour, Receiver, ReceiverOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::{Home, Program, eventually, payload, say};

/// The head and the body of the answer.
async fn metrics(program: &Program) -> (String, String) {
    let mut stream = TcpStream::connect(program.address()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The metrics in the table of docs/running.md.
fn documented() -> BTreeSet<String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/running.md");
    let text = std::fs::read_to_string(document).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `statuspulse_"));
    rows.map(|row| format!("statuspulse_{}", row.split('`').next().unwrap())).collect()
}

#[tokio::test]
async fn the_metrics_count_attempts_without_naming_a_webhook_and_are_those_of_the_documentation() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let program = home.serve(&["--ladder", "50ms,1h,1h,1h"]).await;
    let api = home.admin(&program).await;
    let (webhook, _) = api.webhook(&receiver.url("/hook"), &[]).await;
    receiver.behaviour("/hook", Behaviour::first(1, Behaviour::status(503), Behaviour::ok()));
    api.published(&[], &payload("opened", "INC-1", 1), 1).await;
    api.all_delivered(&webhook).await;
    eventually("both attempts are counted", async || {
        metrics(&program).await.1.contains("\nstatuspulse_deliveries_succeeded_total 1\n")
    })
    .await;

    let (head, body) = metrics(&program).await;
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    for line in [
        "# TYPE statuspulse_first_attempt_lag_seconds histogram",
        "statuspulse_first_attempt_lag_seconds_bucket{le=\"60\"} 1",
        "statuspulse_first_attempt_lag_seconds_bucket{le=\"+Inf\"} 1",
        "statuspulse_first_attempt_lag_seconds_count 1",
        "statuspulse_retries_total 1",
        "statuspulse_attempts_failed_total{class=\"http_5xx\"} 1",
        "statuspulse_attempts_failed_total{class=\"timeout\"} 0",
        "statuspulse_webhooks_paused_total 0",
        "statuspulse_lost_messages_total 0",
        "statuspulse_dead_letters 0",
        "statuspulse_events_accepted_total 1",
        "statuspulse_attempt_duration_seconds_count 2",
        "statuspulse_deliveries{status=\"held\"} 0",
        "statuspulse_webhooks{status=\"active\"} 1",
        "statuspulse_webhooks{status=\"paused\"} 0",
        "statuspulse_messages_due{queue=\"first\"} 0",
        "statuspulse_notifications_total{outcome=\"failed\"} 0",
    ] {
        assert!(body.lines().any(|one| one == line), "no {line} in:\n{body}");
    }
    assert!(!body.contains(&webhook) && !body.contains("whe_"), "a webhook is named:\n{body}");
    let types = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<String> =
        types.map(|rest| rest.split(' ').next().unwrap_or_default().to_owned()).collect();
    let (process, ours): (BTreeSet<_>, BTreeSet<_>) =
        served.into_iter().partition(|name| name.starts_with("process_"));
    assert_eq!(ours, documented());
    for file in ["alerts.yml", "dashboard.json"] {
        for name in used_in(&monitoring().join(file)) {
            let whole = |end| name.strip_suffix(end).unwrap_or(&name);
            let is_served = |name: &str| ours.contains(name) || process.contains(name);
            assert!(
                is_served(&name) || is_served(whole("_bucket")),
                "{file} uses {name}, which is not served"
            );
        }
    }
    check_with_promtool(&body).await;
    program.stop().await;
}

fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring")
}

/// The metrics that a file of rules or of a dashboard names.
fn used_in(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_metric = |word: &&str| word.starts_with("statuspulse_") || word.starts_with("process_");
    let used: BTreeSet<_> = words.filter(is_metric).map(str::to_owned).collect();
    assert!(used.len() > 5, "{used:?}");
    used
}

/// What Prometheus' own tool says of the metrics, and of the rules and their tests.
async fn check_with_promtool(metrics: &str) {
    for arguments in
        [&["check", "metrics"][..], &["check", "rules", "alerts.yml"], &["test", "rules", "alerts-test.yml"]]
    {
        let mut command = Command::new("promtool");
        command.args(arguments).current_dir(monitoring());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            say(
                "promtool did NOT check the metrics and the alert rules: it is not installed (make test-tools)",
            );
            return;
        };
        let mut input = child.stdin.take().unwrap();
        // It does not read what it does not need.
        drop(input.write_all(metrics.as_bytes()).await);
        drop(input);
        let Output { status, stdout, stderr } = child.wait_with_output().await.unwrap();
        let said = [stdout, stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        assert!(status.success(), "promtool {}: {said}", arguments.join(" "));
    }
}

#[tokio::test]
async fn it_is_ready_until_the_database_cannot_be_written() {
    let home = Home::new();
    let program = home.serve(&["--metrics-listen", "127.0.0.1:0"]).await;
    let get = async |path: &str| {
        let answer = client().get(format!("{}{path}", program.origin)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(get("/healthz").await.0, 200);
    assert_eq!(get("/metrics").await.0, 404, "it has an address of its own");
    program.stop().await;

    let program = home.serve_on_a_full_disk(256).await;
    let admin = home.admin(&program).await;
    let note = "x".repeat(50_000);
    let mut n = 0;
    loop {
        let text = payload("opened", &format!("INC-{n}"), n);
        let text = text.replacen("\"details\":{", &format!("\"details\":{{\"note\":\"{note}\","), 1);
        if admin.publish(&[], &text, None).await.unwrap().status != 202 {
            break;
        }
        n += 1;
        assert!(n < 1_000, "the disk is never full");
    }
    eventually("it says so", async || {
        let answer = client().get(format!("{}/readyz", program.origin)).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap()) == (503, "the database cannot be written\n".to_owned())
    })
    .await;
    program.kill().await;
}
