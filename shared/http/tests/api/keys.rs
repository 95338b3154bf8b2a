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
