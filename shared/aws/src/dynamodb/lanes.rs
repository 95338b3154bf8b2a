//! Lanes: the deliveries of one incident to one webhook, in the order of acceptance.
//!
//! # Order without transactions
//!
//! A lane is one item with a list of delivery ids. Appending an id is one write that returns the list, so the order is
//! total. A delivery is stored before its place in the list, so every listed delivery exists.
//!
//! A delivery with an unfinished one ahead of it is (1) written as waiting, and then (2) sets the flag `followed` on
//! the nearest unfinished delivery ahead, on the condition that this is still unfinished. If the flag is set in time,
//! the write that finishes the delivery ahead returns the flag, and its worker promotes the next delivery. If the
//! condition fails, the lane is free, and the delivery need not wait. There is no gap between the two cases.
//!
//! A delivery that succeeds at once costs one write here. Finishing a delivery does not change the list. Finished
//! deliveries at its front are removed when the lane is read and there are more than [`crate::limits::LANE_TRIM_AT`] of
//! them.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use statuspulse_core::delivery::{Delivery, State};
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::ports::{Conflict, PortResult, Saved, Unavailable};

use super::Table;
use super::events::later;
use super::item::{Item, binary, expiry, text};
use super::keys::Key;
use super::table::{Change, Written, pause_before};

impl Table {
    /// Gives a newly stored delivery its place. If one ahead of it is unfinished, it waits.
    pub(super) async fn enter_lane(&self, kept: Delivery) -> PortResult<Result<Delivery, Conflict>> {
        let places = self.append(&kept).await?;
        let Some(unfinished) = self.nearest_unfinished(&kept, &places).await? else { return Ok(Ok(kept)) };
        let asked = kept.state;
        Ok(self.wait_behind(kept, asked, unfinished).await?.map(|saved| saved.delivery))
    }

    /// Saves a delivery as scheduled, or as waiting if one ahead of it is unfinished.
    pub(super) async fn schedule_in_lane(&self, asked: &Delivery) -> PortResult<Result<Saved, Conflict>> {
        let places = self.places_around(asked).await?;
        match self.nearest_unfinished(asked, &places).await? {
            None => self.write_delivery(asked).await,
            Some(unfinished) => self.wait_behind(asked.clone(), asked.state, unfinished).await,
        }
    }

    /// Returns the first unfinished delivery of a lane. If others are behind it, flags it as `followed`.
    pub(super) async fn head_of_lane(
        &self,
        webhook: WebhookId,
        incident_id: &str,
    ) -> PortResult<Option<Delivery>> {
        for again in 0..crate::limits::LANE_TRIES {
            pause_before(again).await;
            let places = self.places(webhook, incident_id).await?;
            let Some((finished, head)) = self.first_unfinished(webhook, &places).await? else {
                return Ok(None);
            };
            if finished > crate::limits::LANE_TRIM_AT {
                self.replace(webhook, incident_id, &places, &places[finished..]).await?;
            }
            if finished + 1 == places.len() || self.flag(&head).await? {
                return Ok(Some(head));
            }
        }
        Err(Unavailable { doing: "reading a lane", source: "too many concurrent changes".into() })
    }

    /// Returns the list of the lane of a delivery that was in it before. If the delivery has been removed since,
    /// inserts it again, before the deliveries of later events.
    pub(super) async fn places_around(&self, delivery: &Delivery) -> PortResult<Vec<DeliveryId>> {
        for again in 0..crate::limits::LANE_TRIES {
            pause_before(again).await;
            let places = self.places(delivery.webhook_id, &delivery.incident_id).await?;
            if places.contains(&delivery.id) {
                return Ok(places);
            }
            let mine = places.iter().position(|id| *id > delivery.id).unwrap_or(places.len());
            let mut with_it = places.clone();
            with_it.insert(mine, delivery.id);
            if self.replace(delivery.webhook_id, &delivery.incident_id, &places, &with_it).await? {
                return Ok(with_it);
            }
        }
        Err(Unavailable { doing: "entering a lane again", source: "too many concurrent changes".into() })
    }

