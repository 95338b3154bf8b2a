//! Webhooks that write into a Slack channel.

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

/// All texts of a message, in the order they are read.
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
        world.settle().await;
    }
    assert_eq!(world.statuses(&hook).await, ["delivered"; 3], "Slack takes each");
    let bodies: Vec<Value> = world.attempts(CHANNEL).iter().map(body).collect();
    let headlines: Vec<_> = bodies.iter().map(|body| text(&body["text"])).collect();
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
            ":red_circle: *checkout-api-prod* is down",
            "*Response code*\n503",
            "*Latency*\n1240 ms",
            "*Region*\nus-east-1",
            "*Endpoint*\nhttps://api.yourcompany.com/v2/checkout",
            "INC-1 · <!date^1710512521^{date_short_pretty} {time_secs}|2024-03-15T14:22:01Z>",
        ]
    );
    assert_eq!(read(&bodies[1]["attachments"])[1], "Cache nodes are being replaced");
    assert!(read(&bodies[2]["attachments"]).contains(&"*Downtime*\n43 min 43 s".to_owned()));
}

/// Everything a publisher writes is text: it mentions nobody, and links nowhere.
#[tokio::test]
async fn what_is_written_is_escaped_and_cut_to_what_slack_takes() {
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
        world.settle().await;
    }
    let attempts = world.attempts(CHANNEL);
    assert_eq!(
        world.statuses(&hook).await,
        ["delivered"; 3],
        "{:?}",
        attempts.iter().map(Seen::text).collect::<Vec<_>>()
    );
    assert!(attempts[0].text().contains("&lt;!channel&gt; &amp; &lt;https://evil.example|here&gt;"));
    assert!(read(&body(&attempts[1])["attachments"])[1].ends_with('…'));
}

#[tokio::test]
async fn what_slack_will_never_take_again_pauses_at_once_with_the_reason_in_words() {
    for (status, said, words) in [
        (404, "no_service", "was removed or turned off"),
        (410, "channel_is_archived", "the channel is archived"),
        (400, "invalid_payload", "does not understand our message"),
        (403, "action_prohibited", "administrators forbid it"),
        (404, "<html>", "does not take messages here"),
    ] {
        let world = World::new().await;
        let hook = channel(&world).await;
        world.receivers.answers_next(CHANNEL, [Reply::from(status).body(said)]);
        world.publish(&opened("A")).await;
        world.settle().await;
        let paused = world.webhook(&hook).await["paused"].clone();
        assert_eq!(paused["reason"], "permanent", "{said}");
        assert!(text(&paused["last_error"]).contains(words), "{paused}");
        assert_eq!(world.statuses(&hook).await, ["held"], "nothing is lost");
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
    assert_eq!(world.statuses(&hook).await, ["delivered"], "the URL outlives a restart");
}
