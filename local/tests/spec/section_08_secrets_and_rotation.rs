//! Section 8 of docs/behaviour.md: secrets and their rotation.

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_core::attempt::Class;

use crate::support::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn rotate(world: &World, hook: &Hook, body: Value) -> String {
    let rotated = world.act_with(hook, "rotate-secret", body).await.expect(200);
    assert_eq!(rotated["window_ends_at"], "2024-03-16T14:22:01Z");
    text(&rotated["secret"]).to_owned()
}

/// Publishes an event at this time after the start, and returns its attempt.
async fn sent_at(world: &World, since_start: Duration) -> Seen {
    world.advance_to(since_start).await;
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    world.attempts(URL).pop().unwrap()
}

/// The expected values of both signature headers when two secrets sign, in this order.
fn both(seen: &Seen, new: &str, old: &str) -> (String, String) {
    let joined = format!("{},{}", hex_digest(new, &seen.body), hex_digest(old, &seen.body));
    let standard = format!("{} {}", standard_signature(new, seen), standard_signature(old, seen));
    (joined, standard)
}

#[tokio::test]
async fn joined_lists_new_and_old_for_24_hours_to_the_second() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let new = rotate(&world, &hook, Value::Null).await;
    for at in [Duration::ZERO, HOUR, DAY - SECOND, DAY - Duration::from_millis(1)] {
        let seen = sent_at(&world, at).await;
        let (joined, standard) = both(&seen, &new, &hook.secret);
        assert_eq!(
            (seen.header("X-StatusPulse-Signature"), seen.header("webhook-signature")),
            (&*joined, &*standard)
        );
        assert!(!seen.headers.contains_key("X-StatusPulse-Signature-Next"));
        assert_eq!(world.webhook(&hook).await["secret_window_ends_at"], "2024-03-16T14:22:01Z");
    }
    for at in [DAY, DAY + SECOND] {
        verify_all(&sent_at(&world, at).await, &new);
        assert_eq!(world.webhook(&hook).await["secret_window_ends_at"], Value::Null);
    }
}

/// For receivers that accept only one signature in the header.
#[tokio::test]
async fn split_keeps_the_old_digest_alone_and_shows_the_new_one_beside_it() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let new = rotate(&world, &hook, json!({"style": "split"})).await;
    for at in [Duration::ZERO, DAY - SECOND] {
        let seen = sent_at(&world, at).await;
        assert_eq!(seen.header("X-StatusPulse-Signature"), hex_digest(&hook.secret, &seen.body));
        assert_eq!(seen.header("X-StatusPulse-Signature-Next"), hex_digest(&new, &seen.body));
        assert_eq!(seen.header("webhook-signature"), both(&seen, &new, &hook.secret).1);
    }
    for at in [DAY, DAY + SECOND] {
        verify_all(&sent_at(&world, at).await, &new);
    }
}

#[tokio::test]
async fn an_unknown_style_is_422_and_rotates_nothing() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    assert_eq!(world.act_with(&hook, "rotate-secret", json!({"style": "both"})).await.refused(), ["/style"]);
    assert_eq!(world.act_with(&hook, "rotate-secret", json!({"styl": "split"})).await.refused(), ["/styl"]);
    verify_all(&sent_at(&world, SECOND).await, &hook.secret);
}

/// A retry is signed with the secrets that are valid at its time, not at the time of the first attempt.
#[tokio::test]
async fn the_keys_are_those_valid_at_the_moment_of_the_attempt() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [500, 500]);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    world.advance(SECOND).await;
    let rotated = world.act_with(&hook, "rotate-secret", Value::Null).await.expect(200);
    let new = text(&rotated["secret"]);
    world.advance(MINUTE).await;
    world.act(&hook, "rotate-secret/finish").await;
    world.advance(HOUR).await;
    let [first, second, third] = <[Seen; 3]>::try_from(world.attempts(URL)).unwrap();
    verify_all(&first, &hook.secret);
    assert_eq!(second.header("X-StatusPulse-Signature"), both(&second, new, &hook.secret).0);
    verify_all(&third, new);
}

#[tokio::test]
async fn a_rotation_in_the_middle_of_an_attempt_changes_the_next_one_alone() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let (api, target) = (world.with_key(&world.key), hook.clone());
    world.receivers.answers_next(URL, [500]);
    world.receivers.meanwhile(URL, async move {
        api.act_with(&target, "rotate-secret", Value::Null).await.expect(200);
    });
    world.publish(&opened("A")).await;
    world.advance(HOUR).await;
    let sent = world.attempts(URL);
    verify_all(&sent[0], &hook.secret);
    assert!(sent[1].header("X-StatusPulse-Signature").contains(','));
    assert_eq!(world.webhook(&hook).await["consecutive_failures"], 0);
}

