//! Webhooks with the destination `discord`: messages in a channel.

use serde_json::{Value, json};

use crate::support::*;

const CHANNEL: &str = "https://discord.com/api/webhooks/1234567890/channelsecret";

async fn channel(world: &World) -> Hook {
    let hook = world.register_with(CHANNEL, json!({"destination": "discord"})).await;
    assert_eq!(world.status(&hook).await, "active");
    hook
}

fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

/// The embed of each message.
fn embeds(world: &World) -> Vec<Value> {
    world.attempts(CHANNEL).iter().map(|seen| body(seen)["embeds"][0].clone()).collect()
}

/// Why the first attempt of each delivery failed; empty if Discord took it.
async fn reasons(world: &World, hook: &Hook) -> Vec<String> {
    let deliveries = world.deliveries(hook).await;
    let reason = |delivery: &Value| delivery["attempts"][0]["reason"].as_str().unwrap_or_default().to_owned();
    deliveries.iter().map(reason).collect()
}

fn said(code: u32, message: &str) -> String {
    json!({"code": code, "message": message}).to_string()
}

#[tokio::test]
async fn the_handshake_is_a_message_in_the_channel() {
    let world = World::new().await;
    channel(&world).await;
    let calls = world.receivers.calls(CHANNEL);
    let [handshake] = &calls[..] else { panic!("one call") };
    assert!(text(&body(handshake)["content"]).contains("StatusPulse is connected to this channel"));
    for (reply, words) in [
        (Reply::from(404).body(said(10015, "Unknown Webhook")), "this webhook was deleted"),
        (Reply::from(200).body(r#"{"id": "1"}"#), "a handshake needs exactly 204"),
        (Reply::from(200).body("<html>Sign in"), "Another server answers in its place"),
    ] {
        let other = "https://discord.com/api/webhooks/2/x";
        world.receivers.answers_handshakes(other, reply);
        let asked = json!({"url": other, "destination": "discord", "events": ["incident_opened"]});
        let created = world.post("/v1/webhooks", &asked).await.expect(201);
        assert_eq!(created["status"], "pending");
        assert!(text(&created["handshake"]["reason"]).contains(words), "{created}");
    }
}

#[tokio::test]
async fn an_incident_reads_at_a_glance() {
    let world = World::new().await;
    let hook = channel(&world).await;
    for payload in [opened("INC-1"), updated("INC-1"), resolved("INC-1")] {
        world.publish(&payload).await;
        world.advance(SECOND * 2).await;
    }
    assert_eq!(reasons(&world, &hook).await, ["", "", ""], "Discord accepts each message");
    assert_eq!(world.statuses(&hook).await, ["delivered"; 3]);
    let embeds = embeds(&world);
    let headlines: Vec<_> = embeds.iter().map(|embed| text(&embed["title"])).collect();
    assert_eq!(
        headlines,
        [
            "🔴 checkout-api-prod is down",
            "🟡 checkout-api-prod is being worked on: identified",
            "🟢 checkout-api-prod is up again",
        ]
    );
    let colours: Vec<_> = embeds.iter().map(|embed| embed["color"].clone()).collect();
    assert_eq!(colours, [0x00d9_2d20, 0x00dc_8b00, 0x0012_805c]);
    assert_eq!(
        embeds[0],
        json!({
            "title": "🔴 checkout-api-prod is down",
            "color": 0x00d9_2d20,
            "fields": [
                {"name": "Response code", "value": "503", "inline": true},
                {"name": "Latency", "value": "1240 ms", "inline": true},
                {"name": "Region", "value": "us-east-1", "inline": true},
                {"name": "Endpoint", "value": "https\\://api.yourcompany.com/v2/checkout", "inline": false},
            ],
            "footer": {"text": "INC-1"},
            "timestamp": "2024-03-15T14:22:01.000Z",
        })
    );
    assert_eq!(embeds[1]["description"], "Cache nodes are being replaced");
    assert!(embeds[2]["fields"].as_array().unwrap().iter().any(|field| field["value"] == "43 min 43 s"));
}

/// A publisher's texts cannot mention anybody, contain links or look like something else.
#[tokio::test]
async fn what_is_written_is_escaped_and_cut_to_what_discord_takes() {
    let world = World::new().await;
    let hook = channel(&world).await;
    let nasty = "@everyone <@&1> **[here](https://evil.example)**";
    let payloads = [
        opened("INC-1").replace("checkout-api-prod", nasty),
        updated(&"*".repeat(200)).replace("Cache nodes are being replaced", &"_".repeat(6000)),
        // Each field is as long as Discord allows, and so the words have little room.
        opened("INC-2")
            .replace("us-east-1", &"`~".repeat(2500))
            .replace("checkout-api-prod", &"|".repeat(5000))
            .replace("https://api.yourcompany.com/v2/checkout", &"#".repeat(5000))
            .replace("\"latency_ms\":1240", &format!("\"latency_ms\":1{}", "0".repeat(2000)))
            .replace("\"details\":{", &format!("\"details\":{{\"message\":\"{}\",", "\\\\".repeat(3000))),
    ];
    for payload in payloads {
        world.publish(&payload).await;
        world.advance(SECOND * 2).await;
    }
    let attempts = world.attempts(CHANNEL);
    assert_eq!(reasons(&world, &hook).await, ["", "", ""]);
    assert_eq!(world.statuses(&hook).await, ["delivered"; 3]);
    assert_eq!(attempts.len(), 3, "at the first attempt");
    assert!(attempts.iter().all(|seen| body(seen)["allowed_mentions"] == json!({"parse": []})));
    let embeds = embeds(&world);
    assert!(
        text(&embeds[0]["title"]).contains(r"\@everyone \<\@&1\> \*\*\[here\](https\://evil.example)\*\*")
    );
    assert_eq!(text(&embeds[1]["description"]).chars().count(), 4096);
    assert!(text(&embeds[1]["description"]).ends_with('…'));
    let description = text(&embeds[2]["description"]);
    assert!(description.chars().count() > 300 && description.ends_with('…'), "{description}");
}

#[tokio::test]
async fn a_channel_that_is_gone_pauses_at_once_with_the_reason_in_words() {
    for (status, said, words) in [
        (404, said(10015, "Unknown Webhook"), "this webhook was deleted. Create a new one"),
        (404, said(10003, "Unknown Channel"), "the channel no longer exists"),
        (401, said(50027, "Invalid Webhook Token"), "the token in the URL is wrong"),
        (404, "<html>".to_owned(), "accepts no messages here. Check the URL"),
    ] {
        let world = World::new().await;
        let hook = channel(&world).await;
        world.receivers.answers_next(CHANNEL, [Reply::from(status).body(said.clone())]);
        world.publish(&opened("A")).await;
        world.run_until_idle().await;
        let paused = world.webhook(&hook).await["paused"].clone();
        assert_eq!(paused["reason"], "permanent", "{said}");
        assert!(text(&paused["last_error"]).contains(words), "{paused}");
        assert_eq!(world.statuses(&hook).await, ["held"], "nothing is lost");
    }
}

#[tokio::test]
async fn a_message_that_discord_does_not_accept_is_given_up_and_the_next_is_delivered() {
    let world = World::new().await;
    let hook = channel(&world).await;
    world.receivers.answers_next(CHANNEL, [Reply::from(400).body(said(50035, "Invalid Form Body"))]);
    let event = world.publish(&opened("A")).await;
    world.advance(SECOND * 2).await;
    world.publish(&opened("B")).await;
    world.advance(HOUR).await;
    assert_eq!(world.statuses(&hook).await, ["failed", "delivered"]);
    assert_eq!(world.status(&hook).await, "active");
    let reason = world.delivery(&hook, &event).await["attempts"][0]["reason"].clone();
    assert_eq!(reason, "Discord did not accept the message: Invalid Form Body.");
}

#[tokio::test]
async fn a_429_waits_as_told_and_other_answers_climb_the_ladder() {
    let world = World::new().await;
    let hook = channel(&world).await;
    let steps = [
        Reply::from(429).retry_after("90"),
        Reply::from(200).body("<html>Sign in"),
        Reply::from(500),
        Reply::from(200).body(r#"{"id": "1", "content": ""}"#),
    ];
    world.receivers.answers_next(CHANNEL, steps);
    let event = world.publish(&opened("A")).await;
    world.advance(HOUR).await;
    assert_eq!(world.seconds(CHANNEL), [0, 90, 390, 1290]);
    let attempts = world.delivery(&hook, &event).await["attempts"].clone();
    let classes: Vec<_> = (0..3).map(|n| text(&attempts[n]["class"]).to_owned()).collect();
    assert_eq!(classes, ["http_4xx", "bad_response", "http_5xx"]);
    assert_eq!(
        world.statuses(&hook).await,
        ["delivered"],
        "a 200 with the message counts, as after ?wait=true"
    );
}

#[tokio::test]
async fn the_url_is_a_secret() {
    let world = World::new().await;
    let asked = json!({"url": CHANNEL, "destination": "discord", "events": ["incident_opened"]});
    let created = world.post("/v1/webhooks", &asked).await;
    assert!(!created.text.contains("channelsecret"), "{}", created.text);
    let created = created.expect(201);
    assert_eq!(created["url"], "https://discord.com/[hidden]");
    let hook = Hook { id: text(&created["id"]).to_owned(), url: CHANNEL.to_owned(), secret: String::new() };
    world.receivers.answers(CHANNEL, Reply::from(404).body(said(10015, "Unknown Webhook")));
    world.publish(&opened("A")).await;
    world.advance(MINUTE).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    let mut shown = vec![];
    for path in ["/v1/webhooks".to_owned(), path.clone(), format!("{path}/deliveries")] {
        shown.push(world.get(&path).await.text);
    }
    shown.extend(world.receivers.calls(SLACK).iter().map(|seen| seen.text().to_owned()));
    assert_eq!(shown.len(), 4, "the engineers were told too");
    for shown in shown {
        assert!(!shown.contains("channelsecret"), "{shown}");
    }
    world.receivers.answers(CHANNEL, 204);
    let world = world.restart().await;
    world.act(&hook, "resume").await;
    world.advance(SECOND * 3).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"], "the URL is kept over a restart");
}

#[tokio::test]
async fn a_burst_becomes_one_message_every_two_seconds_with_a_count() {
    let world = World::new().await;
    let hook = channel(&world).await;
    world.publish(&opened("INC-0")).await;
    world.run_until_idle().await;
    for n in 1..40 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    for n in 0..3 {
        world.publish(&resolved(&format!("OLD-{n}"))).await;
    }
    world.run_until_idle_with(8).await;
    world.advance(HOUR).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 43]);
    assert_eq!(world.seconds(CHANNEL), [0, 2]);
    let combined = embeds(&world)[1].clone();
    assert_eq!(combined["title"], "🔴 39 incidents opened, 3 incidents resolved");
    assert_eq!(combined["color"], 0x00d9_2d20);
    assert_eq!(combined["footer"]["text"], "and 32 more");
    let lines: Vec<_> = text(&combined["description"]).lines().collect();
    assert_eq!(lines, ["🔴 checkout-api-prod is down"; 10]);
}

#[tokio::test]
async fn a_burst_of_long_names_is_cut_to_what_discord_takes() {
    let world = World::new().await;
    let hook = channel(&world).await;
    for n in 0..20 {
        world.publish(&updated(&format!("INC-{n}")).replace("checkout-api-prod", &"*".repeat(500))).await;
        if n == 0 {
            world.run_until_idle().await;
        }
    }
    world.run_until_idle_with(8).await;
    world.advance(HOUR).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 20]);
    assert_eq!(world.seconds(CHANNEL), [0, 2], "Discord accepts both messages");
    let combined = embeds(&world)[1].clone();
    assert_eq!(text(&combined["description"]).lines().count(), 10);
    assert!(text(&combined["description"]).contains(r"\*… is being worked on: identified"), "{combined}");
}
