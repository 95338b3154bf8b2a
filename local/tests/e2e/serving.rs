//! `statuspulse serve` and `receive`: start, flags and orderly stop.

use std::process::Stdio;
use std::time::Duration;

use statuspulse_kit::{Behaviour, Receiver, ReceiverOptions};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::{Ended, Home, LONG, Program, payload, text};

/// Starts a server that warns at its start, and returns the first line of its log.
async fn first_logged(more: &[&str]) -> String {
    let home = Home::new();
    let mut command = home.serve_command(&["--dev-allow-cidr", "127.0.0.0/8"]);
    command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let line =
        tokio::time::timeout(LONG, log.next_line()).await.expect("a line of the log").unwrap().unwrap();
    child.kill().await.unwrap();
    line
}

#[tokio::test]
async fn warnings_are_logged_unless_something_else_is_asked_for_and_as_json_if_asked() {
    let line = first_logged(&[]).await;
    assert!(line.contains("WARN") && line.contains("--dev-allow-cidr"), "{line}");
    let line = first_logged(&["--log-format", "json"]).await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "WARN");
    assert!(line["message"].as_str().unwrap().contains("--dev-allow-cidr"), "{line}");
}

#[tokio::test]
async fn serve_says_ready_once_and_nothing_else_on_standard_output() {
    let home = Home::new();
    let program = home.serve(&[]).await;
    let port: u16 = program.address().strip_prefix("127.0.0.1:").unwrap().parse().unwrap();
    assert_ne!(port, 0);
    home.admin(&program).await.get("/v1/webhooks").await.expect(200);
    // `stop` asserts that nothing else was printed, and success.
    program.stop().await;
}

#[tokio::test]
async fn an_interrupt_ends_it_as_well() {
    let home = Home::new();
    let program = home.serve(&[]).await;
    program.signal("-INT").await;
    assert!(program.ended().await.0.success());
}

#[tokio::test]
async fn environment_variables_do_what_the_flags_do() {
    let home = Home::new();
    let (receiver, ca) = home.tls_receiver();
    let mut command = home.command(&["serve"]);
    command
        .env("STATUSPULSE_LISTEN", "127.0.0.1:0")
        .env("STATUSPULSE_DATA", home.data())
        .env("STATUSPULSE_LADDER", "100ms,100ms,100ms,100ms")
        .env("STATUSPULSE_DEV_ALLOW_CIDR", "127.0.0.0/8,::1/128")
        .env("STATUSPULSE_DEV_EXTRA_CA", &ca)
        .env("STATUSPULSE_SLACK_URL", receiver.url("/slack"))
        .env("STATUSPULSE_PUBLIC_URL", "https://hooks.example.com/")
        .env("STATUSPULSE_EGRESS_IPS", "104.21.45.112,172.67.188.94");
    let program = Program::start(command).await;
    let api = home.admin(&program).await;
    let egress = api.get("/v1/egress-ips").await.expect(200);
    assert!(egress.to_string().contains("172.67.188.94"), "{egress}");
    let (webhook, _) = api.webhook(&receiver.url("/hook"), &[]).await;
    receiver.behaviour("/hook", Behaviour::status(500));
    api.published(&[], &payload("opened", "INC-1", 1), 1).await;
    let notification = receiver.wait_for_text("/slack", "was paused", LONG).await.unwrap();
    let said = String::from_utf8_lossy(&notification.body).into_owned();
    assert!(said.contains(&format!("https://hooks.example.com/dashboard/webhooks/{webhook}")), "{said}");
    program.stop().await;
}

#[tokio::test]
async fn wrong_flags_are_refused_with_a_message_that_names_them() {
    let home = Home::new();
    let missing = home.path().join("missing.pem");
    let missing = missing.to_str().unwrap();
    let table: [(&[&str], &str); 7] = [
        (&["--ladder", "1s,2s"], "four waits"),
        (&["--ladder", "60,300,900,3600"], "unit"),
        (&["--dev-allow-cidr", "127.0.0.1/33"], "--dev-allow-cidr"),
        (&["--dev-extra-ca", missing], "missing.pem"),
        (&["--slack-url", "http://hooks.slack.com/services/x"], "--slack-url"),
        (&["--egress-ips", "somewhere"], "--egress-ips"),
        (&["--surprise"], "--surprise"),
    ];
    for (flags, expected) in table {
        let said = Ended::of(home.serve_command(flags)).await.refused();
        assert!(said.contains(expected), "{flags:?}: {said}");
    }
    let said = Ended::of(home.command(&["serve"])).await.refused();
    assert!(said.contains("--data"), "{said}");
    let program = home.serve(&[]).await;
    let elsewhere = home.path().join("elsewhere");
    let mut taken = home.command(&["serve", "--listen", program.address(), "--data"]);
    taken.arg(elsewhere);
    let said = Ended::of(taken).await.refused();
    assert!(said.contains(program.address()), "{said}");
}

