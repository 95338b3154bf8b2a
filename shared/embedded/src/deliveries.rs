//! Reads events and deliveries, and claims attempts.
//!
//! Claims are in memory only. They end with the process, so after a restart every due attempt can be claimed at
//! once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};
use statuspulse_core::delivery::{Delivery, DeliveryFilter, FailedIn, State, Status, Timing};
use statuspulse_core::event::{Event, EventType};
use statuspulse_core::ids::{AccountId, DeliveryId, EventId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::message::AttemptKey;
use statuspulse_core::ports::{Claim, Deliveries, DeliveryQuery, Page, PortResult};
use statuspulse_core::record::{from_millis, millis, read_attempts, read_trigger};

use crate::Embedded;
use crate::columns::{Unknown, bad, bytes16, bytes32, time};
use crate::lists;

/// The claimed deliveries, and until when each claim holds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Claims(Arc<Mutex<HashMap<DeliveryId, Timestamp>>>);

impl Claims {
    fn take(&self, id: DeliveryId, now: Timestamp) -> Result<Timestamp, Timestamp> {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = claims.get(&id).filter(|until| now < **until) {
            return Err(*until);
        }
        let until = now.checked_add(limits::CLAIM).unwrap_or(Timestamp::MAX);
        claims.insert(id, until);
        Ok(until)
    }

    /// Extends the worker's claim for the duration of a write, so that no other worker can claim the delivery
    /// meanwhile. Returns `false` if this worker has lost the claim, and `true` if the delivery was read without one.
    pub(crate) fn renew(&self, delivery: &Delivery, now: Timestamp) -> bool {
        let Some(until) = delivery.claimed_until else { return true };
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match claims.get_mut(&delivery.id).filter(|held| **held == until) {
            Some(held) => {
                *held = now.checked_add(limits::CLAIM).unwrap_or(Timestamp::MAX);
                true
            }
            None => false,
        }
    }

    pub(crate) fn release(&self, id: DeliveryId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

#[async_trait]
impl Deliveries for Embedded {
    async fn event(&self, id: EventId) -> PortResult<Option<Arc<Event>>> {
        let sql = "SELECT * FROM events WHERE id = ?1";
        let event = self.readers.read("reading an event", |connection| {
            connection.prepare_cached(sql)?.query_row([id.to_bytes()], event_row).optional()
        })?;
        Ok(event.map(Arc::new))
    }

    async fn delivery(&self, webhooks: &[WebhookId], id: DeliveryId) -> PortResult<Option<Delivery>> {
        let found = self.readers.read("reading a delivery", |connection| delivery_by_id(connection, id))?;
        Ok(found.filter(|delivery| webhooks.contains(&delivery.webhook_id)))
    }

    async fn claim(
        &self,
        _webhook: WebhookId,
        id: DeliveryId,
        key: AttemptKey,
        due_by: Timestamp,
        now: Timestamp,
    ) -> PortResult<Claim> {
        let claimed_until = match self.claims.take(id, now) {
            Ok(until) => Some(until),
            Err(until) => return Ok(Claim::Later(until)),
        };
        let found = self.readers.read("claiming a delivery", |connection| delivery_by_id(connection, id));
        let claim = match found {
            Err(error) => {
                self.claims.release(id);
                return Err(error);
            }
            Ok(None) => Claim::Unknown,
            Ok(Some(delivery)) => match delivery.due_attempt() {
                Some((next, at)) if next == key && at > due_by => Claim::Later(at),
                Some((next, _)) if next == key => {
                    return Ok(Claim::Claimed(Box::new(Delivery { claimed_until, ..delivery })));
                }
                _ => Claim::Moved(Box::new(delivery)),
            },
        };
        self.claims.release(id);
        Ok(claim)
    }

    async fn release_until(&self, delivery: &Delivery, at: Timestamp) -> PortResult<()> {
        let id = delivery.id;
        if !self.claims.renew(delivery, self.clock.now()) {
            return Ok(());
        }
        let version = i64::try_from(delivery.version).unwrap_or(i64::MAX);
        let work = move |connection: &Connection| {
            let sql = "UPDATE deliveries SET due = ?3, version = version + 1
                       WHERE id = ?1 AND version = ?2 AND state = 1";
            connection.prepare_cached(sql)?.execute((id.to_bytes(), version, millis(at)))
        };
        let claims = self.claims.clone();
        let after = move |_: &usize| claims.release(id);
        self.writer.write("postponing a delivery", work, after).await.map(drop)
    }

    async fn lane_head(&self, webhook: WebhookId, incident_id: &str) -> PortResult<Option<Delivery>> {
        self.readers.read("reading a lane", |connection| lane_head(connection, webhook, incident_id))
    }

    async fn deliveries(
        &self,
        webhook: WebhookId,
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> PortResult<Page<Delivery, DeliveryId>> {
        let (account, filter) = (self.owner_of(webhook)?, filter.clone());
        let read = move |connection: &Connection| lists::page(connection, webhook, &filter, after, limit);
        self.readers.long(account, "listing deliveries", read).await
    }

    async fn query(
        &self,
        webhook: WebhookId,
        query: DeliveryQuery,
        limit: usize,
    ) -> PortResult<Vec<Delivery>> {
        let account = self.owner_of(webhook)?;
        let read = move |connection: &Connection| lists::of_job(connection, webhook, query, limit);
        self.readers.long(account, "reading a page of a job", read).await
    }

    async fn held(&self, webhook: WebhookId) -> PortResult<u64> {
        let account = self.owner_of(webhook)?;
        let read = move |connection: &Connection| {
            let sql = "SELECT count(*) FROM deliveries WHERE webhook_id = ?1 AND state = 2 AND state < 3";
            let count: i64 =
                connection.prepare_cached(sql)?.query_row([webhook.to_bytes()], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        };
        self.readers.long(account, "counting held deliveries", read).await
    }

    async fn durable(&self) -> PortResult<()> {
        self.writer.durable().await
    }
}

// --- States as numbers: below 3 is unfinished, above it not delivered; the partial indexes rely on this -----

pub(crate) const WAITING: i64 = 0;
pub(crate) const SCHEDULED: i64 = 1;
pub(crate) const HELD: i64 = 2;

pub(crate) fn state_number(status: Status) -> i64 {
    match status {
        Status::Waiting => WAITING,
        Status::Retrying => SCHEDULED,
        Status::Held => HELD,
        Status::Delivered => 3,
        Status::Failed => 4,
        Status::Discarded => 5,
        Status::Cancelled => 6,
    }
}

fn state_of(row: &Row<'_>) -> rusqlite::Result<State> {
    Ok(match row.get::<_, i64>("state")? {
        WAITING => State::Waiting,
        SCHEDULED => {
            State::Scheduled { number: row.get("number")?, at: time(row, "due")?, timing: timing(row)? }
        }
        HELD => State::Held,
        3 => State::Delivered,
        4 => State::Failed,
        5 => State::Discarded,
        6 => State::Cancelled,
        other => return Err(bad(Unknown("state", other.to_string()))),
    })
}

fn timing(row: &Row<'_>) -> rusqlite::Result<Timing> {
    let name = row.get_ref("timing")?.as_str()?;
    let ladder_at =
        row.get::<_, Option<i64>>("ladder_due")?.map(|at| from_millis(at).map_err(bad)).transpose()?;
    Timing::from_parts(name, ladder_at).ok_or_else(|| bad(Unknown("timing", name.to_owned())))
}

/// The attempt number, due time, timing and ladder time of a scheduled delivery.
pub(crate) type DueColumns = (Option<u8>, Option<i64>, Option<&'static str>, Option<i64>);

pub(crate) fn due_columns(state: State) -> DueColumns {
    match state {
        State::Scheduled { number, at, timing } => {
            (Some(number), Some(millis(at)), Some(timing.name()), timing.ladder_at().map(millis))
        }
        _ => (None, None, None, None),
    }
}

// --- Reading ---------------------------------------------------------------------------------------------

pub(crate) fn delivery_by_id(connection: &Connection, id: DeliveryId) -> rusqlite::Result<Option<Delivery>> {
    let sql = "SELECT * FROM deliveries WHERE id = ?1";
    connection.prepare_cached(sql)?.query_row([id.to_bytes()], delivery_row).optional()
}

pub(crate) const LANE_HEAD: &str =
    "SELECT * FROM deliveries WHERE webhook_id = ?1 AND incident_id = ?2 AND state < 3 ORDER BY seq LIMIT 1";

/// The first unfinished delivery of a lane.
pub(crate) fn lane_head(
    connection: &Connection,
    webhook: WebhookId,
    incident_id: &str,
) -> rusqlite::Result<Option<Delivery>> {
    let mut statement = connection.prepare_cached(LANE_HEAD)?;
    statement.query_row((webhook.to_bytes(), incident_id), delivery_row).optional()
}

pub(crate) fn delivery_row(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: DeliveryId::from_bytes(bytes16(row, "id")?),
        event_id: EventId::from_bytes(bytes16(row, "event_id")?),
        event_type: event_type(row)?,
        incident_id: row.get("incident_id")?,
        account_id: AccountId::from_bytes(bytes16(row, "account_id")?),
        webhook_id: WebhookId::from_bytes(bytes16(row, "webhook_id")?),
        accepted_at: time(row, "accepted_at")?,
        round: row.get("round")?,
        trigger: read_trigger(row.get_ref("trigger")?.as_str()?).map_err(bad)?,
        failed_in: failed_in(row)?,
        claimed_until: None,
        state: state_of(row)?,
        attempts: read_attempts(row.get_ref("attempts")?.as_str()?).map_err(bad)?,
        version: row.get::<_, i64>("version")?.unsigned_abs(),
    })
}

fn failed_in(row: &Row<'_>) -> rusqlite::Result<Option<FailedIn>> {
    let first: Option<u32> = row.get("first_outage")?;
    first.map(|first| Ok(FailedIn { first, last: row.get("last_outage")? })).transpose()
}

fn event_row(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        id: EventId::from_bytes(bytes16(row, "id")?),
        account_id: AccountId::from_bytes(bytes16(row, "account_id")?),
        event_type: event_type(row)?,
        incident_id: row.get("incident_id")?,
        monitor_groups: serde_json::from_str(row.get_ref("monitor_groups")?.as_str()?).map_err(bad)?,
        body: Bytes::from(row.get::<_, Vec<u8>>("body")?),
        fingerprint: bytes32(row, "fingerprint")?,
        accepted_at: time(row, "accepted_at")?,
    })
}

pub(crate) fn event_type(row: &Row<'_>) -> rusqlite::Result<EventType> {
    let name = row.get_ref("event_type")?.as_str()?;
    EventType::from_name(name).ok_or_else(|| bad(Unknown("event type", name.to_owned())))
}
