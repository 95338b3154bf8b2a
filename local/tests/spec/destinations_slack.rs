//! Webhooks with the destination `slack`: messages in a channel.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::*;

const CHANNEL: &str = "https://hooks.slack.com/services/T1/B1/channelsecret";

async fn channel(world: &World) -> Hook {
    let hook = world.register_with(CHANNEL, json!({"destination": "slack"})).await;
    assert_eq!(world.status(&hook).await, "active");
    hook
}

fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

/// What a phone shows in its notification.
fn headline(body: &Value) -> &str {
    assert!(body["text"].is_null(), "beside an attachment, Slack would show it twice: {body}");
    text(&body["attachments"][0]["fallback"])
}

/// All texts of a message, in the order in which they are displayed.
fn read(value: &Value) -> Vec<String> {
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(words) if name == "text" => vec![words.clone()],
                other => read(other),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(read).collect(),
        _ => vec![],
    }
}

/// The type and the words of every text object.
fn kinds(value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Object(object) if object.get("text").is_some_and(Value::is_string) => {
            vec![(text(&object["type"]).to_owned(), text(&object["text"]).to_owned())]
        }
        Value::Object(object) => object.values().flat_map(kinds).collect(),
        Value::Array(items) => items.iter().flat_map(kinds).collect(),
        _ => vec![],
    }
}

#[tokio::test]
async fn the_handshake_is_a_message_in_the_channel() {
    let world = World::new().await;
    channel(&world).await;
    let calls = world.receivers.calls(CHANNEL);
    let [handshake] = &calls[..] else { panic!("one call") };
    assert!(text(&body(handshake)["text"]).contains("StatusPulse is connected to this channel"));
    let other = "https://hooks.slack.com/services/T2/B2/x";
    world.receivers.answers_handshakes(other, Reply::from(404).body("no_service"));
    let created = world
        .post("/v1/webhooks", &json!({"url": other, "destination": "slack", "events": ["incident_opened"]}))
        .await
        .expect(201);
    assert_eq!(created["status"], "pending");
    assert!(text(&created["handshake"]["reason"]).contains("was removed or turned off"), "{created}");
}

#[tokio::test]
async fn an_incident_reads_at_a_glance() {
    let world = World::new().await;
    let hook = channel(&world).await;
    for payload in [opened("INC-1"), updated("INC-1"), resolved("INC-1")] {
        world.publish(&payload).await;
        world.advance(SECOND).await;
    }
    assert_eq!(world.statuses(&hook).await, ["delivered"; 3], "Slack accepts each message");
    let bodies: Vec<Value> = world.attempts(CHANNEL).iter().map(body).collect();
    let headlines: Vec<_> = bodies.iter().map(headline).collect();
    assert_eq!(
        headlines,
        [
            ":red_circle: checkout-api-prod is down",
            ":large_yellow_circle: checkout-api-prod is being worked on: identified",
            ":large_green_circle: checkout-api-prod is up again",
        ]
    );
    let colours: Vec<_> = bodies.iter().map(|body| text(&body["attachments"][0]["color"])).collect();
    assert_eq!(colours, ["#d92d20", "#dc8b00", "#12805c"]);
    assert_eq!(
        read(&bodies[0]["attachments"]),
        [
            ":red_circle: checkout-api-prod is down",
            "Response code\n503",
            "Latency\n1240 ms",
            "Region\nus-east-1",
            "Endpoint\nhttps://api.yourcompany.com/v2/checkout",
            "INC-1",
            "<!date^1710512521^{date_short_pretty} {time_secs}|2024-03-15T14:22:01Z>",
        ]
    );
    assert_eq!(read(&bodies[1]["attachments"])[1], "Cache nodes are being replaced");
    assert!(read(&bodies[2]["attachments"]).contains(&"Downtime\n43 min 43 s".to_owned()));
}

/// A publisher's texts cannot mention anybody or contain links.
#[tokio::test]
async fn what_is_written_is_plain_text_and_cut_to_what_slack_takes() {
    let world = World::new().await;
    let hook = channel(&world).await;
    let nasty = "<!channel> & <https://evil.example|here>";
    let payloads = [
        opened("INC-1").replace("checkout-api-prod", nasty),
        updated(&"&".repeat(200)).replace("Cache nodes are being replaced", &"<&>".repeat(3000)),
        opened("INC-2")
            .replace("us-east-1", &"&<".repeat(2500))
            .replace("checkout-api-prod", &"&".repeat(5000)),
    ];
    for payload in payloads {
        world.publish(&payload).await;
        world.advance(SECOND).await;
    }
    let attempts = world.attempts(CHANNEL);
    assert_eq!(
        world.statuses(&hook).await,
        ["delivered"; 3],
        "{:?}",
        attempts.iter().map(Seen::text).collect::<Vec<_>>()
    );
    // Slack makes no links, mentions or bold words of plain text.
    for attempt in &attempts {
        for kind in kinds(&body(attempt)) {
            assert!(
                kind.0 == "plain_text" || kind.1.starts_with("<!date^") && kind.0 == "mrkdwn",
                "{kind:?}"
            );
        }
    }
    assert!(read(&body(&attempts[1])["attachments"])[1].ends_with('…'));
}

