//! Section 10 of docs/behaviour.md: API keys, roles, errors and lists.

use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn no_key_a_bad_one_a_revoked_and_an_expired_one_are_401_alike() {
    let world = World::new().await;
    let expires = json!({"role": "viewer", "expires_at": "2024-03-15T15:22:01Z"});
    let expiring = world.post("/v1/keys", &expires).await.expect(201);
    let revoked = world.post("/v1/keys", &json!({"role": "viewer"})).await.expect(201);
    let (expiring, id) = (world.with_key(text(&expiring["key"])), text(&revoked["id"]));
    let key = world.with_key(text(&revoked["key"]));
    key.get("/v1/webhooks").await.expect(200);
    world.delete(&format!("/v1/keys/{id}")).await.expect(204);
    assert_eq!(key.get("/v1/webhooks").await.problem(401), "unauthenticated");
    world.advance(HOUR - SECOND).await;
    expiring.get("/v1/webhooks").await.expect(200);
    world.advance(SECOND).await;
    let of_expired = expiring.get("/v1/webhooks").await;
    assert_eq!(of_expired.problem(401), "unauthenticated");
    let of_wrong = world.with_key("spk_wrong").get("/v1/webhooks").await;
    assert_eq!(of_wrong.problem(401), "unauthenticated");
    assert_eq!(of_wrong.json()["detail"], of_expired.json()["detail"]);
    for header in ["", "Basic x", "Bearer", "Bearer ", &world.key] {
        let nobody = world.with_key("");
        let answer = nobody.call("GET", "/v1/webhooks", &[("Authorization", header)], "").await;
        assert_eq!(answer.problem(401), "unauthenticated", "{header:?}");
    }
}

#[tokio::test]
async fn keys_are_listed_by_prefix_and_never_in_full() {
    let world = World::new().await;
    let made = world.post("/v1/keys", &json!({"role": "publisher"})).await.expect(201);
    let key = text(&made["key"]);
    assert!(key.starts_with(text(&made["prefix"])));
    let listed = world.get("/v1/keys").await;
    assert!(!listed.text.contains(key) && listed.text.contains(text(&made["prefix"])));
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 2);
    assert_eq!(world.post("/v1/keys", &json!({"role": "operator"})).await.refused(), ["/role"]);
    assert_eq!(world.post("/v1/keys", &json!({})).await.refused(), ["/role"]);
    let past = json!({"role": "viewer", "expires_at": "2024-03-15T14:22:01Z"});
    assert_eq!(world.post("/v1/keys", &past).await.refused(), ["/expires_at"]);
}

#[tokio::test]
async fn a_key_has_a_name_and_shows_when_it_was_used_last() {
    let world = World::new().await;
    let asked = json!({"role": "viewer", "name": "Wall screen, EU"});
    let made = world.post("/v1/keys", &asked).await.expect(201);
    assert_eq!((&made["name"], &made["last_used_at"]), (&json!("Wall screen, EU"), &json!(null)));
    let shown = async || {
        let keys = world.get("/v1/keys").await.expect(200);
        keys["data"].as_array().unwrap().iter().find(|key| key["id"] == made["id"]).unwrap().clone()
    };
    assert_eq!(shown().await["last_used_at"], json!(null));
    let viewer = world.with_key(text(&made["key"]));
    viewer.get("/v1/webhooks").await.expect(200);
    let first = shown().await["last_used_at"].clone();
    assert_eq!(first, json!(world.now().to_string()));
    // It is not written at every use, but it is never more than ten minutes behind.
    world.advance(MINUTE * 9).await;
    viewer.get("/v1/webhooks").await.expect(200);
    assert_eq!(shown().await["last_used_at"], first);
    world.advance(MINUTE).await;
    viewer.get("/v1/webhooks").await.expect(200);
    assert_eq!(shown().await["last_used_at"], json!(world.now().to_string()));
    // Publishing is a use, too. A refused key is not.
    let publisher = world.post("/v1/keys", &json!({"role": "publisher"})).await.expect(201);
    world.with_key(text(&publisher["key"])).publish(&opened("INC-1")).await;
    let id = text(&publisher["id"]).to_owned();
    let used = |keys: Value| {
        keys["data"].as_array().unwrap().iter().find(|key| key["id"] == *id).unwrap()["last_used_at"].clone()
    };
    let at = used(world.get("/v1/keys").await.expect(200));
    assert_eq!(at, json!(world.now().to_string()));
    world.delete(&format!("/v1/keys/{id}")).await;
    world.advance(MINUTE * 20).await;
    world.with_key(text(&publisher["key"])).publish_with(&opened("INC-2"), &[], None).await.problem(401);
    assert_eq!(used(world.get("/v1/keys").await.expect(200)), at);
    for name in ["", " ", "two\nlines", &"x".repeat(201)] {
        let refused = world.post("/v1/keys", &json!({"role": "viewer", "name": name})).await.refused();
        assert_eq!(refused, ["/name"], "{name:?}");
    }
    // The audit log names who changed something.
    let admin = world.post("/v1/keys", &json!({"role": "admin", "name": "deploy job"})).await.expect(201);
    let hook = world.register(URL).await;
    world.with_key(text(&admin["key"])).act(&hook, "pause").await;
    let log = world.get(&format!("/v1/webhooks/{}/audit-log", hook.id)).await.expect(200);
    assert_eq!(log["data"][0]["by"]["key_name"], "deploy job");
    assert_eq!(log["data"][1]["by"]["key_name"], json!(null));
}

