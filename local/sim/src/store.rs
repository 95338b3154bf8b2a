//! The store as the ports promise it, at its plainest: what the real ones are compared with by the conformance suite.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use statuspulse_core::access::Account;
use statuspulse_core::delivery::{Delivery, DeliveryFilter, State};
use statuspulse_core::event::Event;
use statuspulse_core::ids::{AccountId, DeliveryId, EventId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::ports::{Acceptance, Claim, Conflict, Page, Saved, Step, SweepPart, Turn};
use statuspulse_core::webhook::Webhook;

/// An event with the webhooks it went to.
pub(crate) struct KeptEvent {
    pub(crate) event: Arc<Event>,
    pub(crate) webhooks: Vec<WebhookId>,
}

/// A delivery, and what the store knows beside it.
pub(crate) struct Kept {
    pub(crate) delivery: Delivery,
    /// Its place among all deliveries: the order of acceptance.
    pub(crate) place: u64,
    pub(crate) claimed_until: Option<Timestamp>,
    /// Whether it was ever finished: made again, it is out of its turn.
    pub(crate) ended_once: bool,
}

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    pub(crate) webhooks: BTreeMap<WebhookId, Arc<Webhook>>,
    /// What each webhook was before its last change.
    webhooks_before: BTreeMap<WebhookId, Arc<Webhook>>,
    pub(crate) events: BTreeMap<EventId, KeptEvent>,
    pub(crate) deliveries: BTreeMap<DeliveryId, Kept>,
    next_place: u64,
    /// When the next turn of each kind is free.
    turns: BTreeMap<String, Timestamp>,
}

impl Store {
    /// The webhook as it was before its last change: what a read gives that is not consistent.
    pub(crate) fn stale(&self, id: WebhookId) -> Option<&Arc<Webhook>> {
        self.webhooks_before.get(&id)
    }

    pub(crate) fn take_turn(&mut self, turn: Turn, now: Timestamp, next: Timestamp) -> Result<(), Timestamp> {
        match self.turns.get(&turn.name()).filter(|free| now < **free) {
            Some(free) => Err(*free),
            None => {
                self.turns.insert(turn.name(), next);
                Ok(())
            }
        }
    }

    pub(crate) fn webhooks_of(&self, account: AccountId) -> Vec<Arc<Webhook>> {
        let own = |webhook: &&Arc<Webhook>| webhook.account_id == account && !webhook.is_deleted();
        self.webhooks.values().filter(own).cloned().collect()
    }

    pub(crate) fn save_webhook(&mut self, webhook: &Webhook) -> Result<(), Conflict> {
        let kept = self.webhooks.get_mut(&webhook.id).filter(|kept| kept.version == webhook.version);
        let Some(kept) = kept else { return Err(Conflict) };
        let next = Arc::new(Webhook { version: webhook.version + 1, ..webhook.clone() });
        let before = std::mem::replace(kept, next);
        self.webhooks_before.insert(webhook.id, before);
        Ok(())
    }