#[tokio::test]
async fn a_second_rotation_inside_the_window_is_409_and_after_it_is_not() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let new = rotate(&world, &hook, Value::Null).await;
    world.advance(DAY - SECOND).await;
    let again = world.act_with(&hook, "rotate-secret", Value::Null).await;
    assert_eq!(again.problem(409), "rotation_in_progress");
    assert!(text(&again.json()["detail"]).contains("2024-03-16T14:22:01Z"));
    let seen = sent_at(&world, DAY - SECOND).await;
    assert_eq!(seen.header("X-StatusPulse-Signature"), both(&seen, &new, &hook.secret).0);
    world.advance(SECOND).await;
    world.act_with(&hook, "rotate-secret", Value::Null).await.expect(200);
}

#[tokio::test]
async fn finish_ends_the_window_now() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let new = rotate(&world, &hook, Value::Null).await;
    world.act(&hook, "rotate-secret/finish").await;
    verify_all(&sent_at(&world, Duration::ZERO).await, &new);
    assert_eq!(world.act_with(&hook, "rotate-secret/finish", Value::Null).await.problem(409), "no_rotation");
    world.act_with(&hook, "rotate-secret", Value::Null).await.expect(200);
}

#[tokio::test]
async fn a_rotation_survives_a_restart() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let new = rotate(&world, &hook, json!({"style": "split"})).await;
    let world = world.restart().await;
    let seen = sent_at(&world, HOUR).await;
    assert_eq!(seen.header("X-StatusPulse-Signature"), hex_digest(&hook.secret, &seen.body));
    assert_eq!(seen.header("X-StatusPulse-Signature-Next"), hex_digest(&new, &seen.body));
}

#[tokio::test]
async fn handshakes_and_tests_are_signed_with_both_too() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let new = rotate(&world, &hook, Value::Null).await;
    world.act(&hook, "test").await;
    world.act(&hook, "verify").await;
    for seen in &world.receivers.calls(URL)[1..] {
        assert_eq!(seen.header("X-StatusPulse-Signature"), both(seen, &new, &hook.secret).0);
    }
}

/// Searches answers, notifications and debug output for every secret.
#[tokio::test]
async fn secrets_are_in_no_answer_list_notice_record_or_debug_output() {
    let world = World::new().await;
    let headers = json!({"headers": {"Authorization": "Bearer customers-own-token"}, "description": "d"});
    let hook = world.register_with(URL, headers).await;
    let new = rotate(&world, &hook, Value::Null).await;
    let reply = Reply::fails(Class::Tls, "The certificate does not hold.");
    world.receivers.answers(URL, reply);
    let event = world.publish(&opened("A")).await;
    world.advance(HOUR * 2).await;
    let delivery = text(&world.delivery(&hook, &event).await["id"]).to_owned();
    let path = format!("/v1/webhooks/{}", hook.id);
    let mut shown = world.pause_notifications();
    assert_eq!(shown.len(), 1);
    for path in [
        path.clone(),
        "/v1/webhooks".to_owned(),
        "/v1/keys".to_owned(),
        "/v1/account".to_owned(),
        format!("{path}/deliveries"),
        format!("{path}/deliveries/{delivery}"),
        format!("{path}/explain?event={event}"),
    ] {
        shown.push(world.get(&path).await.text);
    }
    shown.push(world.act_with(&hook, "rotate-secret", Value::Null).await.text);
    shown.push(world.act_with(&hook, "rotate-secret/finish", Value::Null).await.text);
    shown.push(world.act_with(&hook, "resume", Value::Null).await.text);
    let kept = world.services.admin.webhooks.webhook(hook.id.parse().unwrap()).await.unwrap();
    shown.push(format!("{kept:#?} {:#?} {kept:?}", world.services.admin));
    let secrets =
        [hook.secret.as_str(), &new, &hook.secret[6..], &new[6..], "customers-own-token", &world.key];
    for text in shown {
        for secret in secrets.iter().chain(&["slackpathsecret"]) {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

#[tokio::test]
async fn at_rest_secrets_are_sealed_under_a_key_file_of_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new().await;
    let url = format!("{URL}?token=in-the-url");
    let hook = world.register_with(&url, json!({"headers": {"X-Token": "customers-own-token"}})).await;
    let new = rotate(&world, &hook, Value::Null).await;
    world.flush().await;
    let files = world.files();
    let contains =
        |bytes: &[u8], secret: &str| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
    let found = files.iter().any(|(_, bytes)| contains(bytes, "incident_resolved"));
    assert!(found, "the search finds what is written");
    for (name, bytes) in &files {
        for secret in [&hook.secret[6..], &new[6..], "customers-own-token", "in-the-url", &world.key] {
            assert!(!contains(bytes, secret), "{secret} is in {name}");
        }
    }
    let key = world.folder().join("secret.key");
    assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
}

// --- 8.4 -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_rotation_is_undone_inside_its_window_and_the_old_secret_signs_alone() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let cancel = async || world.act_with(&hook, "rotate-secret/cancel", Value::Null).await;
    assert_eq!(cancel().await.problem(409), "no_rotation");
    for body in [Value::Null, json!({"style": "split"})] {
        rotate(&world, &hook, body).await;
        let undone = cancel().await.expect(200);
        assert_eq!(undone["secret_window_ends_at"], Value::Null);
        verify_all(&sent_at(&world, Duration::ZERO).await, &hook.secret);
    }
    // After the window there is nothing to undo.
    let new = rotate(&world, &hook, Value::Null).await;
    verify_all(&sent_at(&world, DAY).await, &new);
    assert_eq!(cancel().await.problem(409), "no_rotation");
}

#[tokio::test]
async fn a_test_event_shows_whether_the_receiver_knows_the_new_secret() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let test = async |secrets: &str| world.act_with(&hook, "test", json!({ "secrets": secrets })).await;
    assert_eq!(test("new").await.problem(409), "no_rotation");
    assert_eq!(test("old").await.refused(), ["/secrets"]);
    for style in ["joined", "split"] {
        let new = rotate(&world, &hook, json!({ "style": style })).await;
        let tested = test("new").await.expect(200);
        assert_eq!(tested["request"]["headers"].get("X-StatusPulse-Signature-Next"), None);
        verify_all(world.receivers.calls(URL).last().unwrap(), &new);
        // Deliveries are signed with both, as before.
        assert!(world.webhook(&hook).await["secret_window_ends_at"].is_string());
        world.act(&hook, "rotate-secret/cancel").await;
    }
}

