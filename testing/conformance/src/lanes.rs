//! Lanes: the deliveries of one incident to one webhook, in the order of acceptance.

use std::time::Duration;

use statuspulse_core::delivery::{Delivery, State, Timing};
use statuspulse_core::ids::WebhookId;
use statuspulse_core::ports::Saved;

use crate::Stage;

async fn head(stage: &Stage, webhook: WebhookId, incident: &str) -> Option<Delivery> {
    stage.store.lane_head(webhook, incident).await.unwrap()
}

/// Whether a delivery follows the one that ended. The store reports that one waits, or has promoted it in the same
/// step.
async fn goes_on(stage: &Stage, ended: &Saved) -> bool {
    if !stage.store.sends() {
        return ended.has_successor;
    }
    assert!(!ended.has_successor, "a store that promotes must not report a successor");
    let head = head(stage, ended.delivery.webhook_id, &ended.delivery.incident_id).await;
    assert!(
        !head.as_ref().is_some_and(|head| head.state == State::Waiting),
        "it was not promoted in the same step"
    );
    head.is_some()
}

pub(crate) async fn an_event_accepted_behind_an_unfinished_one_of_its_incident_waits(stage: Stage) {
    let (webhook, neighbour) = (stage.webhook_id(), stage.webhook_id());
    let first = stage.accepted(webhook, "INC-1").await;
    assert!(matches!(first.state, State::Scheduled { number: 1, .. }));
    for state in [State::Held, State::Scheduled { number: 3, at: stage.now(), timing: Timing::OnTime }] {
        let latest = stage.store.delivery(&[first.webhook_id], first.id).await.unwrap().unwrap();
        stage.saved(latest, state).await;
        assert_eq!(stage.accepted(webhook, "INC-1").await.state, State::Waiting, "behind {state:?}");
    }
    for (other_webhook, other_incident) in [(webhook, "INC-2"), (neighbour, "INC-1"), (webhook, "inc-1")] {
        let free = stage.accepted(other_webhook, other_incident).await;
        assert!(matches!(free.state, State::Scheduled { .. }), "{other_incident} is a different lane");
    }
}

pub(crate) async fn an_event_accepted_behind_finished_ones_goes_at_once(stage: Stage) {
    let webhook = stage.webhook_id();
    for end in [State::Delivered, State::Failed, State::Discarded, State::Cancelled] {
        let delivery = stage.accepted(webhook, "INC-1").await;
        assert!(matches!(delivery.state, State::Scheduled { .. }), "before {end:?}");
        let ended = stage.saved(delivery, end).await;
        assert!(!goes_on(&stage, &ended).await);
    }
    assert_eq!(head(&stage, webhook, "INC-1").await, None);
}

pub(crate) async fn a_delivery_saved_as_scheduled_behind_an_unfinished_one_waits_instead(stage: Stage) {
    let webhook = stage.webhook_id();
    let first = stage.accepted(webhook, "INC-1").await;
    let second = stage.accepted(webhook, "INC-1").await;
    let third = stage.accepted(webhook, "INC-1").await;
    let go = State::Scheduled { number: 1, at: stage.now(), timing: Timing::OnTime };
    assert_eq!(stage.saved(second.clone(), go).await.delivery.state, State::Waiting);

    let first = stage.saved(first, State::Delivered).await;
    assert!(goes_on(&stage, &first).await);
    let second = head(&stage, webhook, "INC-1").await.unwrap();
    assert_eq!(second.id, stage.store.delivery(&[second.webhook_id], second.id).await.unwrap().unwrap().id);
    assert_eq!(stage.saved(second.clone(), go).await.delivery.state, go, "its lane is free");
    assert_eq!(
        stage.saved(third.clone(), go).await.delivery.state,
        State::Waiting,
        "still behind the second"
    );

    // When the first is redelivered, it is the head of the lane again. The others keep their states.
    let again = stage.store.save_delivery(&first.delivery.restarted(stage.now())).await.unwrap().unwrap();
    assert!(matches!(again.delivery.state, State::Scheduled { number: 1, .. }));
    assert_eq!(head(&stage, webhook, "INC-1").await.unwrap().id, again.delivery.id);
}

pub(crate) async fn the_head_of_a_lane_is_its_first_unfinished_delivery(stage: Stage) {
    let webhook = stage.webhook_id();
    let mut lane = vec![];
    for _ in 0..4 {
        stage.pass(Duration::from_millis(1));
        lane.push(stage.accepted(webhook, "INC-1").await);
    }
    let stage = stage.reopened().await;
    // One in the middle ends out of order. It is no longer in the lane.
    let middle = stage.saved(lane.remove(2), State::Cancelled).await;
    assert!(goes_on(&stage, &middle).await);
    while !lane.is_empty() {
        let expected = lane.remove(0).id;
        let first = head(&stage, webhook, "INC-1").await.unwrap();
        assert_eq!(first.id, expected);
        let ended = stage.saved(first, State::Delivered).await;
        assert_eq!(goes_on(&stage, &ended).await, !lane.is_empty());
    }
    assert_eq!(head(&stage, webhook, "INC-1").await, None);
}

/// Longer than what a store keeps together.
const LONG: usize = 230;

