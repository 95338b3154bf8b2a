//! An event comes in: it is kept with its deliveries, and their first attempts are set going.
//!
//! 202 is answered only when the event can no longer be lost ([`Deliveries::settled`](crate::ports::Deliveries)).
//! The attempts do not wait for that: they begin as soon as the event would survive our own death. After a
//! power cut a receiver may thus have seen an event whose publisher got no answer and will send it again.

use bytes::Bytes;

use super::Engine;
use crate::access::{Action, Caller};
use crate::delivery::{Delivery, State};
use crate::error::{Error, Result};
use crate::event::{Envelope, Event};
use crate::ids::{AccountId, EventId};
use crate::limits;
use crate::message::Wakeup;
use crate::ports::Acceptance;

/// What a publisher is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The event's id.
    pub event_id: EventId,
    /// How many webhooks it goes to.
    pub deliveries: usize,
}

impl Engine {
    /// Accepts an event. The same idempotency key with the same content gives the same answer and no second
    /// fan-out, and completes one that was broken off.
    pub async fn publish(
        &self,
        caller: Caller,
        envelope: &Bytes,
        idempotency_key: Option<&str>,
    ) -> Result<Published> {
        caller.may(Action::Publish)?;
        let envelope = Envelope::parse(envelope)?;
        let account = self.publishing_account(caller, &envelope).await?;
        let event = self.event(account, envelope, idempotency_key)?;
        let webhooks = self.webhooks.webhooks(account).await?;
        let deliveries = webhooks
            .iter()
            .filter(|webhook| webhook.wants_event(&event))
            .map(|webhook| Delivery::new(&event, webhook.id))
            .collect();
        let Acceptance::Accepted(deliveries) = self.deliveries.accept(&event, deliveries).await? else {
            return Err(Error::Conflict {
                code: "idempotency_key_reused",
                detail: "this Idempotency-Key was used before, with another body".to_owned(),
            });
        };
        self.set_going(&event, &deliveries).await?;
        self.deliveries.settled().await?;
        Ok(Published { event_id: event.id, deliveries: deliveries.len() })
    }

    async fn publishing_account(&self, caller: Caller, envelope: &Envelope) -> Result<AccountId> {
        match (caller.account_id, envelope.account_id) {
            (Some(own), None) => Ok(own),
            (Some(own), Some(named)) if own == named => Ok(own),
            (Some(_), Some(_)) => Err(Error::NotFound("account")),
            (None, Some(named)) => self
                .accounts
                .account(named)
                .await?
                .map(|account| account.id)
                .ok_or(Error::NotFound("account")),
            (None, None) => Err(Error::invalid("/account_id", "is required with an operator's key")),
        }
    }

    fn event(
        &self,
        account_id: AccountId,
        envelope: Envelope,
        idempotency_key: Option<&str>,
    ) -> Result<Event> {
        let accepted_at = self.clock.now();
        let id = match idempotency_key {
            None => EventId::new(accepted_at, &*self.random),
            Some(key) if key.is_empty() || key.chars().count() > limits::IDEMPOTENCY_KEY_CHARS => {
                let detail = format!("must have 1 to {} characters", limits::IDEMPOTENCY_KEY_CHARS);
                return Err(Error::invalid("Idempotency-Key", detail));
            }
            Some(key) => EventId::from_idempotency_key(account_id, key),
        };
        Ok(Event {
            id,
            account_id,
            fingerprint: envelope.fingerprint(),
            event_type: envelope.event_type,
            incident_id: envelope.incident_id,
            monitor_groups: envelope.monitor_groups,
            body: envelope.body,
            accepted_at,
        })
    }

    /// Sends the messages for first attempts that were not made yet: for all of a new event's deliveries, and
    /// for what a broken call left. Whether a webhook is paused is seen when the message comes.
    async fn set_going(&self, event: &Event, deliveries: &[Delivery]) -> Result<()> {
        let wakeups: Vec<Wakeup> = deliveries
            .iter()
            .filter(|delivery| delivery.attempts.is_empty())
            .filter_map(|delivery| Wakeup::of_attempt(delivery, &event.body))
            .collect();
        if !wakeups.is_empty() {
            self.wakeups.send(wakeups).await?;
        }
        // They have no message that would find their webhook paused.
        for delivery in deliveries.iter().filter(|delivery| delivery.state == State::Waiting) {
            self.follow_up(delivery.clone()).await?;
        }
        Ok(())
    }
}
