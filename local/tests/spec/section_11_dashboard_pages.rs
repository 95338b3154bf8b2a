//! The dashboard: the content and the forms of each page (rule 11.4).

use std::time::Duration;

use serde_json::json;

use crate::section_11_dashboard::{LIST, key, path};
use crate::support::*;

#[tokio::test]
async fn an_empty_list_teaches_the_first_step() {
    let world = World::new().await;
    let browser = world.browser().await;
    browser.open(LIST).await.says("Get started").says("Create your first webhook");
    Browser::signed_in(&key(&world, "viewer").await)
        .await
        .open(LIST)
        .await
        .does_not_say("Create your first webhook");
}

#[tokio::test]
async fn the_list_is_searched_and_says_how_each_has_been_doing() {
    let world = World::new().await;
    let first =
        world.register_with(URL, json!({"description": "On-call bot", "monitor_groups": ["Payments"]})).await;
    let second = world.register(OTHER).await;
    world.publish_with(&opened("A"), &["Payments"], None).await.expect(202);
    world.run_until_idle().await;
    world.act(&second, "pause").await;
    let browser = world.browser().await;
    let all = browser.open(LIST).await;
    all.says("On-call bot")
        .says("Active")
        .says("Paused")
        .says("1 delivered, 0 failed attempts")
        .says("2 found");
    for (query, found, not) in [
        ("?q=ON-CALL", &first, &second),
        ("?q=payments", &first, &second),
        ("?q=other.example", &second, &first),
        ("?status=paused", &second, &first),
        ("?status=active", &first, &second),
    ] {
        let list = browser.open(&format!("{LIST}{query}")).await;
        assert!(list.html.contains(&found.id) && !list.html.contains(&not.id), "{query}");
    }
    browser.open(&format!("{LIST}?q=nothing")).await.says("No webhooks match");
}

/// Rule 11.5: broken webhooks come first, with the reason, however old they are.
#[tokio::test]
async fn the_list_begins_with_what_is_wrong_and_says_why() {
    let world = World::new().await;
    let host = |name: &str| format!("https://{name}.example.com/in");
    let mut hooks = vec![];
    for name in ["well", "by-hand", "unverified", "failing", "broken"] {
        if name == "unverified" {
            world.receivers.answers_handshakes(&host(name), 404);
        }
        hooks.push(world.register(&host(name)).await);
    }
    world.act(&hooks[1], "pause").await;
    world.receivers.answers_next(&host("failing"), [503]);
    world.receivers.answers_next(&host("broken"), [410]);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;

    let browser = world.browser().await;
    let list = browser.open(LIST).await;
    list.says("5 webhooks: 2 paused , 1 failing , 1 unverified , 1 healthy")
        .says("410 Gone")
        .says("The endpoint answered 410")
        .says("0 of 4 retries failed")
        .says("1 held")
        .says("it was paused by hand")
        .says("The endpoint answered 404");
    let place = |n: usize| list.html.find(&format!("{LIST}/{}", hooks[n].id)).unwrap();
    let order: Vec<usize> = [4, 3, 1, 2, 0].map(place).to_vec();
    assert!(order.is_sorted(), "broken, failing, paused by hand, unverified, well: {order:?}");
    let failing = browser.open(&format!("{LIST}?status=failing")).await;
    failing.says("1 found");
    assert!(failing.html.contains(&hooks[3].id) && !failing.html.contains(&hooks[0].id));
}

#[tokio::test]
async fn a_list_of_many_has_pages() {
    let world = World::new().await;
    for n in 0..45 {
        world.register(&format!("https://h{n}.example.com/in")).await;
    }
    let browser = world.browser().await;
    let mut seen = 0;
    for (from, rows) in [("", 20), ("&from=20", 20), ("&from=40", 5)] {
        let list = browser.open(&format!("{LIST}?q=example{from}")).await;
        assert_eq!(list.html.matches("<th scope=\"row\">").count(), rows);
        assert_eq!(list.html.contains("More webhooks"), rows == 20 && seen < 40 && from != "&from=40");
        seen += rows;
    }
}

