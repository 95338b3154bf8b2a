//! Section 5 of docs/behaviour.md: retries.

use std::time::Duration;

use statuspulse_core::attempt::Class;
use statuspulse_core::ports::Clock;
use statuspulse_core::retry::Ladder;

use crate::support::*;

/// Checks the times to the millisecond.
#[tokio::test]
async fn a_failed_first_attempt_is_retried_1m_5m_15m_and_60m_after_the_attempt_before_it() {
    let world = World::new().await;
    world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    for (made, due) in [(1, 60), (2, 60 + 300), (3, 60 + 300 + 900), (4, 60 + 300 + 900 + 3600)] {
        world.advance_to(Duration::from_millis(due * 1000 - 1)).await;
        assert_eq!(world.attempts(URL).len(), made, "not a millisecond early");
        world.advance_to(Duration::from_secs(due)).await;
        assert_eq!(world.attempts(URL).len(), made + 1);
    }
    world.advance(HOUR * 48).await;
    assert_eq!(world.seconds(URL), [0, 60, 360, 1260, 4860]);
}

/// Waits follow the steady clock. Signatures follow the wall clock, because receivers compare their timestamp with it.
#[tokio::test]
async fn a_clock_that_is_set_moves_no_retry_and_signatures_follow_it() {
    for ahead in [-7200, 7200] {
        let world = World::new().await;
        let hook = world.register(URL).await;
        world.receivers.answers(URL, 500);
        world.publish(&opened("A")).await;
        world.run_until_idle().await;
        world.clock.set_wall(ahead);
        world.advance(HOUR * 3).await;
        assert_eq!(world.seconds(URL), [0, 60, 360, 1260, 4860]);
        let attempts = world.attempts(URL);
        let stamp = |seen: &Seen| seen.header("webhook-timestamp").parse::<i64>().unwrap();
        assert_eq!(stamp(&attempts[0]), attempts[0].at.as_second());
        for seen in &attempts[1..] {
            assert_eq!(stamp(seen), seen.at.as_second() + ahead);
            verify_all(seen, &hook.secret);
        }
        assert_eq!(world.act(&hook, "test").await["ok"], false);
        assert_eq!(stamp(&world.receivers.calls(URL).pop().unwrap()), world.clock.now().as_second() + ahead);
    }
}

#[tokio::test]
async fn a_success_on_attempt_5_delivers_and_sets_the_streak_to_0() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [500, 500, 500, 500, 200]);
    let event = world.publish(&opened("A")).await;
    world.advance_to(Duration::from_secs(4859)).await;
    assert_eq!(world.webhook(&hook).await["consecutive_failures"], 3);
    world.advance(HOUR * 24).await;
    let shown = world.webhook(&hook).await;
    assert_eq!((shown["status"].as_str(), &shown["consecutive_failures"]), (Some("active"), &0.into()));
    assert!(shown["failing_since"].is_null());
    assert_eq!(world.delivery(&hook, &event).await["status"], "delivered");
    assert_eq!(world.attempts(URL).len(), 5);
}

#[tokio::test]
async fn any_success_ends_the_ladder() {
    for failures in 0..4 {
        let world = World::new().await;
        world.register(URL).await;
        world.receivers.answers_next(URL, vec![503; failures]);
        world.publish(&opened("A")).await;
        world.advance(HOUR * 24).await;
        assert_eq!(world.attempts(URL).len(), failures + 1);
    }
}

#[tokio::test]
async fn a_wait_begins_when_the_attempt_before_it_ended_however_long_that_hung() {
    let world = World::new().await;
    world.register(URL).await;
    let hang = Reply::fails(Class::Timeout, "No answer in time.").lasting(Duration::from_secs(10));
    world.receivers.answers_next(URL, [hang.clone(), hang]);
    world.publish(&opened("A")).await;
    world.advance(HOUR).await;
    assert_eq!(world.seconds(URL), [0, 10 + 60, 70 + 10 + 300]);
}

/// The times of all attempts if the first is answered with 503 and this `Retry-After`, in seconds.
async fn with_retry_after(header: &str) -> Vec<i64> {
    let world = World::new().await;
    world.register(URL).await;
    world.receivers.answers_next(URL, [Reply::from(503).retry_after(header)]);
    world.publish(&opened("A")).await;
    world.advance(HOUR * 3).await;
    world.seconds(URL)
}

#[tokio::test]
async fn retry_after_lengthens_a_wait_and_never_shortens_it() {
    assert_eq!(with_retry_after("120").await, [0, 120]);
    assert_eq!(with_retry_after("61").await, [0, 61]);
    assert_eq!(with_retry_after("5").await, [0, 60]);
    assert_eq!(with_retry_after("0").await, [0, 60]);
}

#[tokio::test]
async fn retry_after_is_capped_at_an_hour_however_absurd() {
    assert_eq!(with_retry_after("3600").await, [0, 3600]);
    assert_eq!(with_retry_after("3601").await, [0, 3600]);
    assert_eq!(with_retry_after("99999999999999999999999999").await, [0, 3600]);
    assert_eq!(with_retry_after("Fri, 31 Dec 2100 23:59:59 GMT").await, [0, 3600]);
}

#[tokio::test]
async fn retry_after_may_be_a_date_and_nonsense_asks_for_nothing() {
    assert_eq!(with_retry_after("Fri, 15 Mar 2024 14:32:01 GMT").await, [0, 600]);
    assert_eq!(with_retry_after("Fri, 15 Mar 2024 14:00:00 GMT").await, [0, 60], "a date in the past");
    for nonsense in ["", "soon", "-120", "1.5e3", "120s", "2024-03-15T15:00:00Z"] {
        assert_eq!(with_retry_after(nonsense).await, [0, 60], "{nonsense:?}");
    }
}

