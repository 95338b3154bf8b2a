//! The Slack channel of an account's engineers: its settings, its test, and the notifications it receives (rule 6.3).

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::*;

const OWN: &str = "https://hooks.slack.com/services/T9/B9/ownpathsecret";

/// Registers a webhook that the next event will pause, because its endpoint answers 410.
async fn gone(world: &World, url: &str) -> Hook {
    let hook = world.register(url).await;
    world.receivers.answers(url, 410);
    hook
}

/// Registers a webhook and lets an event pause it.
async fn paused(world: &World, url: &str) -> Hook {
    let hook = gone(world, url).await;
    world.publish(&opened("A")).await;
    world.advance(MINUTE).await;
    assert_eq!(world.status(&hook).await, "paused");
    hook
}

#[tokio::test]
async fn the_pauses_of_an_account_with_its_own_channel_are_reported_there() {
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
        "the deployment's channel is used if the account has none"
    );
}

#[tokio::test]
async fn the_channel_can_be_tested() {
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

/// A sign-in page in front of Slack answers 200 too.
#[tokio::test]
async fn only_the_ok_of_slack_means_that_the_notification_was_sent() {
    let world = World::new().await;
    world
        .receivers
        .answers_next(SLACK, [Reply::from(200).body("<html>Sign in"), Reply::from(404).body("no_service")]);
    paused(&world, URL).await;
    world.advance(HOUR).await;
    let answers: Vec<_> = world.receivers.calls(SLACK).iter().map(|seen| seen.status).collect();
    assert_eq!(answers, [Some(200), Some(404), Some(200)], "no further try after Slack's own answer");
}

#[tokio::test]
async fn a_failing_webhook_is_reported_at_its_second_failed_retry_and_not_again() {
    let world = World::new().await;
    let hook = world.register("https://receiver.example.com/secret/path").await;
    world.receivers.answers(&hook.url, 503);
    for n in 0..20 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.advance_to(MINUTE * 6 - Duration::from_millis(1)).await;
    assert!(world.notifications().is_empty(), "one failed retry is not reported");
    world.advance_to(MINUTE * 6).await;
    let sent = world.notifications();
    let [warning] = &sent[..] else { panic!("{sent:?}") };
    let parts = [
        ":warning: receiver.example.com of Your Company is failing",
        hook.id.as_str(),
        "https://receiver.example.com\n",
        "Failing since: <!date^1710512521^{date_short_pretty} {time_secs}|2024-03-15T14:22:01Z>",
        "Last error: The endpoint answered 503",
    ];
    for part in parts {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    assert!(!warning.contains("secret/path"), "{warning}");
    world.advance_to(MINUTE * 81 - SECOND).await;
    assert_eq!(world.notifications().len(), 1);
    world.advance(HOUR).await;
    assert_eq!(
        (world.notifications().len(), world.pause_notifications().len()),
        (2, 1),
        "the second notification is of the pause"
    );
}

#[tokio::test]
async fn a_recovery_after_a_warning_is_reported_once_with_what_waited() {
    let world = World::new().await;
    world.register(URL).await;
    for outage in 1..=2 {
        world.receivers.answers(URL, 500);
        for n in 0..3 {
            world.publish(&opened(&format!("INC-{outage}-{n}"))).await;
        }
        world.advance(MINUTE * 7).await;
        assert_eq!(world.notifications().len(), outage * 2 - 1);
        world.receivers.answers(URL, 200);
        world.publish(&opened(&format!("INC-{outage}-new"))).await;
        world.advance(MINUTE).await;
        let sent = world.notifications();
        assert_eq!(sent.len(), outage * 2, "{sent:?}");
        let expected = "hooks.yourcompany.com of Your Company is answering again, 3 deliveries drained.";
        assert!(sent.last().unwrap().contains(expected), "{sent:?}");
        world.advance(HOUR * 24).await;
        assert_eq!(world.notifications().len(), outage * 2);
    }
}

#[tokio::test]
async fn a_recovery_after_a_pause_is_reported_once_when_all_is_drained() {
    let world = World::new().await;
    let hook = paused(&world, URL).await;
    for n in 0..60 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.run_until_idle().await;
    world.act(&hook, "resume").await;
    world.receivers.answers(URL, 200);
    world.advance(SECOND).await;
    assert_eq!(world.notifications().len(), 1, "the drain goes on: {:?}", world.notifications());
    world.advance(HOUR).await;
    let sent = world.notifications();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent[1].contains("is answering again, 61 deliveries drained."), "{sent:?}");
    world.publish(&opened("B")).await;
    world.advance(HOUR * 24).await;
    assert_eq!(world.notifications().len(), 2);
}

#[tokio::test]
async fn a_recovery_is_not_reported_if_the_outage_was_not() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [500, 500]);
    world.publish(&opened("A")).await;
    world.advance(MINUTE * 10).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"], "the second retry succeeded");
    world.act(&hook, "pause").await;
    world.publish(&opened("B")).await;
    world.act(&hook, "resume").await;
    world.advance(HOUR * 24).await;
    assert!(world.notifications().is_empty(), "{:?}", world.notifications());
}

