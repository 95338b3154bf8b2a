//! The ports of one worker or caller: with its own clock, and with faults at every call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use statuspulse_core::attempt::{Began, Class};
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::delivery::{Delivery, DeliveryFilter};
use statuspulse_core::event::Event;
use statuspulse_core::ids::{AccountId, DeliveryId, EventId, WebhookId};
use statuspulse_core::message::{AttemptKey, ScheduledMessage};
use statuspulse_core::ports::{
    Acceptance, Claim, Clock, Conflict, Deliveries, DeliveryQuery, Metrics, Page, PortResult, Queue, Random,
    RateLimit, RateLimits, Records, Saved, Unavailable, WebhookList, Webhooks,
};
use statuspulse_core::webhook::Webhook;

use crate::history::{brief, short};
use crate::world::{Inner, World};

/// The longest duration of a slow call: longer than a claim lasts.
pub(crate) const SLOWEST: Duration = Duration::from_secs(45);

/// All ports of one worker or caller.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) world: World,
    pub(crate) name: Arc<str>,
    /// The error of its clock, in milliseconds.
    pub(crate) skew_ms: i64,
}

/// A fault of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Before,
    After,
    /// Applied in part.
    Partly,
    Slow(Duration),
    Throttled,
}

pub(crate) fn unavailable(doing: &'static str, why: &'static str) -> Unavailable {
    Unavailable { doing, source: why.into() }
}

impl Ports {
    /// Makes a call. Other tasks may run before and after it, so its result may be stale when it is read.
    pub(crate) async fn call<T>(
        &self,
        port: &'static str,
        work: impl FnOnce(&mut Inner, bool) -> (T, String) + Send,
    ) -> PortResult<T> {
        self.world.with(|inner| {
            let task = inner.current;
            inner.last_call.insert(task, port);
        });
        self.world.turn().await;
        let fault = self.world.with(|inner| roll(inner, port));
        match fault {
            Some(Fault::Before) => return self.fails(port, "fails before"),
            Some(Fault::Throttled) => return self.fails(port, "is throttled"),
            Some(Fault::Slow(time)) => self.world.sleep(time).await,
            _ => {}
        }
        let partly = fault == Some(Fault::Partly);
        let answer = self.world.with(|inner| {
            let (answer, text) = work(inner, partly);
            inner.history.note(inner.now, &self.name, || format!("{port} {text}"));
            answer
        });
        match fault {
            Some(Fault::After) => return self.fails(port, "fails after"),
            Some(Fault::Partly) => return self.fails(port, "is cut off"),
            _ => {}
        }
        if self.world.with(|inner| inner.dice.once_in(3)) {
            self.world.turn().await;
        }
        Ok(answer)
    }

    pub(crate) fn fails<T>(&self, port: &'static str, why: &'static str) -> PortResult<T> {
        self.world.note(&self.name, || format!("{port} {why}"));
        Err(unavailable(port, why))
    }
}

fn roll(inner: &mut Inner, port: &'static str) -> Option<Fault> {
    if !inner.faults {
        return None;
    }
    if inner.throttled > 0 && port != "send" {
        inner.throttled -= 1;
        inner.struck("is throttled");
        return Some(Fault::Throttled);
    }
    // In some runs the store is often slow, so that claims and leases expire while their workers use them.
    if inner.sluggish && inner.dice.once_in(if inner.is_dense { 12 } else { 25 }) {
        inner.struck("is slow");
        return Some(Fault::Slow(inner.dice.up_to(SLOWEST)));
    }
    if !inner.dice.once_in(40) {
        return None;
    }
    let in_parts = matches!(port, "accept" | "send");
    let (fault, kind) = match inner.dice.below(8) {
        0..=1 => (Fault::Before, "fails before"),
        2..=4 => (Fault::After, "fails after"),
        5 if in_parts => (Fault::Partly, "is cut off"),
        5 => (Fault::After, "fails after"),
        6 => (Fault::Slow(inner.dice.up_to(SLOWEST)), "is slow"),
        _ => {
            inner.throttled = inner.dice.below(4);
            (Fault::Throttled, "is throttled")
        }
    };
    inner.struck(kind);
    Some(fault)
}