    async fn wait_behind(
        &self,
        delivery: Delivery,
        asked: State,
        ahead: Delivery,
    ) -> PortResult<Result<Saved, Conflict>> {
        let waiting = match self.write_unclaimed(&delivery.with_state(State::Waiting)).await? {
            Ok(saved) => saved,
            Err(Conflict) => return Ok(Err(Conflict)),
        };
        let mut ahead = ahead;
        for again in 0..crate::limits::LANE_TRIES {
            pause_before(again).await;
            if self.flag(&ahead).await? {
                return Ok(Ok(waiting));
            }
            let places = self.places_around(&waiting.delivery).await?;
            match self.nearest_unfinished(&waiting.delivery, &places).await? {
                Some(unfinished) => ahead = unfinished,
                None => return self.write_delivery(&waiting.delivery.with_state(asked)).await,
            }
        }
        Err(Unavailable { doing: "waiting in a lane", source: "too many concurrent changes".into() })
    }

    async fn places(&self, webhook: WebhookId, incident_id: &str) -> PortResult<Vec<DeliveryId>> {
        let item = self.get(Key::Lane(webhook, incident_id), "reading a lane").await?;
        Ok(item.map(|item| read_places(&item)).unwrap_or_default())
    }

    /// Appends a delivery's id, unless the list has it already. Returns the list after the write.
    async fn append(&self, delivery: &Delivery) -> PortResult<Vec<DeliveryId>> {
        let id = binary(delivery.id.to_bytes());
        let until = later(self.clock.now(), limits::UNFINISHED_RETENTION);
        let change = Change {
            key: Key::Lane(delivery.webhook_id, &delivery.incident_id),
            update: "SET #places = list_append(if_not_exists(#places, :none), :mine), #expires = :until"
                .to_owned(),
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

    /// Sets `followed`, so that the write that finishes this delivery learns that another one waits. Returns `false`
    /// if it is already finished.
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

    /// Returns the last unfinished delivery ahead of this one in its lane.
    async fn nearest_unfinished(
        &self,
        delivery: &Delivery,
        places: &[DeliveryId],
    ) -> PortResult<Option<Delivery>> {
        let ahead = ahead_of(delivery.id, places);
        for chunk in ahead.rchunks(crate::limits::LANE_READ_BATCH) {
            let found = self.in_places(delivery.webhook_id, chunk).await?;
            if let Some(unfinished) = found.into_iter().rev().find(|delivery| !delivery.is_finished()) {
                return Ok(Some(unfinished));
            }
        }
        if ahead.len() > crate::limits::LANE_TRIM_AT {
            // If the lane has changed since, another call will trim it.
            self.replace(delivery.webhook_id, &delivery.incident_id, places, &places[ahead.len()..]).await?;
        }
        Ok(None)
    }

    /// Returns the first unfinished delivery among these places, and how many places are before it.
    async fn first_unfinished(
        &self,
        webhook: WebhookId,
        places: &[DeliveryId],
    ) -> PortResult<Option<(usize, Delivery)>> {
        for chunk in places.chunks(crate::limits::LANE_READ_BATCH) {
            let found = self.in_places(webhook, chunk).await?;
            if let Some(head) = found.into_iter().find(|delivery| !delivery.is_finished()) {
                let before = places.iter().take_while(|id| **id != head.id).count();
                return Ok(Some((before, head)));
            }
        }
        Ok(None)
    }

    /// Returns the deliveries of these places that still exist, in the order of the lane.
    async fn in_places(&self, webhook: WebhookId, places: &[DeliveryId]) -> PortResult<Vec<Delivery>> {
        let mut found = self.read_deliveries(places.iter().map(|id| (webhook, *id)).collect()).await?;
        found.sort_by_key(|delivery| places.iter().position(|id| *id == delivery.id));
        Ok(found)
    }

    /// Replaces the list of a lane with `new`. Returns `false` if it is no longer as it was `read`.
    async fn replace(
        &self,
        webhook: WebhookId,
        incident_id: &str,
        read: &[DeliveryId],
        new: &[DeliveryId],
    ) -> PortResult<bool> {
        let list =
            |ids: &[DeliveryId]| AttributeValue::L(ids.iter().map(|id| binary(id.to_bytes())).collect());
        let until = later(self.clock.now(), limits::UNFINISHED_RETENTION);
        let unchanged = "#places = :read";
        let change = Change {
            key: Key::Lane(webhook, incident_id),
            update: "SET #places = :new, #expires = :until".to_owned(),
            condition: match read {
                [] => format!("attribute_not_exists(#places) OR {unchanged}").into(),
                _ => unchanged.into(),
            },
            values: HashMap::from([
                (":read".to_owned(), list(read)),
                (":new".to_owned(), list(new)),
                (":until".to_owned(), expiry(until)),
            ]),
        };
        Ok(matches!(self.update(change, "changing a lane").await?, Written::Done(_)))
    }
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
