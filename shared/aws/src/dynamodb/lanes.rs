//! Lanes: the deliveries of one incident to one webhook, in the order of acceptance.
//!
//! # Order without transactions
//!
//! A lane is a list of delivery ids. Appending an id is one write that returns the end of the list, so the order is
//! total. A delivery is stored before its place in the list, so every listed delivery exists. `places.rs` has the items.
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

use aws_sdk_dynamodb::types::AttributeValue;
use statuspulse_core::delivery::{Delivery, State};
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::ports::{Conflict, PortResult, Saved, Unavailable};

use super::Table;
use super::item::text;
use super::keys::{Key, id_before};
use super::places::{Lane, Part, Places, Towards};
use super::table::{Change, Written, pause_before};

impl Table {
    /// Begins a newly stored delivery in its place. If one ahead of it is unfinished, it waits.
    pub(super) async fn enter_lane(
        &self,
        kept: Delivery,
        places: Places,
    ) -> PortResult<Result<Delivery, Conflict>> {
        let Some(unfinished) = self.nearest_unfinished(&kept, places).await? else { return Ok(Ok(kept)) };
        let asked = kept.state;
        Ok(self.wait_behind(kept, asked, unfinished).await?.map(|saved| saved.delivery))
    }

    /// Saves a delivery as scheduled, or as waiting if one ahead of it is unfinished.
    pub(super) async fn schedule_in_lane(&self, asked: &Delivery) -> PortResult<Result<Saved, Conflict>> {
        let places = self.places_around(asked).await?;
        match self.nearest_unfinished(asked, places).await? {
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
        let lane = Lane { webhook, incident_id };
        for again in 0..crate::limits::LANE_TRIES {
            pause_before(again).await;
            let Some((places, finished, head)) = self.first_unfinished(lane).await? else { return Ok(None) };
            if finished > crate::limits::LANE_TRIM_AT {
                self.replace(lane, &places, &places.ids[finished..]).await?;
            }
            let is_last = places.part == Part::End && finished + 1 == places.ids.len();
            if is_last || self.flag(&head).await? {
                return Ok(Some(head));
            }
        }
        Err(Unavailable { doing: "reading a lane", source: "too many concurrent changes".into() })
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
            match self.nearest_unfinished(&waiting.delivery, places).await? {
                Some(unfinished) => ahead = unfinished,
                None => return self.write_delivery(&waiting.delivery.with_state(asked)).await,
            }
        }
        Err(Unavailable { doing: "waiting in a lane", source: "too many concurrent changes".into() })
    }

    /// Makes sure that the end of the delivery ahead promotes this one, which is stored as waiting.
    pub(super) async fn follow(&self, waiting: &Delivery, places: Places) -> PortResult<()> {
        match self.nearest_unfinished(waiting, places).await? {
            Some(ahead) => self.flag(&ahead).await.map(drop),
            None => Ok(()),
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

    /// Returns the last unfinished delivery ahead of this one in its lane. `places` are the part that has it.
    async fn nearest_unfinished(&self, delivery: &Delivery, places: Places) -> PortResult<Option<Delivery>> {
        let lane = Lane::of(delivery);
        let ahead = places.ahead_of(delivery.id);
        if let Some(unfinished) = self.last_unfinished(lane.webhook, ahead).await? {
            return Ok(Some(unfinished));
        }
        if ahead.len() > crate::limits::LANE_TRIM_AT {
            // If the lane has changed since, another call will trim it.
            self.replace(lane, &places, &places.ids[ahead.len()..]).await?;
        }
        if !places.has_segments {
            return Ok(None);
        }
        let mut towards = match places.part {
            Part::End => Towards::Back(None),
            Part::Segment(first) => Towards::Back(Some(id_before(first))),
        };
        while let Some(segment) = self.segments(lane, towards, 1).await?.pop() {
            // The end has become a segment since it was read, so this delivery may be in it, and others behind it.
            let ahead = segment.ahead_of(delivery.id);
            if let Some(unfinished) = self.last_unfinished(lane.webhook, ahead).await? {
                return Ok(Some(unfinished));
            }
            if ahead.len() == segment.ids.len() {
                self.remove_segment(lane, &segment).await?;
            }
            let Part::Segment(first) = segment.part else { break };
            towards = Towards::Back(Some(id_before(first)));
        }
        Ok(None)
    }

    /// Returns the last unfinished delivery of these places.
    async fn last_unfinished(
        &self,
        webhook: WebhookId,
        places: &[DeliveryId],
    ) -> PortResult<Option<Delivery>> {
        for chunk in places.rchunks(crate::limits::LANE_READ_BATCH) {
            let found = self.in_places(webhook, chunk).await?;
            if let Some(unfinished) = found.into_iter().rev().find(|delivery| !delivery.is_finished()) {
                return Ok(Some(unfinished));
            }
        }
        Ok(None)
    }

    /// Returns the first unfinished delivery of a lane, the part that has it, and how many places of it are before.
    async fn first_unfinished(&self, lane: Lane<'_>) -> PortResult<Option<(Places, usize, Delivery)>> {
        let end = self.end_of(lane).await?;
        if end.has_segments {
            while let Some(segment) = self.segments(lane, Towards::Front(None), 1).await?.pop() {
                if let Some((finished, head)) = self.first_of(lane.webhook, &segment.ids).await? {
                    return Ok(Some((segment, finished, head)));
                }
                self.remove_segment(lane, &segment).await?;
            }
        }
        let first = self.first_of(lane.webhook, &end.ids).await?;
        Ok(first.map(|(finished, head)| (end, finished, head)))
    }

    /// Returns the first unfinished delivery of these places, and how many are before it.
    async fn first_of(
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
}
