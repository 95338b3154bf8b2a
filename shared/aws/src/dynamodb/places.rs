//! Where the list of a lane is stored.
//!
//! A lane has an item with the newest places: its end. An append is one write of this item, so the order is total. When
//! the end has [`PLACES`] places, it becomes a segment, an item of its own, and an empty end follows. So a write costs the
//! same however long the lane is, and no item nears DynamoDB's limit of 400 KB. Most lanes have no segment.
//!
//! The sort key of a segment contains its first id, so segments are in the order of the lane. A segment that gets more
//! places, because finished deliveries return to the lane, is split. One whose deliveries are all finished is removed.
//!
//! The end also stores when the first delivery was accepted, and when the last one was appended. A list of an incident
//! reads only what lies in between. This costs no extra write.
//!
//! Read the end before the segments. If it becomes a segment in between, its places are then seen twice; the other way
//! round they would not be seen.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use statuspulse_core::delivery::Delivery;
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::ports::{PortResult, Unavailable};

use super::Table;
use super::events::later;
use super::item::{Item, Read, binary, expiry, time};
use super::keys::{Key, SK, id_after, lane_partition, segment_sort};
use super::table::{Change, Condition, Order, Written, pause_before};
use crate::error::failed;
use crate::limits::{APPENDED_WITHIN, LANE_TRIES, PLACES, SEGMENTS_AT_ONCE};

/// Below and above all ids.
pub(super) const LOWEST: DeliveryId = DeliveryId::from_bytes([0; 16]);
pub(super) const HIGHEST: DeliveryId = DeliveryId::from_bytes([255; 16]);

/// The lane of an incident at a webhook.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane<'a> {
    pub(super) webhook: WebhookId,
    pub(super) incident_id: &'a str,
}

impl<'a> Lane<'a> {
    pub(super) fn of(delivery: &'a Delivery) -> Self {
        Self { webhook: delivery.webhook_id, incident_id: &delivery.incident_id }
    }

    fn key(self, part: Part) -> Key<'a> {
        match part {
            Part::End => Key::Lane(self.webhook, self.incident_id),
            Part::Segment(first) => Key::LaneSegment(self.webhook, self.incident_id, first),
        }
    }
}

/// A part of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    End,
    /// The one with this id in its key.
    Segment(DeliveryId),
}

/// The places of one part, in order.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) part: Part,
    pub(super) ids: Vec<DeliveryId>,
    /// Whether the lane may have segments.
    pub(super) has_segments: bool,
}

impl Places {
    fn of_end(item: &Item) -> Self {
        Self { part: Part::End, ids: read_ids(item), has_segments: item.contains_key("segments") }
    }

    /// Those ahead of a delivery.
    pub(super) fn ahead_of(&self, id: DeliveryId) -> &[DeliveryId] {
        let mine = self.ids.iter().position(|place| *place == id).unwrap_or(self.ids.len());
        &self.ids[..mine]
    }
}

/// Which segments to search for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Towards {
    /// From the first one on, or from the first one after this id.
    Front(Option<DeliveryId>),
    /// From the last one back, or from the last one whose key is this id or below.
    Back(Option<DeliveryId>),
}

impl Table {
    pub(super) async fn end_of(&self, lane: Lane<'_>) -> PortResult<Places> {
        let item = self.get(lane.key(Part::End), "reading a lane").await?;
        Ok(Places::of_end(&item.unwrap_or_default()))
    }

    /// The lowest and the highest id that a delivery of the lane can have. `None` if the lane has none.
    pub(super) async fn span_of(&self, lane: Lane<'_>) -> PortResult<Option<(DeliveryId, DeliveryId)>> {
        let doing = "reading a lane";
        let Some(end) = self.get(lane.key(Part::End), doing).await? else { return Ok(None) };
        let at = |name| end.maybe_time(name).map_err(failed(doing));
        let first = at("first")?.and_then(|first| first.checked_sub(APPENDED_WITHIN).ok());
        let last = at("last")?.map(|last| later(last, APPENDED_WITHIN));
        let lowest = DeliveryId::lowest_at(first.unwrap_or(Timestamp::UNIX_EPOCH));
        let highest = last.map_or(HIGHEST, DeliveryId::lowest_at);
        // An earlier version did not store the times. Then the first place may be before the first that was stored.
        Ok(Some((read_ids(&end).into_iter().fold(lowest, DeliveryId::min), highest)))
    }

    /// At most `limit` segments in this direction.
    pub(super) async fn segments(
        &self,
        lane: Lane<'_>,
        towards: Towards,
        limit: usize,
    ) -> PortResult<Vec<Places>> {
        let (lowest, highest) = (LOWEST, HIGHEST);
        let (from, to) = match towards {
            Towards::Front(after) => (after.map_or(lowest, id_after), highest),
            Towards::Back(from) => (lowest, from.unwrap_or(highest)),
        };
        let order = if matches!(towards, Towards::Front(_)) { Order::Up } else { Order::Down };
        let partition = lane_partition(lane.webhook, lane.incident_id);
        let keys = (segment_sort(from), segment_sort(to));
        let items = self.range_in(order, partition, keys, limit, "reading a lane").await?;
        let segment = |item: &Item| {
            let first = item.maybe_text(SK)?.strip_prefix("s#")?.parse().ok()?;
            Some(Places { part: Part::Segment(first), ids: read_ids(item), has_segments: true })
        };
        Ok(items.iter().filter_map(segment).collect())
    }

