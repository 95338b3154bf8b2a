//! The rows of events and deliveries.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};
use statuspulse_core::delivery::{Delivery, FailedIn, State, Status, Timing};
use statuspulse_core::event::{Event, EventType};
use statuspulse_core::ids::{AccountId, DeliveryId, EventId, WebhookId};
use statuspulse_core::record::{from_millis, millis, read_attempts, read_trigger};

use crate::columns::{Unknown, bad, bytes16, bytes32, time};

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
        trigger: read_trigger(row.get_ref("trigger")?.as_str()?),
        failed_in: failed_in(row)?,
        claimed_until: None,
        state: state_of(row)?,
        delayed: row.get("delayed")?,
        attempts: read_attempts(row.get_ref("attempts")?.as_str()?).map_err(bad)?,
        version: row.get::<_, i64>("version")?.unsigned_abs(),
    })
}

fn failed_in(row: &Row<'_>) -> rusqlite::Result<Option<FailedIn>> {
    let first: Option<u32> = row.get("first_outage")?;
    first.map(|first| Ok(FailedIn { first, last: row.get("last_outage")? })).transpose()
}

pub(crate) fn event_row(row: &Row<'_>) -> rusqlite::Result<Event> {
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

fn event_type(row: &Row<'_>) -> rusqlite::Result<EventType> {
    let name = row.get_ref("event_type")?.as_str()?;
    EventType::from_name(name).ok_or_else(|| bad(Unknown("event type", name.to_owned())))
}
