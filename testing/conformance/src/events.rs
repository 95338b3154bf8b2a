//! Acceptance of events, and their deliveries.

use std::time::Duration;

use std::sync::Arc;

use bytes::Bytes;
use statuspulse_core::delivery::{Delivery, FailedIn, State, Timing};
use statuspulse_core::event::Event;
use statuspulse_core::ports::{Acceptance, Conflict};

use crate::Stage;

async fn accept(stage: &Stage, event: &Event, deliveries: Vec<Delivery>) -> Vec<Delivery> {
    match stage.store.accept(event, deliveries).await.unwrap() {
        Acceptance::Accepted(deliveries) => deliveries,
        Acceptance::Different => panic!("the event was taken for another one"),
    }
}

pub(crate) async fn an_accepted_event_is_kept_byte_for_byte_with_its_deliveries(stage: Stage) {
    let (one, two) = (stage.webhook_id(), stage.webhook_id());
    let mut event = stage.event("INC-\"1\"\n");
    event.body =
        Bytes::from("{\"n\":1240.50,\"big\":9223372036854775809,\"e\":1e21,\"x\":\"\\u00e9 é \u{1f525}\"}");
    let asked = vec![Delivery::new(&event, one), Delivery::new(&event, two)];
    assert_eq!(accept(&stage, &event, asked.clone()).await, asked);

    let stage = stage.reopened().await;
    assert_eq!(stage.store.event(event.id).await.unwrap(), Some(Arc::new(event.clone())));
    for delivery in &asked {
        assert_eq!(
            stage.store.delivery(&[delivery.webhook_id], delivery.id).await.unwrap().as_ref(),
            Some(delivery)
        );
    }
    let unknown = stage.event("INC-2");
    assert!(stage.store.event(unknown.id).await.unwrap().is_none());
    assert!(stage.store.delivery(&[one], Delivery::new(&unknown, one).id).await.unwrap().is_none());
}

/// A repeated call completes a call that failed: its caller sends the messages of deliveries that have not begun.
pub(crate) async fn an_event_accepted_again_answers_with_the_deliveries_it_had_then_as_they_stand_now(
    stage: Stage,
) {
    let (one, two, late) = (stage.webhook_id(), stage.webhook_id(), stage.webhook_id());
    let event = stage.event("INC-1");
    let to = |webhook| Delivery::new(&event, webhook);
    let first = accept(&stage, &event, vec![to(one), to(two)]).await;
    stage.saved(first[0].clone(), State::Delivered).await;

    for stage in [stage.beside().await, stage] {
        // Meanwhile a third webhook matches the event, and the first no longer does.
        let again = accept(&stage, &event, vec![to(two), to(late)]).await;
        let states: Vec<_> = again.iter().map(|delivery| (delivery.webhook_id, delivery.state)).collect();
        assert_eq!(states, [(one, State::Delivered), (two, first[1].state)]);
        assert!(stage.store.delivery(&[late], to(late).id).await.unwrap().is_none(), "no second fan-out");
    }
}

pub(crate) async fn a_repeated_event_without_deliveries_is_recognised(stage: Stage) {
    let event = stage.event("INC-1");
    assert_eq!(accept(&stage, &event, vec![]).await, []);
    let late = Delivery::new(&event, stage.webhook_id());
    assert_eq!(accept(&stage, &event, vec![late]).await, []);
}

pub(crate) async fn another_event_of_a_known_id_is_different_and_changes_nothing(stage: Stage) {
    let webhook = stage.webhook_id();
    let event = stage.event("INC-1");
    accept(&stage, &event, vec![Delivery::new(&event, webhook)]).await;
    let other = Event { fingerprint: [8; 32], body: Bytes::from_static(b"{}"), ..event.clone() };
    let fresh = Delivery::new(&other, stage.webhook_id());
    let answer = stage.store.accept(&other, vec![fresh.clone()]).await.unwrap();
    assert!(matches!(answer, Acceptance::Different));
    assert_eq!(stage.store.event(event.id).await.unwrap(), Some(Arc::new(event)));
    assert!(stage.store.delivery(&[fresh.webhook_id], fresh.id).await.unwrap().is_none());
}

pub(crate) async fn saving_a_delivery_from_an_old_version_is_a_conflict_and_writes_nothing(stage: Stage) {
    let read = stage.accepted(stage.webhook_id(), "INC-1").await;
    let saved = stage.saved(read.clone(), State::Delivered).await;
    assert_eq!(saved.delivery.version, 1);
    let stale = stage.store.save_delivery(&read.clone().with_state(State::Held)).await.unwrap();
    assert_eq!(stale.unwrap_err(), Conflict);
    assert_eq!(stage.store.delivery(&[read.webhook_id], read.id).await.unwrap(), Some(saved.delivery));

    let unknown = Delivery::new(&stage.event("INC-2"), stage.webhook_id());
    assert_eq!(stage.store.save_delivery(&unknown).await.unwrap().unwrap_err(), Conflict);
    assert!(stage.store.delivery(&[unknown.webhook_id], unknown.id).await.unwrap().is_none());
}

pub(crate) async fn a_delivery_comes_back_with_all_its_attempts(stage: Stage) {
    use statuspulse_core::attempt::{Attempt, Class, Failure, Trigger};
    let mut delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    for (number, class) in (1..).zip(Class::ALL.iter().copied()) {
        let attempt = Attempt {
            number: number % 5 + 1,
            trigger: Trigger::ALL[usize::from(number) % 3],
            at: stage.now(),
            signed_at: stage.now().checked_sub(Duration::from_millis(u64::from(number % 3))).unwrap(),
            status_code: (number % 2 == 0).then_some(503),
            failure: Some(Failure::new(class, format!("because of {}: \"<é>\"", class.name()))),
            duration: std::time::Duration::from_micros(1_234_567),
            response_headers: vec![("x-n".to_owned(), "\"é\"".to_owned()); usize::from(number % 3)],
            response: (number % 3 == 0).then(|| "<h1>\u{fffd}\n".to_owned()),
        };
        let timings = [Timing::OnTime, Timing::Early { ladder_at: stage.now() }, Timing::AfterEarly];
        let state = State::Scheduled { number: 2, at: stage.now(), timing: timings[usize::from(number) % 3] };
        delivery.attempts.push(attempt);
        delivery.failed_in = Some(FailedIn { first: 2, last: 7 });
        delivery = delivery.with_state(state);
        delivery = stage.store.save_delivery(&delivery).await.unwrap().unwrap().delivery;
        let kept = stage.store.delivery(&[delivery.webhook_id], delivery.id).await.unwrap();
        assert_eq!(kept.as_ref(), Some(&delivery));
    }
    let mut stage = stage.reopened().await;
    let is_kept = async |stage: &Stage, delivery: &Delivery| {
        let kept = stage.store.delivery(&[delivery.webhook_id], delivery.id).await.unwrap();
        assert_eq!(kept.as_ref(), Some(delivery));
    };
    is_kept(&stage, &delivery).await;
    for again in [delivery.clone().with_state(State::Held), delivery.requested_again()] {
        let version = stage.store.delivery(&[again.webhook_id], again.id).await.unwrap().unwrap().version;
        let saved = stage.store.save_delivery(&Delivery { version, ..again }).await.unwrap().unwrap();
        stage = stage.reopened().await;
        is_kept(&stage, &saved.delivery).await;
    }
}