    /// The part of the lane that has this delivery. If none has it, the error is the end.
    async fn part_with(&self, delivery: &Delivery) -> PortResult<Result<Places, Places>> {
        let end = self.end_of(Lane::of(delivery)).await?;
        if end.ids.contains(&delivery.id) {
            return Ok(Ok(end));
        }
        if !end.has_segments {
            return Ok(Err(end));
        }
        Ok(self.segment_with(delivery).await?.ok_or(end))
    }

    /// The segment that has this delivery. Places are in the order in which they were appended, and ids in the order of
    /// acceptance, which is the same but for deliveries that were accepted within [`APPENDED_WITHIN`].
    async fn segment_with(&self, delivery: &Delivery) -> PortResult<Option<Places>> {
        let (lane, id) = (Lane::of(delivery), delivery.id);
        let has_it = |near: Vec<Places>| near.into_iter().find(|segment| segment.ids.contains(&id));
        if let Some(found) = has_it(self.segments(lane, Towards::Back(Some(id)), 2).await?) {
            return Ok(Some(found));
        }
        let accepted_at = delivery.accepted_at;
        let earliest = accepted_at.checked_sub(APPENDED_WITHIN).unwrap_or(Timestamp::MIN);
        let latest = DeliveryId::lowest_at(later(accepted_at, APPENDED_WITHIN));
        let mut after = DeliveryId::lowest_at(earliest);
        if let Some(found) = has_it(self.segments(lane, Towards::Back(Some(after)), 1).await?) {
            return Ok(Some(found));
        }
        while after < latest {
            let page = self.segments(lane, Towards::Front(Some(after)), SEGMENTS_AT_ONCE).await?;
            let Some(Part::Segment(last)) = page.last().map(|segment| segment.part) else { break };
            if let Some(found) = has_it(page) {
                return Ok(Some(found));
            }
            after = last;
        }
        Ok(None)
    }

    /// Appends a delivery's id, unless the end has it already. Returns the end.
    pub(super) async fn append(&self, delivery: &Delivery) -> PortResult<Places> {
        let lane = Lane::of(delivery);
        let id = binary(delivery.id.to_bytes());
        for again in 0..LANE_TRIES {
            pause_before(again).await;
            let change = Change {
                key: lane.key(Part::End),
                update:
                    "SET #places = list_append(if_not_exists(#places, :none), :mine), #expires = :until, \
                         #first = if_not_exists(#first, :accepted), #last = :now"
                        .to_owned(),
                condition:
                    "attribute_not_exists(#places) OR (size(#places) < :most AND NOT contains(#places, :id))"
                        .into(),
                values: HashMap::from([
                    (":none".to_owned(), AttributeValue::L(vec![])),
                    (":mine".to_owned(), AttributeValue::L(vec![id.clone()])),
                    (":most".to_owned(), AttributeValue::N(PLACES.to_string())),
                    (":id".to_owned(), id.clone()),
                    (":until".to_owned(), self.until()),
                    (":accepted".to_owned(), time(delivery.accepted_at)),
                    (":now".to_owned(), time(self.clock.now())),
                ]),
            };
            let end = match self.update(change, "entering a lane").await? {
                Written::Done(item) => return Ok(Places::of_end(&item)),
                Written::Refused(item) => Places::of_end(&item),
            };
            if end.ids.contains(&delivery.id) {
                return Ok(end);
            }
            self.make_room(lane, &end).await?;
        }
        Err(too_many("entering a lane"))
    }

    /// Appends a delivery that an interrupted call may have appended before, perhaps to what is a segment now. Returns the
    /// part that has it.
    pub(super) async fn append_again(&self, delivery: &Delivery) -> PortResult<Places> {
        match self.part_with(delivery).await? {
            Ok(found) => Ok(found),
            Err(_) => self.append(delivery).await,
        }
    }

    /// Returns the part that has a delivery that was in the lane before. If it has been removed since, inserts it again,
    /// before the deliveries of later events.
    pub(super) async fn places_around(&self, delivery: &Delivery) -> PortResult<Places> {
        let (lane, id) = (Lane::of(delivery), delivery.id);
        for again in 0..LANE_TRIES {
            pause_before(again).await;
            let end = match self.part_with(delivery).await? {
                Ok(found) => return Ok(found),
                Err(end) => end,
            };
            let part = self.part_for(lane, id, end).await?;
            if part.ids.len() >= PLACES {
                self.make_room(lane, &part).await?;
                continue;
            }
            let mut ids = part.ids.clone();
            ids.insert(ids.iter().position(|other| *other > id).unwrap_or(ids.len()), id);
            if self.replace(lane, &part, &ids).await? {
                return Ok(Places { ids, ..part });
            }
        }
        Err(too_many("entering a lane again"))
    }

