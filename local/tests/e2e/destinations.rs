//! PagerDuty and Slack over real connections, with mocks that check requests strictly.

use serde_json::{Value, json};
use statuspulse_kit::Behaviour;

use crate::support::{Home, LONG, payload, text};

const KEY: &str = "R01234567890abcdefghijklmnopqrst";

#[tokio::test]
async fn an_incident_pages_and_is_written_into_the_channel_and_both_take_it() {
    let home = Home::new();
    let (receiver, ca) = home.tls_receiver();
    receiver.behaviour("/v2/enqueue", Behaviour::PagerDuty);
    for path in ["/slack/channel", "/slack/engineers"] {
        receiver.behaviour(path, Behaviour::Slack);
    }
    let pagerduty = receiver.url("/v2/enqueue");
    let program = home.serve(&["--dev-extra-ca", ca.to_str().unwrap(), "--pagerduty-url", &pagerduty]).await;
    let api = home.admin(&program).await;
    let events = ["incident_opened", "incident_resolved"];
    let paging = json!({"destination": "pagerduty", "routing_key": KEY, "events": events});
    let paging = api.post("/v1/webhooks", &paging).await.expect(201);
    let channel = json!({"destination": "slack", "url": receiver.url("/slack/channel"), "events": events});
    let channel = api.post("/v1/webhooks", &channel).await.expect(201);
    assert_eq!((&paging["status"], &channel["status"]), (&json!("active"), &json!("active")));
    let slack = json!({"slack_url": receiver.url("/slack/engineers")});
    api.patch("/v1/account", &slack).await.expect(200);
    assert_eq!(api.post("/v1/account/slack/test", &json!({})).await.expect(200)["ok"], true);

    for (n, kind) in ["opened", "resolved"].into_iter().enumerate() {
        api.published(&[], &payload(kind, "INC-1", n), 2).await;
    }
    for webhook in [&paging, &channel] {
        api.all_delivered(&text(webhook, "id")).await;
    }
    let pages = receiver.wait_for("/v2/enqueue", 3, LONG).await.unwrap();
    let actions: Vec<Value> = pages
        .iter()
        .map(|page| serde_json::from_slice::<Value>(&page.body).unwrap()["event_action"].clone())
        .collect();
    assert_eq!(actions, ["resolve", "trigger", "resolve"], "the handshake and the incident");
    assert_eq!(receiver.wait_for("/slack/channel", 3, LONG).await.unwrap().len(), 3);
    program.stop().await;
}

#[tokio::test]
async fn an_address_of_pagerduty_that_may_not_be_called_is_refused_at_the_start() {
    let home = Home::new();
    let refused = home.serve_command(&["--pagerduty-url", "http://events.pagerduty.com/v2/enqueue"]);
    let refused = crate::support::Ended::of(refused).await.refused();
    assert!(refused.contains("--pagerduty-url"), "{refused}");
}
