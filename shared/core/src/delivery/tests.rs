//! The changes of a delivery, as tables.

use super::*;
use crate::attempt::{Class, Failure};
use crate::destination::Consequence;
use crate::fixtures::{active_webhook, at};
use crate::webhook::{JobKind, PauseReason};

fn delivery(state: State, failed_in: Option<FailedIn>) -> Delivery {
    Delivery {
        id: DeliveryId::from_bytes([4; 16]),
        event_id: EventId::from_bytes([5; 16]),
        event_type: EventType::IncidentOpened,
        incident_id: "INC-1".to_owned(),
        account_id: AccountId::from_bytes([2; 16]),
        webhook_id: WebhookId::from_bytes([1; 16]),
        accepted_at: at(0),
        round: 1,
        trigger: Trigger::Event,
        failed_in,
        state,
        delayed: false,
        attempts: vec![],
        version: 3,
        claimed_until: None,
    }
}

fn attempt(number: u8) -> Attempt {
    Attempt {
        number,
        trigger: Trigger::Event,
        at: at(1000),
        signed_at: at(1000),
        status_code: Some(503),
        failure: Some(Failure::new(Class::Http5xx, "It answered 503.")),
        duration: Duration::ZERO,
        response_headers: vec![],
        response: None,
    }
}

fn on_time(number: u8, seconds: i64) -> State {
    State::Scheduled { number, at: at(seconds), timing: Timing::OnTime }
}

fn early(number: u8, ladder_at: i64) -> State {
    State::Scheduled { number, at: at(1000), timing: Timing::Early { ladder_at: at(ladder_at) } }
}

#[test]
fn a_failed_attempt_goes_on_where_the_ladder_has_the_next() {
    let climb = Consequence::Retry;
    let minutes = |count: u64| Some(Duration::from_secs(60 * count));
    // State before, attempt number, consequence of the answer, Retry-After, state after. The time is second 1000.
    let table = [
        (on_time(1, 1000), 1, climb, None, on_time(2, 1060)),
        (on_time(2, 1000), 2, climb, None, on_time(3, 1300)),
        (on_time(4, 1000), 4, climb, None, on_time(5, 4600)),
        (on_time(5, 1000), 5, climb, None, State::Failed),
        (on_time(1, 1000), 1, climb, minutes(10), on_time(2, 1600)),
        (on_time(4, 1000), 4, climb, minutes(10), on_time(5, 4600)),
        (on_time(1, 1000), 1, Consequence::GiveUp, None, State::Failed),
        // An early attempt leaves the ladder's own at its time, or later if the receiver asks for it.
        (
            early(3, 1300),
            3,
            climb,
            None,
            State::Scheduled { number: 3, at: at(1300), timing: Timing::AfterEarly },
        ),
        (
            early(3, 1300),
            3,
            climb,
            minutes(10),
            State::Scheduled { number: 3, at: at(1600), timing: Timing::AfterEarly },
        ),
        // If the ladder's own time is near, the early attempt replaces it: the next rung counts from there.
        (early(3, 1010), 3, climb, None, on_time(4, 1910)),
        (early(3, 1030), 3, climb, None, on_time(4, 1930)),
        (early(5, 1010), 5, climb, None, State::Failed),
        (
            State::Scheduled { number: 3, at: at(1000), timing: Timing::AfterEarly },
            3,
            climb,
            None,
            on_time(4, 1900),
        ),
    ];
    for (before, number, consequence, retry_after, expected) in table {
        let after = AfterFailure { consequence, retry_after, ladder: &Ladder::default() };
        let next =
            delivery(before, None).after_failure(attempt(number), after, Some(&active_webhook()), at(1000));
        assert_eq!(next.state, expected, "{before:?} {consequence:?} {retry_after:?}");
        assert_eq!(next.failed_in, Some(FailedIn { first: 0, last: 0 }));
        assert_eq!(next.attempts.len(), 1);
    }
}

