//! Section 2 of docs/behaviour.md: which events become deliveries.

use serde_json::{Value, json};

use crate::support::*;

/// Publishes an event and returns its number of deliveries.
async fn reaches(world: &World, payload: &str, groups: &[&str]) -> u64 {
    world.publish_with(payload, groups, None).await.expect(202)["deliveries"].as_u64().unwrap()
}

#[tokio::test]
async fn a_delivery_is_made_only_for_a_type_the_webhook_is_bound_to() {
    let world = World::new().await;
    world.register_with(URL, json!({"events": ["incident_opened", "incident_resolved"]})).await;
    assert_eq!(reaches(&world, &opened("A"), &[]).await, 1);
    assert_eq!(reaches(&world, &updated("A"), &[]).await, 0);
    assert_eq!(reaches(&world, &resolved("A"), &[]).await, 1);
}

/// Names are case-sensitive. An event without groups reaches only webhooks without groups.
#[tokio::test]
async fn groups_match_by_exact_name_and_no_groups_means_all() {
    let world = World::new().await;
    world.register_with(URL, json!({"monitor_groups": ["api-gateway", "payment-processing"]})).await;
    assert_eq!(reaches(&world, &opened("A"), &["payment-processing"]).await, 1);
    assert_eq!(reaches(&world, &opened("A"), &["other", "api-gateway"]).await, 1);
    for groups in [&[][..], &["API-Gateway"], &["api"], &["api-gateway "], &["api-gateway,other"]] {
        assert_eq!(reaches(&world, &opened("A"), groups).await, 0, "{groups:?}");
    }
    world.register(OTHER).await;
    assert_eq!(reaches(&world, &opened("A"), &[]).await, 1);
    assert_eq!(reaches(&world, &opened("A"), &["api-gateway"]).await, 2);
}

#[tokio::test]
async fn both_filters_have_to_agree() {
    let world = World::new().await;
    let filters = json!({"events": ["incident_resolved"], "monitor_groups": ["api"]});
    world.register_with(URL, filters).await;
    assert_eq!(reaches(&world, &resolved("A"), &["web"]).await, 0);
    assert_eq!(reaches(&world, &opened("A"), &["api"]).await, 0);
    assert_eq!(reaches(&world, &resolved("A"), &["api"]).await, 1);
}

#[tokio::test]
async fn a_paused_webhook_still_gets_deliveries_and_a_deleted_one_none() {
    let world = World::new().await;
    let paused = world.register(URL).await;
    let deleted = world.register(OTHER).await;
    world.act(&paused, "pause").await;
    world.delete(&format!("/v1/webhooks/{}", deleted.id)).await.expect(204);
    assert_eq!(reaches(&world, &opened("A"), &[]).await, 1);
    world.run_until_idle().await;
    assert_eq!(world.statuses(&paused).await, ["held"]);
}

#[tokio::test]
async fn an_event_reaches_the_webhooks_of_its_own_account_alone() {
    let world = World::new().await;
    let another = world.another_account().await;
    another.register(OTHER).await;
    assert_eq!(reaches(&world, &opened("A"), &[]).await, 0);
    world.advance(HOUR).await;
    assert!(world.attempts(OTHER).is_empty());
}

#[tokio::test]
async fn a_webhook_made_later_gets_nothing_from_before() {
    let world = World::new().await;
    world.register(URL).await;
    world.publish_with(&opened("A"), &[], Some("k")).await.expect(202);
    let late = world.register(OTHER).await;
    let again = world.publish_with(&opened("A"), &[], Some("k")).await.expect(202);
    assert_eq!(again["deliveries"], 1);
    world.run_until_idle().await;
    assert!(world.deliveries(&late).await.is_empty());
}

/// The answer of `explain`: would the webhook receive the event, the rule, and the reason.
async fn explained(world: &World, hook: &Hook, query: &str) -> (bool, Value, String) {
    let path = format!("/v1/webhooks/{}/explain?{query}", hook.id);
    let answer = world.get(&path).await.expect(200);
    (answer["would_receive"].as_bool().unwrap(), answer["rule"].clone(), text(&answer["reason"]).to_owned())
}

