//! The only way to write: saves a record, and sends the messages it calls for.
//!
//! What a change calls for is data. A webhook's messages are in its `outbox`, where the change puts them. A delivery's
//! follow from its state alone: [`Delivery::attempt_message`], [`Delivery::failed_event`], and the promotion of the
//! next delivery in its lane. A store that [`sends`](Records::sends) commits the record and its messages together. For
//! other stores this module sends the messages right after the write. If a worker dies in between, its own message
//! stays in the queue. The worker that receives it next finds the record further on, and [reconciles](crate::reconcile)
//! it. So sending is repeated until it succeeds. Sending twice is harmless.

use std::sync::Arc;

use bytes::Bytes;

use crate::audit::AccountEntry;
use crate::delivery::{Delivery, State};
use crate::error::Result;
use crate::event::Event;
use crate::ids::WebhookId;
use crate::message::ScheduledMessage;
use crate::ports::{
    Acceptance, Claim, Clock, Conflict, Deliveries, PortResult, Queue, Records, Saved, Webhooks,
};
use crate::webhook::Webhook;

/// What was saved, or [`Conflict`] if the record changed in the meantime.
pub(crate) type CompareAndSet<T> = std::result::Result<T, Conflict>;

/// The result of [`Outbox::change_webhook`].
pub(crate) struct Latest {
    pub(crate) webhook: Arc<Webhook>,
    /// Whether the change was applied.
    pub(crate) changed: bool,
}

/// Writes the records and the queue. No other code writes to them.
#[derive(Clone)]
pub struct Outbox {
    records: Arc<dyn Records>,
    queue: Arc<dyn Queue>,
    pub(crate) webhooks: Arc<dyn Webhooks>,
    pub(crate) deliveries: Arc<dyn Deliveries>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outbox")
    }
}

impl Outbox {
    /// Creates an outbox over these ports.
    pub fn new(
        records: Arc<dyn Records>,
        queue: Arc<dyn Queue>,
        webhooks: Arc<dyn Webhooks>,
        deliveries: Arc<dyn Deliveries>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { records, queue, webhooks, deliveries, clock }
    }

    /// Whether the store commits each record together with its messages, so that none are left unsent.
    pub(crate) fn is_transactional(&self) -> bool {
        self.records.sends()
    }

    // --- Deliveries --------------------------------------------------------------------------------------

    /// Stores an event and its deliveries to these webhooks, and sends their first messages. Returns `None` if an event
    /// with this id but different content already exists.
    pub(crate) async fn accept(
        &self,
        event: &Event,
        webhooks: &[&Arc<Webhook>],
    ) -> Result<Option<Vec<Delivery>>> {
        let deliveries = webhooks.iter().map(|webhook| Delivery::new(event, webhook.id)).collect();
        let Acceptance::Accepted(kept) = self.records.accept(event, deliveries).await? else {
            return Ok(None);
        };
        if !self.is_transactional() {
            let slow = webhooks.iter().filter(|webhook| webhook.is_slow(event.accepted_at));
            let slow: Vec<WebhookId> = slow.map(|webhook| webhook.id).collect();
            let messages = kept.iter().filter_map(|delivery| delivery.accepted_message(&event.body));
            self.send(messages.map(|message| message.marked_slow(&slow)).collect()).await?;
        }
        Ok(Some(kept))
    }

    /// Saves a delivery, and sends the messages that its new state calls for.
    pub(crate) async fn save(&self, delivery: &Delivery) -> Result<CompareAndSet<Delivery>> {
        let Ok(saved) = self.write(delivery).await? else { return Ok(Err(Conflict)) };
        self.send_for(std::slice::from_ref(&saved)).await?;
        Ok(Ok(saved.delivery))
    }

    /// Saves one delivery of a page. The messages of the page are sent with [`send_for`](Self::send_for).
    pub(crate) async fn write(&self, delivery: &Delivery) -> PortResult<CompareAndSet<Saved>> {
        self.records.save_delivery(delivery).await
    }

    /// Sends the messages that the new states of these deliveries call for, and promotes their successors.
    pub(crate) async fn send_for(&self, page: &[Saved]) -> Result<()> {
        if self.is_transactional() {
            return Ok(());
        }
        let mut messages = vec![];
        for Saved { delivery, .. } in page {
            messages.extend(self.attempt_message(delivery).await?);
            messages.extend(delivery.failed_event());
        }
        self.send(messages).await?;
        for saved in page.iter().filter(|saved| saved.has_successor) {
            self.wake_successor(&saved.delivery).await?;
        }
        Ok(())
    }

    /// The message for the next attempt; `None` if the delivery is not scheduled.
    pub(crate) async fn attempt_message(&self, delivery: &Delivery) -> Result<Option<ScheduledMessage>> {
        if delivery.due_attempt().is_none() {
            return Ok(None);
        }
        let event = self.deliveries.event(delivery.event_id).await?;
        // If the event is missing, the attempt discards the delivery. Without a message it would stay scheduled for
        // ever.
        let body = event.map_or_else(Bytes::new, |event| event.body.clone());
        Ok(delivery.attempt_message(&body))
    }