#[tokio::test]
async fn a_stop_finishes_the_attempt_that_is_in_flight() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    let (webhook, _) = api.webhook(&receiver.url("/slow"), &[]).await;
    receiver.behaviour("/slow", Behaviour::delayed(Duration::from_millis(500), Behaviour::ok()));
    let published = api.published(&[], &payload("opened", "INC-1", 1), 1).await;
    receiver.wait_for("/slow", 2, LONG).await.unwrap();
    // The attempt is in flight: the receiver has the request and has not answered.
    program.stop().await;

    let program = home.serve(&[]).await;
    let api =
        program.api(home.keys("create", &["--role", "viewer", "--account", "Acme"]).await.succeeded().trim());
    let kept = api.deliveries(&webhook).await;
    assert_eq!(kept.len(), 1);
    assert_eq!((&kept[0]["status"], &kept[0]["event_id"]), (&"delivered".into(), &published["event_id"]));
    assert_eq!(kept[0]["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(receiver.count("/slow"), 2, "the handshake and one attempt");
    program.stop().await;
}

/// As compose files and service managers set variables that are left out.
#[tokio::test]
async fn blank_environment_variables_count_as_unset() {
    let home = Home::new();
    let mut command = home.serve_command(&["--dev-allow-cidr", "127.0.0.0/8"]);
    for blank in ["LADDER", "RETRY_EARLY", "SLACK_URL", "PUBLIC_URL", "TRUSTED_PROXY", "EGRESS_IPS", "LOG"] {
        command.env(format!("STATUSPULSE_{blank}"), "");
    }
    command.env("STATUSPULSE_DEV_EXTRA_CA", " ").env("STATUSPULSE_PAGERDUTY_URL", " ");
    Program::start(command).await.stop().await;
}

/// Clients that keep an idle connection, send nothing, or stop in the middle of a request.
#[tokio::test]
async fn idle_and_half_open_clients_do_not_hold_up_a_stop() {
    let home = Home::new();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    api.get("/v1/webhooks").await.expect(200);
    let _silent = TcpStream::connect(program.address()).await.unwrap();
    let mut half = TcpStream::connect(program.address()).await.unwrap();
    half.write_all(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n").await.unwrap();
    let mut body = TcpStream::connect(program.address()).await.unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 100\r\n\r\n{{",
        home.keys("create", &["--role", "publisher", "--account", "Acme"]).await.succeeded().trim()
    );
    body.write_all(head.as_bytes()).await.unwrap();
    // A complete exchange after them, so that their connections have been accepted.
    api.get("/v1/webhooks").await.expect(200);
    program.stop().await;
    let mut rest = vec![];
    drop(half.read_to_end(&mut rest).await);
}

#[tokio::test]
async fn receive_prints_what_comes_and_whether_its_signature_is_good() {
    use std::process::Stdio;
    use tokio::io::{AsyncBufReadExt, BufReader};
    let home = Home::new();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    let other = Receiver::start(ReceiverOptions::plain()).unwrap();
    let (webhook, secret) = api.webhook(&other.url("/"), &[]).await;
    let mut command = home.command(&["receive", "--secret", &secret]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.next_line().await.unwrap().unwrap();
    let url = ready.strip_prefix("ready ").unwrap();
    let patch = serde_json::json!({ "url": format!("{url}hook") });
    let patched = api.patch(&format!("/v1/webhooks/{webhook}"), &patch).await.expect(200);
    assert_eq!(text(&patched, "status"), "active");
    api.published(&[], &payload("opened", "INC-42", 1), 1).await;
    let seen = async {
        let mut seen = String::new();
        while !(seen.contains("INC-42") && seen.matches("good").count() == 2) {
            seen.push_str(&lines.next_line().await.unwrap().expect("more output"));
        }
        seen
    };
    let seen = tokio::time::timeout(LONG, seen).await.expect("both requests are printed");
    assert!(seen.contains("incident_opened attempt 1") && !seen.contains("BAD"), "{seen}");
    child.kill().await.unwrap();
    program.stop().await;
}

/// If a call is refused before its body has arrived, the client still gets the answer and keeps its connection.
#[tokio::test]
async fn a_refusal_before_the_body_came_leaves_the_connection_usable() {
    let home = Home::new();
    let program = home.serve(&[]).await;
    let bystander = home.admin(&program).await;
    let mut connection = TcpStream::connect(program.address()).await.unwrap();
    for _ in 0..20 {
        let head = "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\ncontent-length: 8\r\n\r\n";
        connection.write_all(head.as_bytes()).await.unwrap();
        // Gives the server time to answer.
        bystander.get("/v1/webhooks").await.expect(200);
        connection.write_all(b"{\"a\": 1}").await.unwrap();
        let mut answer = vec![0; 4096];
        let length = tokio::time::timeout(LONG, connection.read(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer:?}");
    }
    program.stop().await;
}

#[tokio::test]
async fn links_that_would_lead_nowhere_and_files_without_certificates_are_refused_at_the_start() {
    let home = Home::new();
    std::fs::write(home.path().join("empty.pem"), "no certificate\n").unwrap();
    let refused = async |more: &[&str]| {
        let mut command = home.serve_command(&[]);
        command.args(more);
        Ended::of(command).await.refused()
    };
    for url in ["webhooks.example.com", "ftp://x.example", "https://x.example/v1", "https://x.example/?a=1"] {
        let said = refused(&["--public-url", url]).await;
        assert!(said.contains("--public-url"), "{said}");
    }
    let said = refused(&["--dev-extra-ca", "empty.pem"]).await;
    assert!(said.contains("empty.pem") && said.contains("no certificate"), "{said}");
    let mut command = home.command(&["serve", "--listen", "0.0.0.0:0", "--data"]);
    command.arg(home.data());
    let said = Ended::of(command).await.refused();
    assert!(said.contains("--public-url"), "{said}");
}

#[tokio::test]
async fn a_hang_up_of_the_terminal_stops_it_in_good_order() {
    let home = Home::new();
    let program = home.serve(&[]).await;
    program.signal("-HUP").await;
    let (status, rest) = program.ended().await;
    assert!(status.success(), "{status}");
    assert_eq!(rest, [""; 0]);
}
