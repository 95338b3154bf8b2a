//! Lists, counts, and the queries of jobs.

use std::time::Duration;

use statuspulse_core::attempt::{Attempt, Class, Failure, Trigger};
use statuspulse_core::delivery::{AttemptFilter, Delivery, DeliveryFilter, State, Status, Timing};
use statuspulse_core::event::{Event, EventType};
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::ports::DeliveryQuery;

use crate::Stage;

/// Twelve deliveries, a second apart, with alternating types, incidents and states.
struct History {
    stage: Stage,
    webhook: WebhookId,
    /// Oldest first.
    all: Vec<Delivery>,
}

impl History {
    async fn new(stage: Stage) -> Self {
        let webhook = stage.webhook_id();
        let mut all = vec![];
        for n in 0..12 {
            stage.pass(Duration::from_secs(1));
            let event = Event { event_type: EventType::ALL[n % 3], ..stage.event(&format!("INC-{n}")) };
            let event = Event { incident_id: format!("INC-{}", n % 4 + 4 * (n / 8)), ..event };
            let delivery = stage.accepted_event(&event, webhook).await;
            let states = [State::Delivered, State::Failed, State::Held, State::Cancelled, State::Discarded];
            let delivery = Delivery { attempts: attempts(&stage, n), ..delivery };
            all.push(stage.saved(delivery, states[n % 5]).await.delivery);
            // Another webhook has deliveries too, which must not appear in this one's lists.
            stage.accepted(WebhookId::from_bytes([9; 16]), &format!("INC-{n}")).await;
        }
        Self { stage, webhook, all }
    }

    async fn listed(&self, filter: &DeliveryFilter, page: usize) -> Vec<DeliveryId> {
        let mut ids = vec![];
        let mut after = None;
        loop {
            let found = self.stage.store.deliveries(&[self.webhook], filter, after, page).await.unwrap();
            assert!(found.items.len() <= page);
            ids.extend(found.items.iter().map(|delivery| delivery.id));
            after = found.next;
            if after.is_none() {
                return ids;
            }
            assert_eq!(found.items.len(), page, "every page but the last is full");
        }
    }

    fn newest_first(&self, wanted: impl Fn(&Delivery) -> bool) -> Vec<DeliveryId> {
        self.all.iter().rev().filter(|delivery| wanted(delivery)).map(|delivery| delivery.id).collect()
    }
}

pub(crate) async fn every_filter_shows_what_it_names_newest_first(stage: Stage) {
    let history = History::new(stage).await;
    let check = async |filter: DeliveryFilter, wanted: &dyn Fn(&Delivery) -> bool| {
        let expected = history.newest_first(wanted);
        assert_eq!(history.listed(&filter, 50).await, expected, "{filter:?}");
    };
    // Each field has a check below.
    let DeliveryFilter { status: _, event_type: _, incident_id: _, since: _, until: _, attempts: _ } =
        DeliveryFilter::default();
    check(DeliveryFilter::default(), &|_| true).await;
    for status in Status::ALL.iter().copied() {
        let filter = DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
        check(filter, &|delivery| delivery.status() == status).await;
    }
    for event_type in EventType::ALL.iter().copied() {
        let filter = DeliveryFilter { event_type: Some(event_type), ..DeliveryFilter::default() };
        check(filter, &|delivery| delivery.event_type == event_type).await;
    }
    for incident in ["INC-1", "inc-1", "INC-", "' OR 1=1 --"] {
        let filter = DeliveryFilter { incident_id: Some(incident.to_owned()), ..DeliveryFilter::default() };
        check(filter, &|delivery| delivery.incident_id == incident).await;
    }
    let (from, to) = (history.all[3].accepted_at, history.all[9].accepted_at);
    let filter = DeliveryFilter { since: Some(from), until: Some(to), ..DeliveryFilter::default() };
    check(filter.clone(), &|delivery| delivery.accepted_at >= from && delivery.accepted_at < to).await;
    for attempts in attempt_filters() {
        let filter = DeliveryFilter { attempts, ..DeliveryFilter::default() };
        check(filter, &|delivery| attempts.matches(&delivery.attempts)).await;
    }
    let all_at_once = DeliveryFilter {
        status: Some(Status::Held),
        event_type: Some(EventType::IncidentUpdated),
        incident_id: Some("INC-3".to_owned()),
        ..filter
    };
    check(all_at_once, &|delivery| delivery.id == history.all[7].id).await;
    assert_eq!(history.all[7].status(), Status::Held);
}