impl Clock for Ports {
    fn now(&self) -> Timestamp {
        let true_ms = self.world.with(|inner| inner.now.as_millisecond());
        Timestamp::from_millisecond(true_ms + self.skew_ms).unwrap_or(Timestamp::MAX)
    }
}

impl Random for Ports {
    fn fill(&self, bytes: &mut [u8]) {
        self.world.with(|inner| {
            for chunk in bytes.chunks_mut(8) {
                chunk.copy_from_slice(&inner.dice.next().to_le_bytes()[..chunk.len()]);
            }
        });
    }
}

impl Metrics for Ports {
    fn attempt_began(&self, _: Began) {}
    fn attempt_ended(&self, _: Option<Class>, _: Duration, _: Duration) {}
    fn notification_ended(&self, _: bool) {}
    fn attempt_not_made(&self) {}
    fn webhook_paused(&self) {}
    fn lost_messages(&self, count: u64) {
        // The final check may only find deliveries whose publisher got no 202 (`end::at_end`). Earlier checks repair.
        self.world.with(|inner| {
            if !inner.is_over {
                return;
            }
            let left = inner.store.deliveries.values().filter(|kept| !kept.delivery.is_finished()).count();
            if count > left as u64 {
                inner
                    .ledger
                    .violated(format!("I2: the final check repaired {count} things, {left} are unfinished"));
            }
        });
    }
}

#[async_trait]
impl Webhooks for Ports {
    async fn webhook(&self, id: WebhookId) -> PortResult<Option<Arc<Webhook>>> {
        self.call("webhook", |inner, _| {
            let webhook = inner.store.webhooks.get(&id).cloned();
            if let Some(webhook) = &webhook {
                inner.ledger.looked(inner.current, webhook);
            }
            let text = webhook.as_ref().map_or_else(String::new, |webhook| state(webhook));
            (webhook, text)
        })
        .await
    }

    async fn webhooks(&self, account: AccountId) -> PortResult<Arc<WebhookList>> {
        self.call("webhooks", |inner, _| {
            let webhooks = inner.store.webhooks_of(account);
            (inner.list(webhooks), String::new())
        })
        .await
    }

    async fn subscriptions(&self, account: AccountId) -> PortResult<Arc<WebhookList>> {
        self.call("subscriptions", |inner, _| {
            let webhooks = inner.store.subscriptions_of(account);
            (inner.list(webhooks), String::new())
        })
        .await
    }
}

impl Inner {
    /// A list, which may be stale: no decision may depend on a fresh one.
    fn list(&mut self, mut webhooks: Vec<Arc<Webhook>>) -> Arc<WebhookList> {
        for webhook in &mut webhooks {
            let stale = self.store.stale(webhook.id).cloned();
            if let Some(stale) = stale.filter(|_| self.faults && self.dice.once_in(8)) {
                self.struck("is stale");
                *webhook = stale;
            }
        }
        // Every record is readable here.
        Arc::new(WebhookList { readable: webhooks, unreadable: vec![] })
    }
}

fn state(webhook: &Webhook) -> String {
    let job = webhook.job.map(|job| format!(" {} {}", job.kind.name(), job.page));
    let owed = if webhook.outbox.is_empty() { "" } else { " owes" };
    let state = format!("{:?}", webhook.state);
    let state: String = state.chars().take_while(|c| c.is_alphanumeric()).collect();
    format!(
        "{} {state} v{} g{}{}{owed}",
        short(webhook.id),
        webhook.version,
        webhook.generation,
        job.unwrap_or_default()
    )
}

fn standing(delivery: &Delivery) -> String {
    let key = delivery.due_attempt().map(|(key, _)| format!(" {}/{}", key.round, key.number));
    format!("{} {}{}", short(delivery.id), delivery.status().name(), key.unwrap_or_default())
}

