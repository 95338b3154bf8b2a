//! Reads events and deliveries, and claims attempts.
//!
//! Claims are in memory only. They end with the process, so after a restart every due attempt can be claimed at
//! once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use statuspulse_core::delivery::{Delivery, DeliveryFilter};
use statuspulse_core::event::Event;
use statuspulse_core::ids::{DeliveryId, EventId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::message::AttemptKey;
use statuspulse_core::ports::{Claim, Deliveries, DeliveryQuery, Page, PortResult};
use statuspulse_core::record::millis;

use crate::Embedded;
use crate::delivery_rows::{delivery_by_id, event_row, lane_head};
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

    async fn deliveries_of_event(&self, event: &Event, webhooks: &[WebhookId]) -> PortResult<Vec<Delivery>> {
        let id = |webhook: &WebhookId| DeliveryId::derive(event.id, event.accepted_at, *webhook);
        let ids: Vec<DeliveryId> = webhooks.iter().map(id).collect();
        self.readers.read("reading the deliveries of an event", |connection| {
            let found = ids.iter().filter_map(|id| delivery_by_id(connection, *id).transpose());
            found.collect::<rusqlite::Result<Vec<_>>>()
        })
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
        let delayed = delivery.delayed;
        let work = move |connection: &Connection| {
            let sql = "UPDATE deliveries SET due = ?3, delayed = ?4, version = version + 1
                       WHERE id = ?1 AND version = ?2 AND state = 1";
            connection.prepare_cached(sql)?.execute((id.to_bytes(), version, millis(at), delayed))
        };
        let claims = self.claims.clone();
        let after = move |_: &usize| claims.release(id);
        self.writer.write(Some(delivery.account_id), "postponing a delivery", work, after).await.map(drop)
    }

    async fn lane_head(&self, webhook: WebhookId, incident_id: &str) -> PortResult<Option<Delivery>> {
        self.readers.read("reading a lane", |connection| lane_head(connection, webhook, incident_id))
    }

    async fn deliveries(
        &self,
        webhooks: &[WebhookId],
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> PortResult<Page<Delivery, DeliveryId>> {
        let Some(first) = webhooks.first() else { return Ok(Page { items: vec![], next: None }) };
        let (account, webhooks, filter) = (self.owner_of(*first)?, webhooks.to_vec(), filter.clone());
        let read = move |connection: &Connection| lists::page(connection, &webhooks, &filter, after, limit);
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