#[tokio::test]
async fn keys_are_kept_as_hashes_alone() {
    let world = World::new().await;
    world.flush().await;
    for (name, bytes) in world.files() {
        let found = bytes.windows(world.key.len()).any(|part| part == world.key.as_bytes());
        assert!(!found, "a key is in {name}");
    }
}

#[tokio::test]
async fn an_operator_makes_accounts_and_reads_nobodys_data() {
    let world = World::new().await;
    let made = world.operator.post("/v1/accounts", &json!({"name": "New"})).await.expect(201);
    let admin = world.with_key(text(&made["key"]));
    assert_eq!(admin.get("/v1/account").await.expect(200)["name"], "New");
    assert_eq!(world.operator.get("/v1/webhooks").await.problem(403), "forbidden");
    assert_eq!(world.post("/v1/accounts", &json!({"name": "New"})).await.problem(403), "forbidden");
    assert_eq!(world.operator.post("/v1/accounts", &json!({"name": " "})).await.refused(), ["/name"]);
}

#[tokio::test]
async fn errors_are_problem_documents_that_name_the_field() {
    let world = World::new().await;
    let answer = world.post("/v1/webhooks", &json!({"url": "http://x", "events": ["x"]})).await;
    assert_eq!(answer.problem(422), "invalid_fields");
    let problem = answer.json();
    for name in ["type", "title", "status", "detail", "code", "errors"] {
        assert!(!problem[name].is_null(), "{name}: {problem}");
    }
    for error in problem["errors"].as_array().unwrap() {
        assert!(text(&error["pointer"]).starts_with('/') && !text(&error["detail"]).is_empty());
    }
    assert_eq!(world.get("/v1/nothing").await.problem(404), "unknown_path");
    assert_eq!(world.delete("/v1/webhooks").await.problem(405), "method_not_allowed");
}

#[tokio::test]
async fn lists_are_paged_by_cursors_that_are_good_for_their_own_list_alone() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let other = world.register(OTHER).await;
    for n in 0..7 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    let path = format!("/v1/webhooks/{}/deliveries", hook.id);
    let all: Vec<Value> = world.all(&path).await.iter().map(|delivery| delivery["id"].clone()).collect();
    for limit in 1..=8 {
        let paged = world.all(&format!("{path}?limit={limit}")).await;
        assert_eq!(paged.iter().map(|delivery| delivery["id"].clone()).collect::<Vec<_>>(), all);
    }
    let page = world.get(&format!("{path}?limit=3")).await.expect(200);
    let cursor = text(&page["next_cursor"]);
    for path in [
        format!("{path}?status=failed&cursor={cursor}"),
        format!("/v1/webhooks/{}/deliveries?cursor={cursor}", other.id),
        format!("/v1/webhooks?cursor={cursor}"),
        format!("{path}?cursor={}", cursor.replace(&cursor[4..6], "__")),
    ] {
        assert_eq!(world.get(&path).await.refused(), ["cursor"], "{path}");
    }
    for limit in ["0", "-1", "251", "x", ""] {
        assert_eq!(world.get(&format!("{path}?limit={limit}")).await.refused(), ["limit"]);
    }
}

/// A thief has an admin key, and uses it first.
#[tokio::test]
async fn a_stolen_admin_key_that_revokes_all_others_is_evicted_by_the_operator() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let account = text(&world.get("/v1/account").await.expect(200)["id"]).to_owned();
    let made = world.post("/v1/keys", &json!({"role": "admin", "name": "laptop"})).await.expect(201);
    let (thief, stolen) = (world.with_key(text(&made["key"])), text(&made["id"]).to_owned());
    let keys = thief.get("/v1/keys").await.expect(200);
    for key in keys["data"].as_array().unwrap().iter().filter(|key| key["id"] != stolen.as_str()) {
        thief.delete(&format!("/v1/keys/{}", text(&key["id"]))).await.expect(204);
    }
    assert_eq!(world.get("/v1/account").await.problem(401), "unauthenticated");
    world.clock.pass(SECOND);
    // The thief cannot shut the door behind itself.
    assert_eq!(thief.delete(&format!("/v1/keys/{stolen}")).await.problem(409), "last_admin_key");

    let of_account = format!("/v1/accounts/{account}/keys");
    let listed = world.operator.get(&of_account).await.expect(200);
    let is_valid = |key: &&Value| key["revoked_at"].is_null();
    let left: Vec<_> = listed["data"].as_array().unwrap().iter().filter(is_valid).collect();
    assert_eq!((left.len(), &left[0]["name"]), (1, &json!("laptop")), "it is the stolen one");
    let fresh =
        world.operator.post(&of_account, &json!({"role": "admin", "name": "owner"})).await.expect(201);
    world.clock.pass(SECOND);
    world.operator.delete(&format!("{of_account}/{stolen}")).await.expect(204);
    assert_eq!(thief.get("/v1/account").await.problem(401), "unauthenticated");

    let owner = world.with_key(text(&fresh["key"]));
    assert_eq!(owner.get(&format!("/v1/webhooks/{}", hook.id)).await.expect(200)["status"], "active");
    let event =
        json!({"account_id": account, "payload": serde_json::from_str::<Value>(&opened("A")).unwrap()});
    world.operator.post("/v1/events", &event).await.expect(202);
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL).len(), 1, "nothing was lost");
    let log = owner.get("/v1/audit-log?limit=3").await.expect(200);
    let said: Vec<_> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["action"], &entry["by"]["kind"]))
        .collect();
    assert_eq!(
        said[..2],
        [(&json!("key.revoked"), &json!("operator")), (&json!("key.created"), &json!("operator"))]
    );
    assert_eq!(said[2].1, "key", "the thief's last act");
}