#[tokio::test]
async fn a_permanent_refusal_by_slack_pauses_at_once_with_the_reason_in_words() {
    for (status, said, words) in [
        (404, "no_service", "was removed or turned off"),
        (410, "channel_is_archived", "the channel is archived"),
        (400, "user_not_found", "the recipient does not exist"),
        (403, "action_prohibited", "administrators forbid it"),
        (404, "<html>", "accepts no messages here"),
    ] {
        let world = World::new().await;
        let hook = channel(&world).await;
        world.receivers.answers_next(CHANNEL, [Reply::from(status).body(said)]);
        world.publish(&opened("A")).await;
        world.run_until_idle().await;
        let paused = world.webhook(&hook).await["paused"].clone();
        assert_eq!(paused["reason"], "permanent", "{said}");
        assert!(text(&paused["last_error"]).contains(words), "{paused}");
        assert_eq!(world.statuses(&hook).await, ["held"], "nothing is lost");
    }
}

#[tokio::test]
async fn a_message_that_slack_refuses_for_what_is_in_it_fails_alone() {
    for said in ["invalid_payload", "invalid_blocks", "no_text", "something_new"] {
        let world = World::new().await;
        let hook = channel(&world).await;
        world.receivers.answers_next(CHANNEL, [Reply::from(400).body(said)]);
        let refused = world.publish(&opened("A")).await;
        world.run_until_idle().await;
        world.publish(&opened("B")).await;
        world.advance(HOUR).await;
        let delivery = world.delivery(&hook, &refused).await;
        assert_eq!(
            (&delivery["status"], delivery["attempts"].as_array().unwrap().len()),
            (&json!("failed"), 1)
        );
        assert!(text(&delivery["attempts"][0]["reason"]).contains(&format!("400 {said}")), "{delivery}");
        let webhook = world.webhook(&hook).await;
        assert_eq!((&webhook["status"], &webhook["failing_since"]), (&json!("active"), &Value::Null));
        assert_eq!(world.attempts(CHANNEL).len(), 2);
    }
}

/// Also after a pause: a resume never runs into the same message again.
#[tokio::test]
async fn a_burst_with_a_message_that_slack_refuses_is_split_and_the_others_arrive() {
    let world = World::new().await;
    let hook = channel(&world).await;
    let (taken, refused) = (|| Reply::from(200).body("ok"), || Reply::from(400).body("invalid_blocks"));
    world.receivers.answers_next(CHANNEL, [taken(), refused(), taken(), refused()]);
    burst(&world, 6).await;
    world.run_until_idle_with(8).await;
    world.advance(Duration::from_millis(2500)).await;
    world.act(&hook, "pause").await;
    world.advance(MINUTE).await;
    world.act(&hook, "resume").await;
    world.advance(MINUTE).await;
    let mut statuses = world.statuses(&hook).await;
    statuses.sort();
    assert_eq!(statuses, ["delivered", "delivered", "delivered", "delivered", "delivered", "failed"]);
    let came = messages(&world);
    are_a_second_apart(&came);
    let counts: Vec<_> = came.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [1, 5, 1, 1, 1, 1, 1], "the burst, and then each of its deliveries once");
    let webhook = world.webhook(&hook).await;
    assert_eq!((&webhook["status"], &webhook["failing_since"]), (&json!("active"), &Value::Null));
    for delivery in world.deliveries(&hook).await {
        let classes: Vec<_> =
            delivery["attempts"].as_array().unwrap().iter().map(|attempt| attempt["class"].clone()).collect();
        let last = if delivery["status"] == "failed" { json!("http_4xx") } else { Value::Null };
        assert!(
            [vec![last.clone()], vec![json!("refused_together"), last]].contains(&classes),
            "{classes:?}"
        );
        assert!(delivery["attempts"].as_array().unwrap().iter().all(|attempt| attempt["number"] == 1));
    }
}

