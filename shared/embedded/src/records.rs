//! Writes records, and sends the messages they call for in the same transaction. When a delivery is finished, that
//! transaction also promotes the next delivery of its lane.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::delivery::{Delivery, State};
use statuspulse_core::event::Event;
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::ports::{Acceptance, Conflict, PortResult, Records, Saved};
use statuspulse_core::record::{millis, write_attempts};
use statuspulse_core::webhook::Webhook;

use crate::Embedded;
use crate::accounts::count_kept;
use crate::columns::{bad, bytes32, readable, time};
use crate::delivery_rows::{delivery_by_id, due_columns, lane_head, state_number};
use crate::queue::Outgoing;

#[async_trait]
impl Records for Embedded {
    fn sends(&self) -> bool {
        true
    }

    async fn accept(&self, event: &Event, deliveries: Vec<Delivery>) -> PortResult<Acceptance> {
        let (event, owner) = (event.clone(), event.account_id);
        let work = move |connection: &Connection, outgoing: &mut Outgoing| {
            let webhooks: Vec<_> = deliveries.iter().map(|delivery| delivery.webhook_id).collect();
            if !insert_event(connection, &event, &webhooks)? {
                return Ok((accepted_before(connection, &event)?, false));
            }
            let kept = deliveries.into_iter().map(|delivery| insert_delivery(connection, delivery));
            let kept: Vec<Delivery> = kept.collect::<rusqlite::Result<_>>()?;
            let messages = kept.iter().filter_map(|delivery| delivery.accepted_message(&event.body));
            outgoing.send(connection, messages)?;
            Ok((Acceptance::Accepted(kept), true))
        };
        let counter = Arc::clone(&self.accepted);
        let count = move |(_, is_new): &(Acceptance, bool)| {
            counter.fetch_add(u64::from(*is_new), Ordering::Relaxed);
        };
        let (acceptance, _) = self.write_and_send(Some(owner), "accepting an event", work, count).await?;
        Ok(acceptance)
    }

    async fn save_delivery(&self, delivery: &Delivery) -> PortResult<Result<Saved, Conflict>> {
        if !self.claims.renew(delivery, self.clock.now()) {
            return Ok(Err(Conflict));
        }
        let (delivery, now) = (Delivery { claimed_until: None, ..delivery.clone() }, self.clock.now());
        let (id, owner, claims) = (delivery.id, delivery.account_id, self.claims.clone());
        let work = move |connection: &Connection, outgoing: &mut Outgoing| {
            let Ok(delivery) = update_delivery(connection, delivery)? else { return Ok(Err(Conflict)) };
            send_for(connection, outgoing, &delivery, now)?;
            Ok(Ok(Saved { delivery, has_successor: false }))
        };
        let after = move |saved: &Result<Saved, Conflict>| {
            if saved.is_ok() {
                claims.release(id);
            }
        };
        self.write_and_send(Some(owner), "changing a delivery", work, after).await
    }

    async fn create_webhook(&self, webhook: &Webhook) -> PortResult<()> {
        self.insert_webhook(webhook).await
    }

    async fn save_webhook(&self, webhook: &Webhook) -> PortResult<Result<(), Conflict>> {
        self.update_webhook(webhook).await
    }

    async fn remove_unreadable_webhook(&self, id: WebhookId, entry: &AccountEntry) -> PortResult<()> {
        self.delete_unreadable_webhook(id, entry).await
    }
}

// --- Accepting -------------------------------------------------------------------------------------------

/// Stores the event and the ids of the webhooks it goes to. Returns `false` if an event with this id exists.
pub(crate) fn insert_event(
    connection: &Connection,
    event: &Event,
    webhooks: &[WebhookId],
) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO events (id, account_id, event_type, incident_id, monitor_groups, body, fingerprint,
               accepted_at, webhooks) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING";
    let ids: Vec<u8> = webhooks.iter().flat_map(|webhook| webhook.to_bytes()).collect();
    let groups = serde_json::to_string(&event.monitor_groups).map_err(bad)?;
    let changed = connection.prepare_cached(sql)?.execute((
        event.id.to_bytes(),
        event.account_id.to_bytes(),
        event.event_type.name(),
        &event.incident_id,
        groups,
        &event.body[..],
        event.fingerprint,
        millis(event.accepted_at),
        ids,
    ))?;
    if changed == 1 {
        let body_bytes = u64::try_from(event.body.len()).unwrap_or(u64::MAX);
        count_kept(connection, event.account_id, body_bytes, webhooks.len(), 1)?;
    }
    Ok(changed == 1)
}

fn insert_delivery(connection: &Connection, delivery: Delivery) -> rusqlite::Result<Delivery> {
    let delivery = if lane_is_occupied(connection, &delivery, i64::MAX)? {
        delivery.with_state(State::Waiting)
    } else {
        delivery
    };
    insert_row(connection, &delivery)?;
    Ok(delivery)
}