/// Each shows some deliveries of [`History`] and hides others.
fn attempt_filters() -> Vec<AttemptFilter> {
    let any = AttemptFilter::default();
    vec![
        AttemptFilter { failed: Some(true), ..any },
        AttemptFilter { failed: Some(false), ..any },
        AttemptFilter { class: Some(Class::Timeout), ..any },
        AttemptFilter { status_code: Some(200), ..any },
        AttemptFilter { failed: Some(true), status_code: Some(200), ..any },
    ]
}

/// The attempts of the delivery with this number in [`History`]: none, a success, a failure, or both.
fn attempts(stage: &Stage, n: usize) -> Vec<Attempt> {
    let attempt = |number, failure: Option<Failure>| Attempt {
        number,
        trigger: Trigger::Event,
        at: stage.now(),
        signed_at: stage.now(),
        status_code: failure.is_none().then_some(200),
        failure,
        duration: Duration::from_millis(5),
        response_headers: vec![],
        response: None,
    };
    let failed = || attempt(1, Some(Failure::new(Class::Timeout, "no answer in time")));
    match n % 4 {
        0 => vec![],
        1 => vec![attempt(1, None)],
        2 => vec![failed()],
        _ => vec![failed(), attempt(2, None)],
    }
}

pub(crate) async fn lists_of_several_webhooks_are_merged(stage: Stage) {
    let webhooks: Vec<WebhookId> = (0..5).map(|_| stage.webhook_id()).collect();
    let mut all = vec![];
    for n in 0..40 {
        stage.pass(Duration::from_millis(1));
        // Most deliveries go to one webhook, one webhook gets none, and two webhooks are not in the list.
        let webhook = if n % 4 == 0 { webhooks[n / 4 % 4] } else { webhooks[0] };
        let delivery = stage.accepted(webhook, &format!("INC-{}", n % 3)).await;
        let states = [State::Delivered, State::Failed, State::Held];
        all.push(stage.saved(delivery, states[n % 7 % 3]).await.delivery);
    }
    let asked = [webhooks[0], webhooks[1], webhooks[4]];
    let any = DeliveryFilter::default();
    let filters = [
        any.clone(),
        DeliveryFilter { status: Some(Status::Failed), ..any.clone() },
        DeliveryFilter { incident_id: Some("INC-1".to_owned()), ..any.clone() },
        DeliveryFilter { since: Some(all[5].accepted_at), until: Some(all[30].accepted_at), ..any },
    ];
    for filter in filters {
        let shown = |delivery: &&Delivery| asked.contains(&delivery.webhook_id) && filter.matches(delivery);
        let expected: Vec<DeliveryId> = all.iter().rev().filter(shown).map(|delivery| delivery.id).collect();
        for page in [1, 7, 50] {
            let (mut ids, mut after) = (vec![], None);
            loop {
                let found = stage.store.deliveries(&asked, &filter, after, page).await.unwrap();
                assert!(found.items.len() <= page);
                ids.extend(found.items.iter().map(|delivery| delivery.id));
                after = found.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(ids, expected, "{filter:?}, pages of {page}");
        }
    }
    let none = stage.store.deliveries(&[], &DeliveryFilter::default(), None, 10).await.unwrap();
    assert_eq!((none.items, none.next), (vec![], None));
}

pub(crate) async fn the_deliveries_of_an_event_are_found(stage: Stage) {
    let webhooks: Vec<WebhookId> = (0..4).map(|_| stage.webhook_id()).collect();
    let (event, other) = (stage.event("INC-1"), stage.event("INC-1"));
    for event in [&event, &other] {
        let deliveries = webhooks[..3].iter().map(|webhook| Delivery::new(event, *webhook)).collect();
        stage.store.accept(event, deliveries).await.unwrap();
    }
    let mut found = stage.store.deliveries_of_event(&event, &webhooks[1..]).await.unwrap();
    found.sort_by_key(|delivery| webhooks.iter().position(|webhook| *webhook == delivery.webhook_id));
    let found: Vec<_> = found.iter().map(|delivery| (delivery.event_id, delivery.webhook_id)).collect();
    assert_eq!(found, [(event.id, webhooks[1]), (event.id, webhooks[2])]);
    assert!(stage.store.deliveries_of_event(&stage.event("INC-1"), &webhooks).await.unwrap().is_empty());
}

pub(crate) async fn pages_join_without_a_gap_or_a_repeat(stage: Stage) {
    let history = History::new(stage).await;
    let finished = |delivery: &Delivery| delivery.status() == Status::Delivered;
    let filter = DeliveryFilter { status: Some(Status::Delivered), ..DeliveryFilter::default() };
    for page in [1, 2, 3, 4, 5, 11, 12, 13] {
        let all = history.listed(&DeliveryFilter::default(), page).await;
        assert_eq!(all, history.newest_first(|_| true), "pages of {page}");
        assert_eq!(history.listed(&filter, page).await, history.newest_first(finished), "pages of {page}");
    }
}

pub(crate) async fn a_page_goes_on_where_it_was_though_newer_ones_came(stage: Stage) {
    let history = History::new(stage).await;
    let filter = DeliveryFilter::default();
    let first = history.stage.store.deliveries(&[history.webhook], &filter, None, 5).await.unwrap();
    history.stage.accepted(history.webhook, "INC-NEW").await;
    let second = history.stage.store.deliveries(&[history.webhook], &filter, first.next, 50).await.unwrap();
    let ids: Vec<_> = first.items.iter().chain(&second.items).map(|delivery| delivery.id).collect();
    assert_eq!(ids, history.newest_first(|_| true));
}

pub(crate) async fn the_held_are_counted(stage: Stage) {
    let history = History::new(stage).await;
    let held = history.newest_first(|delivery| delivery.state == State::Held).len();
    assert!(held > 1);
    assert_eq!(history.stage.store.held(history.webhook).await.unwrap(), u64::try_from(held).unwrap());
    assert_eq!(history.stage.store.held(history.stage.webhook_id()).await.unwrap(), 0);
}

pub(crate) async fn a_job_sees_its_part_oldest_first_whatever_the_states(stage: Stage) {
    let webhook = stage.webhook_id();
    let mut kept = vec![];
    for n in 0..12 {
        stage.pass(Duration::from_secs(1));
        let delivery = stage.accepted(webhook, &format!("INC-{n}")).await;
        // `Moving` may omit a delivery that is as accepted, but not one that was promoted.
        let retry = State::Scheduled { number: 2, at: stage.now(), timing: Timing::OnTime };
        let promoted = State::Scheduled { number: 1, at: stage.now(), timing: Timing::OnTime };
        let states = [State::Held, State::Waiting, retry, State::Delivered, State::Failed, promoted];
        let mut saved = stage.saved(delivery, states[n % 6]).await.delivery;
        if saved.state == promoted {
            let waiting = stage.saved(saved, State::Waiting).await.delivery;
            saved = stage.saved(waiting, promoted).await.delivery;
        }
        kept.push(saved);
        stage.accepted(stage.webhook_id(), &format!("INC-{n}")).await;
    }
    let since = kept[5].accepted_at;
    // The second of the two retries is due later.
    let late: Vec<Delivery> = kept
        .iter()
        .filter(|delivery| matches!(delivery.state, State::Scheduled { number: 2, .. }))
        .cloned()
        .collect();
    let later = stage.now().checked_add(Duration::from_secs(300)).unwrap();
    let retry = State::Scheduled { number: 3, at: later, timing: Timing::OnTime };
    let moved = stage.saved(late[1].clone(), retry).await.delivery;
    if let Some(kept) = kept.iter_mut().find(|delivery| delivery.id == moved.id) {
        *kept = moved.clone();
    }
    for (time, expected) in [(stage.now(), vec![moved]), (later, vec![])] {
        assert_eq!(stage.store.query(webhook, DeliveryQuery::DueAfter(time), 5).await.unwrap(), expected);
    }
    type Wanted = fn(Status) -> bool;
    let parts: [(DeliveryQuery, Wanted); 4] = [
        (DeliveryQuery::Held, |status| status == Status::Held),
        (DeliveryQuery::Moving, |status| matches!(status, Status::Waiting | Status::Retrying)),
        (DeliveryQuery::Unfinished, |status| {
            matches!(status, Status::Waiting | Status::Retrying | Status::Held)
        }),
        (DeliveryQuery::FailedSince(since), |status| status == Status::Failed),
    ];
    for (part, wanted) in parts {
        let in_time = |delivery: &&Delivery| {
            !matches!(part, DeliveryQuery::FailedSince(_)) || delivery.accepted_at >= since
        };
        let expected: Vec<_> = kept.iter().filter(|d| wanted(d.status())).filter(in_time).cloned().collect();
        for limit in [0, 1, 3, 4, 100] {
            let page = stage.store.query(webhook, part, limit).await.unwrap();
            assert_eq!(page, expected[..expected.len().min(limit)], "{part:?}, {limit} at most");
        }
    }
}
