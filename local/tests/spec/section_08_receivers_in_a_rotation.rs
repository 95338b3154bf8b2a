//! Rule 8.1 of docs/behaviour.md: a rotation that no receiver notices, whatever it checks and whenever it gets the new
//! secret.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_core::attempt::Class;

use crate::support::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How a receiver checks signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checks {
    /// As the product page says: the digest must equal the whole value of the header.
    Page,
    /// The header is a list, and one of its digests must fit.
    List,
    /// With the library of Standard Webhooks, which accepts one signature of several.
    Library,
    /// As the product page says, but it accepts each handshake.
    PageButHandshakes,
    /// As the product page says, and it answers 500 because its exception is not caught.
    PageThatThrows,
}

impl Checks {
    const ALL: [Self; 5] =
        [Self::Page, Self::List, Self::Library, Self::PageButHandshakes, Self::PageThatThrows];

    fn answer(self, seen: &Seen, secret: &str) -> u16 {
        let digest = hex_digest(secret, &seen.body);
        let header = seen.header("X-StatusPulse-Signature");
        let fits = match self {
            Self::Page | Self::PageThatThrows => digest == header,
            Self::PageButHandshakes => digest == header || seen.event() == "handshake",
            Self::List => header.split(',').any(|one| one == digest),
            Self::Library => {
                let signature = standard_signature(secret, seen);
                seen.header("webhook-signature").split(' ').any(|one| one == signature)
            }
        };
        match (fits, self) {
            (true, _) => 200,
            (false, Self::PageThatThrows) => 500,
            (false, _) => 401,
        }
    }
}

/// A receiver with a secret that its owner can replace.
#[derive(Clone)]
struct Receiver(Arc<Mutex<String>>);

impl Receiver {
    fn install(&self, secret: &str) {
        secret.clone_into(&mut self.0.lock().unwrap());
    }
}

/// Registers a webhook whose receiver checks signatures.
async fn receiver(world: &World, checks: Checks) -> (Hook, Receiver) {
    let hook = world.register(URL).await;
    let receiver = Receiver(Arc::new(Mutex::new(hook.secret.clone())));
    let own = receiver.clone();
    world.receivers.runs(URL, move |seen| checks.answer(seen, &own.0.lock().unwrap()));
    (hook, receiver)
}

async fn rotate(world: &World, hook: &Hook) -> Value {
    world.act_with(hook, "rotate-secret", Value::Null).await.expect(200)
}

