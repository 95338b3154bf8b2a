//! `statuspulse keys`, while a server runs.

use serde_json::json;

use crate::support::{Home, payload};

#[tokio::test]
async fn create_prints_the_key_alone_and_it_works_at_once() {
    let home = Home::new();
    let program = home.serve(&[]).await;
    let printed = home.keys("create", &["--role", "admin", "--account", "Acme"]).await.succeeded();
    assert!(printed.starts_with("spk_") && printed.ends_with('\n'), "{printed:?}");
    assert_eq!(printed.lines().count(), 1);
    program.api(printed.trim()).get("/v1/webhooks").await.expect(200);
    program.api("spk_unknown").get("/v1/webhooks").await.expect(401);

    // The same name means the same account.
    let viewer = home.keys("create", &["--role", "viewer", "--account", "Acme"]).await.succeeded();
    let admin = program.api(printed.trim());
    let receiver = statuspulse_kit::Receiver::start(statuspulse_kit::ReceiverOptions::plain()).unwrap();
    let (webhook, _) = admin.webhook(&receiver.url("/"), &[]).await;
    admin.with_key(viewer.trim()).shown(&webhook).await;
    let stranger = home.keys("create", &["--role", "admin", "--account", "acme"]).await.succeeded();
    admin.with_key(stranger.trim()).get(&format!("/v1/webhooks/{webhook}")).await.expect(404);
    program.stop().await;
}

#[tokio::test]
async fn a_key_can_be_made_before_the_server_ever_ran_but_not_in_a_folder_that_was_mistyped() {
    let home = Home::new();
    let said = home.keys("create", &["--role", "operator"]).await.refused();
    assert!(said.contains("no database in") && said.contains("--new"), "{said}");
    assert!(!home.data().exists());
    let key = home.keys("create", &["--role", "operator", "--new"]).await.succeeded().trim().to_owned();
    let program = home.serve(&[]).await;
    program.api(&key).post("/v1/accounts", &json!({ "name": "Acme" })).await.expect(201);
    program.stop().await;
}

#[tokio::test]
async fn an_operator_makes_accounts_and_publishes_for_them_but_reads_nothing() {
    let home = Home::new();
    let program = home.serve(&[]).await;
    let operator = program.api(&home.operator_key().await);
    let account = operator.post("/v1/accounts", &json!({ "name": "Acme" })).await.expect(201);
    let event: serde_json::Value = serde_json::from_str(&payload("opened", "INC-1", 1)).unwrap();
    let envelope = json!({ "account_id": account["id"], "monitor_groups": [], "payload": event });
    operator.post("/v1/events", &envelope).await.expect(202);
    operator.get("/v1/webhooks").await.expect(403);
    program.api(account["key"].as_str().unwrap()).get("/v1/webhooks").await.expect(200);
    program.stop().await;
}

#[tokio::test]
async fn an_account_is_asked_for_exactly_where_one_is_needed() {
    let home = Home::new();
    home.serve(&[]).await.stop().await;
    for role in ["admin", "publisher", "viewer"] {
        let said = home.keys("create", &["--role", role]).await.refused();
        assert!(said.contains("--account"), "{said}");
    }
    let said = home.keys("create", &["--role", "operator", "--account", "Acme"]).await.refused();
    assert!(said.contains("no account"), "{said}");
    let said = home.keys("create", &["--role", "admin", "--account", " "]).await.refused();
    assert!(said.contains("--account"), "{said}");
    let said = home.keys("create", &["--role", "king", "--account", "Acme"]).await.refused();
    assert!(said.contains("operator"), "it lists the roles: {said}");
    assert_eq!(home.keys("list", &[]).await.succeeded(), "");
}

#[tokio::test]
async fn a_revoked_key_is_refused_from_the_next_call_on_without_a_restart() {
    let home = Home::new();
    let program = home.serve(&[]).await;
    let keep = home.keys("create", &["--role", "admin", "--account", "Acme"]).await.succeeded();
    let named = ["--role", "viewer", "--account", "Acme", "--name", "Wall screen"];
    let lose = home.keys("create", &named).await.succeeded();
    let (keep, lose) = (program.api(keep.trim()), (program.api(lose.trim()), lose.trim().to_owned()));
    lose.0.get("/v1/webhooks").await.expect(200);

    let listed = home.keys("list", &[]).await.succeeded();
    assert!(!listed.contains(&lose.1), "the list does not show keys");
    let line =
        listed.lines().find(|line| line.contains(&lose.1[..12])).expect("a line with the key's prefix");
    assert!(line.contains("viewer") && line.contains("valid") && line.contains("Acme"), "{line}");
    assert!(line.ends_with("Wall screen") && line.contains("used 20"), "{line}");
    let refused =
        home.keys("create", &["--role", "viewer", "--account", "Acme", "--name", " "]).await.refused();
    assert!(refused.contains("--name") && refused.contains("1 to 200 characters"), "{refused}");
    let id = line.split_whitespace().next().unwrap();

    home.keys("revoke", &[id]).await.succeeded();
    lose.0.get("/v1/webhooks").await.expect(401);
    keep.get("/v1/webhooks").await.expect(200);
    let listed = home.keys("list", &[]).await.succeeded();
    assert!(listed.lines().any(|line| line.contains(id) && line.contains("revoked")), "{listed}");
    let said = home.keys("revoke", &[id]).await.refused();
    assert!(said.contains("keys list"), "{said}");
    program.stop().await;
}

#[tokio::test]
async fn the_audit_log_tells_what_the_command_line_did_and_where_calls_came_from() {
    let home = Home::new();
    let program = home.serve(&["--trusted-proxy", "127.0.0.1/32"]).await;
    let key = home.keys("create", &["--role", "admin", "--account", "Acme"]).await.succeeded();
    let admin = program.api(key.trim());
    let viewer = ["--role", "viewer", "--account", "Acme"];
    for revoked in ["by the owner", "through a proxy"] {
        let made = home.keys("create", &[&viewer[..], &["--name", revoked]].concat()).await.succeeded();
        let prefix = &made.trim()[..12];
        if revoked == "by the owner" {
            home.keys("revoke", &[prefix]).await.succeeded();
            continue;
        }
        let keys = admin.get("/v1/keys").await.expect(200);
        let found = keys["data"].as_array().unwrap().iter().find(|key| key["prefix"] == prefix).unwrap();
        let url = format!("http://{}/v1/keys/{}", program.address(), found["id"].as_str().unwrap());
        let call = statuspulse_kit::api::client().delete(url).bearer_auth(key.trim());
        let sent = call.header("x-forwarded-for", "198.51.100.9, 203.0.113.7").send().await.unwrap();
        assert_eq!(sent.status(), 204);
    }
    admin.patch("/v1/account", &json!({ "allowed_domains": ["a.example"] })).await.expect(200);

    let log = admin.get("/v1/audit-log").await.expect(200);
    let of = |action: &str| -> Vec<_> {
        let all = log["data"].as_array().unwrap().iter().filter(|entry| entry["action"] == action);
        all.map(|entry| (entry["by"]["kind"].clone(), entry["by"]["address"].clone())).collect()
    };
    let owner = (json!("owner"), json!(null));
    assert_eq!(of("account.created"), std::slice::from_ref(&owner));
    assert_eq!(of("key.created"), [owner.clone(), owner.clone()]);
    assert_eq!(of("key.revoked"), [(json!("key"), json!("203.0.113.7")), owner]);
    assert_eq!(of("account.updated"), [(json!("key"), json!("127.0.0.1"))]);
    program.stop().await;
}
