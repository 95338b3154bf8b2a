//! The service that accepts events: it stores each event with its deliveries, and sends the messages for their first
//! attempts.
//!
//! It answers 202 only when the event can no longer be lost ([`Deliveries::durable`](crate::ports::Deliveries)).
//! Attempts do not wait for that: they begin as soon as the event would survive a crash of the process. So after a
//! power cut, a receiver may have seen an event whose publisher got no answer and will publish it again.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::access::{Action, Caller, KeyHash};
use crate::authentication;
use crate::error::{Error, Result};
use crate::event::{Envelope, Event};
use crate::ids::{AccountId, EventId, KeyPeriod};
use crate::limiter::Limiter;
use crate::limits;
use crate::once;
use crate::outbox::Outbox;
use crate::ports::{Accounts, Clock, Deliveries, InProgress, Random, Webhooks};
use crate::sources::Alert;
use crate::sources::notification::{self, Sender};

/// Accepts events.
#[derive(Clone)]
pub struct Publisher {
    /// Accounts and keys.
    pub accounts: Arc<dyn Accounts>,
    /// Webhooks.
    pub webhooks: Arc<dyn Webhooks>,
    /// Events and deliveries.
    pub deliveries: Arc<dyn Deliveries>,
    /// Writes records and sends messages.
    pub outbox: Outbox,
    /// Counts what accounts use.
    pub limiter: Arc<Limiter>,
    /// Bounds the events of an account that are accepted at the same time.
    pub in_progress: Arc<dyn InProgress>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Publisher")
    }
}

/// The answer to a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The event's id.
    pub event_id: EventId,
    /// Number of webhooks it goes to.
    pub deliveries: usize,
}

impl Publisher {
    /// The caller that this API key belongs to.
    pub async fn authenticate(&self, key: &str) -> Result<Caller> {
        authentication::caller(&*self.accounts, &KeyHash::of(key), self.clock.now()).await
    }

    /// Accepts an event. A second call with the same idempotency key and the same content gives the same answer. It
    /// creates no second event, and completes a fan-out that was interrupted.
    pub async fn publish(
        &self,
        caller: Caller,
        envelope: &Bytes,
        idempotency_key: Option<&str>,
    ) -> Result<Published> {
        caller.may(Action::Publish)?;
        self.charge(caller, envelope).await?;
        let _in_progress = self.begin(caller, envelope).await;
        let envelope = Envelope::parse(envelope)?;
        let account = self.publishing_account(caller, &envelope).await?;
        let accepted_at = self.clock.now();
        let event = Event {
            id: self.event_id(caller, account, idempotency_key, accepted_at).await?,
            account_id: account,
            fingerprint: envelope.fingerprint(),
            event_type: envelope.event_type,
            incident_id: envelope.incident_id,
            monitor_groups: envelope.monitor_groups,
            body: envelope.body,
            accepted_at,
        };
        let webhooks = self.webhooks.subscriptions(account).await?;
        let wanting: Vec<_> =
            webhooks.readable.iter().filter(|webhook| webhook.wants_event(&event)).collect();
        let Some(deliveries) = self.outbox.accept(&event, &wanting).await? else {
            return Err(once::reused(once::OTHER_BODY));
        };
        self.deliveries.durable().await?;
        Ok(Published { event_id: event.id, deliveries: deliveries.len() })
    }

    /// Counts a call before its body is parsed, which costs more than to refuse it. An operator's events are never refused,
    /// whatever the account's own keys have used.
    async fn charge(&self, caller: Caller, body: &Bytes) -> Result<()> {
        let Some(account) = caller.account_id else { return Ok(()) };
        let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        self.limiter.take_event(account, bytes, self.clock.now()).await
    }

    /// Waits for the account's own events in progress, if they are large. Not before the call is counted: what is refused
    /// does not wait. An operator publishes for all accounts, so its events do not wait.
    async fn begin(&self, caller: Caller, body: &Bytes) -> Option<Box<dyn Send + Sync>> {
        Some(self.in_progress.begin(caller.account_id?, body.len()).await)
    }

    /// Publishes the alerts of a notification. It counts as an event, beside those that it makes.
    pub async fn publish_notification(
        &self,
        caller: Caller,
        sender: Sender,
        body: &Bytes,
    ) -> Result<Vec<Published>> {
        caller.account_for(Action::PublishAlerts)?;
        self.charge(caller, body).await?;
        let alerts = notification::alerts(sender, body, self.clock.now())?;
        self.publish_alerts(caller, &alerts, None).await
    }

    /// Publishes the events of alerts. An alert that came before publishes nothing, unless it says something else now.
    /// `account` is needed if the caller's key does not name it.
    ///
    /// # Errors
    /// If one fails, those before it are published. The same call again completes it.
    pub async fn publish_alerts(
        &self,
        caller: Caller,
        alerts: &[Alert],
        account: Option<AccountId>,
    ) -> Result<Vec<Published>> {
        let mut published = vec![];
        for alert in alerts {
            for draft in std::iter::once(&alert.event).chain(&alert.if_known) {
                let envelope = draft.envelope(account);
                match self.publish(caller, &envelope, Some(&draft.idempotency_key)).await {
                    Err(error) if once::is_reused(&error) => {}
                    other => {
                        published.push(other?);
                        break;
                    }
                }
            }
        }
        Ok(published)
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
            (None, None) => Err(Error::invalid("/account_id", "is required with an operator key")),
        }
    }

    /// The id of the event that this call publishes: that of an event with this key that is still remembered, or a new
    /// one. Near the end of a [`KeyPeriod`], two calls with one key that arrive at the same instant may get two ids.
    async fn event_id(
        &self,
        caller: Caller,
        account: AccountId,
        idempotency_key: Option<&str>,
        now: Timestamp,
    ) -> Result<EventId> {
        let Some(key) = idempotency_key else { return Ok(EventId::new(now, &*self.random)) };
        once::check_key(key)?;
        let id_in = match caller.account_id {
            Some(_) => EventId::from_idempotency_key,
            None => EventId::from_operators_idempotency_key,
        };
        let period = KeyPeriod::at(now);
        let earlier = id_in(account, key, period.before());
        match self.deliveries.event(earlier).await? {
            Some(event) if now < event.accepted_at + limits::RETENTION => Ok(earlier),
            _ => Ok(id_in(account, key, period)),
        }
    }
}