#[tokio::test]
async fn a_webhook_is_made_with_a_handshake_that_fails_and_then_passes() {
    let world = World::new().await;
    let browser = world.browser().await;
    world.receivers.answers_handshakes(URL, Reply::from(404).lasting(Duration::from_millis(312)));
    let fields = [
        ("destination", "json"),
        ("url", URL),
        ("events", "incident_opened"),
        ("events", "incident_resolved"),
        ("groups", "Payments, EU\r\n  Core \r\n\r\n"),
        ("description", "  On-call <bot>  "),
        ("headers", "X-Api-Key: k1\r\nX-Team:a:b"),
    ];
    let made = browser.submit(LIST, &fields).await.expect(200);
    made.says("Unverified")
        .says("The endpoint answered 404")
        .says("it took 312 ms")
        .says("shown only once")
        .says("On-call <bot>");
    let webhook = world.get("/v1/webhooks").await.expect(200)["data"][0].clone();
    assert_eq!(webhook["events"], json!(["incident_opened", "incident_resolved"]));
    assert_eq!(webhook["monitor_groups"], json!(["Payments, EU", "Core"]));
    assert_eq!(webhook["description"], "On-call <bot>");
    assert_eq!(webhook["headers"], json!({"X-Api-Key": "[hidden]", "X-Team": "[hidden]"}));
    // The message is shown once.
    let own = format!("{LIST}/{}", text(&webhook["id"]));
    browser.open(&own).await.does_not_say("shown only once");

    browser.submit(&format!("{own}/verify"), &[]).await.says("The handshake failed");
    world.receivers.answers_handshakes(URL, 200);
    browser
        .submit(&format!("{own}/verify"), &[])
        .await
        .says("The handshake passed")
        .says("delivered immediately");
}

#[tokio::test]
async fn what_is_wrong_in_a_form_stands_at_its_field_and_what_was_filled_in_stays() {
    let world = World::new().await;
    let browser = world.browser().await;
    let fields = [
        ("destination", "json"),
        ("url", "http://127.0.0.1/<x>"),
        ("groups", "Core"),
        ("description", "mine"),
        ("headers", "Host: evil"),
    ];
    let again = browser.submit(LIST, &fields).await.expect(422);
    again.says("Nothing was created").says("must name at least one of").says("cannot be replaced");
    assert!(
        again.html.contains("value=\"http://127.0.0.1/&#60;x&#62;\"") && again.html.contains("aria-invalid")
    );
    assert!(again.html.contains(">Core</textarea>") && again.html.contains("value=\"mine\""));
    browser.open(LIST).await.says("Get started");

    let hook = world.register(URL).await;
    world.receivers.answers_handshakes(OTHER, Reply::from(500).lasting(Duration::from_millis(312)));
    let moved = browser.submit(&path(&hook, "/edit"), &[("url", OTHER), ("events", "incident_opened")]).await;
    moved
        .expect(422)
        .says("Nothing was changed: the handshake failed after 312 ms. The endpoint answered 500");
    assert_eq!(world.webhook(&hook).await["url"], URL);
}

