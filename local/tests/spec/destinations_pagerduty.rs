//! Webhooks with the destination `pagerduty`: events for PagerDuty's Events API v2.

use serde_json::{Value, json};

use crate::support::*;

const KEY: &str = "R01234567890abcdefghijklmnopqrst";

async fn paging(world: &World) -> Hook {
    paging_for(world, json!({})).await
}

async fn paging_for(world: &World, more: Value) -> Hook {
    let mut asked = json!({"destination": "pagerduty", "routing_key": KEY,
        "events": ["incident_opened", "incident_updated", "incident_resolved"]});
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let created = world.post("/v1/webhooks", &asked).await.expect(201);
    assert_eq!(created["status"], "active");
    Hook { id: text(&created["id"]).to_owned(), url: PAGERDUTY_EVENTS.to_owned(), secret: String::new() }
}

fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

#[tokio::test]
async fn the_handshake_resolves_an_incident_that_does_not_exist_and_pages_nobody() {
    let world = World::new().await;
    let hook = paging(&world).await;
    let calls = world.receivers.calls(PAGERDUTY_EVENTS);
    let [handshake] = &calls[..] else { panic!("one call") };
    assert_eq!(handshake.status, Some(202));
    let dedup_key = format!("statuspulse-handshake-{}", hook.id);
    assert_eq!(
        body(handshake),
        json!({"routing_key": KEY, "event_action": "resolve", "dedup_key": dedup_key})
    );
}