/// The store of a run either sends messages with each write, as SQLite does, or leaves that to the outbox, as DynamoDB
/// does.
#[async_trait]
impl Records for Ports {
    fn sends(&self) -> bool {
        self.world.with(|inner| inner.store.sends)
    }

    async fn accept(&self, event: &Event, deliveries: Vec<Delivery>) -> PortResult<Acceptance> {
        self.call("accept", |inner, partly| {
            let partly = partly && !inner.store.sends;
            let at_most = if partly { inner.dice.below(deliveries.len() + 1) } else { usize::MAX };
            let (accepted, messages) = inner.store.accept(event, &deliveries, at_most);
            inner.enqueue(messages);
            let text = match &accepted {
                Acceptance::Accepted(kept) => kept.iter().map(standing).collect::<Vec<_>>().join(", "),
                Acceptance::Different => "different".to_owned(),
            };
            (accepted, format!("{} {}: {text}", short(event.id), event.incident_id))
        })
        .await
    }

    async fn save_delivery(&self, delivery: &Delivery) -> PortResult<Result<Saved, Conflict>> {
        self.call("save_delivery", |inner, _| {
            let now = inner.now;
            let before = inner.store.deliveries.get(&delivery.id).map(|kept| kept.delivery.clone());
            let (saved, messages) = inner.store.save_delivery(delivery, now);
            inner.enqueue(messages);
            let text = match &saved {
                Ok(saved) => {
                    if let Some(before) = &before {
                        if let Some(wrong) = inner.receivers.wrongly_given_up(&saved.delivery) {
                            inner.ledger.violated(wrong);
                        }
                        inner.ledger.saved(inner.current, before, &saved.delivery, inner.now);
                    }
                    standing(&saved.delivery)
                }
                Err(Conflict) => {
                    inner.ledger.refused(inner.current, delivery, now);
                    format!("{} conflict", standing(delivery))
                }
            };
            (saved, text)
        })
        .await
    }

    async fn create_webhook(&self, webhook: &Webhook) -> PortResult<()> {
        self.call("create_webhook", |inner, _| {
            let created = Webhook { audit: webhook.audit.clone().saved(), ..webhook.clone() };
            inner.store.webhooks.insert(webhook.id, Arc::new(created));
            ((), state(webhook))
        })
        .await
    }

    async fn save_webhook(&self, webhook: &Webhook) -> PortResult<Result<(), Conflict>> {
        self.call("save_webhook", |inner, _| {
            let before = inner.store.webhooks.get(&webhook.id).cloned();
            let (saved, messages) = inner.store.save_webhook(webhook);
            inner.enqueue(messages);
            if let (Ok(()), Some(before)) = (&saved, before) {
                inner.ledger.changed(inner.current, &before, webhook, &inner.store, inner.now);
                inner.ledger.held(&before, webhook, &inner.store, inner.now);
                inner.ledger.audited(&before, webhook);
            }
            let text = format!("{} {}", state(webhook), if saved.is_ok() { "" } else { "conflict" });
            (saved, text)
        })
        .await
    }

    async fn remove_unreadable_webhook(&self, _: WebhookId, _: &AccountEntry) -> PortResult<()> {
        // Every record is readable here.
        Ok(())
    }
}

#[async_trait]
impl Deliveries for Ports {
    /// Has no faults if there is no such event. A publisher reads one for each key, from the period before (`KeyPeriod`).
    /// If that fails, the call has done nothing yet, as with the faults of `webhooks`.
    async fn event(&self, id: EventId) -> PortResult<Option<Arc<Event>>> {
        if !self.world.with(|inner| inner.store.events.contains_key(&id)) {
            return Ok(None);
        }
        self.call("event", |inner, _| (inner.store.events.get(&id).map(|kept| kept.event.clone()), short(id)))
            .await
    }

    async fn delivery(&self, webhooks: &[WebhookId], id: DeliveryId) -> PortResult<Option<Delivery>> {
        self.call("delivery", |inner, _| {
            let kept = inner.store.deliveries.get(&id).map(|kept| kept.delivery.clone());
            (kept.filter(|delivery| webhooks.contains(&delivery.webhook_id)), short(id))
        })
        .await
    }

