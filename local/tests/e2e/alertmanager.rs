//! The real Alertmanager with the configuration of `docs/alert-sources`: an alert fires, is repeated, changes and ends.

use std::net::TcpListener;
use std::process::Stdio;

use serde_json::{Value, json};
use statuspulse_kit::Receiver;
use statuspulse_kit::api::client;
use tokio::process::{Child, Command};

use crate::support::{Home, LONG, eventually, say};

const PROGRAM: &str = "prometheus-alertmanager";

/// A running Alertmanager. It is killed when dropped.
struct Alertmanager {
    _child: Child,
    origin: String,
}

impl Alertmanager {
    /// Starts it with the documented configuration, but repeating as often as it can.
    async fn start(home: &Home, origin: &str, key: &str) -> Self {
        let documented = include_str!("../../../docs/alert-sources/alertmanager.yml");
        let key_file = home.path().join("statuspulse.key");
        std::fs::write(&key_file, key).unwrap();
        let ours = documented
            .replace("https://webhooks.example.com", origin)
            .replace("/etc/alertmanager/statuspulse.key", key_file.to_str().unwrap())
            .replace("group_wait: 0s", "group_wait: 0s\n  group_interval: 1s\n  repeat_interval: 1s");
        let config = home.path().join("alertmanager.yml");
        std::fs::write(&config, ours).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", home.path().join("alertmanager").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let started = Self { _child: command.spawn().unwrap(), origin: format!("http://{address}") };
        eventually("Alertmanager is ready", async || {
            let ready = client().get(format!("{}/-/ready", started.origin)).send().await;
            ready.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        started
    }

    /// Says that the alert fires, or with an end that it is over.
    async fn tell(&self, summary: &str, ends_at: Option<&str>) {
        let mut alert = json!({
            "labels": {"alertname": "HighErrorRate", "instance": "checkout-1:9090", "team": "payments"},
            "annotations": {"summary": summary},
            "startsAt": "2024-03-15T14:22:01Z",
        });
        if let Some(end) = ends_at {
            alert["endsAt"] = json!(end);
        }
        let client = client();
        let answer = client.post(format!("{}/api/v2/alerts", self.origin)).json(&json!([alert])).send().await;
        assert_eq!(answer.unwrap().status(), 200);
    }

    /// How many notifications it has sent to webhooks.
    async fn notified(&self) -> u64 {
        let text =
            client().get(format!("{}/metrics", self.origin)).send().await.unwrap().text().await.unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("alertmanager_notifications_total{integration=\"webhook\"} "));
        line.unwrap().parse().unwrap()
    }
}

fn is_installed() -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(PROGRAM).exists()));
    if !found {
        say(&format!("alerts of {PROGRAM} were NOT tested: it is not installed (make test-tools)"));
    }
    found
}

/// The body of the last of this many requests.
async fn body(receiver: &Receiver, requests: u64) -> Value {
    let received = receiver.wait_for("/hook", requests, LONG).await.unwrap();
    serde_json::from_slice(&received.last().unwrap().body).unwrap()
}

#[tokio::test]
async fn an_alert_of_alertmanager_opens_changes_and_ends_an_incident() {
    if !is_installed() {
        return;
    }
    let home = Home::new();
    let (receiver, ca) = home.tls_receiver();
    let program = home.serve(&["--dev-extra-ca", ca.to_str().unwrap()]).await;
    let api = home.admin(&program).await;
    api.webhook(&receiver.url("/hook"), &["payments"]).await;
    let handshakes = receiver.count("/hook");
    let publisher = home.keys("create", &["--role", "publisher", "--account", "Acme"]).await.succeeded();
    let alertmanager = Alertmanager::start(&home, &program.origin, publisher.trim()).await;

    alertmanager.tell("12 % of the requests fail", None).await;
    let opened = body(&receiver, handshakes + 1).await;
    assert_eq!(opened["event_type"], "incident_opened");
    assert_eq!(opened["monitor_name"], "HighErrorRate (checkout-1:9090)");
    assert_eq!(opened["triggered_at"], "2024-03-15T14:22:01Z");
    assert_eq!(opened["details"]["message"], "12 % of the requests fail");

    let sent = alertmanager.notified().await;
    eventually("the alert is repeated", async || alertmanager.notified().await >= sent + 2).await;
    alertmanager.tell("40 % of the requests fail", None).await;
    let updated = body(&receiver, handshakes + 2).await;
    assert_eq!(updated["event_type"], "incident_updated");
    assert_eq!(updated["details"]["message"], "40 % of the requests fail");

    alertmanager.tell("40 % of the requests fail", Some("2024-03-15T15:05:44Z")).await;
    let resolved = body(&receiver, handshakes + 3).await;
    assert_eq!(resolved["event_type"], "incident_resolved");
    assert_eq!(resolved["resolved_at"], "2024-03-15T15:05:44Z");
    assert_eq!(resolved["details"]["downtime_duration_seconds"], 2623);
    for event in [&updated, &resolved] {
        assert_eq!(event["incident_id"], opened["incident_id"]);
    }
    drop(alertmanager);
    assert_eq!(receiver.count("/hook"), handshakes + 3);
    program.stop().await;
}
