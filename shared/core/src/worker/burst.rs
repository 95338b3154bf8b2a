//! A channel, such as Slack's, accepts few messages ([`Format::limit`](crate::destination::Format::limit)). Deliveries
//! beyond that are sent together, in one message that counts them (a burst).
//!
//! The worker that takes the channel's slot claims the other due deliveries, and records the outcome for each. A worker
//! that finds the slot taken releases its claim, so that its delivery can join a batch, and tries again later: the
//! first such worker when the next slot is free, the others a little later, by when that batch should contain their
//! deliveries. If all of them returned at once, each would find the others claimed, and no batch would form.
//!
//! If the channel refuses a burst for what is in it, each of its deliveries is sent alone, so that only the one that it
//! does not accept is given up.

use bytes::Bytes;
use jiff::Timestamp;

use super::{Handled, Worker};
use crate::delivery::Delivery;
use crate::destination::RateLimited;
use crate::error::Result;
use crate::event::EventType;
use crate::limits;
use crate::ports::{Claim, DeliveryQuery, RateLimit};
use crate::time::later;

/// A claimed delivery, and the number of the attempt that is due.
pub(super) type Due = (Delivery, u8);

impl Worker {
    /// Sends a delivery to its destination, or waits for the next slot.
    pub(super) async fn send_rate_limited(
        &self,
        due: Due,
        payload: Bytes,
        limit: RateLimited,
    ) -> Result<Handled> {
        let (id, now) = (due.0.webhook_id, self.clock.now());
        let claimed_until = due.0.claimed_until.unwrap_or(now);
        let next = later(now, limit.interval);
        if let Err(free) = self.rate_limits.take(RateLimit::Destination(id), now, next).await? {
            return self.wait_for_slot(&due.0, free).await;
        }
        let all_due = self.claim_batch(due, now).await?;
        let named = self.named_in_burst(&all_due, payload).await?;
        // The webhook is read last, as with every attempt. Deliveries that are not sent now return when their claim
        // expires.
        let webhook = self.webhooks.webhook(id).await?.filter(|webhook| webhook.is_active());
        let Some(webhook) = webhook.filter(|_| !self.may_outlive(claimed_until)) else {
            return Ok(Handled::Again(claimed_until));
        };
        let body = match &named[..] {
            [(event_type, payload)] if all_due.len() == 1 => {
                webhook.settings.render(*event_type, payload, id, &self.deployment)
            }
            _ => {
                let types: Vec<_> = all_due.iter().map(|(delivery, _)| delivery.event_type).collect();
                (limit.burst)(&types, &named)
            }
        };
        self.make_attempt(&webhook, all_due, body).await
    }

    /// Releases the claim, and comes again when the channel's next slot is free or shortly after.
    async fn wait_for_slot(&self, delivery: &Delivery, free: Timestamp) -> Result<Handled> {
        let limit = RateLimit::DestinationQueue(delivery.webhook_id);
        let is_first = self.rate_limits.take(limit, self.clock.now(), free).await?.is_ok();
        self.deliveries.release_until(delivery, free).await?;
        Ok(Handled::Again(if is_first { free } else { later(free, limits::SLOT_RECHECK) }))
    }

    /// Claims other due deliveries for the batch. It reads one page only: those it misses have their own messages.
    async fn claim_batch(&self, first: Due, now: Timestamp) -> Result<Vec<Due>> {
        if first.0.goes_alone() {
            return Ok(vec![first]);
        }
        let webhook = first.0.webhook_id;
        let moving = self.deliveries.query(webhook, DeliveryQuery::Moving, limits::JOB_PAGE).await?;
        let own = first.0.id;
        let mut all = vec![first];
        for delivery in moving.into_iter().filter(|delivery| delivery.id != own && !delivery.goes_alone()) {
            let Some((key, _)) = delivery.due_attempt().filter(|(_, at)| *at <= now) else { continue };
            if all.len() >= limits::BURST_MAX {
                break;
            }
            let claim = self.deliveries.claim(webhook, delivery.id, key, now, now).await?;
            if let Claim::Claimed(delivery) = claim {
                all.push((*delivery, key.number));
            }
        }
        Ok(all)
    }

    /// The types and payloads of the first deliveries, which have a line each in the message. The rest is only counted.
    async fn named_in_burst(&self, due: &[Due], own: Bytes) -> Result<Vec<(EventType, Bytes)>> {
        let mut named = vec![(due[0].0.event_type, own)];
        for (delivery, _) in due.iter().take(limits::BURST_LINES).skip(1) {
            if let Some(event) = self.deliveries.event(delivery.event_id).await? {
                named.push((delivery.event_type, event.body.clone()));
            }
        }
        Ok(named)
    }
}
