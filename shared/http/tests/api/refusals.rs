//! Refusals that all routes share: keys, roles, other accounts, bodies, paths.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http::StatusCode;
use http_body::Frame;
use statuspulse_core::delivery::State;
use statuspulse_core::limits;

use crate::support::{Described, World};

/// A route of an account: its method, its path, and whether it makes changes. `{w}` is the id of a webhook, `{d}` that of
/// a delivery.
type Route = (String, String, bool);

/// All routes that admins may call and publishers may not.
fn routes() -> Vec<Route> {
    let of_accounts = Described::all()
        .into_iter()
        .filter(|one| one.roles().contains(&"admin") && !one.roles().contains(&"publisher"));
    let routes: Vec<Route> = of_accounts
        .map(|one| {
            let path = one.path.replace("/keys/{id}", "/keys/key_01ARZ3NDEKTSV4RRFFQ69G5FAV");
            let path = path.replace("{id}", "{w}").replace("{delivery_id}", "{d}");
            (one.method.to_uppercase(), path, !one.roles().contains(&"viewer"))
        })
        .collect();
    assert!(routes.len() > 30, "{routes:?}");
    routes
}

#[tokio::test]
async fn every_route_is_closed_without_a_key() {
    let world = World::new().await;
    for route in Described::all().into_iter().filter(|one| !one.roles().is_empty()) {
        let (method, path) = (route.method.to_uppercase(), route.path);
        let answer = world.nobody().call(&method, &path.replace(['{', '}'], ""), "{").await;
        answer.refused(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{method} {path}");
    }
}

#[tokio::test]
async fn a_role_is_checked_before_anything_else() {
    let world = World::new().await;
    for (method, path, changes) in routes() {
        let method = &*method;
        let path = &path.replace(['{', '}'], "");
        world.publisher().call(method, path, "{").await.refused(403, "forbidden");
        world.operator().call(method, path, "{").await.refused(403, "forbidden");
        let viewer = world.viewer().call(method, path, "{").await;
        if changes {
            viewer.refused(403, "forbidden");
        } else {
            assert_ne!(viewer.status, StatusCode::FORBIDDEN, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn anothers_an_unknown_and_a_malformed_id_are_the_same_404_whatever_the_body() {
    let world = World::new().await;
    let webhook = world.webhook().await["id"].as_str().unwrap().to_owned();
    let delivery = world.delivery(&webhook, "inc-1", State::Failed).await.id.to_string();
    let unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let whose = [
        (world.stranger(), webhook.clone(), delivery.clone()),
        (world.admin(), format!("whe_{unknown}"), format!("dlv_{unknown}")),
        (world.admin(), webhook.to_lowercase(), "%FF".to_owned()),
    ];
    for (client, webhook, delivery) in whose {
        for (method, path, _) in routes().into_iter().filter(|(_, path, _)| path.contains('{')) {
            let method = &*method;
            let path = path.replace("{w}", &webhook).replace("{d}", &delivery);
            for body in ["{".to_owned(), "x".repeat(limits::REQUEST_BYTES + 1)] {
                client.call(method, &path, body).await.refused(404, "not_found");
            }
        }
    }
}

#[tokio::test]
async fn a_header_that_holds_no_key_is_refused() {
    let world = World::new().await;
    let admin = world.admin();
    let genuine =
        admin.request("GET", "/").body(()).unwrap().headers()["authorization"].to_str().unwrap().to_owned();
    let request = |value: &str| {
        let request = world.nobody().request("GET", "/v1/account").header("authorization", value);
        request.body(Body::empty()).unwrap()
    };
    let key = genuine.strip_prefix("Bearer ").unwrap();
    for wrong in
        ["", "Bearer", "Bearer ", key, &format!("Basic {key}"), "Bearer spk_wrong", &format!("{genuine} x")]
    {
        world.send(request(wrong)).await.refused(401, "unauthenticated");
    }
    for right in [format!("bearer {key}"), format!("BEARER  {key}")] {
        world.send(request(&right)).await.expect(StatusCode::OK);
    }
    let twice = admin.request("GET", "/v1/account").header("authorization", genuine.as_str());
    world.send(twice.body(Body::empty()).unwrap()).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_malformed() {
    let world = World::new().await;
    for body in ["", "{", "[]", "null", "7", "\"x\"", "{} {}", "{'a':1}", "\u{feff}{}"] {
        for (client, path) in [(world.admin(), "/v1/webhooks"), (world.operator(), "/v1/accounts")] {
            client.call("POST", path, body.to_owned()).await.refused(400, "malformed_body");
        }
    }
    world.admin().call("POST", "/v1/keys", vec![b'{', 0xff, b'}']).await.refused(400, "malformed_body");
}

#[tokio::test]
async fn a_body_is_read_as_json_whatever_its_content_type() {
    let world = World::new().await;
    let request =
        world.admin().request("POST", "/v1/keys").header("content-type", "application/x-www-form-urlencoded");
    let answer = world.send(request.body(r#"{"role":"viewer"}"#.into()).unwrap()).await;
    answer.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_body_over_its_limit_is_too_large_with_or_without_a_declared_length() {
    let world = World::new().await;
    let padded = |bytes: usize| {
        let body = r#"{"role":"viewer"}"#;
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    world.admin().call("POST", "/v1/keys", padded(limits::REQUEST_BYTES)).await.expect(StatusCode::CREATED);
    let answer = world.admin().call("POST", "/v1/keys", padded(limits::REQUEST_BYTES + 1)).await;
    let problem = answer.refused(413, "too_large");
    assert_eq!(problem["detail"], "the body is larger than the limit of 65536 bytes");
    for (bytes, status) in [(limits::REQUEST_BYTES, 201), (limits::REQUEST_BYTES + 1, 413), (4_000_000, 413)]
    {
        let answer = world.admin().call("POST", "/v1/keys", in_pieces(&padded(bytes).into())).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

/// A body without a declared length, in pieces of 1000 bytes.
fn in_pieces(whole: &Bytes) -> Body {
    let pieces: Vec<_> =
        whole.chunks(1000).map(|piece| Ok::<_, std::io::Error>(whole.slice_ref(piece))).collect();
    Body::new(Pieces(pieces.into_iter()))
}

struct Pieces(std::vec::IntoIter<io::Result<Bytes>>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.next().map(|piece| piece.map(Frame::data)))
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_malformed() {
    let world = World::new().await;
    let pieces = vec![Ok(Bytes::from("{")), Err(std::io::Error::other("reset"))];
    let body = Body::new(Pieces(pieces.into_iter()));
    world.admin().call("POST", "/v1/keys", body).await.refused(400, "malformed_body");
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_problem_documents_too() {
    let world = World::new().await;
    for path in ["/", "/v1", "/v1/webhooks/", "/v2/webhooks", "/v1/events/x", "/v1/%FF"] {
        world.admin().get(path).await.refused(404, "unknown_path");
    }
    for (method, path, allowed) in [
        ("GET", "/v1/accounts", "POST"),
        ("PUT", "/v1/webhooks", "POST,GET,HEAD"),
        ("GET", "/v1/events", "POST"),
        ("POST", "/healthz", "GET,HEAD"),
    ] {
        let answer = world.admin().call(method, path, Body::empty()).await;
        answer.refused(405, "method_not_allowed");
        let mut allow: Vec<_> = answer.header("allow").split(',').collect();
        let mut expected: Vec<_> = allowed.split(',').collect();
        allow.sort_unstable();
        expected.sort_unstable();
        assert_eq!(allow, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn a_key_that_appears_twice_in_a_body_is_refused() {
    let world = World::new().await;
    let body = r#"{"url":"https://a.example/","events":["incident_opened"],"events":["incident_resolved"]}"#;
    world.admin().call("POST", "/v1/webhooks", body).await.refused(422, "invalid_fields");
}

#[tokio::test]
async fn a_compressed_body_is_an_unsupported_encoding_and_a_byte_order_mark_is_named() {
    let world = World::new().await;
    for path in ["/v1/webhooks", "/v1/events"] {
        for (encoding, status) in [("gzip", 415), ("br", 415), ("identity", 422)] {
            let request = world.admin().request("POST", path).header("Content-Encoding", encoding);
            let answer = world.send(request.body(Body::from("{}")).unwrap()).await;
            assert_eq!(answer.status.as_u16(), status, "{path} {encoding}: {}", answer.text);
        }
        let said =
            |answer: crate::support::Answer| answer.refused(400, "malformed_body")["detail"].to_string();
        let marked = said(world.admin().call("POST", path, "\u{feff}{}").await);
        assert!(marked.contains("byte order mark"), "{marked}");
        let zipped = said(world.admin().call("POST", path, vec![0x1f, 0x8b, 8, 0]).await);
        assert!(zipped.contains("gzip"), "{zipped}");
    }
}

/// 62 KiB of wrong fields once got an answer of 1.6 MiB.
#[tokio::test]
async fn the_errors_of_an_answer_are_bounded() {
    let world = World::new().await;
    let unknown: Vec<String> = (0..7_000).map(|n| format!("\"{n}\":0")).collect();
    let many = format!("{{{}}}", unknown.join(","));
    let groups: Vec<String> = (0..500).map(|_| "\"\"".to_owned()).collect();
    let lists = format!("{{\"url\":\"x\",\"events\":[{0}],\"monitor_groups\":[{0}]}}", groups.join(","));
    for (method, path, body) in [
        ("POST", "/v1/webhooks", &many),
        ("POST", "/v1/webhooks", &lists),
        ("PATCH", "/v1/account", &many),
        ("POST", "/v1/keys", &many),
    ] {
        let problem = world.admin().call(method, path, body.clone()).await.refused(422, "invalid_fields");
        let errors = problem["errors"].as_array().unwrap();
        assert!(errors.len() <= limits::ERRORS_SHOWN + 1, "{path}: {} errors", errors.len());
        if body == &many {
            let last = errors.last().unwrap()["detail"].as_str().unwrap();
            assert!(last.contains("more"), "{last}");
        }
    }
}
