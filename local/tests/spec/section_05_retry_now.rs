//! Section 5 of docs/behaviour.md: an owner asks for a retry now.

use serde_json::json;

use crate::support::*;

/// The times of all attempts at URL, in seconds after the first.
fn seconds(world: &World) -> Vec<i64> {
    let attempts = world.attempts(URL);
    attempts.iter().map(|attempt| attempt.at.as_second() - attempts[0].at.as_second()).collect()
}

async fn redeliver(world: &World, hook: &Hook, event: &str) -> Answer {
    let id = text(&world.delivery(hook, event).await["id"]).to_owned();
    world.post(&format!("/v1/webhooks/{}/deliveries/{id}/redeliver", hook.id), &json!({})).await
}

#[tokio::test]
async fn a_retry_that_is_due_later_is_made_now() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [503, 503]);
    let event = world.publish(&opened("A")).await;
    world.advance(MINUTE * 2).await;
    assert_eq!(seconds(&world), [0, 60]);
    let asked = redeliver(&world, &hook, &event).await.expect(202);
    assert_eq!(asked["status"], "retrying");
    world.run_until_idle().await;
    assert_eq!(world.delivery(&hook, &event).await["status"], "delivered");
    world.advance(HOUR * 2).await;
    assert_eq!(seconds(&world), [0, 60, 120], "the retry of the ladder is not needed any more");
}

/// It is an additional attempt, as often as it is asked for, and does not bring the pause nearer.
#[tokio::test]
async fn the_ladder_keeps_its_times_when_a_retry_now_fails() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 503);
    let event = world.publish(&opened("A")).await;
    world.advance(MINUTE * 2).await;
    for _ in 0..2 {
        let streak = world.webhook(&hook).await["consecutive_failures"].clone();
        redeliver(&world, &hook, &event).await.expect(202);
        world.run_until_idle().await;
        world.advance(MINUTE).await;
        assert_eq!(world.webhook(&hook).await["consecutive_failures"], streak);
    }
    world.advance(HOUR * 3).await;
    assert_eq!(seconds(&world), [0, 60, 120, 180, 360, 1260, 4860]);
    assert_eq!(world.webhook(&hook).await["status"], "paused");
}

#[tokio::test]
async fn two_who_ask_at_once_get_one_attempt() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [503]);
    let event = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    redeliver(&world, &hook, &event).await.expect(202);
    redeliver(&world, &hook, &event).await.expect(202);
    world.advance(HOUR).await;
    assert_eq!(seconds(&world), [0, 0]);
}

#[tokio::test]
async fn what_is_not_on_the_ladder_is_refused() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [503]);
    let first = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let behind = world.publish(&resolved("A")).await;
    world.run_until_idle().await;
    assert_eq!(redeliver(&world, &hook, &behind).await.problem(409), "delivery_unfinished");
    world.act(&hook, "pause").await;
    world.run_until_idle().await;
    assert_eq!(redeliver(&world, &hook, &first).await.problem(409), "delivery_unfinished");
    let retry = format!("/v1/webhooks/{}/retry", hook.id);
    assert_eq!(world.post(&retry, &json!({})).await.problem(409), "webhook_paused");
    world.receivers.answers_handshakes(OTHER, 404);
    let pending = world.register(OTHER).await;
    let retry = format!("/v1/webhooks/{}/retry", pending.id);
    assert_eq!(world.post(&retry, &json!({})).await.problem(409), "webhook_pending");
}

/// A webhook whose endpoint fails, with thirty deliveries that wait for their second retry.
async fn thirty_waiting(world: &World) -> Hook {
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 503);
    for n in 0..30 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.advance(MINUTE * 2).await;
    hook
}

#[tokio::test]
async fn all_that_waits_on_the_ladder_is_retried_now() {
    let world = World::new().await;
    let hook = thirty_waiting(&world).await;
    world.receivers.answers(URL, 200);
    let retry = format!("/v1/webhooks/{}/retry", hook.id);
    assert_eq!(world.post(&retry, &json!({})).await.expect(202), json!({"retried": 30}));
    world.advance(SECOND * 20).await;
    assert!(world.statuses(&hook).await.iter().all(|status| status == "delivered"));
    assert_eq!(world.attempts(URL).len(), 90, "one attempt more for each");
    assert_eq!(world.post(&retry, &json!({})).await.expect(202), json!({"retried": 0}));
    world.advance(HOUR * 2).await;
    assert_eq!(world.attempts(URL).len(), 90);
}

/// An endpoint that is still down is spared: a few are tried, and the others keep their times.
#[tokio::test]
async fn a_retry_of_all_ends_if_the_endpoint_still_fails() {
    let world = World::new().await;
    let hook = thirty_waiting(&world).await;
    world.act_with(&hook, "retry", json!({})).await.expect(202);
    world.advance(MINUTE * 3).await;
    assert_eq!(world.attempts(URL).len(), 64);
    world.advance(MINUTE * 2).await;
    assert_eq!(world.attempts(URL).len(), 94, "the ladder's own attempts");
}

#[tokio::test]
async fn the_dashboard_offers_a_retry_now() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [503]);
    let event = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let delivery = text(&world.delivery(&hook, &event).await["id"]).to_owned();
    let browser = world.browser().await;
    let (webhook, own) = (format!("/dashboard/webhooks/{}", hook.id), format!("/deliveries/{delivery}"));
    browser.open(&format!("{webhook}{own}")).await.says("Retry now");
    browser.open(&webhook).await.says("Retry now");
    browser.submit(&format!("{webhook}/retry"), &[]).await.says("1 waiting delivery is being retried now.");
    world.run_until_idle().await;
    assert_eq!(world.delivery(&hook, &event).await["status"], "delivered");
    browser.open(&webhook).await.does_not_say("Retry now");
    browser.open(&format!("{webhook}{own}")).await.does_not_say("Retry now");
}
