//! Callers that hang up right after they have sent their request. What was recorded is completed: a stored event is
//! delivered and a resumed webhook is drained, without the reconciliation 15 minutes later.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Api, Home, Program, eventually, pause, payload, text};

const EVENTS: usize = 200;
const WEBHOOKS: usize = 20;
const HELD: usize = 3;

/// Sends a call and closes the connection after `moment`: before, while or after it is answered.
async fn hang_up_on(program: &Program, key: &str, path: &str, body: &str, moment: Duration) {
    let mut stream = TcpStream::connect(program.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let length = body.len();
    let call = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(call.as_bytes()).await.unwrap();
    pause(moment).await;
    drop(stream);
}

/// From 0 ms to longer than a call takes.
fn moment(n: usize) -> Duration {
    Duration::from_millis(u64::try_from(n % 3).unwrap())
}

async fn deliveries(api: &Api, webhook: &str, status: &str) -> Vec<Value> {
    let path = format!("/v1/webhooks/{webhook}/deliveries?limit=250&status={status}");
    api.get(&path).await.expect(200)["data"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_that_was_kept_is_delivered_though_its_publisher_hung_up() {
    let home = Home::new();
    let (receiver, ca) = home.tls_receiver();
    let program = home.serve(&["--dev-extra-ca", ca.to_str().unwrap()]).await;
    let api = home.admin(&program).await;
    let key = api.post("/v1/keys", &json!({"role": "publisher"})).await.expect(201);
    let key = text(&key, "key");
    let (webhook, _) = api.webhook(&receiver.url("/hook"), &[]).await;
    for n in 0..EVENTS {
        let envelope = format!(r#"{{"payload":{}}}"#, payload("opened", &format!("INC-{n}"), n));
        hang_up_on(&program, &key, "/v1/events", &envelope, moment(n)).await;
    }
    // One more event of each incident, which is delivered after the stored ones.
    for n in 0..EVENTS {
        api.published(&[], &payload("resolved", &format!("INC-{n}"), n), 1).await;
    }
    eventually("no delivery is waiting or retrying", async || {
        let waiting = deliveries(&api, &webhook, "waiting").await.len();
        waiting + deliveries(&api, &webhook, "retrying").await.len() == 0
    })
    .await;
    let arrived = receiver.received("/hook");
    let arrived =
        arrived.iter().filter(|seen| seen.header("x-statuspulse-event") == Some("incident_opened")).count();
    assert!(arrived > 0, "none of {EVENTS} events was stored: the test shows nothing");
    eprintln!("{arrived} of {EVENTS} events were stored, and all of them delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_webhook_that_was_resumed_is_drained_though_its_owner_hung_up() {
    let home = Home::new();
    let (receiver, ca) = home.tls_receiver();
    let program = home.serve(&["--dev-extra-ca", ca.to_str().unwrap()]).await;
    let api = home.admin(&program).await;
    let key = api.post("/v1/keys", &json!({"role": "admin"})).await.expect(201);
    let key = text(&key, "key");
    let mut webhooks = vec![];
    for n in 0..WEBHOOKS {
        let (webhook, _) = api.webhook(&receiver.url(&format!("/hook/{n}")), &[]).await;
        api.post(&format!("/v1/webhooks/{webhook}/pause"), &json!({})).await.expect(200);
        webhooks.push(webhook);
    }
    for n in 0..HELD {
        api.published(&[], &payload("opened", &format!("INC-{n}"), n), WEBHOOKS as u64).await;
    }
    for webhook in &webhooks {
        let held = format!("all deliveries of {webhook} are held");
        eventually(&held, async || deliveries(&api, webhook, "held").await.len() == HELD).await;
    }
    for (n, webhook) in (0..).zip(&webhooks) {
        hang_up_on(&program, &key, &format!("/v1/webhooks/{webhook}/resume"), "", moment(n)).await;
    }
    let mut resumed = 0;
    for webhook in &webhooks {
        let shown = api.get(&format!("/v1/webhooks/{webhook}")).await.expect(200);
        if shown["status"] == "active" {
            let drained = format!("{webhook} is drained");
            eventually(&drained, async || deliveries(&api, webhook, "delivered").await.len() == HELD).await;
            resumed += 1;
        }
    }
    assert!(resumed > 0, "none of {WEBHOOKS} resumes was recorded: the test shows nothing");
    eprintln!("{resumed} of {WEBHOOKS} webhooks were resumed, and all of them drained");
}
