//! A Slack channel takes one message a second. What is due beyond that is told together, by one message that counts it.
//!
//! Whoever has the channel's turn takes along what is due: it claims those deliveries too, and records for each what came of the
//! message. Who finds the turn taken gives its claim back, so that it can be taken along, and comes again: the first of them
//! when the next turn is free, the others a little later, when they should have been told. If they all came at once, each would
//! find the others claimed, and take nobody along.

use bytes::Bytes;
use jiff::Timestamp;

use super::{Engine, Handled};
use crate::delivery::Delivery;
use crate::destination::slack_burst;
use crate::error::Result;
use crate::event::EventType;
use crate::limits;
use crate::ports::{Claim, SweepPart, Turn};
use crate::signature::later;

/// A claimed delivery, and which attempt of its ladder is due.
pub(super) type Due = (Delivery, u8);

impl Engine {
    /// Writes a delivery, which is claimed until then, into its channel, or comes again when that takes a message.
    pub(super) async fn write_into_channel(
        &self,
        due: Due,
        payload: Bytes,
        claimed_until: Timestamp,
    ) -> Result<Handled> {
        let (id, now) = (due.0.webhook_id, self.clock.now());
        let next = later(now, limits::CHANNEL_GAP);
        if let Err(free) = self.turns.take_turn(Turn::Channel(id), now, next).await? {
            return self.stand_in_line(&due.0, claimed_until, free).await;
        }
        let all_due = self.take_along(due, now).await?;
        let named = self.named_in_burst(&all_due, payload).await?;
        // Last of all that is read, as with every attempt. Who is not told now comes again when its claim is over.
        let webhook = self.webhooks.webhook(id).await?.filter(|webhook| webhook.is_active());
        let Some(webhook) = webhook.filter(|_| !self.may_outlive(claimed_until)) else {
            return Ok(Handled::Again(claimed_until));
        };
        let body = match &named[..] {
            [(event_type, payload)] if all_due.len() == 1 => {
                webhook.settings.render(*event_type, payload, || self.deployment.page_of(id))
            }
            _ => {
                let types: Vec<_> = all_due.iter().map(|(delivery, _)| delivery.event_type).collect();
                slack_burst(&types, &named)
            }
        };
        self.make_attempt(&webhook, all_due, body).await?;
        Ok(Handled::Done)
    }

    /// Gives the claim back until the channel's next turn is free.
    async fn stand_in_line(
        &self,
        delivery: &Delivery,
        claimed_until: Timestamp,
        free: Timestamp,
    ) -> Result<Handled> {
        let turn = Turn::Line(delivery.webhook_id);
        let is_first = self.turns.take_turn(turn, self.clock.now(), free).await?.is_ok();
        self.deliveries.put_off(delivery, claimed_until, free).await?;
        Ok(Handled::Again(if is_first { free } else { later(free, limits::CHANNEL_WATCH) }))
    }

    /// Claims what else is due. Behind many that wait on their ladder some may not be found; they have messages of their own.
    async fn take_along(&self, first: Due, now: Timestamp) -> Result<Vec<Due>> {
        let webhook = first.0.webhook_id;
        let moving = self.deliveries.sweep_page(webhook, SweepPart::Moving, limits::SWEEP_PAGE).await?;
        let own = first.0.id;
        let mut all = vec![first];
        for delivery in moving.into_iter().filter(|delivery| delivery.id != own) {
            let Some((step, _)) = delivery.next_step().filter(|(_, at)| *at <= now) else { continue };
            if all.len() >= limits::CHANNEL_TOGETHER {
                break;
            }
            let claim = self.deliveries.claim(webhook, delivery.id, step, now, now).await?;
            if let Claim::Taken(delivery) = claim {
                all.push((*delivery, step.number));
            }
        }
        Ok(all)
    }

    /// The types and payloads of the first of them, of which the message tells more than their number.
    async fn named_in_burst(&self, due: &[Due], own: Bytes) -> Result<Vec<(EventType, Bytes)>> {
        let mut named = vec![(due[0].0.event_type, own)];
        for (delivery, _) in due.iter().take(limits::CHANNEL_LINES).skip(1) {
            if let Some(event) = self.deliveries.event(delivery.event_id).await? {
                named.push((delivery.event_type, event.body.clone()));
            }
        }
        Ok(named)
    }
}