/// The notification waits because another message has just been sent. If the pause ends meanwhile, it is not sent.
#[tokio::test]
async fn a_pause_that_ends_before_it_was_reported_is_not_reported() {
    let world = World::new().await;
    gone(&world, URL).await;
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let unreported = gone(&world, OTHER).await;
    world.publish(&opened("B")).await;
    world.run_until_idle().await;
    let sent = world.notifications();
    assert_eq!((world.status(&unreported).await.as_str(), sent.len()), ("paused", 1));
    world.receivers.answers(&unreported.url, 200);
    world.act(&unreported, "resume").await;
    world.advance(HOUR).await;
    assert_eq!(world.statuses(&unreported).await, ["delivered"]);
    assert_eq!(world.notifications(), sent);
}

#[tokio::test]
async fn a_burst_of_pauses_becomes_one_message_at_once_and_one_five_seconds_later() {
    let world = World::new().await;
    let first = gone(&world, "https://first.example.com/in").await;
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    assert_eq!(world.notifications().len(), 1, "the first pause is reported at once");
    assert!(world.notifications()[0].contains(&first.id));
    let mut hooks = vec![];
    for n in 0..29 {
        hooks.push(gone(&world, &format!("https://h{n}.example.com/in")).await);
    }
    world.publish(&opened("B")).await;
    world.advance(SECOND * 5 - Duration::from_millis(1)).await;
    assert_eq!(world.notifications().len(), 1);
    world.advance(Duration::from_millis(1)).await;
    let sent = world.notifications();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent[1].contains(" 29 webhooks of Your Company: 29 paused\n"), "{}", sent[1]);
    assert!(sent[1].contains("\nand 19 more\n"), "{}", sent[1]);
    let is_named = |hook: &&Hook| sent[1].contains(&format!("({})", hook.url.trim_end_matches("/in")));
    assert_eq!(hooks.iter().filter(is_named).count(), 10);
    assert!(!sent[1].contains("first.example.com"), "{}", sent[1]);
    world.advance(HOUR * 24).await;
    assert_eq!(world.notifications().len(), 2);
}

/// Slack refuses a message about several webhooks. All of them are reported together again, and once.
#[tokio::test]
async fn a_refused_batch_of_notifications_is_sent_again_as_a_batch() {
    let world = World::new().await;
    for n in 0..5 {
        gone(&world, &format!("https://h{n}.example.com/in")).await;
    }
    world.receivers.answers_next(SLACK, [Reply::from(429).retry_after("30"), 503.into()]);
    world.publish(&opened("A")).await;
    world.advance(HOUR).await;
    let calls = world.receivers.calls(SLACK);
    let first = calls[0].at.as_second();
    let came: Vec<_> = calls.iter().map(|seen| (seen.at.as_second() - first, seen.status)).collect();
    assert_eq!(came, [(0, Some(429)), (30, Some(503)), (60, Some(200))]);
    assert!(
        world.notifications()[2].contains(" 5 webhooks of Your Company: 5 paused"),
        "{:?}",
        world.notifications()
    );
}