#[tokio::test]
async fn an_edit_changes_what_is_shown_and_keeps_what_is_not() {
    let world = World::new().await;
    let hook = world.register_with(URL, json!({"headers": {"X-Api-Key": "k1"}, "description": "old"})).await;
    let browser = world.browser().await;
    let form = browser.open(&path(&hook, "/edit")).await;
    form.says("Current headers: X-Api-Key");
    assert!(form.html.contains("value=\"old\"") && form.html.matches(" checked").count() == 3);
    let fields = [("url", URL), ("events", "incident_opened"), ("groups", "Core"), ("description", "")];
    browser.submit(&path(&hook, "/edit"), &fields).await.expect(200).says("Changes saved.");
    let webhook = world.webhook(&hook).await;
    assert_eq!((&webhook["description"], &webhook["monitor_groups"]), (&json!(null), &json!(["Core"])));
    assert_eq!(
        (&webhook["headers"], &webhook["events"]),
        (&json!({"X-Api-Key": "[hidden]"}), &json!(["incident_opened"]))
    );
    let fields = [("url", URL), ("events", "incident_opened"), ("remove_headers", "yes")];
    browser.submit(&path(&hook, "/edit"), &fields).await.expect(200);
    assert_eq!(world.webhook(&hook).await["headers"], json!({}));
}

/// The path of a Slack URL and the routing key of PagerDuty are secrets.
#[tokio::test]
async fn channels_and_pagers_are_made_and_edited_without_showing_their_secrets() {
    let world = World::new().await;
    let browser = world.browser().await;
    const CHANNEL: &str = "https://hooks.slack.com/services/T1/B1/channelsecret";
    let key = "R01234567890abcdefghijklmnopqrst";
    let slack = [("destination", "slack"), ("url", CHANNEL), ("events", "incident_opened")];
    let pager =
        [("destination", "pagerduty"), ("routing_key", key), ("url", ""), ("events", "incident_opened")];
    for fields in [&slack[..], &pager[..]] {
        let made = browser.submit(LIST, fields).await.expect(200);
        made.says("Active");
        assert!(!made.html.contains("channelsecret") && !made.html.contains(key));
    }
    for webhook in world.all("/v1/webhooks").await {
        let own = format!("{LIST}/{}/edit", text(&webhook["id"]));
        let form = browser.open(&own).await.expect(200);
        assert!(!form.html.contains("channelsecret") && !form.html.contains(key));
        let changed =
            browser.submit(&own, &[("url", ""), ("description", "d"), ("events", "incident_resolved")]).await;
        changed.expect(200).says("Changes saved.");
    }
}

#[tokio::test]
async fn a_paused_webhook_says_why_since_when_what_failed_what_is_held_and_what_resume_does() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 503);
    world.publish(&opened("A")).await;
    let browser = world.browser().await;
    world.advance(MINUTE * 7).await;
    browser
        .open(&path(&hook, ""))
        .await
        .says("Failing since 2024-03-15 14:22:01")
        .says("2 of 4 retries in a row have failed")
        .says("The next attempt is due 2024-03-15 14:43:01")
        .says("the pause comes at about 2024-03-15 15:43:01");
    browser.open(LIST).await.says("If all fail, it is paused at about 2024-03-15 15:43:01");
    world.advance(MINUTE * 75).await;
    for n in 0..40 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.run_until_idle().await;
    let shown = browser.open(&path(&hook, "")).await;
    shown.says("Paused since 2024-03-15 15:43:01").says("four retries in a row failed");
    shown.says("Failing since 2024-03-15 14:22:01").says("The endpoint answered 503").says("41 deliveries");
    shown.says("oldest first, starting immediately: 10 in the first second");

    world.receivers.answers(URL, 200);
    let resumed = browser.submit(&path(&hook, "/resume"), &[]).await;
    resumed.says("41 held deliveries are being delivered");
    world.run_until_idle().await;
    let shown = browser.open(&path(&hook, "")).await;
    shown.says("held deliveries are being sent").says("10 of 41 released, 31 still held");
    assert!(
        shown.html.contains("<progress max=\"41\" value=\"10\"")
            && shown.html.contains("data-every=\"2000\"")
    );
    world.advance(HOUR).await;
    browser
        .open(&path(&hook, ""))
        .await
        .says("Healthy. New events are delivered immediately")
        .does_not_say("still held");
}

