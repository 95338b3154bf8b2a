//! Lists of deliveries, for their owner and for jobs. Each shard of a webhook is a list in the order of acceptance. All
//! shards are read concurrently and merged.
//!
//! **No index.** Failed and held deliveries are found by their marks. Those of an incident lie between its first and its
//! last delivery to the webhook, whose times its lane has. With any other filter a call reads a bounded number of
//! deliveries, and the page may be short.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures_util::FutureExt;
use statuspulse_core::delivery::{Delivery, DeliveryFilter, State, Status};
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::ports::{DeliveryQuery, Page, PortResult};

use super::Table;
use super::deliveries::read_delivery;
use super::item::{Item, Read, text};
use super::keys::{Mark, PK, SHARDS, SK, delivery_partition, id_after, id_before};
use super::places::{HIGHEST, LOWEST, Lane};
use super::table::{all_readable, names_in, side_by_side};
use crate::error::failed;
use crate::limits::{LIST_ROUNDS, SHARD_PAGE, SHARD_PAGE_MIN};

/// The part of a list that comes from one shard.
struct ShardList {
    webhook: WebhookId,
    shard: u8,
    /// The lowest id of the list.
    lowest: DeliveryId,
    /// The highest id that was not read yet. `None` if all were read.
    rest: Option<DeliveryId>,
    found: Vec<Delivery>,
}

