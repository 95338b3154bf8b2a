//! Paged lists, and cursors that cannot be forged.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use statuspulse_core::delivery::State;
use statuspulse_http::CursorKey;

use crate::support::World;

/// Reads a list in pages of two. Returns all ids, and the first cursor.
async fn read_by_twos(world: &World, path: &str) -> (Vec<Value>, String) {
    let (mut ids, mut first) = (vec![], None);
    let mut next = format!("{path}?limit=2");
    loop {
        let page = world.admin().get(&next).await.expect(StatusCode::OK);
        let data = page["data"].as_array().unwrap();
        assert!((1..=2).contains(&data.len()));
        ids.extend(data.iter().map(|entry| entry["id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { return (ids, first.unwrap_or_default()) };
        first.get_or_insert_with(|| cursor.to_owned());
        next = format!("{path}?limit=2&cursor={cursor}");
    }
}

/// Creates a webhook with five deliveries, and returns the path of their list.
async fn deliveries_path(world: &World) -> String {
    let id = world.webhook().await["id"].as_str().unwrap().to_owned();
    for number in 0..5 {
        world.delivery(&id, &format!("inc-{number}"), State::Failed).await;
    }
    format!("/v1/webhooks/{id}/deliveries")
}

#[tokio::test]
async fn pages_of_every_list_make_up_the_whole_list() {
    let world = World::new().await;
    for _ in 0..4 {
        world.webhook().await;
        world.admin().post("/v1/keys", &json!({ "role": "viewer" })).await.expect(StatusCode::CREATED);
    }
    for path in ["/v1/webhooks", "/v1/keys", &deliveries_path(&world).await] {
        let whole = world.admin().get(path).await.expect(StatusCode::OK);
        assert!(whole["next_cursor"].is_null());
        let whole: Vec<_> =
            whole["data"].as_array().unwrap().iter().map(|entry| entry["id"].clone()).collect();
        assert_eq!(read_by_twos(&world, path).await.0, whole, "{path}");
    }
}

#[tokio::test]
async fn a_limit_is_a_number_from_1_to_250() {
    let world = World::new().await;
    for limit in ["0", "251", "-1", "+5", "1.5", "ten", "", "99999999999999999999999"] {
        world.viewer().get(&format!("/v1/webhooks?limit={limit}")).await.names(&["limit"]);
    }
    world.viewer().get("/v1/webhooks?limit=250").await.expect(StatusCode::OK);
    world.viewer().get("/v1/webhooks?limit=1&limit=2").await.names(&["limit"]);
    world.viewer().get("/v1/webhooks?page=2").await.names(&["page"]);
}

#[tokio::test]
async fn no_bit_of_a_cursor_can_be_changed() {
    let world = World::new().await;
    let path = deliveries_path(&world).await;
    let (_, cursor) = read_by_twos(&world, &path).await;
    let genuine = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
    for bit in 0..genuine.len() * 8 {
        let mut forged = genuine.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        let forged = URL_SAFE_NO_PAD.encode(forged);
        world.admin().get(&format!("{path}?cursor={forged}")).await.names(&["cursor"]);
    }
    for nonsense in ["", "x", "%00", &cursor[1..], &format!("{cursor}AA"), &format!("{cursor}=")] {
        world.admin().get(&format!("{path}?cursor={nonsense}")).await.names(&["cursor"]);
    }
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_filter_and_account_alone() {
    let world = World::new().await;
    let (path, other) = (deliveries_path(&world).await, deliveries_path(&world).await);
    let (_, cursor) = read_by_twos(&world, &path).await;
    let admin = world.admin();
    admin.get(&format!("{path}?limit=3&cursor={cursor}")).await.expect(StatusCode::OK);
    admin.get(&format!("{other}?cursor={cursor}")).await.names(&["cursor"]);
    admin.get(&format!("{path}?status=failed&cursor={cursor}")).await.names(&["cursor"]);
    admin.get(&format!("{path}?incident_id=inc-1&cursor={cursor}")).await.names(&["cursor"]);
    admin.get(&format!("{path}?since=2026-11-24T00:00:00Z&cursor={cursor}")).await.names(&["cursor"]);
    admin.get(&format!("/v1/keys?cursor={cursor}")).await.names(&["cursor"]);
    let (_, of_keys) = read_by_twos(&world, "/v1/keys").await;
    world.stranger().get(&format!("/v1/keys?cursor={of_keys}")).await.names(&["cursor"]);
}

#[tokio::test]
async fn another_deployments_cursor_is_refused() {
    let mut world = World::new().await;
    let path = deliveries_path(&world).await;
    let (_, cursor) = read_by_twos(&world, &path).await;
    world.router = statuspulse_http::registration(Arc::clone(&world.api), CursorKey::new([8; 32]));
    world.admin().get(&format!("{path}?cursor={cursor}")).await.names(&["cursor"]);
}

#[test]
fn a_cursor_key_does_not_show_itself() {
    assert_eq!(format!("{:?}", CursorKey::new([0x41; 32])), "CursorKey");
}