#[tokio::test]
async fn what_cannot_be_taken_back_is_asked_once_more_by_name() {
    let world = World::new().await;
    let hook = world.register_with(URL, json!({"description": "On-call bot"})).await;
    let browser = world.browser().await;
    browser.submit(&path(&hook, "/pause"), &[]).await.says("it was paused by hand");
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    browser
        .open(&path(&hook, "/discard"))
        .await
        .says("Resume On-call bot and discard held deliveries?")
        .says("1 held delivery is discarded");
    assert_eq!(world.status(&hook).await, "paused", "the question changes nothing");
    browser.submit(&path(&hook, "/discard"), &[]).await.says("1 held delivery is being discarded");
    world.advance(MINUTE * 5).await;
    assert_eq!(world.statuses(&hook).await, ["discarded"]);

    browser.open(&path(&hook, "/rotate")).await.says("Rotate the secret of On-call bot?");
    let rotated = browser.submit(&path(&hook, "/rotate"), &[("style", "joined")]).await;
    rotated.says("This is the new secret. The old one also signs until").says("Two secrets sign until");
    let new = rotated.html.split("<code id=\"new-secret\">").nth(1).unwrap()[..10].to_owned();
    let old = hook.secret[..10].to_owned();
    assert_ne!(new, old);
    rotated.says(&format!(
        "for 24 h more: the new one, {new}… , created 2024-03-15 14:27:01 UTC , and the old one, {old}…"
    ));
    browser.submit(&path(&hook, "/rotate"), &[]).await.says("a rotation is in progress");
    browser.open(&path(&hook, "/rotate/finish")).await.says("End the old secret of On-call bot now?");
    browser
        .submit(&path(&hook, "/rotate/finish"), &[])
        .await
        .says("no longer signs requests")
        .says(&format!("One secret signs, {new}… , since 2024-03-15 14:27:01 UTC"));

    browser.open(&path(&hook, "/delete")).await.says("Delete On-call bot?");
    browser.submit(&path(&hook, "/delete"), &[]).await.says("On-call bot was deleted").says("Get started");
    browser.open(&path(&hook, "")).await.expect(404);
}

#[tokio::test]
async fn a_test_event_says_at_once_what_came_of_it() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let browser = world.browser().await;
    world.receivers.answers(URL, Reply::from(200).body("<b>thanks</b>".repeat(100)));
    let taken = browser.submit(&path(&hook, "/test"), &[]).await;
    taken.says("The test event was accepted: 200").says("&#34;event_type&#34;:&#34;test&#34;");
    assert!(taken.html.contains("&#60;b&#62;thanks") && !taken.html.contains("<b>thanks"), "it is text");
    taken.says("Response body").says("thanks…");
    world.receivers.answers(URL, 503);
    let failed = browser.submit(&path(&hook, "/test"), &[("event", "incident_resolved")]).await;
    failed.says("The test event failed").says("The endpoint answered 503").does_not_say("Response body");
    failed.says("Request body { &#34;event_type&#34;: &#34;incident_resolved&#34;");
    browser.open(&path(&hook, "")).await.does_not_say("Request body");
    browser.submit(&path(&hook, "/test"), &[("event", "x")]).await.says("must be one of");
}

