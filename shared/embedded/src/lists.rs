//! Lists of deliveries: the pages of the API, and those of jobs.

use std::collections::BinaryHeap;

use jiff::Timestamp;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{Connection, OptionalExtension, Row, Rows};
use statuspulse_core::delivery::{Delivery, DeliveryFilter};
use statuspulse_core::event::EventType;
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::ports::{DeliveryQuery, Page};
use statuspulse_core::record::millis;

use crate::columns::{all_readable, bytes16, readable};
use crate::delivery_rows::{HELD, SCHEDULED, WAITING, delivery_row, state_number};
use crate::limits::{CLOCK_SET_BACK, LIST_ROWS, ROWS_AT_A_TIME};

// --- Pages of the API ------------------------------------------------------------------------------------

/// A page of the deliveries to these webhooks that match the filter, newest first. Each field of the filter but
/// `attempts` has an index. Rows are read by one of them, [`LIST_ROWS`] at most; those of several webhooks are merged.
pub(crate) fn page(
    connection: &Connection,
    webhooks: &[WebhookId],
    filter: &DeliveryFilter,
    after: Option<DeliveryId>,
    limit: usize,
) -> rusqlite::Result<Page<Delivery, DeliveryId>> {
    let Some(before) = before(connection, filter.until, after)? else {
        return Ok(Page { items: vec![], next: None });
    };
    let (sql, value) = page_sql(filter);
    let mut statements = Vec::with_capacity(webhooks.len());
    for _ in webhooks {
        statements.push(connection.prepare_cached(&sql)?);
    }
    let mut rows = Newest::default();
    for (statement, webhook) in statements.iter_mut().zip(webhooks) {
        rows.add(statement.query((webhook.to_bytes(), before, &value))?)?;
    }
    let (mut items, mut last) = (vec![], None);
    for looked_at in 0.. {
        let Some(row) = rows.next()? else { break };
        if items.len() == limit || looked_at == LIST_ROWS {
            return Ok(Page { items, next: last });
        }
        if looked_at % ROWS_AT_A_TIME == ROWS_AT_A_TIME - 1 {
            std::thread::yield_now();
        }
        let accepted_at: i64 = row.get("accepted_at")?;
        if filter.since.is_some_and(|since| accepted_at < millis(earlier(since))) {
            break;
        }
        last = Some(DeliveryId::from_bytes(bytes16(row, "id")?));
        if matches(row, accepted_at, filter)? {
            let delivery = readable(delivery_row(row))?;
            items.extend(delivery.filter(|delivery| filter.attempts.matches(&delivery.attempts)));
        }
    }
    Ok(Page { items, next: None })
}

/// Merges rows that are newest first into one such sequence.
#[derive(Default)]
struct Newest<'a> {
    sources: Vec<Rows<'a>>,
    /// The `seq` of the row that each source is at. Sources without more rows are not here.
    heads: BinaryHeap<(i64, usize)>,
    /// The source of the row that was returned last.
    returned: Option<usize>,
}

impl<'a> Newest<'a> {
    fn add(&mut self, source: Rows<'a>) -> rusqlite::Result<()> {
        self.sources.push(source);
        self.advance(self.sources.len() - 1)
    }

    fn next(&mut self) -> rusqlite::Result<Option<&Row<'a>>> {
        if let Some(returned) = self.returned.take() {
            self.advance(returned)?;
        }
        let Some((_, newest)) = self.heads.pop() else { return Ok(None) };
        self.returned = Some(newest);
        Ok(self.sources[newest].get())
    }

    fn advance(&mut self, source: usize) -> rusqlite::Result<()> {
        if let Some(row) = self.sources[source].next()? {
            self.heads.push((row.get("seq")?, source));
        }
        Ok(())
    }
}

