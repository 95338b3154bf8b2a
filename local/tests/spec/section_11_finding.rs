//! Section 11 of docs/behaviour.md: finding deliveries across webhooks, in the API and the dashboard.

use serde_json::json;

use crate::support::*;

/// The ids of the deliveries that a search finds, newest first.
async fn found(world: &World, query: &str) -> Vec<String> {
    let list = world.get(&format!("/v1/deliveries?{query}")).await.expect(200);
    list["data"].as_array().unwrap().iter().map(|delivery| text(&delivery["id"]).to_owned()).collect()
}

#[tokio::test]
async fn deliveries_are_found_across_webhooks() {
    let world = World::new().await;
    let (well, failing) = (world.register(URL).await, world.register(OTHER).await);
    world.receivers.answers_next(OTHER, [503]);
    let first = world.publish(&opened("A")).await;
    world.advance(HOUR).await;
    let second = world.publish(&opened("B")).await;
    world.run_until_idle().await;
    let id = async |hook, event: &str| text(&world.delivery(hook, event).await["id"]).to_owned();
    let (a, b) = ([id(&well, &first).await, id(&failing, &first).await], id(&failing, &second).await);
    let both = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    let expected = both(a.to_vec());

    assert_eq!(found(&world, "").await.len(), 4);
    assert_eq!(both(found(&world, "incident_id=A").await), expected);
    assert_eq!(both(found(&world, &format!("event_id={first}")).await), expected);
    assert_eq!(found(&world, &format!("delivery_id={b}")).await, [&*b]);
    assert_eq!(found(&world, &format!("event_id={second}&webhook_id={}", failing.id)).await, [&*b]);
    for failed in ["has_failed_attempt=true", "class=http_5xx", "status_code=503"] {
        assert_eq!(found(&world, failed).await, [&*a[1]], "{failed}");
    }
    assert_eq!(found(&world, "has_failed_attempt=false").await.len(), 3);
    assert_eq!(found(&world, "status=delivered&class=timeout").await.len(), 0);
    let mut seen = vec![];
    let mut cursor = String::new();
    loop {
        let page = world.get(&format!("/v1/deliveries?limit=1{cursor}")).await.expect(200);
        seen.push(text(&page["data"][0]["id"]).to_owned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, found(&world, "").await);

    let wrong = "event_id=x&delivery_id=y&webhook_id=z&has_failed_attempt=maybe&class=bad&status_code=7";
    let refused = world.get(&format!("/v1/deliveries?{wrong}")).await.expect(422);
    assert_eq!(refused["errors"].as_array().unwrap().len(), 6, "{refused}");

    let stranger = world.another_account().await;
    for query in [String::new(), format!("event_id={first}"), format!("delivery_id={b}")] {
        let list = stranger.get(&format!("/v1/deliveries?{query}")).await.expect(200);
        assert_eq!(list["data"], json!([]), "{query}");
    }
    stranger.get(&format!("/v1/deliveries?webhook_id={}", well.id)).await.expect(404);
}

#[tokio::test]
async fn a_delivery_is_found_from_every_page() {
    let world = World::new().await;
    world.register_with(URL, json!({"description": "Payments on-call bot"})).await;
    let failing = world.register(OTHER).await;
    world.receivers.answers_next(OTHER, [503]);
    let event = world.publish(&opened("INC 1/ü")).await;
    world.advance(HOUR).await;
    let delivery = text(&world.delivery(&failing, &event).await["id"]).to_owned();

    let browser = world.browser().await;
    let all = browser.open("/dashboard/deliveries").await;
    all.says("Payments on-call bot").says("INC 1/ü");
    let failed = browser.open("/dashboard/deliveries?failure=any&range=24h").await;
    assert_eq!(failed.html.matches("<th scope=\"row\">").count(), 1);
    assert!(failed.html.contains(&delivery));
    let yesterday = browser.open("/dashboard/deliveries?failure=any&range=yesterday").await;
    yesterday.says("No deliveries match");
    let by_code = browser.open("/dashboard/deliveries?code=503&failure=http_5xx").await;
    assert!(by_code.html.contains(&delivery));

    let leads_to = async |words: &str| browser.open(&format!("/dashboard/search?q={words}")).await.path;
    let own = format!("/dashboard/webhooks/{}", failing.id);
    assert_eq!(leads_to(&delivery).await, format!("{own}/deliveries/{delivery}"));
    assert_eq!(leads_to(&failing.id).await, own);
    assert_eq!(leads_to(&event).await, format!("/dashboard/deliveries?id={event}"));
    assert_eq!(leads_to("INC+1%2F%C3%BC").await, "/dashboard/deliveries?incident=INC+1%2F%C3%BC");
    assert_eq!(leads_to("on-call").await, "/dashboard/webhooks?q=on-call");
    let of_event = browser.open(&leads_to(&event).await).await;
    assert_eq!(of_event.html.matches("<th scope=\"row\">").count(), 2);
}

#[tokio::test]
async fn a_time_of_a_filter_or_a_setting_can_have_any_offset() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let found = async |filter: &str| world.all(&format!("/v1/deliveries?{filter}")).await.len();
    // It is 14:22:01 UTC. An unencoded + means a space in a query.
    for since in [
        "15:22:01%2B01:00",
        "15:22:01+01:00",
        "15:22:01 01:00".replace(' ', "%20").as_str(),
        "08:52:01-05:30",
        "14:22:01z",
    ] {
        assert_eq!(found(&format!("since=2024-03-15T{since}")).await, 1, "{since}");
        assert_eq!(found(&format!("until=2024-03-15T{since}")).await, 0, "{since}");
    }
    assert_eq!(found("since=2024-03-15T14:22:01%2B01:00").await, 1);
    assert_eq!(found("since=2024-03-15T14:22:01-01:00").await, 0);
    assert_eq!(world.get("/v1/deliveries?since=2024-03-15T14:22:01").await.refused(), ["since"]);
    let redelivered = json!({"since": "2024-03-15T15:22:01+01:00"});
    world.act_with(&hook, "redeliver", redelivered).await.expect(202);
    let key = json!({"role": "viewer", "expires_at": "2024-03-15T16:22:02+02:00"});
    assert_eq!(world.post("/v1/keys", &key).await.expect(201)["expires_at"], "2024-03-15T14:22:02Z");
    let past = json!({"role": "viewer", "expires_at": "2024-03-15T16:22:01+02:00"});
    assert_eq!(world.post("/v1/keys", &past).await.refused(), ["/expires_at"]);
}
