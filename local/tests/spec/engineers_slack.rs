//! The Slack channel of an account's engineers: set over the API, tried, and told of pauses (BEHAVIOUR 6.3).

use serde_json::{Value, json};

use crate::support::*;

const OWN: &str = "https://hooks.slack.com/services/T9/B9/ownpathsecret";

/// A webhook of this account fails until it is paused.
async fn paused(world: &World, url: &str) -> Hook {
    let hook = world.register(url).await;
    world.receivers.answers(url, 410);
    world.publish(&opened("A")).await;
    world.advance(MINUTE).await;
    assert_eq!(world.status(&hook).await, "paused");
    hook
}

#[tokio::test]
async fn an_account_names_its_own_channel_and_its_pauses_are_told_there() {
    let world = World::new().await;
    let account = world.get("/v1/account").await.expect(200);
    assert_eq!(account["slack_url"], Value::Null);
    let changed = world.patch("/v1/account", json!({"slack_url": OWN})).await.expect(200);
    assert_eq!(changed["slack_url"], "https://hooks.slack.com/[hidden]");
    let another = world.another_account().await;
    assert_eq!(another.get("/v1/account").await.expect(200)["slack_url"], Value::Null);
    drop(another);
    world.patch("/v1/account", json!({"allowed_domains": []})).await.expect(200);

    let world = world.restart().await;
    paused(&world, URL).await;
    assert_eq!((world.receivers.calls(OWN).len(), world.receivers.calls(SLACK).len()), (1, 0));
    assert!(!world.get("/v1/account").await.text.contains("ownpathsecret"));

    world.patch("/v1/account", json!({"slack_url": null})).await.expect(200);
    paused(&world, OTHER).await;
    assert_eq!(
        (world.receivers.calls(OWN).len(), world.receivers.calls(SLACK).len()),
        (1, 1),
        "the deployment's own is told where an account has none"
    );
}

#[tokio::test]
async fn whoever_sets_the_channel_can_try_it() {
    let world = World::new().await;
    assert_eq!(world.post("/v1/account/slack/test", &Value::Null).await.problem(409), "no_slack_url");
    world.patch("/v1/account", json!({"slack_url": OWN})).await.expect(200);
    let result = world.post("/v1/account/slack/test", &Value::Null).await.expect(200);
    assert_eq!((&result["ok"], &result["status_code"]), (&json!(true), &json!(200)));
    assert_eq!(world.receivers.calls(OWN).len(), 1);
    world.receivers.answers(OWN, Reply::from(404).body("no_service"));
    let result = world.post("/v1/account/slack/test", &Value::Null).await.expect(200);
    assert_eq!(result["ok"], false);
    assert!(text(&result["reason"]).contains("was removed or turned off"), "{result}");
    assert!(!result.to_string().contains("ownpathsecret"));
}

#[tokio::test]
async fn a_channel_is_an_endpoint_like_others() {
    let world = World::new().await;
    for wrong in ["http://hooks.slack.com/x", "https://127.0.0.1/x", "hooks.slack.com", ""] {
        let problem = world.patch("/v1/account", json!({"slack_url": wrong})).await.expect(422);
        assert_eq!(problem["errors"][0]["pointer"], "/slack_url", "{wrong}");
    }
    assert_eq!(world.get("/v1/account").await.expect(200)["slack_url"], Value::Null);
}

/// A sign-in page also answers 200.
#[tokio::test]
async fn only_slacks_ok_means_that_somebody_was_told() {
    let world = World::new().await;
    world
        .receivers
        .answers_next(SLACK, [Reply::from(200).body("<html>Sign in"), Reply::from(404).body("no_service")]);
    paused(&world, URL).await;
    world.advance(HOUR).await;
    let answers: Vec<_> = world.receivers.calls(SLACK).iter().map(|seen| seen.status).collect();
    assert_eq!(answers, [Some(200), Some(404), Some(200)], "and then no more");
}