#[tokio::test]
async fn retry_after_lengthens_later_waits_too_and_the_next_is_its_own_again() {
    let world = World::new().await;
    world.register(URL).await;
    let asks = |seconds: &str| Reply::from(429).retry_after(seconds);
    world
        .receivers
        .answers_next(URL, [Reply::from(500), asks("1000"), asks("1000"), asks("7200"), 500.into()]);
    world.publish(&opened("A")).await;
    world.advance(HOUR * 5).await;
    assert_eq!(world.seconds(URL), [0, 60, 1060, 2060, 5660]);
}

#[tokio::test]
async fn the_delays_are_the_deployments_so_that_a_test_can_run_the_ladder_in_seconds() {
    let waits = [1, 2, 3, 4].map(Duration::from_secs);
    let world = World::with(1, |deployment| deployment.ladder = Ladder::new(waits)).await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    world.advance(Duration::from_secs(10)).await;
    assert_eq!(world.seconds(URL), [0, 1, 3, 6, 10]);
    assert_eq!(world.status(&hook).await, "paused");
}

#[tokio::test]
async fn the_ladder_goes_on_after_a_restart_at_its_times() {
    let mut world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    world.publish(&opened("A")).await;
    for stop in [30, 200, 1000, 4000, 4800] {
        world.advance_to(Duration::from_secs(stop)).await;
        world = world.restart().await;
    }
    world.advance(HOUR).await;
    assert_eq!(world.seconds(URL), [0, 60, 360, 1260, 4860]);
    assert_eq!(world.status(&hook).await, "paused");
}

#[tokio::test]
async fn attempts_that_were_due_while_the_machine_was_down_are_made_at_once_at_the_start() {
    let world = World::new().await;
    world.register(URL).await;
    world.receivers.answers_next(URL, [500]);
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    world.clock.pass(HOUR);
    let world = world.restart().await;
    world.run_until_idle().await;
    assert_eq!(world.seconds(URL), [0, 3600]);
}

/// A webhook after ten minutes of failures: three payloads wait for their third retry, at 21 minutes.
async fn after_an_outage(retry_early: bool) -> (World, Hook) {
    let world = World::with(1, |deployment| deployment.retry_early = retry_early).await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    for incident in ["A", "B", "C"] {
        world.publish(&opened(incident)).await;
    }
    world.advance_to(MINUTE * 10).await;
    world.receivers.answers(URL, 200);
    (world, hook)
}

/// After an outage, waiting retries are made early.
#[tokio::test]
async fn the_end_of_an_outage_brings_forward_what_waits() {
    let (world, hook) = after_an_outage(true).await;
    world.publish(&opened("D")).await;
    world.advance(SECOND * 2).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 4]);
    let attempts = world.attempts(URL);
    let numbers: Vec<_> = attempts.iter().rev().take(4).map(Seen::attempt).collect();
    assert_eq!(numbers, [4, 4, 4, 1], "each next retry is made right after the new event");
    world.advance(HOUR * 2).await;
    assert_eq!(world.attempts(URL).len(), 3 * 4 + 1, "no further attempts");
}

#[tokio::test]
async fn a_deployment_may_leave_what_waits_to_the_ladder() {
    let (world, hook) = after_an_outage(false).await;
    world.publish(&opened("D")).await;
    world.advance(MINUTE * 10).await;
    assert_eq!(world.statuses(&hook).await, ["retrying", "retrying", "retrying", "delivered"]);
    world.advance(MINUTE * 2).await;
    assert_eq!(world.statuses(&hook).await, ["delivered"; 4]);
}

/// A's early attempt fails. It was an additional attempt: the ladder's own attempts are made at their times.
#[tokio::test]
async fn what_was_brought_forward_and_fails_has_its_whole_ladder_still() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    let poison = world.publish(&opened("A")).await;
    world.receivers.answers_event(URL, &poison, 422);
    world.advance_to(MINUTE * 10).await;
    world.receivers.answers(URL, 200);
    for n in 0..20 {
        world.publish(&opened(&format!("INC-{n}"))).await;
        world.advance(SECOND).await;
    }
    world.advance(HOUR * 2).await;
    let delivery = world.delivery(&hook, &poison).await;
    let attempts = delivery["attempts"].as_array().unwrap();
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt["number"].as_u64().unwrap()).collect();
    assert_eq!((numbers, text(&delivery["status"])), (vec![1, 2, 3, 4, 4, 5], "failed"));
    let minute = |at: usize| text(&attempts[at]["at"])[14..16].to_owned();
    assert_eq!([minute(3), minute(4), minute(5)], ["32", "43", "43"], "10, 21 and 81 minutes after 14:22:01");
}

/// `Retry-After` can ask for at most an hour after an early attempt, too.
#[tokio::test]
async fn an_early_attempt_honours_retry_after_up_to_an_hour() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 500);
    let event = world.publish(&opened("A")).await;
    world.advance_to(MINUTE * 10).await;
    world.receivers.answers(URL, 200);
    world.receivers.answers_next(URL, [Reply::from(200), Reply::from(503).retry_after("99999")]);
    world.publish(&opened("B")).await;
    world.advance(MINUTE).await;
    assert_eq!(world.delivery(&hook, &event).await["attempts"].as_array().unwrap().len(), 4);
    world.advance(MINUTE * 58).await;
    assert_eq!(world.delivery(&hook, &event).await["status"], "retrying");
    world.advance(MINUTE * 2).await;
    assert_eq!(world.delivery(&hook, &event).await["status"], "delivered");
}