    async fn deliveries_of_event(&self, event: &Event, webhooks: &[WebhookId]) -> PortResult<Vec<Delivery>> {
        self.call("deliveries_of_event", |inner, _| {
            let kept = inner.store.deliveries.values().map(|kept| &kept.delivery);
            let of_event = kept
                .filter(|delivery| delivery.event_id == event.id && webhooks.contains(&delivery.webhook_id));
            (of_event.cloned().collect(), event.id.to_string())
        })
        .await
    }

    async fn claim(
        &self,
        _: WebhookId,
        id: DeliveryId,
        key: AttemptKey,
        due_by: Timestamp,
        now: Timestamp,
    ) -> PortResult<Claim> {
        self.call("claim", |inner, _| {
            let claim = inner.store.claim(id, key, due_by, now);
            let text = match &claim {
                Claim::Claimed(delivery) => {
                    inner.ledger.claimed(inner.current, id, key);
                    format!("taken {}", standing(delivery))
                }
                Claim::Later(_) => format!("later {}", short(id)),
                Claim::Moved(delivery) => format!("moved {}", standing(delivery)),
                Claim::Unknown => format!("unknown {}", short(id)),
            };
            (claim, text)
        })
        .await
    }

    async fn release_until(&self, delivery: &Delivery, at: Timestamp) -> PortResult<()> {
        self.call("release_until", |inner, _| {
            let done = inner.store.release_until(delivery, at);
            ((), format!("{} {}", short(delivery.id), if done { "" } else { "is another's" }))
        })
        .await
    }

    async fn lane_head(&self, webhook: WebhookId, incident_id: &str) -> PortResult<Option<Delivery>> {
        self.call("lane_head", |inner, _| {
            let head = inner.store.head(webhook, incident_id);
            let text = head.as_ref().map_or_else(|| "none".to_owned(), standing);
            (head, text)
        })
        .await
    }

    async fn deliveries(
        &self,
        webhooks: &[WebhookId],
        filter: &DeliveryFilter,
        _: Option<DeliveryId>,
        _: usize,
    ) -> PortResult<Page<Delivery, DeliveryId>> {
        self.call("deliveries", |inner, _| (inner.store.list(webhooks, filter), String::new())).await
    }

    async fn query(
        &self,
        webhook: WebhookId,
        part: DeliveryQuery,
        limit: usize,
    ) -> PortResult<Vec<Delivery>> {
        self.call("query", |inner, _| {
            let page = inner.store.query(webhook, part, limit);
            let text = format!("{part:?}: {}", page.iter().map(standing).collect::<Vec<_>>().join(", "));
            (page, text)
        })
        .await
    }

    async fn held(&self, webhook: WebhookId) -> PortResult<u64> {
        self.call("held", |inner, _| (inner.store.held(webhook), String::new())).await
    }

    async fn durable(&self) -> PortResult<()> {
        Ok(())
    }
}

#[async_trait]
impl RateLimits for Ports {
    async fn take(
        &self,
        limit: RateLimit,
        now: Timestamp,
        next: Timestamp,
    ) -> PortResult<Result<(), Timestamp>> {
        self.call("take", |inner, _| (inner.store.take(limit, now, next), limit.name())).await
    }
}

#[async_trait]
impl Queue for Ports {
    async fn send(&self, messages: Vec<ScheduledMessage>) -> PortResult<()> {
        let rechecks =
            self.world.with(|inner| messages.iter().any(|sent| inner.store.rechecks(&sent.message)));
        let sent = self.call("send", |inner, partly| {
            let text = messages.iter().map(|sent| brief(&sent.message)).collect::<Vec<_>>().join(", ");
            for message in messages {
                if partly && inner.dice.once_in(2) {
                    continue;
                }
                inner.enqueue(vec![message]);
            }
            ((), text)
        });
        let sent = sent.await;
        // The others of a burst are not checked again: the rule leaves them to the quarter-hourly check.
        self.world.with(|inner| inner.ledger.needs_reconciling |= rechecks && sent.is_err());
        sent
    }
}