    /// The part that this delivery belongs to, by the order of the events.
    async fn part_for(&self, lane: Lane<'_>, id: DeliveryId, end: Places) -> PortResult<Places> {
        if !end.has_segments || end.ids.first().is_some_and(|first| *first < id) {
            return Ok(end);
        }
        let before = self.segments(lane, Towards::Back(Some(id)), 1).await?;
        match before.into_iter().next() {
            Some(segment) => Ok(segment),
            None => Ok(self.segments(lane, Towards::Front(None), 1).await?.into_iter().next().unwrap_or(end)),
        }
    }

    /// Makes a segment of the end, or two of a segment. Does nothing if the part has changed since it was read.
    async fn make_room(&self, lane: Lane<'_>, full: &Places) -> PortResult<()> {
        let stay = match full.part {
            Part::End => 0,
            Part::Segment(_) => full.ids.len() / 2,
        };
        let (stays, goes) = full.ids.split_at(stay);
        let Some(first) = goes.first() else { return Ok(()) };
        let last = match full.part {
            Part::End => self.segments(lane, Towards::Back(None), 1).await?.pop(),
            Part::Segment(_) => None,
        };
        let key = match last.map(|segment| segment.part) {
            // After all others, though its first delivery may have been accepted a moment before the last of them.
            Some(Part::Segment(last)) => id_after(last).max(*first),
            _ => *first,
        };
        let segment =
            HashMap::from([("places".to_owned(), list(goes)), ("expires".to_owned(), self.until())]);
        let writes = vec![
            self.put_write(lane.key(Part::Segment(key)), segment, Condition::IS_NEW)?,
            self.update_write(Change {
                key: lane.key(full.part),
                update: "SET #places = :new, #segments = :yes, #expires = :until".to_owned(),
                condition: "#places = :read".into(),
                values: HashMap::from([
                    (":read".to_owned(), list(&full.ids)),
                    (":new".to_owned(), list(stays)),
                    (":yes".to_owned(), AttributeValue::Bool(true)),
                    (":until".to_owned(), self.until()),
                ]),
            })?,
        ];
        // If it was refused, the part has changed, and the caller reads it again.
        self.transact(writes, "making room in a lane").await.map(drop)
    }

    /// Replaces the list of a part with `new`. Returns `false` if it is no longer as it was `read`.
    pub(super) async fn replace(
        &self,
        lane: Lane<'_>,
        read: &Places,
        new: &[DeliveryId],
    ) -> PortResult<bool> {
        let unchanged = "#places = :read";
        let change = Change {
            key: lane.key(read.part),
            update: "SET #places = :new, #expires = :until".to_owned(),
            condition: match (read.part, read.ids.as_slice()) {
                (Part::End, []) => format!("attribute_not_exists(#places) OR {unchanged}").into(),
                _ => unchanged.into(),
            },
            values: HashMap::from([
                (":read".to_owned(), list(&read.ids)),
                (":new".to_owned(), list(new)),
                (":until".to_owned(), self.until()),
            ]),
        };
        Ok(matches!(self.update(change, "changing a lane").await?, Written::Done(_)))
    }

    /// Removes a segment, unless it has changed since it was read.
    pub(super) async fn remove_segment(&self, lane: Lane<'_>, segment: &Places) -> PortResult<()> {
        let delete =
            self.client.delete_item().table_name(&self.name).set_key(Some(lane.key(segment.part).item()));
        let delete = delete
            .condition_expression("places = :read")
            .expression_attribute_values(":read", list(&segment.ids));
        match delete.send().await.map_err(|error| error.into_service_error()) {
            Ok(_) => Ok(()),
            Err(error) if error.is_conditional_check_failed_exception() => Ok(()),
            Err(error) => Err(Unavailable { doing: "shortening a lane", source: error.into() }),
        }
    }

    fn until(&self) -> AttributeValue {
        expiry(later(self.clock.now(), limits::UNFINISHED_RETENTION))
    }
}

fn too_many(doing: &'static str) -> Unavailable {
    Unavailable { doing, source: "too many concurrent changes".into() }
}

fn list(ids: &[DeliveryId]) -> AttributeValue {
    AttributeValue::L(ids.iter().map(|id| binary(id.to_bytes())).collect())
}

fn read_ids(item: &Item) -> Vec<DeliveryId> {
    let Some(AttributeValue::L(places)) = item.get("places") else { return vec![] };
    let id = |place: &AttributeValue| {
        let bytes: [u8; 16] = place.as_b().ok().map(Blob::as_ref)?.try_into().ok()?;
        Some(DeliveryId::from_bytes(bytes))
    };
    places.iter().filter_map(id).collect()
}