#[tokio::test]
async fn deliveries_are_filtered_and_paged() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.publish(&opened("OLD")).await;
    world.advance(HOUR * 2).await;
    for n in 0..60 {
        world.publish(&opened(&format!("INC-{n}"))).await;
        world.advance(SECOND).await;
    }
    world.receivers.answers_next(URL, [500]);
    world.publish(&resolved("INC-3")).await;
    world.run_until_idle().await;
    let browser = world.browser().await;
    let rows = async |query: &str| {
        let list = browser.open(&path(&hook, &format!("/deliveries{query}"))).await.expect(200);
        (list.html.matches("<th scope=\"row\">").count(), list)
    };
    let (count, first) = rows("").await;
    assert_eq!(count, 50);
    let older =
        first.html.rsplit("/deliveries?").next().unwrap().split('"').next().unwrap().replace("&#38;", "&");
    assert_eq!(rows(&format!("?{older}")).await.0, 12, "the second page continues after the first");
    for (query, expected) in [
        ("?status=retrying", 1),
        ("?event=incident_resolved", 1),
        ("?incident=INC-3", 2),
        ("?incident=INC-3&status=delivered", 1),
        ("?range=1h&incident=OLD", 0),
        ("?range=24h&incident=OLD", 1),
        ("?until=2024-03-15T15:00:00Z", 1),
        ("?since=2024-03-15T15:00:00Z&incident=OLD", 0),
    ] {
        assert_eq!(rows(query).await.0, expected, "{query}");
    }
    rows("?since=yesterday").await.1.says("since must be");
    rows("?id=nonsense").await.1.says("is not the id of a delivery");
    let (_, due) = rows("?status=retrying").await;
    due.says("Due").says("The endpoint answered 500").says("2024-03-15 16:24:01");
    let id = text(&world.deliveries(&hook).await[0]["id"]).to_owned();
    browser.open(&path(&hook, &format!("/deliveries?id={id}"))).await.expect(200).says("OLD");
}

#[tokio::test]
async fn an_internationalised_host_is_shown_in_both_forms() {
    let world = World::new().await;
    let browser = world.browser().await;
    let hook = world.register("https://bücher.example/in").await;
    browser.open(&path(&hook, "")).await.says("https://xn--bcher-kva.example/in").says("(bücher.example)");
    let plain = world.register(URL).await;
    browser.open(&path(&plain, "")).await.does_not_say("(hooks.");
}

#[tokio::test]
async fn a_delivery_shows_its_attempts_and_the_exact_request() {
    let world = World::new().await;
    let hook = world.register_with(URL, json!({"headers": {"X-Api-Key": "k1"}})).await;
    world.receivers.answers_next(
        URL,
        [
            Reply::from(503).header("x-request-id", "<b>7f3a</b>").body("<script>alert(1)</script>"),
            Reply::from(200).beginning_after(Duration::from_millis(1700)),
        ],
    );
    let event = world.publish(&opened("it's")).await;
    world.advance(SECOND).await;
    let browser = world.browser().await;
    let delivery = text(&world.delivery(&hook, &event).await["id"]).to_owned();
    let own = path(&hook, &format!("/deliveries/{delivery}"));
    let due = browser.open(&own).await.expect(200);
    due.says("Attempt 1 Failed")
        .says("http_5xx")
        .says("Next attempt 2024-03-15 14:23:01")
        .says("due 14:23:01");
    assert!(
        !due.html.contains("<script>alert") && due.html.contains("&#60;script&#62;alert(1)"),
        "it is text"
    );
    assert!(due.html.contains("x-request-id: &#60;b&#62;7f3a&#60;/b&#62;"), "and so are headers");
    due.does_not_say("Deliver again");

    world.advance(MINUTE * 5).await;
    let shown = browser.open(&own).await;
    shown.says("Attempt 2 Succeeded").says("As the latest attempt sent it");
    let sent = world.attempts(URL).pop().unwrap();
    for name in ["X-StatusPulse-Signature", "webhook-signature", "webhook-timestamp", "X-StatusPulse-Attempt"]
    {
        let line = format!("{name}: {}", sent.header(name)).replace('=', "&#61;");
        let line = line.replace("&#61;", "=");
        assert!(shown.html.contains(&line), "{line}: {}", shown.html);
    }
    assert!(shown.html.contains("X-Api-Key: [hidden]") && !shown.html.contains("k1"));
    assert!(shown.html.contains("curl -i &#39;https://") && shown.html.contains(r"it&#39;\&#39;&#39;s"));

    // After a rotation the page no longer shows the signatures.
    browser.submit(&path(&hook, "/rotate"), &[]).await.expect(200);
    let changed = browser.open(&own).await;
    changed.says("As it would be sent now").says("X-StatusPulse-Signature: [hidden]");

    browser.submit(&format!("{own}/redeliver"), &[]).await.says("It is being sent now");
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL).len(), 3);
    browser.open(&own).await.says("Triggered by a redelivery request").says("Triggered by its event");
}

