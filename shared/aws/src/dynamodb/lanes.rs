//! The lane: the deliveries of one incident to one webhook, in the order their events were accepted.
//!
//! # How order is kept without a transaction
//!
//! A lane is one item with a list of delivery ids; a delivery is appended to it in one write, which answers with the
//! list. So the order is total, and whoever stands in the list is in the table: a delivery is written before its place.
//!
//! A delivery that finds an unfinished one ahead of it (1) is written as waiting, and then (2) flags the nearest
//! unfinished one ahead as `followed`, on the condition that it is unfinished still. Either the flag is set before the
//! end of the one ahead, and whoever writes that end is told of the flag by the same write, and wakes the next; or the
//! condition fails, and the one that wanted to wait sees that the way is free. No moment lies between the two.
//!
//! In a delivery that goes well this costs one write. Ends do not touch the list: finished deliveries at its front are
//! taken off when somebody walks it and there are more than [`TRIM_AT`].

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use statuspulse_core::delivery::{Delivery, State};
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::ports::{Conflict, PortResult, Saved, Unavailable};

use super::Table;
use super::events::later;
use super::item::{Item, binary, expiry, number, text};
use super::keys::Key;
use super::table::{Change, Written};

/// Deliveries that are read at a time when a lane is walked.
const WALKED_AT_ONCE: usize = 16;
/// Finished deliveries at the front of a lane that are left where they are.
const TRIM_AT: usize = 8;
/// Looks at a lane whose deliveries end while it is looked at.
const LOOKS: usize = 20;

impl Table {
    /// Gives a delivery that was just kept its place, and lets it wait if one ahead of it is unfinished.
    pub(super) async fn enter_lane(&self, kept: Delivery) -> PortResult<Result<Delivery, Conflict>> {
        let places = self.append(&kept, Append::Last).await?;
        let Some(unfinished) = self.nearest_unfinished(&kept, &places).await? else { return Ok(Ok(kept)) };
        let asked = kept.state;
        Ok(self.wait_behind(kept, asked, unfinished).await?.map(|saved| saved.delivery))
    }

    /// Replaces a delivery that asks for its turn: it gets it, or waits.
    pub(super) async fn schedule_in_lane(&self, asked: &Delivery) -> PortResult<Result<Saved, Conflict>> {
        let places = self.places_around(asked).await?;
        match self.nearest_unfinished(asked, &places).await? {
            None => self.write_delivery(asked).await,
            Some(unfinished) => self.wait_behind(asked.clone(), asked.state, unfinished).await,
        }
    }

    /// The first unfinished delivery of a lane. If others stand behind it, whoever writes its end will hear of them.
    pub(super) async fn head_of_lane(
        &self,
        webhook: WebhookId,
        incident_id: &str,
    ) -> PortResult<Option<Delivery>> {
        for _ in 0..LOOKS {
            let places = self.places(webhook, incident_id).await?;
            let Some((finished, head)) = self.first_unfinished(webhook, &places).await? else {
                return Ok(None);
            };
            if finished > TRIM_AT {
                self.trim(webhook, incident_id, &places, finished).await?;
            }
            if finished + 1 == places.len() || self.flag(&head).await? {
                return Ok(Some(head));
            }
        }
        Err(Unavailable { doing: "reading a lane", source: "it keeps changing".into() })
    }

    /// The lane of a delivery that was in it before. One that was taken off it since goes to the front: its event was
    /// accepted before those that are still there.
    pub(super) async fn places_around(&self, delivery: &Delivery) -> PortResult<Vec<DeliveryId>> {
        let places = self.places(delivery.webhook_id, &delivery.incident_id).await?;
        if places.contains(&delivery.id) { Ok(places) } else { self.append(delivery, Append::First).await }
    }

    async fn wait_behind(
        &self,
        delivery: Delivery,
        asked: State,
        ahead: Delivery,
    ) -> PortResult<Result<Saved, Conflict>> {
        let waiting = match self.write_delivery(&delivery.moved(State::Waiting)).await? {
            Ok(saved) => saved,
            Err(Conflict) => return Ok(Err(Conflict)),
        };
        let mut ahead = ahead;
        for _ in 0..LOOKS {
            if self.flag(&ahead).await? {
                return Ok(Ok(waiting));
            }
            let places = self.places_around(&waiting.delivery).await?;
            match self.nearest_unfinished(&waiting.delivery, &places).await? {
                Some(unfinished) => ahead = unfinished,
                None => return self.write_delivery(&waiting.delivery.moved(asked)).await,
            }
        }
        Err(Unavailable { doing: "waiting in a lane", source: "it keeps changing".into() })
    }

    async fn places(&self, webhook: WebhookId, incident_id: &str) -> PortResult<Vec<DeliveryId>> {
        let item = self.get(Key::Lane(webhook, incident_id), "reading a lane").await?;
        Ok(item.map(|item| read_places(&item)).unwrap_or_default())
    }

