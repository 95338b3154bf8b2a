//! Follows a small server whose deliveries the tests choose, so that hours pass in no time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::*;
use crate::api::arguments::{LimitOptions, ListDeliveriesOptions, ServerOptions};

/// The deliveries of a server, oldest first.
#[derive(Clone, Default)]
struct Deliveries {
    all: Arc<Mutex<Vec<Value>>>,
    /// Whether lists of older deliveries are answered with 503.
    is_busy: Arc<AtomicBool>,
}

impl Deliveries {
    /// Accepts a delivery at this time of the day, or changes its status.
    fn set(&self, id: &str, time: &str, status: &str) {
        let delivery = json!({ "id": id, "accepted_at": format!("2026-11-24T{time}Z"), "status": status });
        let mut all = self.all.lock().unwrap();
        all.retain(|known| known["id"] != *id);
        all.push(delivery);
        all.sort_by_key(accepted);
    }

    fn delete(&self, id: &str) {
        self.all.lock().unwrap().retain(|known| known["id"] != *id);
    }

    /// Starts the server and returns a client of it.
    async fn serve(&self) -> Client {
        let routes = Router::new().route("/v1/deliveries", get(list)).route("/v1/deliveries/{id}", get(show));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, routes.with_state(self.clone())).into_future());
        drop(rustls::crypto::ring::default_provider().install_default());
        let key_file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key_file.path(), "spk_test").unwrap();
        let options = ServerOptions { url: Some(url), key_file: Some(key_file.path().into()), json: false };
        Client::new(&options).unwrap()
    }
}