#[tokio::test]
async fn what_failed_is_made_again_since_a_time() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let poison = world.publish(&opened("A")).await;
    world.receivers.answers_event(URL, &poison, 422);
    for n in 0..90 {
        world.publish(&opened(&format!("INC-{n}"))).await;
        world.advance(MINUTE).await;
    }
    assert!(world.statuses(&hook).await.contains(&"failed".to_owned()));
    world.browser().await.open(LIST).await.says("90 delivered, 5 failed attempts, 1 given up");
    world.receivers.answers_event(URL, &poison, 200);
    let browser = world.browser().await;
    browser.submit(&path(&hook, "/redeliver"), &[]).await.says("Choose a period");
    browser
        .submit(&path(&hook, "/redeliver"), &[("range", "24h")])
        .await
        .says("1 failed delivery is being sent again");
    world.advance(MINUTE).await;
    assert!(world.statuses(&hook).await.iter().all(|status| status == "delivered"));
}

#[tokio::test]
async fn one_can_ask_whether_an_event_would_reach_a_webhook_and_what_it_would_be_sent() {
    let world = World::new().await;
    let hook = world.register_with(URL, json!({"monitor_groups": ["Core"]})).await;
    let browser = world.browser().await;
    let ask = async |query: &str| browser.open(&path(&hook, &format!("/try{query}"))).await.expect(200);
    ask("").await.does_not_say("Yes.");
    ask("?event=incident_opened&groups=Core")
        .await
        .says("Yes. The event would be delivered")
        .says("The request that would be sent");
    ask("?event=incident_opened&groups=Other").await.says("No.").says("the webhook wants one of");
    ask("?event=nonsense").await.says("No.").says("must be an event id");
}

#[tokio::test]
async fn the_engineers_channel_is_set_tried_and_removed() {
    let world = World::new().await;
    const OWN: &str = "https://hooks.slack.com/services/T9/B9/ownpathsecret";
    let browser = world.browser().await;
    browser.open("/dashboard/account").await.says("The operators of this deployment are notified instead");
    browser.submit("/dashboard/account/slack", &[("slack_url", "http://x")]).await.says("slack_url");
    let set = browser.submit("/dashboard/account/slack", &[("slack_url", OWN)]).await;
    set.says("Slack accepted a test message").says("https://hooks.slack.com/[hidden]");
    assert!(!set.html.contains("ownpathsecret"));
    browser.submit("/dashboard/account/slack/test", &[]).await.says("Slack accepted the test");
    assert_eq!(world.receivers.calls(OWN).len(), 2);
    world.receivers.answers(OWN, Reply::from(404).body("no_service"));
    // One that does not work is not saved.
    const BROKEN: &str = "https://hooks.slack.com/services/T9/B9/another";
    world.receivers.answers(BROKEN, Reply::from(403).body("invalid_token"));
    let refused = browser.submit("/dashboard/account/slack", &[("slack_url", BROKEN)]).await;
    refused.says("Slack did not accept a test message, so the channel was not saved");
    browser
        .submit("/dashboard/account/slack/test", &[])
        .await
        .says("Slack did not accept the test")
        .says("turned off");
    let question = browser.open("/dashboard/account/slack/remove").await;
    question
        .says("Remove the Slack channel")
        .says("https://hooks.slack.com/[hidden]")
        .says("notified instead");
    browser.submit("/dashboard/account/slack/remove", &[]).await.says("The channel was removed");
    browser
        .open("/dashboard/account")
        .await
        .says("104.21.45.112")
        .says("Handshakes and tests in a minute.")
        .says("600,000");
}