#[tokio::test]
async fn a_429_waits_as_told_and_an_answer_without_ok_is_not_slack() {
    let world = World::new().await;
    let hook = channel(&world).await;
    world.receivers.answers_next(
        CHANNEL,
        [
            Reply::from(429).retry_after("90"),
            Reply::from(200).body("<html>Sign in"),
            Reply::from(500).body("rollup_error"),
        ],
    );
    let event = world.publish(&opened("A")).await;
    world.advance(HOUR).await;
    assert_eq!(world.seconds(CHANNEL), [0, 90, 390, 1290]);
    let attempts = world.delivery(&hook, &event).await["attempts"].clone();
    let classes: Vec<_> = (0..3).map(|n| text(&attempts[n]["class"]).to_owned()).collect();
    assert_eq!(classes, ["http_4xx", "bad_response", "http_5xx"]);
    assert_eq!(world.statuses(&hook).await, ["delivered"]);
}

#[tokio::test]
async fn the_url_is_a_secret() {
    let world = World::new().await;
    let asked = json!({"url": CHANNEL, "destination": "slack", "events": ["incident_opened"]});
    let created = world.post("/v1/webhooks", &asked).await;
    assert!(!created.text.contains("channelsecret"), "{}", created.text);
    let created = created.expect(201);
    let hook = Hook { id: text(&created["id"]).to_owned(), url: CHANNEL.to_owned(), secret: String::new() };
    assert_eq!(created["url"], "https://hooks.slack.com/[hidden]");
    world.receivers.answers(CHANNEL, Reply::from(404).body("no_service"));
    world.publish(&opened("A")).await;
    world.advance(MINUTE).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    let mut shown = vec![];
    for path in ["/v1/webhooks".to_owned(), path.clone(), format!("{path}/deliveries")] {
        shown.push(world.get(&path).await.text);
    }
    shown.extend(world.receivers.calls(SLACK).iter().map(|seen| seen.text().to_owned()));
    assert_eq!(world.receivers.calls(SLACK).len(), 1);
    for shown in shown {
        assert!(!shown.contains("channelsecret"), "{shown}");
    }
    world.receivers.answers(CHANNEL, Reply::from(200).body("ok"));
    let world = world.restart().await;
    world.act(&hook, "resume").await;
    world.advance(SECOND * 2).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"], "the URL is kept over a restart");
}

/// The time of each message in milliseconds, and how many deliveries it contains.
fn messages(world: &World) -> Vec<(i64, usize)> {
    let count = |seen: &Seen| {
        let headline = headline(&body(seen)).to_owned();
        let counts = headline.split(", ").filter(|part| part.contains(" incident"));
        let number = |part: &str| part.split(' ').find_map(|word| word.parse::<usize>().ok()).unwrap();
        counts.map(number).sum::<usize>().max(1)
    };
    let at = |seen: &Seen| seen.at.as_millisecond() - start().as_millisecond();
    world.attempts(CHANNEL).iter().map(|seen| (at(seen), count(seen))).collect()
}

fn are_a_second_apart(messages: &[(i64, usize)]) {
    assert!(messages.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 1000), "{messages:?}");
}

/// Opens incidents at the same time. Only the first finds the channel's rate limit free.
async fn burst(world: &World, incidents: usize) {
    for n in 0..incidents {
        world.publish(&opened(&format!("INC-{n}"))).await;
        if n == 0 {
            world.run_until_idle().await;
        }
    }
}

#[tokio::test]
async fn a_burst_becomes_one_message_a_second_with_a_count() {
    let world = World::new().await;
    let hook = channel(&world).await;
    burst(&world, 40).await;
    for n in 0..3 {
        world.publish(&resolved(&format!("OLD-{n}"))).await;
    }
    world.run_until_idle_with(8).await;
    world.advance(HOUR).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 43]);
    let came = messages(&world);
    assert_eq!(came, [(0, 1), (1000, 42)]);
    let folded = body(&world.attempts(CHANNEL)[1]);
    assert_eq!(headline(&folded), ":red_circle: 39 incidents opened, 3 incidents resolved");
    assert_eq!(folded["attachments"][0]["color"], "#d92d20");
    let read = read(&folded["attachments"]);
    assert_eq!(read[0], ":red_circle: 39 incidents opened, 3 incidents resolved");
    assert_eq!(read[1], ":red_circle: checkout-api-prod is down");
    assert_eq!((read.len(), read.last().unwrap().as_str()), (12, "and 32 more"));
    for delivery in world.deliveries(&hook).await {
        let attempts = delivery["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "each records the result of the message");
        assert_eq!((&attempts[0]["number"], &attempts[0]["status_code"]), (&json!(1), &json!(200)));
    }
}

#[tokio::test]
async fn more_than_one_message_tells_comes_in_the_next_ones() {
    let world = World::new().await;
    let hook = channel(&world).await;
    burst(&world, 250).await;
    world.run_until_idle_with(16).await;
    world.advance(MINUTE).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 250]);
    let came = messages(&world);
    are_a_second_apart(&came);
    assert_eq!(
        came.iter().map(|(_, count)| count).sum::<usize>(),
        250,
        "each delivery is in one message: {came:?}"
    );
    assert!(came.len() <= 5 && came.last().unwrap().0 <= 6000, "{came:?}");
}

