//! Section 9 of docs/behaviour.md: network rules, as far as the API shows them. Tests that need sockets or a resolver
//! are in `shared/outbound/tests`.

use serde_json::{Value, json};
use statuspulse_core::attempt::Class;
use statuspulse_core::target::TargetPolicy;

use crate::support::*;

async fn refused(api: &Api, url: &str) -> String {
    let answer = api.post("/v1/webhooks", &json!({"url": url, "events": ["incident_opened"]})).await;
    assert_eq!(answer.refused(), ["/url"], "{url}");
    text(&answer.json()["errors"][0]["detail"]).to_owned()
}

const NOT_OURS_TO_CALL: [&str; 24] = [
    "http://hooks.yourcompany.com/",
    "ftp://hooks.yourcompany.com/",
    "javascript:alert(1)",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://localhost/",
    "https://localhost./",
    "https://10.0.0.1/",
    "https://172.16.0.0/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[fd00:ec2::254]/",
    "https://user:pass@hooks.yourcompany.com/",
    "https://hooks.yourcompany.com:22/",
    "https:hooks.yourcompany.com",
    "hooks.yourcompany.com",
];

/// One URL of each kind. The complete lists are in `shared/core/tests/target*.rs`.
#[tokio::test]
async fn the_deployed_policy_refuses_what_is_not_public_https_before_anybody_is_called() {
    let world = World::new().await;
    for url in NOT_OURS_TO_CALL {
        refused(&world, url).await;
    }
    assert!(world.receivers.all().is_empty());
    assert!(world.all("/v1/webhooks").await.is_empty());
}

#[tokio::test]
async fn a_changed_url_is_checked_like_a_new_one() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let before = world.webhook(&hook).await;
    for url in NOT_OURS_TO_CALL {
        let answer = world.patch(&format!("/v1/webhooks/{}", hook.id), json!({"url": url})).await;
        assert_eq!(answer.refused(), ["/url"], "{url}");
    }
    assert_eq!(world.webhook(&hook).await, before);
}

#[tokio::test]
async fn the_text_for_the_customer_names_no_address() {
    let world = World::new().await;
    for url in ["https://127.1/", "https://0x7f.1/", "https://[::ffff:10.0.0.1]/", "https://localhost/"] {
        let detail = refused(&world, url).await;
        assert!(!detail.contains("127.0.0.1") && !detail.contains("10.0.0.1"), "{detail}");
    }
}

/// The handshake finds out what the name resolves to. The URL is refused, so no webhook is created.
#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_422_and_nothing_is_kept() {
    let world = World::new().await;
    let private = || Reply::fails(Class::TargetNotPublic, "Use a host that the internet can reach.");
    world.receivers.answers_handshakes(URL, private());
    assert_eq!(refused(&world, URL).await, "Use a host that the internet can reach.");
    assert!(world.all("/v1/webhooks").await.is_empty());
    let hook = world.register(OTHER).await;
    let answer = world.patch(&format!("/v1/webhooks/{}", hook.id), json!({"url": URL})).await;
    assert_eq!(answer.refused(), ["/url"]);
    assert_eq!(world.webhook(&hook).await["url"], OTHER);
}

/// The name is public at registration and private at the attempts.
#[tokio::test]
async fn a_name_that_turns_private_later_fails_its_attempts_and_pauses() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, Reply::fails(Class::TargetNotPublic, "Use a public host."));
    let event = world.publish(&opened("A")).await;
    world.advance(HOUR * 2).await;
    assert_eq!(world.status(&hook).await, "paused");
    let delivery = world.delivery(&hook, &event).await;
    for attempt in delivery["attempts"].as_array().unwrap() {
        assert_eq!(
            (&attempt["class"], &attempt["reason"]),
            (&json!("target_not_public"), &json!("Use a public host."))
        );
    }
}

#[tokio::test]
async fn an_account_may_restrict_its_webhooks_to_listed_domains() {
    let world = World::new().await;
    let set = async |domains: Value| world.patch("/v1/account", json!({"allowed_domains": domains})).await;
    set(json!(["hooks.yourcompany.com", "*.example.com"])).await.expect(200);
    for url in [
        URL,
        OTHER,
        "https://a.b.example.com/",
        "https://x.statuspulse.io/",
        "https://HOOKS.yourcompany.com/x",
    ] {
        world.register(url).await;
    }
    for url in [
        "https://yourcompany.com/",
        "https://evil-hooks.yourcompany.com/",
        "https://example.com/",
        "https://evilexample.com/",
        "https://example.com.evil.com/",
        "https://93.184.216.34/",
    ] {
        let detail = refused(&world, url).await;
        assert!(detail.contains("allowed domains"), "{detail}");
    }
    assert_eq!(set(json!(["yourcompany.com"])).await.problem(409), "webhook_outside_domains");
    set(Value::Null).await.expect(200);
    world.register("https://evilexample.com/").await;
}

