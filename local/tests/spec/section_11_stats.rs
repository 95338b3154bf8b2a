//! Section 11 of docs/behaviour.md: whether the promise held, and what happened lately.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::*;

async fn stats(world: &World, path: &str) -> Value {
    world.get(path).await.expect(200)
}

#[tokio::test]
async fn first_attempts_that_had_to_wait_are_counted_apart() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let after = |millis| Reply::from(500).beginning_after(Duration::from_millis(millis));
    world.publish(&opened("B")).await;
    world.run_until_idle().await;
    world.receivers.answers_next(URL, [after(250)]);
    world.publish(&opened("A")).await;
    world.publish(&resolved("A")).await;
    world.advance(MINUTE * 2).await;
    world.act(&hook, "pause").await;
    world.publish(&opened("C")).await;
    world.run_until_idle().await;
    world.act(&hook, "resume").await;
    world.run_until_idle().await;
    for path in ["/v1/stats".to_owned(), format!("/v1/webhooks/{}/stats", hook.id)] {
        let day = &stats(&world, &path).await["last_24_hours"];
        assert_eq!((&day["first_attempts"], &day["within_200_ms"]), (&json!(2), &json!(1)), "{day}");
        assert_eq!((&day["p50_ms"], &day["p99_ms"]), (&json!(1), &json!(300)));
        // One waited for the retry, and one was held.
        assert_eq!(day["first_attempts_after_wait"], 2);
        assert_eq!(
            (&day["delivered"], &day["failed_attempts"], &day["given_up"]),
            (&json!(4), &json!(1), &json!(0))
        );
    }
}

#[tokio::test]
async fn the_day_and_the_month_end_in_time_and_accounts_are_apart() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let neighbour = world.another_account().await;
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let delivered = async |period: &str| stats(&world, "/v1/stats").await[period]["delivered"].clone();
    assert_eq!(delivered("last_24_hours").await, 1);
    let hours = stats(&world, &format!("/v1/webhooks/{}/stats", hook.id)).await["hours"].clone();
    let hours = hours.as_array().unwrap();
    assert_eq!((hours.len(), &hours[23]["delivered"]), (24, &json!(1)));
    assert_eq!(hours[23]["at"], "2024-03-15T14:00:00Z");
    assert_eq!(stats_of(&neighbour).await["last_30_days"]["delivered"], 0);
    assert_eq!(neighbour.get(&format!("/v1/webhooks/{}/stats", hook.id)).await.problem(404), "not_found");
    world.advance(HOUR * 24).await;
    assert_eq!((delivered("last_24_hours").await, delivered("last_30_days").await), (json!(0), json!(1)));
    // What the account's deleted webhooks did is still part of its figures.
    world.delete(&format!("/v1/webhooks/{}", hook.id)).await;
    assert_eq!(delivered("last_30_days").await, 1);
    world.advance(HOUR * 24 * 30).await;
    assert_eq!(delivered("last_30_days").await, 0);
}

async fn stats_of(account: &Api) -> Value {
    account.get("/v1/stats").await.expect(200)
}

#[tokio::test]
async fn the_pages_show_whether_the_promise_held() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let browser = world.browser().await;
    let own = format!("/dashboard/webhooks/{}", hook.id);
    browser.open("/dashboard/webhooks").await.says("Last 24 hours no first attempts.");
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    for page in ["/dashboard/webhooks", &own] {
        browser
            .open(page)
            .await
            .says("100 % of 1 first attempt began within 200 ms. Half began within 1 ms")
            .says("1 delivered, 0 failed attempts");
    }
}