    /// Appends a delivery's id, once. Answers with the list as it is then.
    async fn append(&self, delivery: &Delivery, end: Append) -> PortResult<Vec<DeliveryId>> {
        let list = match end {
            Append::Last => "list_append(if_not_exists(#places, :none), :mine)",
            Append::First => "list_append(:mine, if_not_exists(#places, :none))",
        };
        let id = binary(delivery.id.to_bytes());
        let until = later(self.clock.now(), limits::UNFINISHED_RETENTION);
        let change = Change {
            key: Key::Lane(delivery.webhook_id, &delivery.incident_id),
            update: format!("SET #places = {list}, #expires = :until"),
            condition: "attribute_not_exists(#places) OR NOT contains(#places, :id)".into(),
            values: HashMap::from([
                (":none".to_owned(), AttributeValue::L(vec![])),
                (":mine".to_owned(), AttributeValue::L(vec![id.clone()])),
                (":id".to_owned(), id),
                (":until".to_owned(), expiry(until)),
            ]),
        };
        match self.update(change, "entering a lane").await? {
            Written::Done(item) | Written::Refused(item) => Ok(read_places(&item)),
        }
    }

    /// Sees to it that who writes this delivery's end is told of company. `false` if it is finished.
    async fn flag(&self, delivery: &Delivery) -> PortResult<bool> {
        let change = Change {
            key: Key::Delivery(delivery.webhook_id, delivery.id),
            update: "SET #followed = :yes".to_owned(),
            condition: "#state IN (:waiting, :retrying, :held)".into(),
            values: HashMap::from([
                (":yes".to_owned(), AttributeValue::Bool(true)),
                (":waiting".to_owned(), text("waiting")),
                (":retrying".to_owned(), text("retrying")),
                (":held".to_owned(), text("held")),
            ]),
        };
        Ok(matches!(self.update(change, "waiting in a lane").await?, Written::Done(_)))
    }

    /// The last unfinished delivery ahead of this one in its lane.
    async fn nearest_unfinished(
        &self,
        delivery: &Delivery,
        places: &[DeliveryId],
    ) -> PortResult<Option<Delivery>> {
        let ahead = ahead_of(delivery.id, places);
        for chunk in ahead.rchunks(WALKED_AT_ONCE) {
            let found = self.in_places(delivery.webhook_id, chunk).await?;
            if let Some(unfinished) = found.into_iter().rev().find(|delivery| !delivery.is_finished()) {
                return Ok(Some(unfinished));
            }
        }
        if ahead.len() > TRIM_AT {
            self.trim(delivery.webhook_id, &delivery.incident_id, places, ahead.len()).await?;
        }
        Ok(None)
    }

    /// The first unfinished delivery among these places, and how many places stand before it.
    async fn first_unfinished(
        &self,
        webhook: WebhookId,
        places: &[DeliveryId],
    ) -> PortResult<Option<(usize, Delivery)>> {
        for chunk in places.chunks(WALKED_AT_ONCE) {
            let found = self.in_places(webhook, chunk).await?;
            if let Some(head) = found.into_iter().find(|delivery| !delivery.is_finished()) {
                let before = places.iter().take_while(|id| **id != head.id).count();
                return Ok(Some((before, head)));
            }
        }
        Ok(None)
    }

    /// The deliveries of these places that are in the table still, in the lane's order.
    async fn in_places(&self, webhook: WebhookId, places: &[DeliveryId]) -> PortResult<Vec<Delivery>> {
        let mut found = self.read_deliveries(places.iter().map(|id| (webhook, *id)).collect()).await?;
        found.sort_by_key(|delivery| places.iter().position(|id| *id == delivery.id));
        Ok(found)
    }

    /// Takes the first `finished` places off the front, unless the lane is not what it was any more.
    async fn trim(
        &self,
        webhook: WebhookId,
        incident_id: &str,
        places: &[DeliveryId],
        finished: usize,
    ) -> PortResult<()> {
        let ([first, ..], [.., last]) = (places, places) else { return Ok(()) };
        let rest = places[finished..].iter().map(|id| binary(id.to_bytes())).collect();
        let change = Change {
            key: Key::Lane(webhook, incident_id),
            update: "SET #places = :rest".to_owned(),
            condition: format!(
                "size(#places) = :length AND #places[0] = :first AND #places[{}] = :last",
                places.len() - 1
            )
            .into(),
            values: HashMap::from([
                (":rest".to_owned(), AttributeValue::L(rest)),
                (":length".to_owned(), number(places.len())),
                (":first".to_owned(), binary(first.to_bytes())),
                (":last".to_owned(), binary(last.to_bytes())),
            ]),
        };
        match self.update(change, "trimming a lane").await? {
            Written::Done(_) | Written::Refused(_) => Ok(()),
        }
    }
}

/// Where a delivery's place is made.
#[derive(Clone, Copy)]
enum Append {
    First,
    Last,
}

fn ahead_of(id: DeliveryId, places: &[DeliveryId]) -> &[DeliveryId] {
    let mine = places.iter().position(|place| *place == id).unwrap_or(places.len());
    &places[..mine]
}

fn read_places(item: &Item) -> Vec<DeliveryId> {
    let Some(AttributeValue::L(places)) = item.get("places") else { return vec![] };
    let id = |place: &AttributeValue| {
        let bytes: [u8; 16] = place.as_b().ok().map(Blob::as_ref)?.try_into().ok()?;
        Some(DeliveryId::from_bytes(bytes))
    };
    places.iter().filter_map(id).collect()
}