#[tokio::test]
async fn our_own_subdomains_are_always_listed_at_the_label_boundary_and_never_exempt() {
    let world = World::new().await;
    world.patch("/v1/account", json!({"allowed_domains": ["example.com"]})).await.expect(200);
    world.register("https://hooks.statuspulse.io/in").await;
    world.register("https://a.b.statuspulse.io/in").await;
    for url in [
        "https://statuspulse.io/",
        "https://evilstatuspulse.io/",
        "https://statuspulse.io.evil.com/",
        "https://x.statuspulse.io.evil.com/",
    ] {
        refused(&world, url).await;
    }
    refused(&world, "http://hooks.statuspulse.io/").await;
    let private = Reply::fails(Class::TargetNotPublic, "Use a public host.");
    world.receivers.answers_handshakes("https://x.statuspulse.io/", private);
    assert_eq!(refused(&world, "https://x.statuspulse.io/").await, "Use a public host.");
}

#[tokio::test]
async fn the_egress_addresses_are_published_without_a_key() {
    let world = World::new().await;
    let listed = world.with_key("").get("/v1/egress-ips").await.expect(200);
    assert_eq!(listed["data"], json!(["104.21.45.112", "172.67.188.94", "198.41.215.33"]));
}

#[tokio::test]
async fn only_a_development_list_lets_a_private_address_in() {
    let policy = TargetPolicy::development(vec!["127.0.0.1/32".parse().unwrap()]);
    let world = World::with(1, |deployment| deployment.policy = policy).await;
    world.register("http://127.0.0.1:8080/in").await;
    world.register("https://localhost:8443/in").await;
    refused(&world, "https://127.0.0.2/").await;
    refused(&world, "https://10.0.0.1/").await;
}

#[tokio::test]
async fn headers_that_are_ours_or_the_protocols_are_422() {
    let world = World::new().await;
    let with = async |name: &str, value: &str| {
        let body = json!({"url": URL, "events": ["incident_opened"], "headers": {name: value}});
        world.post("/v1/webhooks", &body).await
    };
    for name in [
        "X-StatusPulse-Signature",
        "x-statuspulse-anything",
        "WEBHOOK-ID",
        "webhook-new",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Content-Type",
        "User-Agent",
        "X-Forwarded-For",
        "",
        "a b",
        "a:b",
        "a\r\nb",
        "ä",
    ] {
        with(name, "v").await.expect(422);
    }
    for value in ["", " v", "v ", "a\r\nX-Evil: 1", "a\nb", "a\0b", "a\tb", "ü", "\u{7f}"] {
        with("X-Team", value).await.expect(422);
    }
    assert!(world.receivers.all().is_empty());
    let twice = json!({"url": URL, "events": ["incident_opened"], "headers": {"X-Team": "a", "x-team": "b"}});
    assert_eq!(
        world.post("/v1/webhooks", &twice).await.status,
        422,
        "names that differ only in case are the same header"
    );
}

/// Rule 1.9: no webhook points at this deployment, whatever its path. So no chain of calls to ourselves can be built.
#[tokio::test]
async fn a_webhook_cannot_point_at_this_deployment() {
    let world = World::new().await;
    let own = world.services.admin.deployment.public_url.clone();
    let (_, host) = own.split_once("://").unwrap();
    for url in [format!("https://{host}/hook"), format!("https://{}/v1/x", host.to_uppercase())] {
        let asked = json!({"url": url, "events": ["incident_opened"]});
        let refused = world.post("/v1/webhooks", &asked).await.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], "/url");
        assert!(text(&refused["errors"][0]["detail"]).contains("this StatusPulse deployment"), "{refused}");
    }
    let hook = world.register(URL).await;
    let moved = json!({"url": format!("{own}/hook")});
    world.patch(&format!("/v1/webhooks/{}", hook.id), moved).await.expect(422);
}

/// Rule 1.9: and a call that comes from a webhook, by whatever name it found us, is refused.
#[tokio::test]
async fn a_call_that_a_webhook_makes_is_refused_by_api_and_dashboard() {
    let world = World::new().await;
    for path in ["/v1/events", "/v1/webhooks", "/dashboard/sign-in", "/dashboard/webhooks/x/verify"] {
        let ours = [("User-Agent", "StatusPulse-Webhooks/1")];
        let answer = world.call("POST", path, &ours, "{}").await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text);
    }
}

/// Rule 1.9: nor can a custom header carry a browser's authority.
#[tokio::test]
async fn a_custom_header_cannot_speak_for_a_browser_or_a_proxy() {
    let world = World::new().await;
    for name in
        ["Cookie", "Origin", "Referer", "Sec-Fetch-Site", "Forwarded", "X-Forwarded-User", "Via", "X-Real-IP"]
    {
        let asked = json!({"url": URL, "events": ["incident_opened"], "headers": {name: "x"}});
        let refused = world.post("/v1/webhooks", &asked).await.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], format!("/headers/{name}"), "{refused}");
    }
}