    /// `deliveries_at_most`: a store may be cut off in the middle of this, after the event and some deliveries.
    pub(crate) fn accept(
        &mut self,
        event: &Event,
        deliveries: &[Delivery],
        deliveries_at_most: usize,
    ) -> Acceptance {
        let webhooks = deliveries.iter().map(|delivery| delivery.webhook_id).collect();
        let kept = self
            .events
            .entry(event.id)
            .or_insert_with(|| KeptEvent { event: Arc::new(event.clone()), webhooks });
        if kept.event.fingerprint != event.fingerprint {
            return Acceptance::Different;
        }
        // It goes where it went, whatever its webhooks want by now.
        let (event, webhooks) = (kept.event.clone(), kept.webhooks.clone());
        let begun = webhooks.into_iter().map(|webhook| Delivery::new(&event, webhook));
        let begun: Vec<Delivery> = begun.take(deliveries_at_most).collect();
        Acceptance::Accepted(begun.into_iter().map(|delivery| self.begin(delivery)).collect())
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

    pub(crate) fn claim(&mut self, id: DeliveryId, step: Step, due_by: Timestamp, now: Timestamp) -> Claim {
        let Some(kept) = self.deliveries.get_mut(&id) else { return Claim::Unknown };
        match kept.delivery.next_step() {
            Some((next, at)) if next == step && at > due_by => Claim::Later(at),
            Some((next, _)) if next == step => match kept.claimed_until {
                Some(until) if until > now => Claim::Later(until),
                _ => {
                    kept.claimed_until = now.checked_add(limits::CLAIM).ok();
                    Claim::Taken(Box::new(kept.delivery.clone()))
                }
            },
            _ => Claim::Moved(Box::new(kept.delivery.clone())),
        }
    }

    pub(crate) fn put_off(
        &mut self,
        delivery: &Delivery,
        claimed_until: Timestamp,
        until: Timestamp,
    ) -> bool {
        let Some(kept) = self.deliveries.get_mut(&delivery.id) else { return false };
        let State::Scheduled { number, .. } = kept.delivery.state else { return false };
        if kept.delivery.version != delivery.version || kept.claimed_until != Some(claimed_until) {
            return false;
        }
        kept.claimed_until = None;
        kept.delivery.state = State::Scheduled { number, at: until };
        kept.delivery.version += 1;
        true
    }

    pub(crate) fn save_delivery(&mut self, delivery: &Delivery) -> Result<Saved, Conflict> {
        let Some(kept) = self.deliveries.get(&delivery.id) else { return Err(Conflict) };
        if kept.delivery.version != delivery.version {
            return Err(Conflict);
        }
        let place = kept.place;
        let behind = self.unfinished_before(delivery, place).next().is_some();
        let state = match delivery.state {
            State::Scheduled { number: 1, .. } if behind => State::Waiting,
            state => state,
        };
        let saved = Delivery { state, version: delivery.version + 1, ..delivery.clone() };
        if let Some(kept) = self.deliveries.get_mut(&delivery.id) {
            kept.ended_once |= saved.is_finished();
            kept.claimed_until = None;
            kept.delivery = saved.clone();
        }
        let has_company = saved.is_finished() && self.head(saved.webhook_id, &saved.incident_id).is_some();
        Ok(Saved { delivery: saved, has_company })
    }

    pub(crate) fn head(&self, webhook: WebhookId, incident: &str) -> Option<Delivery> {
        let lane = self.deliveries.values().filter(|kept| {
            kept.delivery.webhook_id == webhook
                && kept.delivery.incident_id == incident
                && !kept.delivery.is_finished()
        });
        lane.min_by_key(|kept| kept.place).map(|kept| kept.delivery.clone())
    }

    pub(crate) fn sweep_page(&self, webhook: WebhookId, part: SweepPart, limit: usize) -> Vec<Delivery> {
        let belongs = |delivery: &Delivery| match part {
            SweepPart::Held => delivery.state == State::Held,
            SweepPart::Moving => is_moving(delivery),
            SweepPart::Released => delivery.is_released(),
            SweepPart::Unfinished => delivery.state == State::Held || is_moving(delivery),
            SweepPart::DueAfter(time) => is_on_rung_after(delivery, time),
            SweepPart::FailedSince(since) => delivery.state == State::Failed && delivery.accepted_at >= since,
        };
        let own = self.deliveries.values().filter(|kept| kept.delivery.webhook_id == webhook);
        let mut page: Vec<&Kept> = own.filter(|kept| belongs(&kept.delivery)).collect();
        page.sort_by_key(|kept| kept.place);
        page.into_iter().take(limit).map(|kept| kept.delivery.clone()).collect()
    }

    pub(crate) fn held(&self, webhook: WebhookId) -> u64 {
        self.sweep_page(webhook, SweepPart::Held, usize::MAX).len() as u64
    }

    pub(crate) fn list(&self, webhook: WebhookId, filter: &DeliveryFilter) -> Page<Delivery, DeliveryId> {
        let own = self.deliveries.values().rev().filter(|kept| kept.delivery.webhook_id == webhook);
        let shown = own.filter(|kept| filter.status.is_none_or(|status| kept.delivery.status() == status));
        Page { items: shown.map(|kept| kept.delivery.clone()).collect(), next: None }
    }
}

/// One that is as accepted is left out, as DynamoDB's adapter does.
fn is_moving(delivery: &Delivery) -> bool {
    matches!(delivery.state, State::Waiting | State::Scheduled { .. }) && !delivery.is_as_accepted()
}

fn is_on_rung_after(delivery: &Delivery, time: Timestamp) -> bool {
    matches!(delivery.state, State::Scheduled { number, at } if number > 1 && at > time)
}
