//! A page of a list looks at a bounded number of rows, however long the history is.

use std::time::Duration;

use statuspulse_core::delivery::{DeliveryFilter, State, Status};
use statuspulse_core::event::EventType;
use statuspulse_core::ids::DeliveryId;
use statuspulse_core::ports::Deliveries;

use crate::stage::Stage;

/// All pages of a list: the ids, and the number of pages.
async fn all(
    stage: &Stage,
    webhook: statuspulse_core::ids::WebhookId,
    filter: &DeliveryFilter,
) -> (Vec<DeliveryId>, usize) {
    let (mut ids, mut pages, mut after) = (vec![], 0, None);
    loop {
        let page = stage.store.deliveries(&[webhook], filter, after, 50).await.unwrap();
        ids.extend(page.items.iter().map(|delivery| delivery.id));
        pages += 1;
        after = page.next;
        if after.is_none() {
            return (ids, pages);
        }
    }
}

#[tokio::test]
async fn a_page_may_be_short_and_its_cursor_goes_on() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let (mut found, mut delivered) = (vec![], vec![]);
    for n in 0..4_500 {
        let delivery = stage.accepted(webhook, &format!("INC-{n}")).await;
        if n % 4_000 == 1 {
            found.push(delivery.id);
            stage.saved(delivery, State::Failed).await;
        } else if n > 4_490 {
            delivered.push(delivery.id);
            stage.saved(delivery, State::Delivered).await;
        }
    }
    // Two filters and the index of one: three pages of rows are looked at, and none matches.
    let rare = DeliveryFilter { event_type: Some(EventType::IncidentResolved), ..DeliveryFilter::default() };
    let both = DeliveryFilter { status: Some(Status::Retrying), ..rare.clone() };
    assert_eq!(all(&stage, webhook, &both).await, (vec![], 3));
    // An index finds a type or a status at once.
    assert_eq!(all(&stage, webhook, &rare).await, (vec![], 1));
    found.reverse();
    let failed = DeliveryFilter { status: Some(Status::Failed), ..DeliveryFilter::default() };
    assert_eq!(all(&stage, webhook, &failed).await, (found, 1));
    delivered.reverse();
    let done = DeliveryFilter { status: Some(Status::Delivered), ..DeliveryFilter::default() };
    assert_eq!(all(&stage, webhook, &done).await, (delivered, 1));
}

#[tokio::test]
async fn a_time_long_ago_is_found_without_a_look_at_what_came_after() {
    let stage = Stage::new();
    let webhook = stage.webhook_id();
    let old = stage.accepted(webhook, "INC-OLD").await;
    stage.pass(Duration::from_secs(48 * 3600));
    let midday = stage.now();
    let mut newer = vec![];
    stage.pass(Duration::from_secs(48 * 3600));
    for n in 0..2_500 {
        newer.push(stage.accepted(webhook, &format!("INC-{n}")).await.id);
    }
    let until = DeliveryFilter { until: Some(midday), ..DeliveryFilter::default() };
    assert_eq!(all(&stage, webhook, &until).await, (vec![old.id], 1));
    let since = DeliveryFilter { since: Some(midday), ..DeliveryFilter::default() };
    newer.reverse();
    assert_eq!(all(&stage, webhook, &since).await.0, newer);
}