/// Stores a delivery as it is. Returns `false` if one with this id exists.
pub(crate) fn insert_row(connection: &Connection, delivery: &Delivery) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO deliveries (id, event_id, event_type, incident_id, account_id, webhook_id, accepted_at,
               round, first_outage, last_outage, state, number, due, timing, ladder_due, attempts, trigger, version,
               delayed)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
               ON CONFLICT (id) DO NOTHING";
    let (number, due, timing, ladder_due) = due_columns(delivery.state);
    let changed = connection.prepare_cached(sql)?.execute(params![
        delivery.id.to_bytes(),
        delivery.event_id.to_bytes(),
        delivery.event_type.name(),
        delivery.incident_id,
        delivery.account_id.to_bytes(),
        delivery.webhook_id.to_bytes(),
        millis(delivery.accepted_at),
        delivery.round,
        delivery.failed_in.map(|failed| failed.first),
        delivery.failed_in.map(|failed| failed.last),
        state_number(delivery.status()),
        number,
        due,
        timing,
        ladder_due,
        write_attempts(&delivery.attempts).map_err(bad)?,
        delivery.trigger.name(),
        i64::try_from(delivery.version).unwrap_or(i64::MAX),
        delivery.delayed,
    ])?;
    Ok(changed == 1)
}

/// The answer for an event id that is already stored: the deliveries it has, if its content is the same.
fn accepted_before(connection: &Connection, event: &Event) -> rusqlite::Result<Acceptance> {
    let sql = "SELECT fingerprint, webhooks, accepted_at FROM events WHERE id = ?1";
    let (fingerprint, webhooks, accepted_at): ([u8; 32], Vec<u8>, Timestamp) =
        connection.prepare_cached(sql)?.query_row([event.id.to_bytes()], |row| {
            Ok((bytes32(row, "fingerprint")?, row.get("webhooks")?, time(row, "accepted_at")?))
        })?;
    if fingerprint != event.fingerprint {
        return Ok(Acceptance::Different);
    }
    let mut deliveries = vec![];
    for webhook in webhooks.as_chunks::<16>().0 {
        let id = DeliveryId::derive(event.id, accepted_at, WebhookId::from_bytes(*webhook));
        deliveries.extend(readable(delivery_by_id(connection, id))?.flatten());
    }
    Ok(Acceptance::Accepted(deliveries))
}

/// Whether the delivery's lane has an unfinished delivery with a `seq` below `before`.
fn lane_is_occupied(connection: &Connection, delivery: &Delivery, before: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM deliveries WHERE webhook_id = ?1 AND incident_id = ?2 AND state < 3 AND seq < ?3 LIMIT 1";
    connection.prepare_cached(sql)?.exists((delivery.webhook_id.to_bytes(), &delivery.incident_id, before))
}

// --- Changing --------------------------------------------------------------------------------------------

fn update_delivery(connection: &Connection, asked: Delivery) -> rusqlite::Result<Result<Delivery, Conflict>> {
    let version = i64::try_from(asked.version).unwrap_or(i64::MAX);
    let seq: Option<i64> = connection
        .prepare_cached("SELECT seq FROM deliveries WHERE id = ?1 AND version = ?2")?
        .query_row((asked.id.to_bytes(), version), |row| row.get(0))
        .optional()?;
    let Some(seq) = seq else { return Ok(Err(Conflict)) };
    // A retry has already had its turn in the lane.
    let asks_for_its_turn = matches!(asked.state, State::Scheduled { number: 1, .. });
    let delivery = if asks_for_its_turn && lane_is_occupied(connection, &asked, seq)? {
        asked.with_state(State::Waiting)
    } else {
        asked
    };
    let sql =
        "UPDATE deliveries SET round = ?2, first_outage = ?3, last_outage = ?4, state = ?5, number = ?6,
               due = ?7, timing = ?8, ladder_due = ?9, attempts = ?10, trigger = ?11, delayed = ?12,
               version = version + 1 WHERE seq = ?1";
    let (number, due, timing, ladder_due) = due_columns(delivery.state);
    connection.prepare_cached(sql)?.execute((
        seq,
        delivery.round,
        delivery.failed_in.map(|failed| failed.first),
        delivery.failed_in.map(|failed| failed.last),
        state_number(delivery.status()),
        number,
        due,
        timing,
        ladder_due,
        write_attempts(&delivery.attempts).map_err(bad)?,
        delivery.trigger.name(),
        delivery.delayed,
    ))?;
    Ok(Ok(Delivery { version: delivery.version + 1, ..delivery }))
}

/// Sends what a delivery's new state calls for. If it is finished, promotes the next delivery of its lane.
fn send_for(
    connection: &Connection,
    outgoing: &mut Outgoing,
    delivery: &Delivery,
    now: Timestamp,
) -> rusqlite::Result<()> {
    // Without the payload, which is read from the event later.
    outgoing.send(connection, delivery.attempt_message(&Bytes::new()))?;
    outgoing.send(connection, delivery.failed_event())?;
    if !delivery.is_finished() {
        return Ok(());
    }
    let head = readable(lane_head(connection, delivery.webhook_id, &delivery.incident_id))?.flatten();
    if let Some(head) = head.filter(|head| head.state == State::Waiting)
        && let Ok(promoted) = update_delivery(connection, head.promoted(now))?
    {
        outgoing.send(connection, promoted.attempt_message(&Bytes::new()))?;
    }
    Ok(())
}
