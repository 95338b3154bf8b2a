//! `/v1/accounts` and `/v1/account`.

use http::StatusCode;
use serde_json::json;

use crate::support::{START, World, field_names};

#[tokio::test]
async fn an_operator_creates_an_account_and_gets_its_first_admin_key() {
    let world = World::new().await;
    let answer = world.operator().post("/v1/accounts", &json!({ "name": "Initech" })).await;
    let made = answer.expect(StatusCode::CREATED);
    assert_eq!(
        field_names(&made),
        ["allowed_domains", "created_at", "id", "key", "name", "quotas", "slack_url"]
    );
    assert_eq!(made["name"], "Initech");
    assert_eq!(made["created_at"], START);
    let shown = world.with_key(made["key"].as_str().unwrap()).get("/v1/account").await.expect(StatusCode::OK);
    assert_eq!(shown["id"], made["id"]);
    let key = world.with_key(made["key"].as_str().unwrap()).get("/v1/keys").await.expect(StatusCode::OK);
    assert_eq!(key["data"][0]["role"], "admin");
}

#[tokio::test]
async fn only_an_operator_creates_accounts() {
    let world = World::new().await;
    for client in [world.admin(), world.viewer(), world.publisher()] {
        client.post("/v1/accounts", &json!({ "name": "Initech" })).await.refused(403, "forbidden");
    }
}

#[tokio::test]
async fn a_new_accounts_fields_are_checked() {
    let world = World::new().await;
    let operator = world.operator();
    operator.post("/v1/accounts", &json!({})).await.names(&["/name"]);
    operator.post("/v1/accounts", &json!({ "name": "" })).await.names(&["/name"]);
    operator.post("/v1/accounts", &json!({ "name": 7 })).await.names(&["/name"]);
    operator.post("/v1/accounts", &json!({ "name": "x".repeat(201) })).await.names(&["/name"]);
    operator.post("/v1/accounts", &json!({ "name": "A", "colour": "red" })).await.names(&["/colour"]);
    let domains = json!({ "name": "A", "allowed_domains": ["example.com", "not a domain"] });
    operator.post("/v1/accounts", &domains).await.names(&["/allowed_domains/1"]);
}

#[tokio::test]
async fn an_account_shows_itself_to_those_who_read_it() {
    let world = World::new().await;
    for client in [world.admin(), world.viewer()] {
        let account = client.get("/v1/account").await.expect(StatusCode::OK);
        let expected = json!({
            "id": world.account.to_string(), "name": "Acme", "allowed_domains": [], "slack_url": null,
            "quotas": account["quotas"], "created_at": START,
        });
        assert_eq!(account, expected);
        assert_eq!(account["quotas"]["webhooks_per_url"], statuspulse_core::limits::WEBHOOKS_PER_URL);
    }
    world.publisher().get("/v1/account").await.refused(403, "forbidden");
    world.operator().get("/v1/account").await.refused(403, "forbidden");
}

#[tokio::test]
async fn an_account_restricts_its_domains_and_removes_the_restriction() {
    let world = World::new().await;
    let admin = world.admin();
    let body = json!({ "allowed_domains": ["*.Example.com"] });
    let account = admin.patch("/v1/account", &body).await.expect(StatusCode::OK);
    assert_eq!(account["allowed_domains"], json!(["*.example.com"]));
    let webhook = json!({ "url": "https://elsewhere.net/", "events": ["incident_opened"] });
    admin.post("/v1/webhooks", &webhook).await.names(&["/url"]);
    admin.patch("/v1/account", &json!({ "allowed_domains": "x" })).await.names(&["/allowed_domains"]);
    admin.patch("/v1/account", &json!({ "name": "x" })).await.names(&["/name"]);
    let account =
        admin.patch("/v1/account", &json!({ "allowed_domains": null })).await.expect(StatusCode::OK);
    assert_eq!(account["allowed_domains"], json!([]));
}

#[tokio::test]
async fn a_restriction_that_leaves_a_webhook_outside_is_a_conflict() {
    let world = World::new().await;
    world.webhook().await;
    let body = json!({ "allowed_domains": ["elsewhere.net"] });
    world.admin().patch("/v1/account", &body).await.refused(409, "webhook_outside_domains");
}

#[tokio::test]
async fn the_restriction_binds_the_slack_channel_too() {
    let world = World::new().await;
    let admin = world.admin();
    let slack = |host: &str| json!({ "slack_url": format!("https://{host}/services/T/B/x") });
    admin.patch("/v1/account", &json!({ "allowed_domains": ["example.com"] })).await.expect(StatusCode::OK);
    admin.patch("/v1/account", &slack("hooks.slack.com")).await.names(&["/slack_url"]);
    let both = json!({ "allowed_domains": ["hooks.slack.com"], "slack_url": "https://hooks.slack.com/services/T/B/x" });
    admin.patch("/v1/account", &both).await.expect(StatusCode::OK);
    let without = json!({ "allowed_domains": ["example.com"] });
    admin.patch("/v1/account", &without).await.refused(409, "slack_url_outside_domains");
    let moved = json!({ "allowed_domains": ["example.com"], "slack_url": null });
    admin.patch("/v1/account", &moved).await.expect(StatusCode::OK);
}