#[tokio::test]
async fn an_incident_triggers_is_updated_and_resolves_under_its_own_id() {
    let world = World::new().await;
    let hook = paging_for(&world, json!({"monitor_groups": ["payments"]})).await;
    let odd = opened("INC-1").replace("1240", "1240.50").replace("503", "503.0");
    for payload in [odd, updated("INC-1"), resolved("INC-1")] {
        world.publish_with(&payload, &["payments", "checkout"], None).await.expect(202);
        world.run_until_idle().await;
    }
    assert_eq!(world.statuses(&hook).await, ["delivered"; 3]);
    let attempts = world.attempts(PAGERDUTY_EVENTS);
    let bodies: Vec<Value> = attempts.iter().map(body).collect();
    let events: Vec<_> =
        bodies.iter().map(|body| (text(&body["event_action"]), text(&body["dedup_key"]))).collect();
    assert_eq!(events, [("trigger", "INC-1"), ("trigger", "INC-1"), ("resolve", "INC-1")]);
    let page = format!("https://webhooks.statuspulse.io/dashboard/webhooks/{}/deliveries?incident=", hook.id);
    assert_eq!(
        (&bodies[0]["client"], &bodies[0]["client_url"]),
        (&json!("StatusPulse"), &json!(page.clone() + "INC-1"))
    );
    let first = &bodies[0]["payload"];
    assert_eq!(first["summary"], "checkout-api-prod is down: answered 503.0 in us-east-1");
    assert_eq!(first["source"], "checkout-api-prod");
    assert_eq!(first["severity"], "critical");
    assert_eq!(first["timestamp"], "2024-03-15T14:22:01Z");
    assert_eq!(first["group"], "payments");
    assert_eq!(first["component"], "https://api.yourcompany.com/v2/checkout");
    assert!(attempts[0].text().contains(r#""custom_details":{"endpoint":"https://api.yourcompany.com/v2/checkout","response_code":503.0,"latency_ms":1240.50,"region":"us-east-1"}"#), "digit for digit");
    assert_eq!(
        bodies[1]["payload"]["summary"],
        "checkout-api-prod: identified. Cache nodes are being replaced"
    );
}

#[tokio::test]
async fn the_severity_goes_by_what_the_monitored_system_answered() {
    let world = World::new().await;
    paging(&world).await;
    let answered =
        [("503", "critical"), ("404", "error"), ("200", "warning"), ("0", "critical"), ("null", "critical")];
    for (n, (code, severity)) in answered.into_iter().enumerate() {
        let payload = opened(&format!("INC-{n}")).replace("503", code);
        let payload = payload.replace(r#""response_code":null,"#, "");
        world.publish(&payload).await;
        world.run_until_idle().await;
        let last = body(world.attempts(PAGERDUTY_EVENTS).last().unwrap());
        assert_eq!(last["payload"]["severity"], severity, "{code}");
    }
}

/// An event that PagerDuty will never accept is given up. The others are sent.
#[tokio::test]
async fn a_400_is_given_up_at_once_with_pagerdutys_own_words() {
    let world = World::new().await;
    let hook = paging(&world).await;
    let refusal = r#"{"status":"invalid event","message":"Event object is invalid","errors":["'payload.severity' is invalid"]}"#;
    world.receivers.answers_next(PAGERDUTY_EVENTS, [Reply::from(400).body(refusal)]);
    let event = world.publish(&opened("A")).await;
    world.publish(&resolved("A")).await;
    world.advance(HOUR * 2).await;
    assert_eq!(world.statuses(&hook).await, ["failed", "delivered"]);
    let attempts = world.delivery(&hook, &event).await["attempts"].clone();
    assert_eq!(attempts.as_array().unwrap().len(), 1);
    let reason =
        "PagerDuty did not accept the event: Event object is invalid: 'payload.severity' is invalid.";
    assert_eq!(attempts[0]["reason"], reason);
    let webhook = world.webhook(&hook).await;
    assert_eq!((text(&webhook["status"]), &webhook["consecutive_failures"]), ("active", &json!(0)));
}

/// With a key that PagerDuty no longer knows, incidents page nobody, so the webhook is paused and the engineers are
/// notified.
#[tokio::test]
async fn a_wrong_routing_key_pauses_at_once_and_the_event_is_held() {
    let world = World::new().await;
    let hook = paging(&world).await;
    let refusal =
        r#"{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing key"]}"#;
    world.receivers.answers_next(PAGERDUTY_EVENTS, [Reply::from(400).body(refusal)]);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let webhook = world.webhook(&hook).await;
    assert_eq!(webhook["paused"]["reason"], "permanent");
    assert!(text(&webhook["paused"]["last_error"]).contains("Invalid routing key"));
    assert_eq!(world.statuses(&hook).await, ["held"]);
    world.advance(MINUTE).await;
    assert_eq!(world.receivers.calls(SLACK).len(), 1, "the engineers are notified");
    let new_key = "R0AAAAAAAAAABBBBBBBBBBCCCCCCCCCC";
    let changed =
        world.patch(&format!("/v1/webhooks/{}", hook.id), json!({"routing_key": new_key})).await.expect(200);
    assert_eq!(changed["status"], "paused");
    world.act(&hook, "resume").await;
    world.advance(SECOND * 2).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"]);
    assert_eq!(body(world.attempts(PAGERDUTY_EVENTS).last().unwrap())["routing_key"], new_key);
}

#[tokio::test]
async fn a_429_and_a_5xx_climb_the_ladder_and_other_answers_are_not_pagerduty() {
    let world = World::new().await;
    let hook = paging(&world).await;
    world.receivers.answers_next(PAGERDUTY_EVENTS, [429, 500, 200]);
    let event = world.publish(&opened("A")).await;
    world.advance(HOUR).await;
    assert_eq!(world.seconds(PAGERDUTY_EVENTS), [0, 60, 360, 1260]);
    assert_eq!(world.statuses(&hook).await, ["delivered"]);
    let attempts = world.delivery(&hook, &event).await["attempts"].clone();
    assert_eq!(attempts[2]["class"], "bad_response");
    let bodies: Vec<_> = world.attempts(PAGERDUTY_EVENTS).into_iter().map(|seen| seen.body).collect();
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "every attempt has the same bytes");
}

#[tokio::test]
async fn a_test_event_opens_an_incident_of_the_least_severity() {
    let world = World::new().await;
    let hook = paging(&world).await;
    let result = world.act(&hook, "test").await;
    assert_eq!((&result["ok"], &result["status_code"]), (&json!(true), &json!(202)));
    let sent = body(world.receivers.calls(PAGERDUTY_EVENTS).last().unwrap());
    assert_eq!((text(&sent["event_action"]), text(&sent["payload"]["severity"])), ("trigger", "info"));
}

#[tokio::test]
async fn the_routing_key_is_checked_and_never_shown() {
    let world = World::new().await;
    let refused = |asked: Value| {
        let world = &world;
        async move {
            let problem = world.post("/v1/webhooks", &asked).await.expect(422);
            problem["errors"]
                .as_array()
                .unwrap()
                .iter()
                .map(|error| text(&error["pointer"]).to_owned())
                .collect::<Vec<_>>()
        }
    };
    let events = ["incident_opened"];
    assert_eq!(refused(json!({"destination": "pagerduty", "events": events})).await, ["/routing_key"]);
    let short = json!({"destination": "pagerduty", "events": events, "routing_key": "abc"});
    assert_eq!(refused(short).await, ["/routing_key"]);
    let with_url = json!({"destination": "pagerduty", "events": events, "routing_key": KEY, "url": URL});
    assert_eq!(refused(with_url).await, ["/url"]);
    let foreign = json!({"url": URL, "events": events, "routing_key": KEY});
    assert_eq!(refused(foreign).await, ["/routing_key"]);

    let hook = paging(&world).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    for answer in [
        world.get("/v1/webhooks").await,
        world.get(&path).await,
        world.get(&format!("{path}/deliveries")).await,
    ] {
        assert!(!answer.text.contains(KEY), "{}", answer.text);
    }
    assert_eq!(world.webhook(&hook).await["routing_key"], "[hidden]");
    world.patch(&path, json!({"url": URL})).await.expect(422);
    let world = world.restart().await;
    assert_eq!(world.act(&hook, "test").await["ok"], true, "the key is kept over a restart");
}

/// PagerDuty's URL is a setting of the deployment, so an account's list of domains does not apply to it.
#[tokio::test]
async fn an_account_that_calls_listed_domains_alone_may_page() {
    let world = World::new().await;
    world.patch("/v1/account", json!({"allowed_domains": ["yourcompany.com"]})).await.expect(200);
    paging(&world).await;
    world.patch("/v1/account", json!({"allowed_domains": ["hooks.yourcompany.com"]})).await.expect(200);
}

#[tokio::test]
async fn the_link_to_the_dashboard_shows_the_incidents_deliveries_whatever_its_id() {
    let world = World::new().await;
    let hook = paging(&world).await;
    let incident = "A&b=c #1/é";
    world.publish(&opened(incident)).await;
    world.run_until_idle().await;
    let url = text(&body(&world.attempts(PAGERDUTY_EVENTS)[0])["client_url"]).to_owned();
    let path = url.strip_prefix("https://webhooks.statuspulse.io").unwrap();
    world.browser().await.open(path).await.expect(200).says(incident);
    assert!(path.starts_with(&format!("/dashboard/webhooks/{}/deliveries?", hook.id)), "{path}");
}

/// PagerDuty accepts 120 events per minute and key, and answers further ones with 429.
#[tokio::test]
async fn what_pagerduty_does_not_take_in_one_minute_it_takes_in_the_next() {
    let world = World::new().await;
    let hook = paging(&world).await;
    for n in 0..200 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.run_until_idle().await;
    let at_once = world.statuses(&hook).await.iter().filter(|status| *status == "delivered").count();
    assert_eq!(at_once, 119, "120 with the handshake");
    world.advance(MINUTE).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 200]);
}