#[tokio::test]
async fn a_steady_stream_becomes_one_message_a_second_and_nothing_waits_long() {
    let world = World::new().await;
    let hook = channel(&world).await;
    for n in 0..60 {
        world.publish(&opened(&format!("INC-{n}"))).await;
        world.run_until_idle_with(4).await;
        world.advance(Duration::from_millis(170)).await;
    }
    world.advance(MINUTE).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 60]);
    let came = messages(&world);
    are_a_second_apart(&came);
    assert_eq!(came.iter().map(|(_, count)| count).sum::<usize>(), 60, "{came:?}");
    assert!(came.windows(2).all(|pair| pair[1].0 - pair[0].0 < 2000), "{came:?}");
    let deliveries = world.deliveries(&hook).await;
    let waits = deliveries.iter().map(|delivery| {
        let time = |of: &Value| text(of).parse::<jiff::Timestamp>().unwrap().as_millisecond();
        time(&delivery["attempts"][0]["at"]) - time(&delivery["accepted_at"])
    });
    assert!(waits.max().unwrap() <= 2000);
}

#[tokio::test]
async fn an_incident_keeps_its_order_in_a_channel() {
    let world = World::new().await;
    let hook = channel(&world).await;
    burst(&world, 5).await;
    for n in 0..5 {
        world.publish(&resolved(&format!("INC-{n}"))).await;
    }
    world.run_until_idle_with(8).await;
    world.advance(MINUTE).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 10]);
    let texts: Vec<_> = world.attempts(CHANNEL).iter().map(|seen| headline(&body(seen)).to_owned()).collect();
    assert_eq!(
        texts[1..],
        [":red_circle: 4 incidents opened, 1 incident resolved", ":large_green_circle: 4 incidents resolved"]
    );
}

#[tokio::test]
async fn a_burst_that_slack_does_not_take_climbs_the_ladder_together() {
    let world = World::new().await;
    let hook = channel(&world).await;
    world.receivers.answers_next(CHANNEL, [Reply::from(200).body("ok"), 429.into(), 500.into()]);
    burst(&world, 20).await;
    world.run_until_idle_with(8).await;
    world.advance(HOUR).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 20]);
    let came = messages(&world);
    are_a_second_apart(&came);
    assert_eq!(came[..3], [(0, 1), (1000, 19), (61_000, 19)]);
    assert_eq!(came[3..].iter().map(|(_, count)| count).sum::<usize>(), 19, "{came:?}");
    assert_eq!(world.webhook(&hook).await["consecutive_failures"], 0);
}

#[tokio::test]
async fn a_channel_that_is_gone_is_paused_by_the_burst_and_all_of_it_is_held() {
    let world = World::new().await;
    let hook = channel(&world).await;
    world
        .receivers
        .answers_next(CHANNEL, [Reply::from(200).body("ok"), Reply::from(410).body("channel_is_archived")]);
    burst(&world, 20).await;
    world.run_until_idle_with(8).await;
    world.advance(HOUR).await;
    let webhook = world.webhook(&hook).await;
    assert_eq!(
        (&webhook["paused"]["reason"], &webhook["held_deliveries"]),
        (&json!("permanent"), &json!(19))
    );
    assert_eq!(messages(&world).len(), 2);
    world.act(&hook, "resume").await;
    world.advance(MINUTE).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 20]);
    are_a_second_apart(&messages(&world));
}

/// The webhook is paused before the burst is sent. Its deliveries are held, and no message is sent.
#[tokio::test]
async fn a_pause_stops_a_burst_that_has_not_gone_out() {
    let world = World::new().await;
    let hook = channel(&world).await;
    burst(&world, 20).await;
    world.run_until_idle_with(8).await;
    world.act(&hook, "pause").await;
    world.advance(HOUR).await;
    assert_eq!(
        (messages(&world).len(), world.webhook(&hook).await["held_deliveries"].clone()),
        (1, json!(19))
    );
}

/// It may have been part of a burst, whose message is not kept.
#[tokio::test]
async fn the_request_of_a_past_attempt_is_never_shown_as_exact() {
    let world = World::new().await;
    let hook = channel(&world).await;
    burst(&world, 3).await;
    world.run_until_idle().await;
    world.advance(HOUR).await;
    let browser = world.browser().await;
    for delivery in world.deliveries(&hook).await {
        let page = format!("/dashboard/webhooks/{}/deliveries/{}", hook.id, text(&delivery["id"]));
        let shown = browser.open(&page).await.expect(200);
        shown.says("As it would be sent now").says("X-StatusPulse-Signature: [hidden]");
    }
}
