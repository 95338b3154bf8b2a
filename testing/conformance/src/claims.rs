//! Claims: only one worker at a time has an attempt.

use std::time::Duration;

use statuspulse_core::delivery::{Delivery, State, Timing};
use statuspulse_core::limits;
use statuspulse_core::message::AttemptKey;
use statuspulse_core::ports::{Claim, DeliveryQuery};

use crate::Stage;

pub(crate) async fn a_claim_is_exclusive_until_it_expires(stage: Stage) {
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    let until = stage.now().checked_add(limits::CLAIM).unwrap();
    let Claim::Claimed(taken) = stage.claim(&delivery, 1).await else {
        panic!("a free attempt must be claimable")
    };
    assert_eq!(*taken, Delivery { claimed_until: Some(until), ..delivery.clone() });
    let Claim::Later(at) = stage.claim(&delivery, 1).await else { panic!("it was claimed twice") };
    assert_eq!(at, until);

    stage.pass(limits::CLAIM - Duration::from_millis(1));
    assert!(matches!(stage.claim(&delivery, 1).await, Claim::Later(at) if at == until));
    stage.pass(Duration::from_millis(1));
    assert!(matches!(stage.claim(&delivery, 1).await, Claim::Claimed(_)), "a crashed worker's claim expires");
}

pub(crate) async fn one_of_many_concurrent_claims_succeeds(stage: Stage) {
    for round in 0..50 {
        let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
        let now = stage.now();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let store = stage.store.clone();
                tokio::spawn(async move {
                    store
                        .claim(delivery.webhook_id, delivery.id, AttemptKey { round: 1, number: 1 }, now, now)
                        .await
                })
            })
            .collect();
        let mut taken = 0;
        for task in tasks {
            taken += usize::from(matches!(task.await.unwrap().unwrap(), Claim::Claimed(_)));
        }
        assert_eq!(taken, 1, "round {round}");
    }
}

pub(crate) async fn saving_ends_the_claim(stage: Stage) {
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    let Claim::Claimed(taken) = stage.claim(&delivery, 1).await else {
        panic!("a free attempt must be claimable")
    };
    let saved = stage
        .saved(*taken, State::Scheduled { number: 2, at: stage.now(), timing: Timing::OnTime })
        .await
        .delivery;
    assert!(matches!(stage.claim(&saved, 2).await, Claim::Claimed(_)));
    // A save that fails with a conflict does not end the claim.
    assert!(stage.store.save_delivery(&delivery.with_state(State::Held)).await.unwrap().is_err());
    assert!(matches!(stage.claim(&saved, 2).await, Claim::Later(_)));
}

pub(crate) async fn an_attempt_released_until_a_time_is_unclaimed_and_due_then(stage: Stage) {
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    let behind = stage.accepted(delivery.webhook_id, "INC-1").await;
    let at = stage.now().checked_add(Duration::from_secs(1)).unwrap();
    let Claim::Claimed(taken) = stage.claim(&delivery, 1).await else {
        panic!("a free attempt must be claimable")
    };
    let delayed = Delivery { delayed: true, ..(*taken).clone() };
    stage.store.release_until(&delayed, at).await.unwrap();
    assert!(matches!(stage.claim(&delivery, 1).await, Claim::Later(due) if due == at));
    stage.pass(Duration::from_secs(1));
    let Claim::Claimed(again) = stage.claim(&delivery, 1).await else {
        panic!("a due attempt must be claimable")
    };
    let release_until = State::Scheduled { number: 1, at, timing: Timing::OnTime };
    let claimed_until = again.claimed_until;
    let expected = Delivery {
        version: taken.version + 1,
        claimed_until,
        delayed: true,
        ..taken.with_state(release_until)
    };
    assert_eq!(*again, expected);
    let head = stage.store.lane_head(delivery.webhook_id, "INC-1").await.unwrap().unwrap();
    assert_eq!((head.id, behind.state), (delivery.id, State::Waiting), "it keeps its place in the lane");
    let moving = stage.store.query(delivery.webhook_id, DeliveryQuery::Moving, 10).await.unwrap();
    assert!(moving.iter().any(|found| found.id == delivery.id), "it is not in the query: {moving:?}");
    let ended = stage.saved((*again).clone(), State::Delivered).await.delivery;
    let kept = stage.store.delivery(&[delivery.webhook_id], delivery.id).await.unwrap();
    assert_eq!((ended.delayed, kept), (false, Some(ended.clone())), "what is made is not delayed any more");
}