/// Pages of two entries. A page can have fewer entries than the limit.
async fn list(
    State(server): State<Deliveries>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, StatusCode> {
    let time = |name| query.get(name).map(|text: &String| text.parse::<Timestamp>().unwrap());
    let (since, until) = (time("since"), time("until"));
    if until.is_some() && server.is_busy.load(SeqCst) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let all = server.all.lock().unwrap();
    let matching = all.iter().rev().filter(|delivery| {
        let at = accepted(delivery).unwrap();
        since.is_none_or(|since| at >= since)
            && until.is_none_or(|until| at < until)
            && query.get("status").is_none_or(|status| delivery["status"] == **status)
    });
    let from: usize = query.get("cursor").map_or(0, |cursor| cursor.parse().unwrap());
    let size = query["limit"].parse::<usize>().unwrap().min(2);
    let rest: Vec<_> = matching.skip(from).collect();
    let next = (rest.len() > size).then(|| (from + size).to_string());
    Ok(Json(json!({ "data": &rest[..size.min(rest.len())], "next_cursor": next })))
}

async fn show(State(server): State<Deliveries>, Path(id): Path<String>) -> Result<Json<Value>, StatusCode> {
    let all = server.all.lock().unwrap();
    all.iter().find(|known| known["id"] == *id).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

fn filter(status: Option<&str>) -> Filter {
    Filter::of(&ListDeliveriesOptions {
        webhook: None,
        event: None,
        incident: None,
        status: status.map(str::to_owned),
        limit: LimitOptions { limit: std::num::NonZero::<usize>::MIN },
        follow: true,
    })
}

fn ids(deliveries: &[Value]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery["id"].as_str().unwrap()).collect()
}

/// What a poll finds, as ids with spaces between.
async fn polled(follower: &mut Follower<'_>) -> String {
    follower.poll().await.unwrap();
    ids(&follower.take_changed()).join(" ")
}

#[tokio::test]
async fn the_newest_deliveries_come_first_and_then_everything_once() {
    let server = Deliveries::default();
    for (id, time) in [("a", "12:00:00"), ("b", "12:00:01"), ("c", "12:00:02"), ("d", "12:00:03")] {
        server.set(id, time, "delivered");
    }
    let (client, filter) = (server.serve().await, filter(None));
    let mut follower = Follower::new(&client, &filter);
    assert_eq!(ids(&follower.start(3).await.unwrap()), ["b", "c", "d"]);
    assert_eq!(polled(&mut follower).await, "");
    server.set("f", "12:00:05", "retrying");
    server.set("e", "12:00:04", "waiting");
    server.set("g", "12:00:05", "waiting");
    assert_eq!(polled(&mut follower).await, "e g f");
    // It was accepted before, but its list did not have it yet.
    server.set("late", "11:59:30", "delivered");
    server.set("f", "12:00:05", "delivered");
    assert_eq!(polled(&mut follower).await, "late f");
    assert_eq!(polled(&mut follower).await, "");
}

#[tokio::test]
async fn an_empty_list_can_be_followed() {
    let server = Deliveries::default();
    let (client, filter) = (server.serve().await, filter(None));
    let mut follower = Follower::new(&client, &filter);
    assert!(follower.start(20).await.unwrap().is_empty());
    assert_eq!(polled(&mut follower).await, "");
    for (id, time) in [("a", "12:00:00"), ("b", "13:00:00"), ("c", "14:00:00")] {
        server.set(id, time, "delivered");
    }
    assert_eq!(polled(&mut follower).await, "a b c");
}

#[tokio::test]
async fn unfinished_deliveries_of_long_ago_are_watched() {
    let server = Deliveries::default();
    for (id, time) in [("held", "01:00:00"), ("retrying", "02:00:00"), ("waiting", "03:00:00")] {
        server.set(id, time, id);
    }
    server.set("deleted", "03:30:00", "held");
    for (id, time) in [("old", "02:00:00"), ("x", "03:30:01"), ("y", "12:00:00"), ("z", "12:00:01")] {
        server.set(id, time, "delivered");
    }
    let (client, filter) = (server.serve().await, filter(None));
    let mut follower = Follower::new(&client, &filter);
    assert_eq!(ids(&follower.start(1).await.unwrap()), ["z"]);
    assert_eq!(polled(&mut follower).await, "");
    for (id, time) in [("held", "01:00:00"), ("retrying", "02:00:00"), ("waiting", "03:00:00")] {
        server.set(id, time, "delivered");
    }
    server.delete("deleted");
    assert_eq!(polled(&mut follower).await, "held retrying waiting");
    assert_eq!(polled(&mut follower).await, "");
}

#[tokio::test]
async fn more_unfinished_deliveries_than_a_poll_looks_at_are_looked_at_in_turn() {
    let server = Deliveries::default();
    for n in 0..30 {
        server.set(&format!("h{n:02}"), &format!("01:00:{n:02}"), "held");
    }
    server.set("z", "12:00:00", "delivered");
    let (client, filter) = (server.serve().await, filter(None));
    let mut follower = Follower::new(&client, &filter);
    follower.start(1).await.unwrap();
    for n in 0..30 {
        server.set(&format!("h{n:02}"), &format!("01:00:{n:02}"), "failed");
    }
    let mut found = vec![];
    for _ in 0..4 {
        found.extend(polled(&mut follower).await.split_whitespace().map(str::to_owned));
    }
    found.sort();
    assert_eq!(found, (0..30).map(|n| format!("h{n:02}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_status_selects_when_a_delivery_has_it() {
    let server = Deliveries::default();
    server.set("a", "01:00:00", "failed");
    server.set("b", "11:00:00", "retrying");
    server.set("c", "12:00:00", "delivered");
    let (client, filter) = (server.serve().await, filter(Some("failed")));
    let mut follower = Follower::new(&client, &filter);
    assert_eq!(ids(&follower.start(5).await.unwrap()), ["a"]);
    server.set("d", "12:00:01", "retrying");
    server.set("b", "11:00:00", "failed");
    assert_eq!(polled(&mut follower).await, "b");
    server.set("d", "12:00:01", "failed");
    assert_eq!(polled(&mut follower).await, "d");
}

#[tokio::test]
async fn a_poll_that_fails_loses_nothing() {
    let server = Deliveries::default();
    server.set("old", "01:00:00", "held");
    server.set("a", "12:00:00", "delivered");
    let (client, filter) = (server.serve().await, filter(None));
    let mut follower = Follower::new(&client, &filter);
    follower.start(1).await.unwrap();
    server.set("old", "01:00:00", "delivered");
    server.set("b", "12:00:01", "delivered");
    server.is_busy.store(true, SeqCst);
    let error = follower.poll().await.unwrap_err();
    assert!(is_temporary(&error), "{error}");
    assert_eq!(ids(&follower.take_changed()), ["b"]);
    server.is_busy.store(false, SeqCst);
    assert_eq!(polled(&mut follower).await, "old");
}