#[test]
fn what_its_webhook_became_meanwhile_decides() {
    let mut paused = active_webhook();
    paused.pause(PauseReason::Manual, None, crate::audit::Actor::OWNER, at(900));
    let mut resumed = paused.clone();
    resumed.resume(JobKind::Release, 0, crate::audit::Actor::OWNER, at(901));
    let mut deleted = active_webhook();
    deleted.delete(crate::audit::Actor::OWNER, at(900));
    let before_the_resume = Some(FailedIn { first: 0, last: 0 });
    let table = [
        (Some(&paused), None, State::Held),
        (Some(&deleted), None, State::Cancelled),
        (None, None, State::Cancelled),
        // The webhook was paused and resumed since the first failure: the ladder starts over.
        (Some(&resumed), before_the_resume, State::Held),
        (Some(&resumed), None, on_time(3, 1300)),
    ];
    for (webhook, failed_in, expected) in table {
        let after =
            AfterFailure { consequence: Consequence::Retry, retry_after: None, ladder: &Ladder::default() };
        let next = delivery(on_time(2, 1000), failed_in).after_failure(attempt(2), after, webhook, at(1000));
        assert_eq!(next.state, expected, "{webhook:?}");
    }
}

#[test]
fn a_retry_is_made_early_once_a_rung_and_only_if_it_failed_before_the_outage_ended() {
    let failed = |last| Some(FailedIn { first: 0, last });
    let expected =
        State::Scheduled { number: 3, at: at(1001), timing: Timing::Early { ladder_at: at(1300) } };
    let table = [
        (on_time(3, 1300), failed(1), Some(expected)),
        (on_time(3, 1300), failed(2), None),
        (on_time(3, 1300), None, None),
        (on_time(1, 1300), failed(1), None),
        (early(3, 1300), failed(1), None),
        (State::Scheduled { number: 3, at: at(1300), timing: Timing::AfterEarly }, failed(1), None),
        (State::Held, failed(1), None),
    ];
    for (before, failed_in, expected) in table {
        let next = delivery(before, failed_in).retried_early(at(1001), 1);
        assert_eq!(next.map(|delivery| delivery.state), expected, "{before:?} {failed_in:?}");
    }
}

#[test]
fn a_retry_that_is_asked_for_is_made_now_and_the_ladder_keeps_its_time() {
    let early = |at_second, ladder| State::Scheduled {
        number: 3,
        at: at(at_second),
        timing: Timing::Early { ladder_at: at(ladder) },
    };
    let after_early = State::Scheduled { number: 3, at: at(1060), timing: Timing::AfterEarly };
    let table = [
        (on_time(3, 1060), Some(early(1000, 1060))),
        (after_early, Some(early(1000, 1060))),
        (early(1001, 1060), Some(early(1000, 1060))),
        // Due already.
        (on_time(3, 1000), None),
        (early(1000, 1060), None),
        // The first attempt is never early.
        (on_time(1, 1060), None),
        (State::Waiting, None),
        (State::Held, None),
        (State::Failed, None),
    ];
    for (before, expected) in table {
        let next = delivery(before, None).retried_now(at(1000));
        assert_eq!(next.map(|delivery| delivery.state), expected, "{before:?}");
    }
    for (now, own) in [(900, Some(at(1060))), (1060, None), (1055, None)] {
        assert_eq!(delivery(early(900, 1060), None).own_attempt_after(at(now)), own, "{now}");
    }
    assert_eq!(delivery(on_time(3, 1060), None).own_attempt_after(at(0)), None);
}

#[test]
fn each_state_says_what_it_calls_for() {
    let body = Bytes::from_static(b"{}");
    let due = |delivery: &Delivery| delivery.attempt_message(&body).map(|message| message.due);
    assert_eq!(due(&delivery(on_time(2, 1060), None)), Some(at(1060)));
    for state in
        [State::Waiting, State::Held, State::Delivered, State::Failed, State::Discarded, State::Cancelled]
    {
        assert_eq!(due(&delivery(state, None)), None, "{state:?}");
    }
    let accepted = |state| delivery(state, None).accepted_message(&body).is_some();
    assert!(accepted(on_time(1, 0)) && accepted(State::Waiting), "every accepted delivery has a message");
    let retried = Delivery { attempts: vec![attempt(1)], ..delivery(on_time(2, 60), None) };
    assert!(retried.accepted_message(&body).is_none(), "its message was sent before");
    let mut given_up = delivery(State::Failed, None);
    assert_eq!(given_up.failed_event(), None, "it was never attempted");
    given_up.attempts.push(attempt(5));
    assert!(given_up.failed_event().is_some());
    assert_eq!(Delivery { state: State::Delivered, ..given_up }.failed_event(), None);
}