#[tokio::test]
async fn explain_names_the_rule_that_says_no() {
    let world = World::new().await;
    let filters = json!({"events": ["incident_opened"], "monitor_groups": ["api"]});
    let hook = world.register_with(URL, filters).await;
    let (yes, rule, _) = explained(&world, &hook, "event=incident_opened&monitor_groups=web,api").await;
    assert_eq!((yes, rule), (true, Value::Null));
    let (yes, rule, reason) = explained(&world, &hook, "event=incident_resolved&monitor_groups=api").await;
    assert_eq!((yes, rule), (false, json!("events")));
    assert!(reason.contains("incident_resolved"), "{reason}");
    let (yes, ..) =
        explained(&world, &hook, "event=incident_opened&monitor_group=a%2Cb&monitor_group=api").await;
    assert!(yes, "`monitor_group` is one name, even with a comma in it");
    let (.., reason) = explained(&world, &hook, "event=incident_opened&monitor_group=a%2Cb").await;
    assert!(reason.contains(r#"["a,b"]"#), "{reason}");
    let (yes, rule, _) = explained(&world, &hook, "event=incident_opened&monitor_groups=Api").await;
    assert_eq!((yes, rule), (false, json!("monitor_groups")));
    world.act(&hook, "pause").await;
    let (yes, _, reason) = explained(&world, &hook, "event=incident_opened&monitor_groups=api").await;
    assert!(yes && reason.contains("held"), "{reason}");
    world.receivers.answers_handshakes(OTHER, 500);
    let pending = world.register(OTHER).await;
    let (yes, rule, _) = explained(&world, &pending, "event=incident_opened").await;
    assert_eq!((yes, rule), (false, json!("status")));
}

#[tokio::test]
async fn explain_tells_of_a_published_event_by_its_id() {
    let world = World::new().await;
    let hook = world.register_with(URL, json!({"monitor_groups": ["a, b"]})).await;
    let published = world.publish_with(&opened("A"), &["a, b"], None).await.expect(202);
    let by_id = format!("event={}", text(&published["event_id"]));
    assert!(explained(&world, &hook, &by_id).await.0);
    let another = world.another_account().await;
    let theirs = another.register(OTHER).await;
    let path = format!("/v1/webhooks/{}/explain?{by_id}", theirs.id);
    assert_eq!(another.get(&path).await.problem(404), "not_found");
    let path = format!("/v1/webhooks/{}/explain?event=deploy", hook.id);
    assert_eq!(world.get(&path).await.refused(), ["event"]);
}

/// `explain` and the fan-out agree for all filters.
#[tokio::test]
async fn explain_and_publish_never_disagree() {
    let world = World::new().await;
    let dice = Dice::of(3);
    let (types, names) = (["incident_opened", "incident_updated", "incident_resolved"], ["a", "b", "A"]);
    let some = |of: &[&str]| -> Vec<String> {
        of.iter().filter(|_| dice.below(2) == 0).map(|name| (*name).to_owned()).collect()
    };
    for round in 0..60 {
        let mut events = some(&types);
        if events.is_empty() {
            events.push("incident_updated".to_owned());
        }
        let filters = json!({"events": events, "monitor_groups": some(&names)});
        let hook = world.register_with(URL, filters.clone()).await;
        let kind = dice.below(3);
        let payload = [opened("A"), updated("A"), resolved("A")][kind].clone();
        let groups = some(&names);
        let named: Vec<&str> = groups.iter().map(String::as_str).collect();
        let query = format!("event={}&monitor_groups={}", types[kind], groups.join(","));
        let said = explained(&world, &hook, &query).await.0;
        let made = reaches(&world, &payload, &named).await == 1;
        assert_eq!(said, made, "round {round}: {filters} {groups:?} {}", types[kind]);
        world.delete(&format!("/v1/webhooks/{}", hook.id)).await.expect(204);
    }
}
