//! Listing, showing and redelivering deliveries.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use statuspulse_core::delivery::{State, Timing};
use statuspulse_core::limits;

use crate::support::{START, World, failed_attempt};

/// Creates a webhook, and returns its id.
async fn webhook(world: &World) -> String {
    world.webhook().await["id"].as_str().unwrap().to_owned()
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|delivery| delivery["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_delivery_is_shown_with_all_its_attempts() {
    let world = World::new().await;
    let id = webhook(&world).await;
    let retry =
        State::Scheduled { number: 2, at: "2026-11-24T12:01:00Z".parse().unwrap(), timing: Timing::OnTime };
    let delivery = world.delivery(&id, "inc-1", retry).await;
    let mut taken = failed_attempt("2026-11-24T12:00:01Z");
    (taken.number, taken.status_code, taken.failure, taken.response) = (2, Some(200), None, None);
    world.store.change_delivery(delivery.event_id, delivery.webhook_id, |delivery| {
        delivery.attempts = vec![failed_attempt("2026-11-24T12:00:00.125Z"), taken];
    });
    let expected = json!({
        "id": delivery.id.to_string(), "event_id": delivery.event_id.to_string(),
        "event_type": "incident_opened",
        "incident_id": "inc-1", "webhook_id": id, "status": "retrying", "accepted_at": START, "trigger": "event",
        "next_attempt_at": "2026-11-24T12:01:00Z",
        "delayed": false,
        "attempts": [
            { "number": 1, "trigger": "event", "at": "2026-11-24T12:00:00.125Z", "status_code": 503, "class": "http_5xx",
              "reason": "The endpoint answered 503.", "duration_ms": 312,
              "response_headers": [{ "name": "content-type", "value": "text/plain" }], "response": "try later" },
            { "number": 2, "trigger": "event", "at": "2026-11-24T12:00:01Z", "status_code": 200, "class": null, "reason": null,
              "duration_ms": 312,
              "response_headers": [{ "name": "content-type", "value": "text/plain" }], "response": null },
        ],
    });
    let paths =
        [format!("/v1/webhooks/{id}/deliveries/{}", delivery.id), format!("/v1/deliveries/{}", delivery.id)];
    for path in paths {
        assert_eq!(world.viewer().get(&path).await.expect(StatusCode::OK), expected);
    }
    let list = world.viewer().get(&format!("/v1/webhooks/{id}/deliveries")).await.expect(StatusCode::OK);
    assert_eq!(list, json!({ "data": [expected], "next_cursor": null }));
}

#[tokio::test]
async fn each_status_has_its_name_and_only_a_scheduled_one_a_next_attempt() {
    let world = World::new().await;
    let id = webhook(&world).await;
    let states = [
        (State::Waiting, "waiting"),
        (State::Held, "held"),
        (State::Delivered, "delivered"),
        (State::Failed, "failed"),
        (State::Discarded, "discarded"),
        (State::Cancelled, "cancelled"),
    ];
    for (state, name) in states {
        let delivery = world.delivery(&id, name, state).await;
        let shown =
            world.viewer().get(&format!("/v1/deliveries/{}", delivery.id)).await.expect(StatusCode::OK);
        assert_eq!((&shown["status"], &shown["next_attempt_at"]), (&json!(name), &Value::Null));
    }
}

#[tokio::test]
async fn a_list_is_filtered_by_status_type_incident_and_time() {
    let world = World::new().await;
    let id = webhook(&world).await;
    let first = world.delivery(&id, "inc 1/ü", State::Failed).await.id.to_string();
    world.pass(Duration::from_secs(60));
    let second = world.delivery(&id, "inc-2", State::Delivered).await.id.to_string();
    let filtered = async |query: &str| {
        let list =
            world.viewer().get(&format!("/v1/webhooks/{id}/deliveries?{query}")).await.expect(StatusCode::OK);
        ids(&list).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(filtered("").await, [&*second, &*first]);
    assert_eq!(filtered("status=failed").await, [&*first]);
    assert_eq!(filtered("event_type=incident_opened").await.len(), 2);
    assert_eq!(filtered("event_type=incident_resolved").await.len(), 0);
    assert_eq!(filtered("incident_id=inc%201%2F%C3%BC").await, [&*first]);
    assert_eq!(filtered("since=2026-11-24T12:01:00Z").await, [&*second]);
    assert_eq!(filtered("until=2026-11-24T12:01:00Z").await, [&*first]);
    let all = "since=2026-11-24T12:00:00Z&until=2026-11-24T12:01:00.001Z&status=delivered";
    assert_eq!(filtered(all).await, [&*second]);
}

/// 200 deliveries with 50 attempts and long responses each: about 17 MB.
#[tokio::test]
async fn a_page_ends_early_where_deliveries_are_long_and_the_next_one_goes_on() {
    let world = World::new().await;
    let id = webhook(&world).await;
    let mut made = vec![];
    for n in 0..200 {
        let delivery = world.delivery(&id, &format!("inc-{n}"), State::Failed).await;
        world.store.change_delivery(delivery.event_id, delivery.webhook_id, |delivery| {
            let mut attempt = failed_attempt(START);
            attempt.response = Some("\"".repeat(limits::RESPONSE_KEPT_BYTES));
            delivery.attempts = vec![attempt; limits::ATTEMPTS_KEPT];
        });
        world.pass(Duration::from_secs(1));
        made.insert(0, delivery.id.to_string());
    }
    let path = format!("/v1/webhooks/{id}/deliveries?limit=250");
    let (mut seen, mut pages, mut cursor) = (vec![], 0, String::new());
    loop {
        let page = world.viewer().get(&format!("{path}{cursor}")).await.expect(StatusCode::OK);
        let bytes = page["data"].to_string().len();
        assert!(bytes < limits::PAGE_BYTES + 1024, "a page of {bytes} bytes");
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        pages += 1;
        let Some(next) = page["next_cursor"].as_str() else { break };
        assert!(bytes > limits::PAGE_BYTES / 2, "a page of {bytes} bytes");
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, made);
    assert!(pages > 5, "{pages}");
}

#[tokio::test]
async fn every_wrong_filter_is_named_at_once() {
    let world = World::new().await;
    let path = format!("/v1/webhooks/{}/deliveries", webhook(&world).await);
    let query = "status=lost&event_type=x&since=yesterday&until=2026-11-24T12:01:00&state=failed&limit=0";
    let answer = world.viewer().get(&format!("{path}?{query}")).await;
    answer.names(&["status", "event_type", "since", "until", "limit", "state"]);
    world.viewer().get(&format!("{path}?status=failed&status=held")).await.names(&["status"]);
}

#[tokio::test]
async fn a_delivery_is_found_only_under_its_own_webhook_and_by_its_own_account() {
    let world = World::new().await;
    let (id, other) = (webhook(&world).await, webhook(&world).await);
    let delivery = world.delivery(&id, "inc-1", State::Failed).await.id;
    let viewer = world.viewer();
    viewer.get(&format!("/v1/webhooks/{other}/deliveries/dlv_nonsense")).await.refused(404, "not_found");
    viewer.get("/v1/deliveries/dlv_01ARZ3NDEKTSV4RRFFQ69G5FAV").await.refused(404, "not_found");
    for path in [format!("/v1/deliveries/{delivery}"), format!("/v1/webhooks/{id}/deliveries/{delivery}")] {
        world.stranger().get(&path).await.refused(404, "not_found");
        world.stranger().post_nothing(&format!("{path}/redeliver")).await.refused(404, "not_found");
    }
    let problem = world.stranger().get(&format!("/v1/deliveries/{delivery}")).await.refused(404, "not_found");
    assert_eq!(problem["detail"], "there is no such delivery");
    world.admin().delete(&format!("/v1/webhooks/{id}")).await.expect(StatusCode::NO_CONTENT);
    viewer.get(&format!("/v1/deliveries/{delivery}")).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_finished_delivery_is_redelivered() {
    let world = World::new().await;
    let id = webhook(&world).await;
    for by_webhook in [true, false] {
        let delivery = world.delivery(&id, "inc-1", State::Failed).await.id.to_string();
        let path = if by_webhook {
            format!("/v1/webhooks/{id}/deliveries/{delivery}/redeliver")
        } else {
            format!("/v1/deliveries/{delivery}/redeliver")
        };
        let again = world.admin().post_nothing(&path).await.expect(StatusCode::ACCEPTED);
        assert_eq!((&again["id"], &again["status"]), (&json!(delivery), &json!("retrying")));
        assert_eq!(again["next_attempt_at"], START);
        world.admin().post(&path, &json!({})).await.refused(409, "delivery_unfinished");
        world.admin().post(&path, &json!({ "since": START })).await.names(&["/since"]);
    }
}

#[tokio::test]
async fn all_deliveries_that_failed_since_a_time_are_redelivered() {
    let world = World::new().await;
    let id = webhook(&world).await;
    let path = format!("/v1/webhooks/{id}/redeliver");
    world.delivery(&id, "inc-1", State::Failed).await;
    world.pass(Duration::from_secs(60));
    world.delivery(&id, "inc-2", State::Failed).await;
    world.delivery(&id, "inc-3", State::Delivered).await;
    let since = json!({ "since": "2026-11-24T12:00:30Z" });
    let answer = world.admin().post(&path, &since).await.expect(StatusCode::ACCEPTED);
    assert_eq!(answer, json!({ "deliveries": 1 }));
    world.admin().post(&path, &json!({})).await.names(&["/since"]);
    world.admin().post(&path, &json!({ "since": "2026-11-24T12:00:30" })).await.names(&["/since"]);
    world.admin().post(&path, &json!({ "since": START, "until": START })).await.names(&["/until"]);
    world.admin().post_nothing(&path).await.refused(400, "malformed_body");
}