/// Where the page begins: below this `seq`. `None` if the cursor's delivery is gone, and all older ones with it.
fn before(
    connection: &Connection,
    until: Option<Timestamp>,
    after: Option<DeliveryId>,
) -> rusqlite::Result<Option<i64>> {
    let newest = match until {
        Some(until) => first_at(connection, until.checked_add(CLOCK_SET_BACK).unwrap_or(Timestamp::MAX))?,
        None => None,
    };
    let newest = newest.unwrap_or(i64::MAX);
    let Some(after) = after else { return Ok(Some(newest)) };
    let sql = "SELECT seq FROM deliveries WHERE id = ?1";
    let cursor: Option<i64> =
        connection.prepare_cached(sql)?.query_row([after.to_bytes()], |row| row.get(0)).optional()?;
    Ok(cursor.map(|cursor| cursor.min(newest)))
}

/// The `seq` of the first delivery that was accepted at this time or later. Ids begin with that time.
fn first_at(connection: &Connection, time: Timestamp) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT seq FROM deliveries WHERE id >= ?1 ORDER BY id LIMIT 1";
    let lowest = DeliveryId::lowest_at(time).to_bytes();
    connection.prepare_cached(sql)?.query_row([lowest], |row| row.get(0)).optional()
}

/// The `seq` of the last delivery that was accepted before this time.
fn last_before(connection: &Connection, time: Timestamp) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT seq FROM deliveries WHERE id < ?1 ORDER BY id DESC LIMIT 1";
    let lowest = DeliveryId::lowest_at(time).to_bytes();
    connection.prepare_cached(sql)?.query_row([lowest], |row| row.get(0)).optional()
}

fn earlier(time: Timestamp) -> Timestamp {
    time.checked_sub(CLOCK_SET_BACK).unwrap_or(Timestamp::MIN)
}

/// The rows by the index of one filter, newest first, and the value for `?3`. Without a filter, those of all types are
/// merged. The partial indexes need the literal `state < 3` or `state > 2`.
fn page_sql(filter: &DeliveryFilter) -> (String, rusqlite::types::Value) {
    let rows = |condition: &str| {
        format!("SELECT * FROM deliveries WHERE webhook_id = ?1 AND seq < ?2 AND {condition}")
    };
    let (rows, value) = match filter {
        DeliveryFilter { incident_id: Some(incident), .. } => {
            (rows("incident_id = ?3"), incident.clone().into())
        }
        DeliveryFilter { status: Some(status), .. } => {
            let state = state_number(*status);
            let part = if state > HELD { "state = ?3 AND state > 2" } else { "state = ?3 AND state < 3" };
            (rows(part), state.into())
        }
        DeliveryFilter { event_type: Some(event_type), .. } => {
            (rows("event_type = ?3"), event_type.name().to_owned().into())
        }
        _ => {
            let of_type =
                |known: &EventType| rows(&format!("?3 IS NULL AND event_type = '{}'", known.name()));
            let all: Vec<String> = EventType::ALL.iter().map(of_type).collect();
            (all.join(" UNION ALL "), rusqlite::types::Value::Null)
        }
    };
    (format!("{rows} ORDER BY seq DESC"), value)
}

/// [`DeliveryFilter::matches`] for the fields that have a column, so that only rows to be shown are decoded.
fn matches(row: &Row<'_>, accepted_at: i64, filter: &DeliveryFilter) -> rusqlite::Result<bool> {
    let DeliveryFilter { status, event_type, incident_id, since, until, attempts: _ } = filter;
    let state: i64 = row.get("state")?;
    Ok(status.is_none_or(|status| state == state_number(status))
        && since.is_none_or(|since| accepted_at >= millis(since))
        && until.is_none_or(|until| accepted_at < millis(until))
        && match incident_id {
            Some(incident) => row.get_ref("incident_id")?.as_str()? == incident,
            None => true,
        }
        && match event_type {
            Some(event_type) => row.get_ref("event_type")?.as_str()? == event_type.name(),
            None => true,
        })
}

// --- Pages of jobs ---------------------------------------------------------------------------------------