/// A long incident that is delivered one by one. A store may remove finished deliveries from its lanes.
pub(crate) async fn a_long_lane_keeps_its_order_to_the_end(stage: Stage) {
    let webhook = stage.webhook_id();
    let mut lane = vec![];
    for _ in 0..LONG {
        lane.push(stage.accepted(webhook, "INC-1").await.id);
    }
    for (place, id) in lane.iter().enumerate() {
        let first = head(&stage, webhook, "INC-1").await.unwrap();
        assert_eq!(first.id, *id, "at place {place}");
        let first = match first.state {
            State::Waiting => {
                stage.store.save_delivery(&first.promoted(stage.now())).await.unwrap().unwrap().delivery
            }
            _ => first,
        };
        assert!(matches!(first.state, State::Scheduled { .. }), "at place {place}");
        let ended = stage.saved(first, State::Delivered).await;
        assert_eq!(goes_on(&stage, &ended).await, place + 1 < lane.len(), "at place {place}");
    }
    // A finished one from the middle is redelivered. It is alone in the lane, and the next event waits for it.
    let middle = stage.store.delivery(&[webhook], lane[60]).await.unwrap().unwrap();
    let again = stage.store.save_delivery(&middle.restarted(stage.now())).await.unwrap().unwrap();
    assert!(matches!(again.delivery.state, State::Scheduled { number: 1, .. }));
    assert_eq!(stage.accepted(webhook, "INC-1").await.state, State::Waiting);
    let ended = stage.saved(again.delivery, State::Delivered).await;
    assert!(goes_on(&stage, &ended).await);
}

/// All of a long incident are delivered, and then all are redelivered, while a new event waits behind them.
pub(crate) async fn a_long_lane_that_is_redelivered_keeps_its_order(stage: Stage) {
    let webhook = stage.webhook_id();
    let mut lane = vec![];
    for _ in 0..LONG {
        stage.pass(Duration::from_millis(1));
        let delivery = stage.accepted(webhook, "INC-1").await;
        lane.push(stage.saved(delivery, State::Delivered).await.delivery);
    }
    stage.pass(Duration::from_millis(1));
    let newest = stage.accepted(webhook, "INC-1").await;
    for delivery in &lane {
        stage.store.save_delivery(&delivery.clone().with_state(State::Held)).await.unwrap().unwrap();
    }
    let behind = stage.accepted(webhook, "INC-1").await;
    assert_eq!(behind.state, State::Waiting);
    for (n, expected) in lane.iter().map(|delivery| delivery.id).chain([newest.id, behind.id]).enumerate() {
        let first = head(&stage, webhook, "INC-1").await.unwrap();
        assert_eq!(first.id, expected, "at place {n}");
        stage.saved(first, State::Delivered).await;
    }
    assert_eq!(head(&stage, webhook, "INC-1").await, None);
}

/// The same call twice, long before and after: the delivery keeps its place.
pub(crate) async fn an_event_accepted_again_keeps_its_place_in_a_long_lane(stage: Stage) {
    let webhook = stage.webhook_id();
    let event = stage.event("INC-1");
    let first = Delivery::new(&event, webhook);
    stage.store.accept(&event, vec![first.clone()]).await.unwrap();
    for _ in 0..LONG {
        stage.pass(Duration::from_millis(1));
        assert_eq!(stage.accepted(webhook, "INC-1").await.state, State::Waiting);
    }
    stage.store.accept(&event, vec![first.clone()]).await.unwrap();
    let again = stage.store.delivery(&[webhook], first.id).await.unwrap().unwrap();
    assert!(matches!(again.state, State::Scheduled { .. }), "{:?}", again.state);
    assert_eq!(head(&stage, webhook, "INC-1").await.unwrap().id, first.id);
    stage.saved(again, State::Delivered).await;
    assert_ne!(head(&stage, webhook, "INC-1").await.unwrap().id, first.id, "it is in the lane once");
}

/// Finished deliveries that are redelivered return to the lane in the order in which their events were accepted.
pub(crate) async fn deliveries_made_again_keep_the_order_of_their_events(stage: Stage) {
    let webhook = stage.webhook_id();
    let mut lane = vec![];
    for _ in 0..40 {
        stage.pass(Duration::from_millis(1));
        let delivery = stage.accepted(webhook, "INC-1").await;
        lane.push(stage.saved(delivery, State::Delivered).await.delivery);
    }
    for n in [1, 0, 2] {
        stage.store.save_delivery(&lane[n].clone().restarted(stage.now())).await.unwrap().unwrap();
    }
    for (n, expected) in lane[..3].iter().enumerate() {
        let first = head(&stage, webhook, "INC-1").await.unwrap();
        assert_eq!(first.id, expected.id, "at place {n}");
        stage.saved(first, State::Delivered).await;
    }
    assert_eq!(head(&stage, webhook, "INC-1").await, None);
}

/// Either the second delivery does not wait, or the end of the first reports a successor.
pub(crate) async fn an_end_and_an_acceptance_at_the_same_time_never_miss_each_other(stage: Stage) {
    let webhook = stage.webhook_id();
    for round in 0..200 {
        let incident = format!("INC-{round}");
        let first = stage.accepted(webhook, &incident).await.with_state(State::Delivered);
        let event = stage.event(&incident);
        let (store, other) = (stage.store.clone(), stage.store.clone());
        let second = Delivery::new(&event, webhook);
        let id = second.id;
        let (ended, accepted) = tokio::join!(
            tokio::spawn(async move { store.save_delivery(&first).await }),
            tokio::spawn(async move { other.accept(&event, vec![second]).await }),
        );
        accepted.unwrap().unwrap();
        let ended = ended.unwrap().unwrap().unwrap();
        let waits = stage.store.delivery(&[webhook], id).await.unwrap().unwrap().state == State::Waiting;
        assert!(
            ended.has_successor || !waits,
            "round {round}: the second waits, but the first reports no successor"
        );
    }
}
