//! `/v1/keys`, and calls with a revoked or expired key.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::support::{START, World, field_names};

const SHOWN: [&str; 8] =
    ["created_at", "expires_at", "id", "last_used_at", "name", "prefix", "revoked_at", "role"];

#[tokio::test]
async fn a_new_key_is_shown_once_with_its_text() {
    let world = World::new().await;
    let body = json!({ "role": "viewer", "expires_at": "2026-11-25T12:00:00Z" });
    let made = world.admin().post("/v1/keys", &body).await.expect(StatusCode::CREATED);
    let mut fields = field_names(&made);
    fields.retain(|name| *name != "key");
    assert_eq!(fields, SHOWN);
    assert_eq!(made["role"], "viewer");
    assert_eq!(made["created_at"], START);
    assert_eq!(made["expires_at"], "2026-11-25T12:00:00Z");
    let (key, prefix) = (made["key"].as_str().unwrap(), made["prefix"].as_str().unwrap());
    assert!(key.starts_with(prefix) && key.len() > prefix.len());
    world.with_key(key).get("/v1/account").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_list_of_keys_shows_no_key() {
    let world = World::new().await;
    let made =
        world.admin().post("/v1/keys", &json!({ "role": "publisher" })).await.expect(StatusCode::CREATED);
    let answer = world.viewer().get("/v1/keys").await;
    let list = answer.expect(StatusCode::OK);
    assert_eq!(field_names(&list), ["data", "next_cursor"]);
    assert!(list["next_cursor"].is_null());
    assert_eq!(list["data"].as_array().unwrap().len(), world.key_count().await);
    for key in list["data"].as_array().unwrap() {
        assert_eq!(field_names(key), SHOWN);
    }
    assert!(!answer.text.contains(made["key"].as_str().unwrap()));
}

#[tokio::test]
async fn a_revoked_key_is_refused_and_stays_in_the_list() {
    let world = World::new().await;
    let made = world.admin().post("/v1/keys", &json!({ "role": "viewer" })).await.expect(StatusCode::CREATED);
    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    let answer = world.admin().delete(&path).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    world.with_key(made["key"].as_str().unwrap()).get("/v1/account").await.refused(401, "unauthenticated");
    let list = world.admin().get("/v1/keys").await.expect(StatusCode::OK);
    let revoked = list["data"].as_array().unwrap().iter().find(|key| key["id"] == made["id"]).unwrap();
    assert_eq!(revoked["revoked_at"], START);
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let world = World::new().await;
    let body = json!({ "role": "viewer", "expires_at": "2026-11-24T12:00:10Z" });
    let made = world.admin().post("/v1/keys", &body).await.expect(StatusCode::CREATED);
    let holder = world.with_key(made["key"].as_str().unwrap());
    world.pass(Duration::from_secs(9));
    holder.get("/v1/account").await.expect(StatusCode::OK);
    world.pass(Duration::from_secs(1));
    holder.get("/v1/account").await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_new_keys_fields_are_checked() {
    let world = World::new().await;
    let admin = world.admin();
    admin.post("/v1/keys", &json!({})).await.names(&["/role"]);
    admin.post("/v1/keys", &json!({ "role": "king" })).await.names(&["/role"]);
    admin.post("/v1/keys", &json!({ "role": "operator" })).await.names(&["/role"]);
    let past = json!({ "role": "viewer", "expires_at": "2026-11-24T11:59:59Z" });
    admin.post("/v1/keys", &past).await.names(&["/expires_at"]);
    let offset = json!({ "role": "viewer", "expires_at": "2027-11-24T11:59:59" });
    admin.post("/v1/keys", &offset).await.names(&["/expires_at"]);
    admin.post("/v1/keys", &json!({ "role": "viewer", "expires": "x" })).await.names(&["/expires"]);
}

#[tokio::test]
async fn another_accounts_key_cannot_be_revoked() {
    let world = World::new().await;
    let made =
        world.stranger().post("/v1/keys", &json!({ "role": "viewer" })).await.expect(StatusCode::CREATED);
    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    world.admin().delete(&path).await.refused(404, "not_found");
    world.admin().delete("/v1/keys/key_none").await.refused(404, "not_found");
    world.with_key(made["key"].as_str().unwrap()).get("/v1/account").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn the_last_admin_key_is_revoked_by_operators_alone() {
    let world = World::new().await;
    let admin = world.admin();
    let listed = admin.get("/v1/keys").await.expect(StatusCode::OK);
    let keys = listed["data"].as_array().unwrap();
    let admins: Vec<_> = keys.iter().filter(|key| key["role"] == "admin").collect();
    let [only] = admins[..] else { panic!("one admin key: {keys:?}") };
    let path = format!("/v1/keys/{}", only["id"].as_str().unwrap());
    admin.delete(&path).await.refused(409, "last_admin_key");
    // A key that has expired, or that may do less, is none that is left.
    let second = admin.post("/v1/keys", &json!({ "role": "admin" })).await.expect(StatusCode::CREATED);
    admin.post("/v1/keys", &json!({ "role": "viewer" })).await.expect(StatusCode::CREATED);
    let second = format!("/v1/keys/{}", second["id"].as_str().unwrap());
    admin.delete(&second).await.expect(StatusCode::NO_CONTENT);
    admin.delete(&path).await.refused(409, "last_admin_key");

    let account = admin.get("/v1/account").await.expect(StatusCode::OK)["id"].as_str().unwrap().to_owned();
    let of_account = format!("/v1/accounts/{account}{}", path.strip_prefix("/v1").unwrap());
    world.operator().delete(&of_account).await.expect(StatusCode::NO_CONTENT);
    admin.get("/v1/account").await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn an_operator_manages_the_keys_of_any_account_and_reads_nothing_else() {
    let world = World::new().await;
    let account =
        world.admin().get("/v1/account").await.expect(StatusCode::OK)["id"].as_str().unwrap().to_owned();
    let keys = format!("/v1/accounts/{account}/keys");
    let made = world.operator().post(&keys, &json!({ "role": "viewer", "name": "for support" })).await;
    let made = made.expect(StatusCode::CREATED);
    let listed = world.operator().get(&keys).await.expect(StatusCode::OK);
    assert!(listed["data"].as_array().unwrap().iter().any(|key| key["id"] == made["id"]));
    assert!(!listed.to_string().contains(made["key"].as_str().unwrap()), "a key is shown once");
    world.operator().get("/v1/keys").await.refused(403, "forbidden");
    world.operator().get("/v1/webhooks").await.refused(403, "forbidden");
    world.operator().post(&keys, &json!({ "role": "operator" })).await.names(&["/role"]);
    world
        .operator()
        .delete(&format!("{keys}/{}", made["id"].as_str().unwrap()))
        .await
        .expect(StatusCode::NO_CONTENT);
    for (client, path) in [
        (world.operator(), "/v1/accounts/acc_01ARZ3NDEKTSV4RRFFQ69G5FAV/keys".to_owned()),
        (world.operator(), "/v1/accounts/x/keys".to_owned()),
    ] {
        client.get(&path).await.refused(404, "not_found");
        client.post(&path, &json!({ "role": "viewer" })).await.refused(404, "not_found");
    }
    for client in [world.admin(), world.viewer(), world.publisher(), world.stranger()] {
        client.get(&keys).await.refused(403, "forbidden");
        client.post(&keys, &json!({ "role": "viewer" })).await.refused(403, "forbidden");
        client.delete(&format!("{keys}/{}", made["id"].as_str().unwrap())).await.refused(403, "forbidden");
    }
    world.nobody().get(&keys).await.refused(401, "unauthenticated");
    let log = world.admin().get("/v1/audit-log").await.expect(StatusCode::OK);
    let by: Vec<_> =
        log["data"].as_array().unwrap().iter().take(2).map(|entry| &entry["by"]["kind"]).collect();
    assert_eq!(by, ["operator", "operator"], "{log}");
}