/// The webhook's first deliveries that match the query, in the order in which their events were accepted.
pub(crate) fn of_job(
    connection: &Connection,
    webhook: WebhookId,
    query: DeliveryQuery,
    limit: usize,
) -> rusqlite::Result<Vec<Delivery>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let select = |condition: &str, value: i64| -> rusqlite::Result<Vec<Delivery>> {
        let sql =
            format!("SELECT * FROM deliveries WHERE webhook_id = ?1 AND {condition} ORDER BY seq LIMIT ?3");
        let mut statement = connection.prepare_cached(&sql)?;
        all_readable(statement.query_map((webhook.to_bytes(), value, limit), delivery_row)?)
    };
    match query {
        DeliveryQuery::Held => in_states(connection, webhook, &[HELD], limit),
        DeliveryQuery::Moving => in_states(connection, webhook, &[SCHEDULED, WAITING], limit),
        DeliveryQuery::Unfinished => in_states(connection, webhook, &[SCHEDULED, WAITING, HELD], limit),
        DeliveryQuery::Released => select("state = ?2 AND state < 3 AND number = 1 AND round > 1", SCHEDULED),
        DeliveryQuery::DueAfter(time) => {
            select("state = 1 AND state < 3 AND number > 1 AND due > ?2", millis(time))
        }
        DeliveryQuery::FailedSince(since) => failed_since(connection, webhook, since, limit),
    }
}

fn failed_since(
    connection: &Connection,
    webhook: WebhookId,
    since: Timestamp,
    limit: i64,
) -> rusqlite::Result<Vec<Delivery>> {
    let older = last_before(connection, earlier(since))?.unwrap_or(0);
    let sql = "SELECT * FROM deliveries
               WHERE webhook_id = ?1 AND state = 4 AND state > 2 AND seq > ?2 AND accepted_at >= ?3
               ORDER BY seq LIMIT ?4";
    let values = (webhook.to_bytes(), older, millis(since), limit);
    all_readable(connection.prepare_cached(sql)?.query_map(values, delivery_row)?)
}

/// Those of several states, each read by its index, in order.
fn in_states(
    connection: &Connection,
    webhook: WebhookId,
    states: &[i64],
    limit: i64,
) -> rusqlite::Result<Vec<Delivery>> {
    let sql =
        "SELECT * FROM deliveries WHERE webhook_id = ?1 AND state = ?2 AND state < 3 ORDER BY seq LIMIT ?3";
    let mut page = vec![];
    for state in states {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map((webhook.to_bytes(), state, limit), |row| {
            Ok((row.get::<_, i64>("seq")?, delivery_row(row)?))
        })?;
        page.extend(all_readable(rows)?);
    }
    page.sort_unstable_by_key(|(seq, _)| *seq);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(page.into_iter().take(limit).map(|(_, delivery)| delivery).collect())
}

#[cfg(test)]
mod tests {
    use statuspulse_core::delivery::Status;

    use super::*;

    /// The steps in which SQLite would read the page of this filter.
    fn plan(filter: &DeliveryFilter) -> String {
        let folder = tempfile::tempdir().unwrap();
        let connection = crate::open_writer(&folder.path().join("statuspulse.db")).unwrap();
        crate::schema::prepare(&connection).unwrap().unwrap();
        let (sql, value) = page_sql(filter);
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.query_map(([1; 16], i64::MAX, value), |row| row.get::<_, String>("detail"));
        steps.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn each_filter_has_an_index_and_nothing_is_sorted() {
        let of_status = |status| DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
        let mut filters: Vec<_> = Status::ALL
            .iter()
            .map(|status| {
                (of_status(*status), if state_number(*status) > HELD { "finished" } else { "unfinished" })
            })
            .collect();
        let incident_id = Some("INC-1".to_owned());
        filters.push((DeliveryFilter { incident_id, ..of_status(Status::Failed) }, "incidents"));
        let event_type = Some(EventType::IncidentOpened);
        filters.push((DeliveryFilter { event_type, ..DeliveryFilter::default() }, "types"));
        filters.push((DeliveryFilter::default(), "types"));
        for (filter, index) in filters {
            let plan = plan(&filter);
            let reads = plan.matches("SEARCH").count();
            assert_eq!(plan.matches(&format!("USING INDEX {index} ")).count(), reads, "{filter:?}: {plan}");
            assert!(reads > 0 && !plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
        }
    }
}