#[test]
fn a_released_delivery_starts_a_new_ladder() {
    let failed = delivery(State::Failed, Some(FailedIn { first: 1, last: 2 }));
    let held = delivery(on_time(2, 1000), failed.failed_in).with_state(State::Held);
    for (held, trigger) in [(held, Trigger::Resume), (failed.requested_again(), Trigger::Redelivery)] {
        assert_eq!((held.state, held.trigger), (State::Held, trigger));
        let next = held.restarted(at(2000));
        assert_eq!((next.state, next.trigger), (on_time(1, 2000), trigger));
        assert_eq!(
            (next.round, next.failed_in),
            (2, None),
            "the outages of an earlier round do not count for this one"
        );
    }
}

#[test]
fn a_delivery_says_who_set_it_going() {
    // Round, version, state; whether it is released, and whether it is as accepted.
    let table = [
        (1, 0, on_time(1, 0), false, true),
        (1, 3, on_time(1, 0), false, false),
        (1, 0, State::Waiting, false, false),
        (2, 3, on_time(1, 0), true, false),
        (2, 3, on_time(2, 0), false, false),
        (2, 3, State::Waiting, false, false),
    ];
    for (round, version, state, drained, as_accepted) in table {
        let delivery = Delivery { round, version, ..delivery(state, None) };
        assert_eq!(
            (delivery.is_released(), delivery.is_as_accepted()),
            (drained, as_accepted),
            "{delivery:?}"
        );
    }
}

#[test]
fn fifty_long_answers_stay_far_below_the_size_of_an_item() {
    let mut delivery = delivery(on_time(1, 0), None);
    // Bytes that are not text, which become three bytes each, and quotes, which JSON escapes.
    let body = crate::attempt::response_text(&[0xff; limits::RESPONSE_KEPT_BYTES]);
    let headers = vec![("x-long".to_owned(), "\"".repeat(limits::RESPONSE_HEADERS_KEPT_BYTES))];
    for n in 0..120 {
        let long =
            Attempt { response: body.clone(), response_headers: headers.clone(), ..attempt(n % 5 + 1) };
        delivery = delivery.with_attempt(long);
    }
    assert_eq!(delivery.attempts.len(), limits::ATTEMPTS_KEPT);
    let stored = crate::record::write_attempts(&delivery.attempts).unwrap();
    assert!(stored.len() < 100_000, "{} bytes", stored.len());
    let with_answer = delivery.attempts.iter().filter(|attempt| attempt.response.is_some()).count();
    assert_eq!(with_answer, 3);
    assert!(delivery.attempts[limits::ATTEMPTS_KEPT - 3..].iter().all(|attempt| attempt.response.is_some()));

    // Ordinary answers are all kept.
    let short = Attempt { response: Some("x".repeat(200)), ..attempt(1) };
    let mut delivery = self::delivery(on_time(1, 0), None);
    for _ in 0..limits::ATTEMPTS_KEPT {
        delivery = delivery.with_attempt(short.clone());
    }
    assert!(delivery.attempts.iter().all(|attempt| attempt.response.is_some()));
}

#[test]
fn a_delivery_was_slow_if_its_last_attempt_was() {
    let took = |seconds| Attempt { duration: Duration::from_secs(seconds), ..attempt(1) };
    let table =
        [(vec![], false), (vec![4], false), (vec![5], true), (vec![5, 4], false), (vec![0, 30], true)];
    for (durations, was_slow) in table {
        let attempts = durations.iter().copied().map(took).collect();
        let delivery = Delivery { attempts, ..delivery(State::Delivered, None) };
        assert_eq!(delivery.was_slow(), was_slow, "{durations:?}");
    }
}

#[test]
fn the_end_of_a_ladder_is_known_in_advance() {
    let minutes = |count: i64| Some(at(1000 + 60 * count));
    let table = [
        (on_time(1, 1000), None),
        (on_time(2, 1000), minutes(80)),
        (on_time(3, 1000), minutes(75)),
        (on_time(5, 1000), minutes(0)),
        // The early attempt is additional.
        (early(4, 1060), minutes(61)),
        (State::Held, None),
    ];
    for (state, ends) in table {
        assert_eq!(delivery(state, None).ladder_ends_at(&Ladder::default()), ends, "{state:?}");
    }
}