/// Publishes an event, and returns the answers to the calls that it caused. It must be delivered with its first attempt.
async fn delivered(world: &World, hook: &Hook) -> Vec<u16> {
    let before = world.attempts(URL).len();
    let event = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let delivery = world.delivery(hook, &event).await;
    assert_eq!(delivery["status"], "delivered", "{delivery}");
    let attempts = delivery["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["status_code"]), (1, &json!(200)), "{attempts:?}");
    let calls = world.attempts(URL).split_off(before);
    assert!(calls.iter().all(|call| (call.event_id(), call.attempt()) == (&*event, 1)));
    calls.iter().map(|call| call.status.unwrap()).collect()
}

#[tokio::test]
async fn no_receiver_misses_or_refuses_a_delivery_whenever_it_gets_the_new_secret() {
    for checks in Checks::ALL {
        for installed_at in [Duration::ZERO, SECOND, HOUR, HOUR * 12, DAY - SECOND] {
            let world = World::new().await;
            let (hook, receiver) = receiver(&world, checks).await;
            delivered(&world, &hook).await;
            let new = text(&rotate(&world, &hook).await["secret"]).to_owned();
            if installed_at > Duration::ZERO {
                delivered(&world, &hook).await;
            }
            world.advance(installed_at).await;
            receiver.install(&new);
            delivered(&world, &hook).await;
            assert_eq!(delivered(&world, &hook).await, [200], "what got through is remembered: {checks:?}");
            world.advance(DAY - installed_at).await;
            assert_eq!(delivered(&world, &hook).await, [200], "{checks:?} {installed_at:?}");
            let webhook = world.webhook(&hook).await;
            assert_eq!((&webhook["status"], &webhook["failing_since"]), (&json!("active"), &Value::Null));
            assert_eq!(world.pause_notifications(), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn the_answer_says_which_style_suits_the_receiver_and_why() {
    let table = [
        (Checks::Page, "split", "The endpoint answered 401", "old"),
        (Checks::PageThatThrows, "split", "The endpoint answered 500", "old"),
        (Checks::List, "joined", "The endpoint accepted a handshake", "both"),
        (Checks::Library, "joined", "The endpoint accepted a handshake", "both"),
        (Checks::PageButHandshakes, "joined", "The endpoint accepted a handshake", "both"),
    ];
    for (checks, style, why, header) in table {
        let world = World::new().await;
        let (hook, _) = receiver(&world, checks).await;
        let rotated = rotate(&world, &hook).await;
        assert_eq!(rotated["style"], style, "{checks:?}");
        assert!(text(&rotated["reason"]).contains(why), "{rotated}");
        let expected = json!({"style": style, "reason": rotated["reason"], "header": header});
        assert_eq!(world.webhook(&hook).await["rotation"], expected);
        // The webhook's own handshake is another matter.
        assert_eq!(world.webhook(&hook).await["handshake"]["ok"], true);
    }
}

/// Each receiver gets the new secret. How often it is called for the next event, and for the one after that.
#[tokio::test]
async fn what_the_receiver_has_accepted_is_remembered() {
    let table = [
        (Checks::Page, vec![401, 200], "new"),
        (Checks::PageThatThrows, vec![500, 200], "new"),
        (Checks::PageButHandshakes, vec![401, 401, 200], "new"),
        (Checks::List, vec![200], "both"),
        (Checks::Library, vec![200], "both"),
    ];
    for (checks, answers, header) in table {
        let world = World::new().await;
        let (hook, receiver) = receiver(&world, checks).await;
        receiver.install(text(&rotate(&world, &hook).await["secret"]));
        assert_eq!(delivered(&world, &hook).await, answers, "{checks:?}");
        assert_eq!(world.webhook(&hook).await["rotation"]["header"], header);
        let world = world.restart().await;
        let own = receiver.clone();
        world.receivers.runs(URL, move |seen| checks.answer(seen, &own.0.lock().unwrap()));
        assert_eq!(delivered(&world, &hook).await, [200], "{checks:?}");
    }
}

/// Some of a receiver's servers have the new secret, and some do not yet.
#[tokio::test]
async fn a_receiver_whose_servers_differ_misses_nothing() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let (old, new) = (hook.secret.clone(), Receiver(Arc::default()));
    let (installed, calls) = (new.clone(), Mutex::new(0));
    world.receivers.runs(URL, move |seen| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        let has_new = *calls % 3 == 0;
        let new = installed.0.lock().unwrap();
        Checks::Page.answer(seen, if has_new { &new } else { &old })
    });
    new.install(text(&rotate(&world, &hook).await["secret"]));
    for _ in 0..12 {
        let event = world.publish(&opened("A")).await;
        world.run_until_idle().await;
        assert_ne!(world.delivery(&hook, &event).await["status"], "failed");
        world.advance(HOUR).await;
        assert_eq!(world.delivery(&hook, &event).await["status"], "delivered");
    }
    assert_eq!(world.webhook(&hook).await["status"], "active");
}

#[tokio::test]
async fn the_owner_goes_back_to_the_old_secret() {
    let world = World::new().await;
    let (hook, receiver) = receiver(&world, Checks::Page).await;
    receiver.install(text(&rotate(&world, &hook).await["secret"]));
    assert_eq!(delivered(&world, &hook).await, [401, 200]);
    receiver.install(&hook.secret);
    assert_eq!(delivered(&world, &hook).await, [401, 200]);
    world.act(&hook, "rotate-secret/cancel").await;
    assert_eq!(delivered(&world, &hook).await, [200]);
}

#[tokio::test]
async fn what_is_refused_with_both_secrets_is_one_failed_attempt() {
    for refusal in [400, 401, 403] {
        let world = World::new().await;
        let (hook, _) = receiver(&world, Checks::Page).await;
        rotate(&world, &hook).await;
        world.receivers.runs(URL, move |_| refusal);
        let event = world.publish(&opened("A")).await;
        world.advance(HOUR * 2).await;
        let delivery = world.delivery(&hook, &event).await;
        assert_eq!(delivery["attempts"].as_array().unwrap().len(), 5);
        let numbers: Vec<u8> = world.attempts(URL).iter().map(Seen::attempt).collect();
        assert_eq!(numbers, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
        assert_eq!(world.webhook(&hook).await["status"], "paused");
    }
}

/// A receiver whose check throws an exception answers 500. It did not answer, or was down, at the rehearsal.
#[tokio::test]
async fn a_receiver_that_was_down_at_the_rehearsal_misses_nothing() {
    for rehearsed in [Reply::from(502), Reply::fails(Class::Timeout, "no answer in time")] {
        let world = World::new().await;
        let hook = world.register(URL).await;
        world.receivers.answers_handshakes(URL, rehearsed);
        let rotated = rotate(&world, &hook).await;
        assert_eq!(rotated["style"], "split");
        let new = text(&rotated["secret"]).to_owned();
        world.receivers.runs(URL, move |seen| Checks::PageThatThrows.answer(seen, &new));
        assert_eq!(delivered(&world, &hook).await, [500, 200]);
        // A receiver that asks to be called later is not called again at once.
        world.receivers.answers(URL, Reply::from(503).retry_after("60"));
        world.receivers.runs_nothing(URL);
        let calls = world.attempts(URL).len();
        world.publish(&opened("B")).await;
        world.run_until_idle().await;
        assert_eq!(world.attempts(URL).len(), calls + 1);
    }
}

#[tokio::test]
async fn other_failures_and_other_times_have_no_second_call() {
    let world = World::new().await;
    let (hook, _) = receiver(&world, Checks::Page).await;
    world.receivers.runs(URL, |_| 401);
    let before = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL).len(), 1, "no rotation is in progress");
    rotate(&world, &hook).await;
    for status in [301, 404, 409, 429, 500, 503] {
        let calls = world.attempts(URL).len();
        world.receivers.runs(URL, move |_| status);
        world.publish(&opened(&status.to_string())).await;
        world.run_until_idle().await;
        assert_eq!(world.attempts(URL).len(), calls + 1, "{status}");
    }
    world.receivers.runs(URL, |_| 200);
    world.advance(HOUR).await;
    assert_eq!(world.delivery(&hook, &before).await["status"], "delivered");
}

/// Slack and others check no signature, and their 400 and 403 mean something else.
#[tokio::test]
async fn a_channel_gets_no_handshake_and_no_second_call() {
    let world = World::new().await;
    let url = "https://hooks.slack.com/services/T1/B1/anotherpath";
    let hook = world.register_with(url, json!({"destination": "slack"})).await;
    let calls = world.receivers.calls(url).len();
    for style in ["auto", "split"] {
        let rotated = world.act_with(&hook, "rotate-secret", json!({ "style": style })).await.expect(200);
        assert_eq!(rotated["style"], if style == "auto" { "joined" } else { "split" });
        assert_eq!(world.receivers.calls(url).len(), calls);
        world.act(&hook, "rotate-secret/cancel").await;
    }
    rotate(&world, &hook).await;
    world.receivers.answers(url, 403);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    assert_eq!(world.receivers.calls(url).len(), calls + 1);
}

#[tokio::test]
async fn what_we_lack_is_no_refusal_of_the_receiver() {
    let world = World::new().await;
    let (hook, receiver) = receiver(&world, Checks::Page).await;
    // The rehearsal cannot be made: nothing is changed.
    world.receivers.cannot_be_called(URL, 1);
    assert_eq!(world.act_with(&hook, "rotate-secret", Value::Null).await.status, 503);
    assert_eq!(world.webhook(&hook).await["rotation"], Value::Null);
    let rotated = rotate(&world, &hook).await;
    // The repeat cannot be made, after the first call was refused.
    receiver.install(text(&rotated["secret"]));
    let receivers = world.receivers.clone();
    world.receivers.meanwhile(URL, async move { receivers.cannot_be_called(URL, 1) });
    let event = world.publish(&opened("A")).await;
    world.advance(MINUTE).await;
    let delivery = world.delivery(&hook, &event).await;
    assert_eq!(
        (&delivery["status"], delivery["attempts"].as_array().unwrap().len()),
        (&json!("delivered"), 1)
    );
    assert_eq!(world.webhook(&hook).await["failing_since"], Value::Null);
}

#[tokio::test]
async fn a_repeated_rotation_is_answered_as_the_first_and_not_rehearsed_again() {
    let world = World::new().await;
    let (hook, _) = receiver(&world, Checks::Page).await;
    let path = format!("/v1/webhooks/{}/rotate-secret", hook.id);
    let call = async || world.call("POST", &path, &[("Idempotency-Key", "march")], "").await.expect(200);
    let first = call().await;
    let calls = world.receivers.calls(URL).len();
    assert_eq!(call().await, first);
    assert_eq!(
        world.act_with(&hook, "rotate-secret", Value::Null).await.problem(409),
        "rotation_in_progress"
    );
    assert_eq!(world.receivers.calls(URL).len(), calls);
}

#[tokio::test]
async fn handshakes_and_tests_reach_a_receiver_that_has_the_new_secret() {
    let world = World::new().await;
    let (hook, receiver) = receiver(&world, Checks::Page).await;
    receiver.install(text(&rotate(&world, &hook).await["secret"]));
    let tested = world.act_with(&hook, "test", Value::Null).await.expect(200);
    let last = world.receivers.calls(URL).pop().unwrap();
    let shown = &tested["request"]["headers"]["X-StatusPulse-Signature"];
    assert_eq!((&tested["ok"], shown), (&json!(true), &json!(last.header("X-StatusPulse-Signature"))));
    assert_eq!(world.webhook(&hook).await["rotation"]["header"], "old", "a test changes nothing");
    // Another URL of the same receiver.
    let moved = format!("{URL}/v2");
    let own = receiver.clone();
    world.receivers.runs(&moved, move |seen| Checks::Page.answer(seen, &own.0.lock().unwrap()));
    let changed =
        world.patch(&format!("/v1/webhooks/{}", hook.id), json!({ "url": moved })).await.expect(200);
    assert_eq!((&changed["handshake"]["ok"], &changed["rotation"]["header"]), (&json!(true), &json!("new")));
}
