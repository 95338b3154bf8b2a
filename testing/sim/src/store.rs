//! The simplest store that keeps the guarantees of the ports. The conformance suite checks the same of the real ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use statuspulse_core::access::Account;
use statuspulse_core::delivery::{Delivery, DeliveryFilter, State};
use statuspulse_core::event::Event;
use statuspulse_core::ids::{AccountId, DeliveryId, EventId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::message::{AttemptKey, Message, ScheduledMessage};
use statuspulse_core::ports::{Acceptance, Claim, Conflict, DeliveryQuery, Page, RateLimit, Saved};
use statuspulse_core::webhook::Webhook;

use crate::queue::is_large;
use crate::receivers::refused_together;

/// An event, and the webhooks it has deliveries to.
pub(crate) struct KeptEvent {
    pub(crate) event: Arc<Event>,
    pub(crate) webhooks: Vec<WebhookId>,
}

/// A delivery, and what the store knows about it.
pub(crate) struct Kept {
    pub(crate) delivery: Delivery,
    /// Its place in the order of acceptance.
    pub(crate) place: u64,
    pub(crate) claimed_until: Option<Timestamp>,
    /// Whether it was ever finished: a redelivery is outside of the order.
    pub(crate) ended_once: bool,
}

impl Kept {
    /// Whether this worker no longer has the claim.
    fn has_passed(&self, delivery: &Delivery) -> bool {
        delivery.claimed_until.is_some_and(|until| self.claimed_until != Some(until))
    }
}

#[derive(Default)]
pub(crate) struct Store {
    /// Whether each write commits together with the messages it calls for.
    pub(crate) sends: bool,
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    pub(crate) webhooks: BTreeMap<WebhookId, Arc<Webhook>>,
    /// Each webhook before its last change.
    webhooks_before: BTreeMap<WebhookId, Arc<Webhook>>,
    /// Each webhook that was saved, as its last save with an entry for the audit log left it.
    subscriptions: BTreeMap<WebhookId, Arc<Webhook>>,
    pub(crate) events: BTreeMap<EventId, KeptEvent>,
    pub(crate) deliveries: BTreeMap<DeliveryId, Kept>,
    next_place: u64,
    /// When the next slot of each rate limit is free.
    slots: BTreeMap<String, Timestamp>,
}

impl Store {
    /// The webhook before its last change, as an eventually consistent read may return it.
    pub(crate) fn stale(&self, id: WebhookId) -> Option<&Arc<Webhook>> {
        self.webhooks_before.get(&id)
    }

    /// Whether this message only makes a worker check its delivery: it has no payload, though that is not too large.
    pub(crate) fn rechecks(&self, message: &Message) -> bool {
        let Message::Attempt(attempt) = message else { return false };
        let event = self.events.get(&attempt.event_id);
        attempt.body.is_empty() && event.is_some_and(|kept| !is_large(&kept.event.body))
    }

    pub(crate) fn take(
        &mut self,
        limit: RateLimit,
        now: Timestamp,
        next: Timestamp,
    ) -> Result<(), Timestamp> {
        match self.slots.get(&limit.name()).filter(|free| now < **free) {
            Some(free) => Err(*free),
            None => {
                self.slots.insert(limit.name(), next);
                Ok(())
            }
        }
    }

    /// Whether the delivery goes to a channel, which may get several in one message.
    pub(crate) fn goes_to_a_channel(&self, id: DeliveryId) -> bool {
        let webhook = self.deliveries.get(&id).and_then(|kept| self.webhooks.get(&kept.delivery.webhook_id));
        webhook.is_some_and(|webhook| webhook.settings.destination.format().limit().is_some())
    }

    /// Whether a channel refused a message that the delivery shared with others.
    pub(crate) fn was_refused_together(&self, id: DeliveryId) -> bool {
        self.deliveries.get(&id).is_some_and(|kept| refused_together(&kept.delivery) > 0)
    }

    pub(crate) fn webhooks_of(&self, account: AccountId) -> Vec<Arc<Webhook>> {
        let own = |webhook: &&Arc<Webhook>| webhook.account_id == account && !webhook.is_deleted();
        self.webhooks.values().filter(own).cloned().collect()
    }

    /// The account's webhooks as the fan-out may see them, without what attempts have changed.
    pub(crate) fn subscriptions_of(&self, account: AccountId) -> Vec<Arc<Webhook>> {
        let mut own = self.webhooks_of(account);
        for webhook in &mut own {
            if let Some(subscription) = self.subscriptions.get(&webhook.id) {
                *webhook = subscription.clone();
            }
        }
        own
    }

    /// Also returns the messages that are sent with the save.
    pub(crate) fn save_webhook(
        &mut self,
        webhook: &Webhook,
    ) -> (Result<(), Conflict>, Vec<ScheduledMessage>) {
        let kept = self.webhooks.get_mut(&webhook.id).filter(|kept| kept.version == webhook.version);
        let Some(kept) = kept else { return (Err(Conflict), vec![]) };
        let audit = webhook.audit.clone().saved();
        let mut next = Webhook { version: webhook.version + 1, audit, ..webhook.clone() };
        let messages = if self.sends { std::mem::take(&mut next.outbox) } else { vec![] };
        let next = Arc::new(next);
        let changes = !webhook.audit_entries().is_empty();
        let subscription = if changes { &next } else { &*kept };
        if changes || !self.subscriptions.contains_key(&webhook.id) {
            self.subscriptions.insert(webhook.id, subscription.clone());
        }
        let before = std::mem::replace(kept, next);
        self.webhooks_before.insert(webhook.id, before);
        (Ok(()), messages)
    }

    /// `deliveries_at_most`: the store may be interrupted after the event and this many deliveries.
    pub(crate) fn accept(
        &mut self,
        event: &Event,
        deliveries: &[Delivery],
        deliveries_at_most: usize,
    ) -> (Acceptance, Vec<ScheduledMessage>) {
        let is_new = !self.events.contains_key(&event.id);
        let webhooks = deliveries.iter().map(|delivery| delivery.webhook_id).collect();
        let kept = self
            .events
            .entry(event.id)
            .or_insert_with(|| KeptEvent { event: Arc::new(event.clone()), webhooks });
        if kept.event.fingerprint != event.fingerprint {
            return (Acceptance::Different, vec![]);
        }
        // A repeated call has the same deliveries, even if the webhooks have changed.
        let (event, webhooks) = (kept.event.clone(), kept.webhooks.clone());
        let begun = webhooks.into_iter().map(|webhook| Delivery::new(&event, webhook));
        let begun: Vec<Delivery> = begun.take(deliveries_at_most).collect();
        let begun: Vec<Delivery> = begun.into_iter().map(|delivery| self.begin(delivery)).collect();
        let messages = if self.sends && is_new {
            begun.iter().filter_map(|delivery| delivery.accepted_message(&event.body)).collect()
        } else {
            vec![]
        };
        (Acceptance::Accepted(begun), messages)
    }

    fn begin(&mut self, delivery: Delivery) -> Delivery {
        if let Some(kept) = self.deliveries.get(&delivery.id) {
            return kept.delivery.clone();
        }
        let place = self.next_place;
        self.next_place += 1;
        let state = match self.unfinished_before(&delivery, place).next() {
            Some(_) => State::Waiting,
            None => delivery.state,
        };
        let delivery = Delivery { state, ..delivery };
        let kept = Kept { delivery: delivery.clone(), place, claimed_until: None, ended_once: false };
        self.deliveries.insert(delivery.id, kept);
        delivery
    }

    /// The unfinished deliveries of the same lane with an earlier place.
    pub(crate) fn unfinished_before(&self, delivery: &Delivery, place: u64) -> impl Iterator<Item = &Kept> {
        let (webhook, incident) = (delivery.webhook_id, delivery.incident_id.clone());
        self.deliveries.values().filter(move |kept| {
            kept.place < place
                && kept.delivery.webhook_id == webhook
                && kept.delivery.incident_id == incident
                && !kept.delivery.is_finished()
        })
    }

    pub(crate) fn claim(
        &mut self,
        id: DeliveryId,
        key: AttemptKey,
        due_by: Timestamp,
        now: Timestamp,
    ) -> Claim {
        let Some(kept) = self.deliveries.get_mut(&id) else { return Claim::Unknown };
        match kept.delivery.due_attempt() {
            Some((next, at)) if next == key && at > due_by => Claim::Later(at),
            Some((next, _)) if next == key => match kept.claimed_until {
                Some(until) if until > now => Claim::Later(until),
                _ => {
                    kept.claimed_until = now.checked_add(limits::CLAIM).ok();
                    let claimed_until = kept.claimed_until;
                    Claim::Claimed(Box::new(Delivery { claimed_until, ..kept.delivery.clone() }))
                }
            },
            _ => Claim::Moved(Box::new(kept.delivery.clone())),
        }
    }

    pub(crate) fn release_until(&mut self, delivery: &Delivery, until: Timestamp) -> bool {
        let Some(kept) = self.deliveries.get_mut(&delivery.id) else { return false };
        let State::Scheduled { number, timing, .. } = kept.delivery.state else { return false };
        if kept.delivery.version != delivery.version || kept.has_passed(delivery) {
            return false;
        }
        kept.claimed_until = None;
        kept.delivery.state = State::Scheduled { number, at: until, timing };
        kept.delivery.delayed = delivery.delayed;
        kept.delivery.version += 1;
        true
    }

    /// Also returns the messages that are sent with the save.
    pub(crate) fn save_delivery(
        &mut self,
        delivery: &Delivery,
        now: Timestamp,
    ) -> (Result<Saved, Conflict>, Vec<ScheduledMessage>) {
        let Ok(saved) = self.replace(delivery) else { return (Err(Conflict), vec![]) };
        if !self.sends {
            return (Ok(saved), vec![]);
        }
        let mut messages = vec![];
        messages.extend(self.attempt_message(&saved.delivery));
        messages.extend(saved.delivery.failed_event());
        if saved.has_successor
            && let Some(head) = self.head(saved.delivery.webhook_id, &saved.delivery.incident_id)
            && head.state == State::Waiting
            && let Ok(promoted) = self.replace(&head.promoted(now))
        {
            messages.extend(self.attempt_message(&promoted.delivery));
        }
        (Ok(Saved { has_successor: false, ..saved }), messages)
    }

    fn attempt_message(&self, delivery: &Delivery) -> Option<ScheduledMessage> {
        delivery.attempt_message(&self.events.get(&delivery.event_id)?.event.body)
    }

    fn replace(&mut self, delivery: &Delivery) -> Result<Saved, Conflict> {
        let Some(kept) = self.deliveries.get(&delivery.id) else { return Err(Conflict) };
        if kept.delivery.version != delivery.version || kept.has_passed(delivery) {
            return Err(Conflict);
        }
        let place = kept.place;
        let behind = self.unfinished_before(delivery, place).next().is_some();
        let state = match delivery.state {
            State::Scheduled { number: 1, .. } if behind => State::Waiting,
            state => state,
        };
        let saved =
            Delivery { state, version: delivery.version + 1, claimed_until: None, ..delivery.clone() };
        if let Some(kept) = self.deliveries.get_mut(&delivery.id) {
            kept.ended_once |= saved.is_finished();
            kept.claimed_until = None;
            kept.delivery = saved.clone();
        }
        let has_successor = saved.is_finished() && self.head(saved.webhook_id, &saved.incident_id).is_some();
        Ok(Saved { delivery: saved, has_successor })
    }

    pub(crate) fn head(&self, webhook: WebhookId, incident: &str) -> Option<Delivery> {
        let lane = self.deliveries.values().filter(|kept| {
            kept.delivery.webhook_id == webhook
                && kept.delivery.incident_id == incident
                && !kept.delivery.is_finished()
        });
        lane.min_by_key(|kept| kept.place).map(|kept| kept.delivery.clone())
    }

    pub(crate) fn query(&self, webhook: WebhookId, query: DeliveryQuery, limit: usize) -> Vec<Delivery> {
        let belongs = |delivery: &Delivery| match query {
            DeliveryQuery::Held => delivery.state == State::Held,
            DeliveryQuery::Moving => is_moving(delivery),
            DeliveryQuery::Released => delivery.is_released(),
            DeliveryQuery::Unfinished => delivery.state == State::Held || is_moving(delivery),
            DeliveryQuery::DueAfter(time) => is_on_rung_after(delivery, time),
            DeliveryQuery::FailedSince(since) => {
                delivery.state == State::Failed && delivery.accepted_at >= since
            }
        };
        let own = self.deliveries.values().filter(|kept| kept.delivery.webhook_id == webhook);
        let mut page: Vec<&Kept> = own.filter(|kept| belongs(&kept.delivery)).collect();
        page.sort_by_key(|kept| kept.place);
        page.into_iter().take(limit).map(|kept| kept.delivery.clone()).collect()
    }

    pub(crate) fn held(&self, webhook: WebhookId) -> u64 {
        self.query(webhook, DeliveryQuery::Held, usize::MAX).len() as u64
    }

    pub(crate) fn list(&self, webhooks: &[WebhookId], filter: &DeliveryFilter) -> Page<Delivery, DeliveryId> {
        let own = self.deliveries.values().rev().filter(|kept| webhooks.contains(&kept.delivery.webhook_id));
        let shown = own.filter(|kept| filter.matches(&kept.delivery));
        Page { items: shown.map(|kept| kept.delivery.clone()).collect(), next: None }
    }
}

/// Deliveries as accepted are left out, as in the DynamoDB adapter.
fn is_moving(delivery: &Delivery) -> bool {
    matches!(delivery.state, State::Waiting | State::Scheduled { .. }) && !delivery.is_as_accepted()
}

fn is_on_rung_after(delivery: &Delivery, time: Timestamp) -> bool {
    matches!(delivery.state, State::Scheduled { number, at, .. } if number > 1 && at > time)
}