    /// Continues the lane after a finished delivery: promotes the head if it is waiting. If the head is scheduled, sends
    /// its message again: the worker that promoted it may have died before it sent it. A copy of an earlier message may
    /// have been used for the first attempt since, and be gone.
    pub(crate) async fn wake_successor(&self, finished: &Delivery) -> Result<()> {
        loop {
            let head = self.deliveries.lane_head(finished.webhook_id, &finished.incident_id).await?;
            let next = match head {
                Some(head) if head.state == State::Waiting => {
                    match self.write(&head.promoted(self.clock.now())).await? {
                        Ok(saved) => saved.delivery,
                        // Another worker promoted it, and may die before it sends the message: look again.
                        Err(Conflict) => continue,
                    }
                }
                Some(head) if head.due_attempt().is_some() => head,
                // Held, or the lane is empty.
                _ => return Ok(()),
            };
            // Its webhook was slow a moment ago, and probably still is.
            let slow = if finished.was_slow() { vec![next.webhook_id] } else { vec![] };
            let message = self.attempt_message(&next).await?.map(|message| message.marked_slow(&slow));
            return self.send(message.into_iter().collect()).await;
        }
    }

    /// Claims a delivery before it is changed, if it is scheduled: a worker may be attempting it, and only the worker
    /// that holds the claim may change it. Returns `None` if another worker holds the claim, or if the delivery has
    /// changed. The other worker checks the webhook's new state itself; if it died, its claim expires.
    pub(crate) async fn claimed(&self, delivery: Delivery) -> Result<Option<Delivery>> {
        let Some((key, at)) = delivery.due_attempt() else { return Ok(Some(delivery)) };
        let now = self.clock.now();
        Ok(match self.deliveries.claim(delivery.webhook_id, delivery.id, key, at.max(now), now).await? {
            Claim::Claimed(delivery) => Some(*delivery),
            Claim::Later(_) | Claim::Moved(_) | Claim::Unknown => None,
        })
    }

    /// Sends the message for a scheduled delivery's next attempt.
    pub(crate) async fn send_attempt(&self, delivery: &Delivery) -> Result<()> {
        let message = self.attempt_message(delivery).await?;
        self.send(message.into_iter().collect()).await
    }

    // --- Webhooks ----------------------------------------------------------------------------------------

    /// Stores a new webhook.
    pub(crate) async fn create_webhook(&self, webhook: Webhook) -> Result<Arc<Webhook>> {
        self.records.create_webhook(&webhook).await?;
        webhook.audit_entries().iter().for_each(AccountEntry::log);
        let audit = webhook.audit.clone().saved();
        Ok(Arc::new(Webhook { audit, ..webhook }))
    }

    /// Removes a webhook whose record cannot be read.
    pub(crate) async fn remove_unreadable_webhook(&self, id: WebhookId, entry: &AccountEntry) -> Result<()> {
        self.records.remove_unreadable_webhook(id, entry).await?;
        entry.log();
        Ok(())
    }

    /// Saves a webhook. Its unsent messages are sent with [`send_unsent`](Self::send_unsent), by any code that reads
    /// it next.
    pub(crate) async fn save_webhook(&self, next: Webhook) -> Result<CompareAndSet<Arc<Webhook>>> {
        if self.records.save_webhook(&next).await?.is_err() {
            return Ok(Err(Conflict));
        }
        next.audit_entries().iter().for_each(AccountEntry::log);
        let outbox = if self.is_transactional() { vec![] } else { next.outbox };
        let audit = next.audit.saved();
        Ok(Ok(Arc::new(Webhook { version: next.version + 1, outbox, audit, ..next })))
    }

    /// Changes a webhook by compare-and-set, and retries after each conflict. `change` gets the latest record, and
    /// returns `None` if it does not apply. The caller sends the resulting messages with
    /// [`send_unsent`](Self::send_unsent).
    /// Returns `None` if there is no such webhook.
    pub(crate) async fn change_webhook(
        &self,
        id: WebhookId,
        change: impl Fn(&Webhook) -> Option<Webhook> + Send,
    ) -> Result<Option<Latest>> {
        loop {
            let Some(webhook) = self.webhooks.webhook(id).await? else { return Ok(None) };
            let Some(next) = change(&webhook) else { return Ok(Some(Latest { webhook, changed: false })) };
            if let Ok(webhook) = self.save_webhook(next).await? {
                return Ok(Some(Latest { webhook, changed: true }));
            }
        }
    }

    /// Sends a webhook's unsent messages, and removes them from its record.
    pub(crate) async fn send_unsent(&self, webhook: &Webhook) -> Result<()> {
        if webhook.outbox.is_empty() {
            return Ok(());
        }
        self.send(webhook.outbox.clone()).await?;
        let mut latest = Some(Arc::new(webhook.clone()));
        while let Some(owing) = latest.filter(|latest| !latest.outbox.is_empty()) {
            if self.records.save_webhook(&owing.without_sent(&webhook.outbox)).await?.is_ok() {
                return Ok(());
            }
            latest = self.webhooks.webhook(webhook.id).await?;
        }
        Ok(())
    }

    /// Sends messages.
    pub(crate) async fn send(&self, messages: Vec<ScheduledMessage>) -> Result<()> {
        if messages.is_empty() { Ok(()) } else { Ok(self.queue.send(messages).await?) }
    }
}