#[tokio::test]
async fn a_customer_brings_the_next_secret_too() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let own = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
    for wrong in ["", "hunter2", "whsec_MDEy"] {
        let asked = json!({"secret": wrong});
        assert_eq!(world.act_with(&hook, "rotate-secret", asked).await.refused(), ["/secret"]);
    }
    assert_eq!(
        world.act_with(&hook, "rotate-secret", json!({"secret": hook.secret})).await.refused(),
        ["/secret"]
    );
    let rotated =
        world.act_with(&hook, "rotate-secret", json!({"secret": own, "style": "split"})).await.expect(200);
    assert_eq!(rotated["secret"], own);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let sent = &world.attempts(URL)[0];
    assert_eq!(sent.header("x-statuspulse-signature-next"), hex_digest(own, sent.text().as_bytes()));
    world.act(&hook, "rotate-secret/finish").await;
    world.publish(&opened("B")).await;
    world.run_until_idle().await;
    verify_all(&world.attempts(URL)[1], own);
}

/// The path and the query of a URL often contain a token.
#[tokio::test]
async fn only_admins_are_shown_more_of_a_url_than_its_host() {
    let world = World::new().await;
    let url = "https://hooks.yourcompany.com/in/path-token?key=query-token";
    let hook = world.register_with(url, json!({"events": ["incident_opened"]})).await;
    let event = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let delivery = text(&world.delivery(&hook, &event).await["id"]).to_owned();
    let made = world.post("/v1/keys", &json!({"role": "viewer"})).await.expect(201);
    let viewer = world.with_key(text(&made["key"]));
    let (of_admin, of_viewer) = (Browser::signed_in(&world).await, Browser::signed_in(&viewer).await);
    let id = &hook.id;
    let paths = ["", "/deliveries", "/audit-log", "/stats", "/explain?event=incident_opened"];
    let paths = paths.map(|path| format!("/v1/webhooks/{id}{path}"));
    let others = ["/v1/webhooks", "/v1/deliveries", "/v1/audit-log"].map(str::to_owned);
    let mut shown = vec![];
    for path in paths.iter().chain(&others) {
        shown.push(viewer.get(path).await.expect(200).to_string());
    }
    shown.push(viewer.post(&format!("/v1/webhooks/{id}/preview"), &json!({})).await.expect(200).to_string());
    let pages = [
        "webhooks".to_owned(),
        format!("webhooks/{id}"),
        format!("webhooks/{id}/try"),
        format!("webhooks/{id}/deliveries/{delivery}"),
        "deliveries".to_owned(),
        "audit-log".to_owned(),
        "webhooks?q=path-token".to_owned(),
    ];
    for page in &pages {
        shown.push(
            of_viewer.open(&format!("/dashboard/{page}")).await.expect(200).html.replace("q=path-token", ""),
        );
    }
    let last = shown.len() - 1;
    assert!(!shown[last].contains(id.as_str()), "a search finds only what is shown");
    shown[last] = shown[last].replace("path-token", "");
    for text in &shown {
        assert!(!text.contains("path-token") && !text.contains("query-token"), "{text}");
    }
    assert!(shown[0].contains("https://hooks.yourcompany.com/[hidden]"));
    assert_eq!(world.webhook(&hook).await["url"], url);
    assert!(of_admin.open(&format!("/dashboard/{}", pages[1])).await.expect(200).html.contains("path-token"));
    assert!(of_admin.open(&format!("/dashboard/{}", pages[6])).await.expect(200).html.contains(id.as_str()));
}
