//! Checks the invariants after everything has come to rest.

use std::collections::BTreeSet;

use bytes::Bytes;
use statuspulse_core::delivery::{Delivery, State};
use statuspulse_core::ids::EventId;
use statuspulse_core::notification::{NotificationKind, NotificationState};
use statuspulse_core::webhook::{self, PauseReason};

use crate::check::{ATTEMPT_MAX, Ledger, WARNED_AT};
use crate::history::short;
use crate::store::Store;
use crate::world::Inner;

/// Checks the quiet state after the faults, with webhooks still paused: the engineers were notified (I6), and new
/// events are held.
pub(crate) fn at_rest(inner: &mut Inner) {
    let known: BTreeSet<EventId> = inner.ledger.accepted.iter().map(|accepted| accepted.event).collect();
    for kept in inner.store.deliveries.values() {
        let Delivery { id, event_id, webhook_id, round, state, .. } = &kept.delivery;
        let webhook = inner.store.webhooks.get(webhook_id);
        let is_paused = webhook.is_some_and(|webhook| matches!(webhook.state, webhook::State::Paused(_)));
        // A first attempt lost with its queue is only found through a delivery that waits behind it.
        let is_lost = inner.queue.has_lost() && kept.delivery.is_as_accepted();
        let is_moving = matches!(state, State::Waiting | State::Scheduled { .. }) && !is_lost;
        // Round 1 only: a slow worker may release a delivery after the webhook was paused again.
        if is_paused && is_moving && *round == 1 && known.contains(event_id) {
            let (name, status) = (short(*id), kept.delivery.status().name());
            inner.ledger.violated(format!("pause: {name} is {status} although its webhook is paused"));
        }
    }
    for webhook in inner.store.webhooks.values() {
        let name = short(webhook.id);
        let ledger = &mut inner.ledger;
        // The caller of a delete repeats it until there is an answer, and no list has the webhook.
        if !webhook.outbox.is_empty() && !webhook.is_deleted() {
            ledger.violated(format!("outbox: {name} has messages that nobody sent"));
        }
        let notified = |is_kind: fn(&NotificationKind) -> bool| {
            let known = webhook.notification.as_ref().filter(|known| is_kind(&known.kind));
            known.is_some_and(|known| ledger.was_notified(webhook.id, known.id))
        };
        let notified_of_pause = notified(|kind| matches!(kind, NotificationKind::Paused { .. }));
        let warned = notified(|kind| matches!(kind, NotificationKind::Failing { .. }));
        if let webhook::State::Paused(pause) = &webhook.state
            && pause.reason != PauseReason::Manual
            && !notified_of_pause
        {
            ledger.violated(format!("I6: no notification was sent that {name} was paused"));
        }
        if webhook.is_active() && webhook.health.consecutive_failures >= WARNED_AT && !warned {
            ledger.violated(format!("I6: no notification was sent that {name} is failing"));
        }
    }
}

/// Checks that the engineers know the state of each webhook (I6).
fn notifications_at_end(store: &Store, ledger: &mut Ledger) {
    for webhook in store.webhooks.values() {
        let Some(notification) = &webhook.notification else { continue };
        let (name, at) = (short(webhook.id), notification.at);
        if notification.state != NotificationState::Sent {
            ledger.violated(format!("I6: the notification of {name} from {at} was not sent"));
        }
        let took = ledger.took.get(&webhook.id).and_then(|took| took.checked_sub(ATTEMPT_MAX).ok());
        let is_trouble = !matches!(notification.kind, NotificationKind::Recovered { .. });
        let is_well = webhook.is_active() && webhook.health.failing_since.is_none();
        // If it failed after it had answered, it has to answer again.
        let answers = took > Some(at) && took > ledger.refused.get(&webhook.id).copied();
        if is_trouble && is_well && answers && !ledger.discarded.contains(&webhook.id) {
            ledger.violated(format!("I6: no notification was sent that {name} answers again"));
        }
    }
}

/// Checks the end state (I1, I2, I8).
pub(crate) fn at_end(inner: &mut Inner) {
    let Inner { store, ledger, .. } = inner;
    notifications_at_end(store, ledger);
    let known: BTreeSet<EventId> = ledger.accepted.iter().map(|accepted| accepted.event).collect();
    for accepted in &ledger.accepted {
        let same = |body: &Bytes| store.events.values().filter(|kept| kept.event.body == *body).count();
        let count = accepted.keyed.as_ref().map_or(1, same);
        if count != 1 {
            ledger.violations.push(format!("I1: {} was accepted as {count} events", short(accepted.event)));
        }
        for webhook in &accepted.wanted {
            let of =
                |delivery: &&Delivery| delivery.event_id == accepted.event && delivery.webhook_id == *webhook;
            let count = store.deliveries.values().map(|kept| &kept.delivery).filter(of).count();
            if count != 1 {
                let (event, webhook) = (short(accepted.event), short(*webhook));
                ledger.violations.push(format!("I1: {event} has {count} deliveries to {webhook}"));
            }
        }
    }
    for webhook in store.webhooks.values() {
        if let Some(job) = webhook.job {
            let (name, kind) = (short(webhook.id), job.kind.name());
            ledger.violations.push(format!("I2: the {kind} job of {name} has not ended"));
        }
        if !webhook.outbox.is_empty() {
            ledger.violations.push(format!("I2: the outbox of {} is not empty", short(webhook.id)));
        }
        let secret = webhook.keys.current().reveal();
        let shown = format!("{webhook:?} {:?}", ledger.errors);
        if shown.contains(secret) {
            ledger.violations.push(format!("I8: the secret of {} is in the output", short(webhook.id)));
        }
    }
    for kept in store.deliveries.values() {
        let delivery = &kept.delivery;
        let name = short(delivery.id);
        let webhook = store.webhooks.get(&delivery.webhook_id);
        let deleted = webhook.is_none_or(|webhook| webhook.is_deleted());
        // A redelivery that was saved just after its webhook was deleted, and whose caller got an error and did not
        // repeat the call. No list contains it, and nothing is sent.
        let is_abandoned = deleted && delivery.round > 1 && ledger.needs_reconciling;
        // An event whose publisher got no answer carries no guarantee.
        if !delivery.is_finished() && !is_abandoned && known.contains(&delivery.event_id) {
            ledger
                .violations
                .push(format!("I2: {name} is {} and was never finished", delivery.status().name()));
        }
        let wrong = match delivery.state {
            State::Cancelled => !deleted,
            State::Discarded => !ledger.discarded.contains(&delivery.webhook_id),
            _ => false,
        };
        if wrong {
            ledger.violations.push(format!("{name} is {} without a request", delivery.status().name()));
        }
    }
}
