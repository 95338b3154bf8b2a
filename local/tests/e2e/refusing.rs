//! Targets that a deployment refuses and that development flags allow.

use serde_json::json;
use statuspulse_kit::{Receiver, ReceiverOptions};

use crate::support::{Home, Program, eventually, payload, text};

#[tokio::test]
async fn without_the_development_flag_no_socket_to_loopback_or_plain_http_is_opened() {
    let home = Home::new();
    let (secure, ca) = home.tls_receiver();
    let plain = Receiver::start(ReceiverOptions::plain()).unwrap();
    let ca = ca.to_str().unwrap();
    let program = Program::start(home.serve_command(&["--dev-extra-ca", ca])).await;
    let api = home.admin(&program).await;
    let (secure_port, plain_port) = (secure.addr().port(), plain.addr().port());
    let targets = [
        secure.url("/"),
        format!("https://127.0.0.1:{secure_port}/"),
        format!("https://127.1:{secure_port}/"),
        format!("https://[::1]:{secure_port}/"),
        format!("https://[::ffff:127.0.0.1]:{secure_port}/"),
        format!("https://0x7f000001:{secure_port}/"),
        format!("https://localhost.:{secure_port}/"),
        plain.url("/"),
        format!("http://localhost:{plain_port}/"),
        format!("http://example.com:{plain_port}/"),
    ];
    for url in targets {
        let body = json!({ "url": url, "events": ["incident_opened"] });
        let problem = api.post("/v1/webhooks", &body).await.expect(422);
        assert_eq!(problem["errors"][0]["pointer"], "/url", "{url}: {problem}");
        let detail = text(&problem["errors"][0], "detail");
        assert!(!detail.contains("127.0.0.1") && !detail.contains("::1"), "{url}: {detail}");
    }
    assert_eq!((secure.connections(), plain.connections()), (0, 0));
    assert_eq!(api.get("/v1/webhooks").await.expect(200)["data"], json!([]));
    program.stop().await;
}

/// A webhook that was registered with the development flag fails at every attempt without it.
#[tokio::test]
async fn a_webhook_from_a_development_folder_gets_nothing_from_a_deployed_server() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    let (webhook, _) = api.webhook(&receiver.url("/hook"), &[]).await;
    program.stop().await;
    let before = receiver.connections();

    let ladder = ["--ladder", "50ms,50ms,50ms,50ms"];
    let program = Program::start(home.serve_command(&ladder)).await;
    let api = home.admin(&program).await;
    api.published(&[], &payload("opened", "INC-1", 1), 1).await;
    // The webhook is paused shortly before its delivery is held.
    eventually("it is held", async || api.deliveries(&webhook).await[0]["status"] == "held").await;
    assert_eq!(api.shown(&webhook).await["status"], "paused");
    let delivery = &api.deliveries(&webhook).await[0];
    assert_eq!(delivery["attempts"].as_array().unwrap().len(), 5, "{delivery}");
    for attempt in delivery["attempts"].as_array().unwrap() {
        assert_eq!(attempt["class"], "target_not_public", "{attempt}");
    }
    assert_eq!((receiver.connections(), receiver.count("/hook")), (before, 1));
    program.stop().await;
}
