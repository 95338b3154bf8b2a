//! Lists of a webhook's deliveries, for its owner and for jobs. Each shard is a list in the order of acceptance. All
//! shards are read concurrently and merged.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures_util::FutureExt;
use statuspulse_core::delivery::{Delivery, DeliveryFilter, State};
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::ports::{DeliveryQuery, Page, PortResult};

use super::Table;
use super::deliveries::read_delivery;
use super::item::{Item, Read, text};
use super::keys::{Mark, PK, SHARDS, SK, delivery_partition, delivery_sort, id_after, id_before};
use super::table::{all_readable, names_in, side_by_side};
use crate::error::failed;

/// The part of a list that comes from one shard.
struct ShardList {
    found: Vec<Delivery>,
    /// The last delivery that was read; older ones were not. `None` if all were read.
    rest: Option<DeliveryId>,
}

impl Table {
    pub(super) async fn list(
        &self,
        webhook: WebhookId,
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> PortResult<Page<Delivery, DeliveryId>> {
        let shards =
            (0..SHARDS).map(|shard| self.list_of_shard(webhook, shard, filter, after, limit + 1).boxed());
        let lists = side_by_side(shards.collect()).await?;
        // A shard that was not read to its end may have more matches past `rest`. So the page ends at the newest
        // `rest`.
        let looked_at = lists.iter().filter_map(|list| list.rest).max();
        let mut items: Vec<Delivery> = lists.into_iter().flat_map(|list| list.found).collect();
        items.sort_unstable_by_key(|delivery| std::cmp::Reverse(delivery.id));
        if let Some(end) = looked_at {
            items.retain(|delivery| delivery.id >= end);
        }
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(|delivery| delivery.id) } else { looked_at };
        Ok(Page { items, next })
    }

    /// Returns matching deliveries, newest first. Stops when it has at least `wanted`.
    async fn list_of_shard(
        &self,
        webhook: WebhookId,
        shard: u8,
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        wanted: usize,
    ) -> PortResult<ShardList> {
        let doing = "listing deliveries";
        let (lowest, highest) = range(filter, after);
        if highest < lowest {
            return Ok(ShardList { found: vec![], rest: None });
        }
        let (conditions, mut values) = conditions(filter);
        values.extend([
            (":pk".to_owned(), text(delivery_partition(webhook, shard))),
            (":lowest".to_owned(), text(lowest)),
            (":highest".to_owned(), text(highest)),
        ]);
        // Without a filter, every delivery that is read is shown, so no more need be read.
        let at_once = match &conditions {
            None => i32::try_from(wanted).unwrap_or(crate::limits::SHARD_PAGE).min(crate::limits::SHARD_PAGE),
            Some(_) => crate::limits::SHARD_PAGE,
        };
        let mut list = ShardList { found: vec![], rest: None };
        let mut start: Option<Item> = None;
        for _ in 0..crate::limits::SHARD_PAGES {
            let request = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .scan_index_forward(false)
                .key_condition_expression(format!("{PK} = :pk AND {SK} BETWEEN :lowest AND :highest"))
                .set_filter_expression(conditions.clone())
                .set_expression_attribute_names(conditions.as_deref().map(|text| names_in([text])))
                .set_expression_attribute_values(Some(values.clone()))
                .limit(at_once)
                .set_exclusive_start_key(start);
            let answer = request.send().await.map_err(failed(doing))?;
            list.found.extend(all_readable(answer.items(), read_delivery, doing));
            start = answer.last_evaluated_key;
            let last = start.as_ref().and_then(|key| key.maybe_text(SK)).and_then(|sk| sk.strip_prefix("d#"));
            list.rest = last.and_then(|id| id.parse().ok());
            if start.is_none() || list.found.len() >= wanted {
                break;
            }
        }
        Ok(list)
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
        let id = |item: &Item| item.maybe_text(SK)?.split_once('#')?.1.parse().ok();
        Ok(items.iter().filter_map(id).collect())
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

/// The lowest and the highest sort key of a list, both included.
fn range(filter: &DeliveryFilter, after: Option<DeliveryId>) -> (String, String) {
    let lowest =
        filter.since.map_or_else(|| "d#".to_owned(), |since| delivery_sort(DeliveryId::lowest_at(since)));
    // `after` and `until` are exclusive.
    let below = [after, filter.until.map(DeliveryId::lowest_at)].into_iter().flatten().min();
    let highest = below.map_or_else(|| "d#~".to_owned(), |below| delivery_sort(id_before(below)));
    (lowest, highest)
}

/// The conditions that cannot be expressed as a range of keys.
fn conditions(filter: &DeliveryFilter) -> (Option<String>, HashMap<String, AttributeValue>) {
    // `range` has the times.
    let DeliveryFilter { status, event_type, incident_id, since: _, until: _ } = filter;
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