/// The claim expired, because the store was slow or the worker hung. Another worker has the attempt, or has made it.
pub(crate) async fn a_worker_that_lost_its_claim_changes_nothing(stage: Stage) {
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    let Claim::Claimed(slow) = stage.claim(&delivery, 1).await else {
        panic!("a free attempt must be claimable")
    };
    stage.pass(limits::CLAIM);
    let other_until = stage.now().checked_add(limits::CLAIM).unwrap();
    let Claim::Claimed(other) = stage.claim(&delivery, 1).await else { panic!("the claim did not expire") };
    stage.store.release_until(&slow, stage.now()).await.unwrap();
    let too_late = slow.clone().with_state(State::Failed);
    assert!(stage.store.save_delivery(&too_late).await.unwrap().is_err(), "another worker has it");
    assert!(matches!(stage.claim(&delivery, 1).await, Claim::Later(at) if at == other_until));

    let saved = stage.saved((*other).clone(), State::Delivered).await.delivery;
    assert!(stage.store.save_delivery(&too_late).await.unwrap().is_err(), "another worker has made it");
    stage.store.release_until(&other, stage.now()).await.unwrap();
    let kept = stage.store.delivery(&[delivery.webhook_id], delivery.id).await.unwrap();
    assert_eq!(kept, Some(saved), "a late release changes nothing");
}

/// A publisher repeats its call during the attempt, while an earlier delivery of the incident is redelivered.
pub(crate) async fn a_repeated_acceptance_does_not_end_a_claim(stage: Stage) {
    let webhook = stage.webhook_id();
    let first = stage.accepted(webhook, "INC-1").await;
    let first = stage.saved(first, State::Delivered).await.delivery;
    let event = stage.event("INC-1");
    let delivery = stage.accepted_event(&event, webhook).await;
    let Claim::Claimed(claimed) = stage.claim(&delivery, 1).await else {
        panic!("a due attempt must be claimable")
    };
    stage.store.save_delivery(&first.restarted(stage.now())).await.unwrap().unwrap();
    let again = stage.accepted_event(&event, webhook).await;
    assert_eq!((again.id, again.state), (claimed.id, claimed.state));
    assert!(matches!(stage.claim(&delivery, 1).await, Claim::Later(_)), "it is still claimed");
    stage.saved(*claimed, State::Delivered).await;
}

pub(crate) async fn an_attempt_that_is_not_due_cannot_be_claimed(stage: Stage) {
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    let due = stage.now().checked_add(Duration::from_secs(60)).unwrap();
    let delivery =
        stage.saved(delivery, State::Scheduled { number: 2, at: due, timing: Timing::OnTime }).await.delivery;
    assert!(matches!(stage.claim(&delivery, 2).await, Claim::Later(at) if at == due));
    stage.pass(Duration::from_secs(60));
    assert!(matches!(stage.claim(&delivery, 2).await, Claim::Claimed(_)), "the early call did not claim it");
}

pub(crate) async fn an_attempt_that_is_no_longer_scheduled_has_moved(stage: Stage) {
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    let second = stage
        .saved(delivery, State::Scheduled { number: 2, at: stage.now(), timing: Timing::OnTime })
        .await
        .delivery;
    let moved = |claim: Claim, expected: State| {
        let Claim::Moved(delivery) = claim else { panic!("{claim:?} instead of Moved") };
        assert_eq!(delivery.state, expected);
    };
    moved(stage.claim(&second, 1).await, second.state);
    moved(stage.claim(&second, 3).await, second.state);
    let other_round = AttemptKey { round: 2, number: 2 };
    moved(
        stage.store.claim(second.webhook_id, second.id, other_round, stage.now(), stage.now()).await.unwrap(),
        second.state,
    );
    let mut latest = second;
    for state in [State::Held, State::Waiting, State::Delivered] {
        latest = stage.saved(latest, state).await.delivery;
        moved(stage.claim(&latest, 2).await, state);
    }
    let unknown = statuspulse_core::delivery::Delivery::new(&stage.event("INC-2"), stage.webhook_id());
    assert!(matches!(stage.claim(&unknown, 1).await, Claim::Unknown));
}

/// A job claims an attempt before it is due. The claim lasts from now on, like any other.
pub(crate) async fn a_claim_before_the_due_time_is_exclusive_too(stage: Stage) {
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;
    let due = stage.now().checked_add(Duration::from_secs(3600)).unwrap();
    let delivery =
        stage.saved(delivery, State::Scheduled { number: 2, at: due, timing: Timing::OnTime }).await.delivery;
    let key = AttemptKey { round: 1, number: 2 };
    let early = async |due_by| {
        stage.store.claim(delivery.webhook_id, delivery.id, key, due_by, stage.now()).await.unwrap()
    };
    let too_soon = due.checked_sub(Duration::from_secs(1)).unwrap();
    assert!(matches!(early(too_soon).await, Claim::Later(at) if at == due));
    assert!(matches!(early(due).await, Claim::Claimed(_)));
    let until = stage.now().checked_add(limits::CLAIM).unwrap();
    assert!(
        matches!(early(due).await, Claim::Later(at) if at == until),
        "until the claim expires, not until the attempt is due"
    );
    stage.pass(limits::CLAIM);
    assert!(matches!(early(due).await, Claim::Claimed(_)), "it expires like any other");
}