impl Table {
    pub(super) async fn list(
        &self,
        webhooks: &[WebhookId],
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> PortResult<Page<Delivery, DeliveryId>> {
        let mut lists = self.lists_to_read(webhooks, filter, after).await?;
        // Without a filter, every delivery that is read is shown, so no more need be read.
        let unfiltered = DeliveryFilter { since: filter.since, until: filter.until, ..Default::default() };
        let at_once = if *filter == unfiltered { (limit + 1).min(SHARD_PAGE) } else { SHARD_PAGE };
        let first = (at_once / webhooks.len().max(1)).max(SHARD_PAGE_MIN);
        self.read_on(lists.iter_mut().collect(), filter, first).await?;
        for _ in 0..LIST_ROUNDS {
            let known = read_by_all(&lists);
            if lists.iter().flat_map(|list| &list.found).filter(|each| known(each.id)).count() > limit {
                break;
            }
            let mut open: Vec<_> = lists.iter_mut().filter(|list| list.rest.is_some()).collect();
            if open.is_empty() {
                break;
            }
            open.sort_unstable_by_key(|list| std::cmp::Reverse(list.rest));
            open.truncate(usize::from(SHARDS));
            self.read_on(open, filter, at_once).await?;
        }
        Ok(merged(lists, limit))
    }

    /// The parts of a list. Nothing of them is read yet.
    async fn lists_to_read(
        &self,
        webhooks: &[WebhookId],
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
    ) -> PortResult<Vec<ShardList>> {
        let spans = side_by_side(
            webhooks.iter().map(|webhook| self.span_of_list(*webhook, filter, after).boxed()).collect(),
        )
        .await?;
        let shards = webhooks.iter().zip(spans).flat_map(|(webhook, (lowest, highest))| {
            let rest = (lowest <= highest).then_some(highest);
            (0..SHARDS).map(move |shard| ShardList { webhook: *webhook, shard, lowest, rest, found: vec![] })
        });
        Ok(shards.filter(|list| list.rest.is_some()).collect())
    }

    /// The lowest and the highest id that a webhook's part of a list can have. Nothing can be in it if the lowest is above
    /// the highest.
    async fn span_of_list(
        &self,
        webhook: WebhookId,
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
    ) -> PortResult<(DeliveryId, DeliveryId)> {
        let (mut lowest, mut highest) = (LOWEST, HIGHEST);
        if let Some(incident_id) = &filter.incident_id {
            let lane = Lane { webhook, incident_id };
            let Some(span) = self.span_of(lane).await? else { return Ok((highest, lowest)) };
            (lowest, highest) = span;
        }
        lowest = filter.since.map_or(lowest, |since| lowest.max(DeliveryId::lowest_at(since)));
        // `after` and `until` are exclusive.
        let below = [after, filter.until.map(DeliveryId::lowest_at)].into_iter().flatten().min();
        highest = below.map_or(highest, |below| highest.min(id_before(below)));
        Ok((lowest, highest))
    }

    /// Reads one more page of each of these.
    async fn read_on(
        &self,
        lists: Vec<&mut ShardList>,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> PortResult<()> {
        let calls = lists.into_iter().map(|list| self.read_shard_on(list, filter, limit).boxed());
        side_by_side(calls.collect()).await.map(drop)
    }

    async fn read_shard_on(
        &self,
        list: &mut ShardList,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> PortResult<()> {
        let Some(highest) = list.rest else { return Ok(()) };
        let mark = match filter.status {
            Some(Status::Failed) => Some(Mark::Failed),
            Some(Status::Held) => Some(Mark::Held),
            _ => None,
        };
        let prefix = mark.map_or("d", Mark::letter);
        let (conditions, mut values) =
            if mark.is_some() { (None, HashMap::new()) } else { conditions(filter) };
        values.extend([
            (":pk".to_owned(), text(delivery_partition(list.webhook, list.shard))),
            (":lowest".to_owned(), text(format!("{prefix}#{}", list.lowest))),
            (":highest".to_owned(), text(format!("{prefix}#{highest}"))),
        ]);
        let doing = "listing deliveries";
        let request = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .scan_index_forward(false)
            .key_condition_expression(format!("{PK} = :pk AND {SK} BETWEEN :lowest AND :highest"))
            .set_expression_attribute_names(conditions.as_deref().map(|text| names_in([text])))
            .set_filter_expression(conditions)
            .set_expression_attribute_values(Some(values))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        let answer = request.send().await.map_err(failed(doing))?;
        let found = if mark.is_some() {
            let ids = answer.items().iter().filter_map(id_in_key).map(|id| (list.webhook, id));
            self.read_deliveries(ids.collect()).await?
        } else {
            all_readable(answer.items(), read_delivery, doing)
        };
        list.found.extend(found.into_iter().filter(|delivery| filter.matches(delivery)));
        list.rest = answer.last_evaluated_key.as_ref().and_then(id_in_key).map(id_before);
        Ok(())
    }

    /// Returns the deliveries that match a job's query, oldest first. Finds them by their marks.
    pub(super) async fn marked_page(
        &self,
        webhook: WebhookId,
        query: DeliveryQuery,
        limit: usize,
    ) -> PortResult<Vec<Delivery>> {
        let (marks, since): (&[Mark], _) = match query {
            DeliveryQuery::Held => (&[Mark::Held], None),
            DeliveryQuery::Moving => (&[Mark::Moving, Mark::Released], None),
            DeliveryQuery::Released => (&[Mark::Released], None),
            DeliveryQuery::Unfinished => (&[Mark::Held, Mark::Moving, Mark::Released], None),
            DeliveryQuery::DueAfter(_) => (&[Mark::Moving], None),
            DeliveryQuery::FailedSince(since) => (&[Mark::Failed], Some(DeliveryId::lowest_at(since))),
        };
        if limit == 0 {
            return Ok(vec![]);
        }
        let mut page = vec![];
        let mut from = since;
        loop {
            let mut calls = vec![];
            for mark in marks {
                calls
                    .extend((0..SHARDS).map(|shard| self.marked(webhook, shard, *mark, from, limit).boxed()));
            }
            let mut ids: Vec<DeliveryId> = side_by_side(calls).await?.into_iter().flatten().collect();
            ids.sort_unstable();
            // A delivery whose mark changed between two of these reads is in both.
            ids.dedup();
            ids.truncate(limit);
            let whole = ids.len() == limit;
            from = ids.last().map(|last| id_after(*last));
            let found = self.read_deliveries(ids.into_iter().map(|id| (webhook, id)).collect()).await?;
            page.extend(found.into_iter().filter(|delivery| belongs(delivery, query)));
            // Deliveries that changed after their mark was read were filtered out, so a short page may not be the last.
            if !whole || from.is_none() || page.len() >= limit {
                page.truncate(limit);
                return Ok(page);
            }
        }
    }

    async fn marked(
        &self,
        webhook: WebhookId,
        shard: u8,
        mark: Mark,
        from: Option<DeliveryId>,
        limit: usize,
    ) -> PortResult<Vec<DeliveryId>> {
        let from = from.map_or_else(|| format!("{}#", mark.letter()), |id| mark.sort(id));
        let to = format!("{}#~", mark.letter());
        let partition = delivery_partition(webhook, shard);
        let items = self.range(partition, from, to, limit, "reading a page of a job").await?;
        Ok(items.iter().filter_map(id_in_key).collect())
    }

    pub(super) async fn count_marked(&self, webhook: WebhookId, mark: Mark) -> PortResult<u64> {
        let calls = (0..SHARDS).map(|shard| self.count_of_shard(webhook, shard, mark).boxed()).collect();
        Ok(side_by_side(calls).await?.into_iter().sum())
    }

    async fn count_of_shard(&self, webhook: WebhookId, shard: u8, mark: Mark) -> PortResult<u64> {
        let mut count = 0;
        let mut start: Option<Item> = None;
        loop {
            let request = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .select(Select::Count)
                .key_condition_expression(format!("{PK} = :pk AND begins_with({SK}, :prefix)"))
                .expression_attribute_values(":pk", text(delivery_partition(webhook, shard)))
                .expression_attribute_values(":prefix", text(format!("{}#", mark.letter())))
                .set_exclusive_start_key(start);
            let answer = request.send().await.map_err(failed("counting deliveries"))?;
            count += u64::from(answer.count.unsigned_abs());
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(count);
            }
        }
    }
}

/// Whether a delivery with this id is found, if it exists and is listed: all lists were read down to it.
fn read_by_all(lists: &[ShardList]) -> impl Fn(DeliveryId) -> bool + use<> {
    let rest = lists.iter().filter_map(|list| list.rest).max();
    move |id| rest.is_none_or(|rest| id > rest)
}

/// The page that these lists make. It ends where one of them was not read on.
fn merged(lists: Vec<ShardList>, limit: usize) -> Page<Delivery, DeliveryId> {
    let known = read_by_all(&lists);
    let rest = lists.iter().filter_map(|list| list.rest).max();
    let mut items: Vec<Delivery> = lists.into_iter().flat_map(|list| list.found).collect();
    items.retain(|delivery| known(delivery.id));
    items.sort_unstable_by_key(|delivery| std::cmp::Reverse(delivery.id));
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(|delivery| delivery.id) } else { rest.map(id_after) };
    Page { items, next }
}

/// The delivery's id in a sort key of its own or of its mark.
fn id_in_key(item: &Item) -> Option<DeliveryId> {
    item.maybe_text(SK)?.split_once('#')?.1.parse().ok()
}

/// The conditions that cannot be expressed as a range of keys.
fn conditions(filter: &DeliveryFilter) -> (Option<String>, HashMap<String, AttributeValue>) {
    // The times are in the range of keys, and `attempts` is checked when the delivery was read.
    let DeliveryFilter { status, event_type, incident_id, since: _, until: _, attempts: _ } = filter;
    let mut conditions = vec![];
    let mut values = HashMap::new();
    let mut add = |name: &str, operator: &str, value: AttributeValue| {
        let placeholder = format!(":v{}", values.len());
        conditions.push(format!("#{name} {operator} {placeholder}"));
        values.insert(placeholder, value);
    };
    if let Some(status) = status {
        add("state", "=", text(status.name()));
    }
    if let Some(event_type) = event_type {
        add("event_type", "=", text(event_type.name()));
    }
    if let Some(incident) = incident_id {
        add("incident_id", "=", text(incident));
    }
    ((!conditions.is_empty()).then(|| conditions.join(" AND ")), values)
}

fn belongs(delivery: &Delivery, query: DeliveryQuery) -> bool {
    match query {
        DeliveryQuery::Held => delivery.state == State::Held,
        DeliveryQuery::Moving => matches!(delivery.state, State::Scheduled { .. } | State::Waiting),
        DeliveryQuery::Released => delivery.is_released(),
        DeliveryQuery::Unfinished => !delivery.is_finished(),
        DeliveryQuery::DueAfter(time) => {
            matches!(delivery.state, State::Scheduled { number, at, .. } if number > 1 && at > time)
        }
        DeliveryQuery::FailedSince(since) => delivery.state == State::Failed && delivery.accepted_at >= since,
    }
}
