//! `GET /metrics`.

use std::collections::BTreeSet;
use std::path::Path;

use statuspulse_kit::{Behaviour, Receiver, ReceiverOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Home, Program, eventually, payload};

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
    ] {
        assert!(body.lines().any(|one| one == line), "no {line} in:\n{body}");
    }
    assert!(!body.contains(&webhook) && !body.contains("whe_"), "a webhook is named:\n{body}");
    let types = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<String> =
        types.map(|rest| rest.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(served, documented());
    program.stop().await;
}
