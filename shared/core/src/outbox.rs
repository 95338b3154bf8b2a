//! The one way to write: a record is saved, and what it calls for is sent.
//!
//! What a change calls for is data. A webhook's is in its `outbox`, put there by the change itself; a delivery's follows from
//! its state alone ([`Delivery::attempt_message`], [`Delivery::failed_event`], and the lane goes on). A store that
//! [`sends`](Records::sends) commits both together, and there is nothing more to do. For the others this module sends right
//! after the write. A worker that dies in between leaves its own message in the queue; whoever gets it next finds the record
//! further on, and [reconciles](crate::reconcile). So sending is repeated until it has happened, and doing it twice is
//! harmless.

use std::sync::Arc;

use bytes::Bytes;

use crate::delivery::{Delivery, State};
use crate::error::Result;
use crate::event::Event;
use crate::ids::WebhookId;
use crate::message::{AttemptKey, ScheduledMessage};
use crate::ports::{
    Acceptance, Claim, Clock, Conflict, Deliveries, PortResult, Queue, Records, Saved, Webhooks,
};
use crate::webhook::Webhook;

/// What was saved, unless somebody else was faster.
pub(crate) type CompareAndSet<T> = std::result::Result<T, Conflict>;

/// A webhook after a change of it was asked for.
pub(crate) struct Latest {
    pub(crate) webhook: Arc<Webhook>,
    /// Whether the change applied.
    pub(crate) changed: bool,
}

/// The records and the queue. No other code writes to either.
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
    /// Over these ports.
    pub fn new(
        records: Arc<dyn Records>,
        queue: Arc<dyn Queue>,
        webhooks: Arc<dyn Webhooks>,
        deliveries: Arc<dyn Deliveries>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { records, queue, webhooks, deliveries, clock }
    }

    /// Whether the store sends with each write, so that nothing is ever owed.
    pub(crate) fn is_transactional(&self) -> bool {
        self.records.sends()
    }

    // --- Deliveries --------------------------------------------------------------------------------------

    /// Keeps an event and its deliveries, and sets them going; `None` if an event of this id with another content was kept
    /// before.
    pub(crate) async fn accept(
        &self,
        event: &Event,
        deliveries: Vec<Delivery>,
    ) -> Result<Option<Vec<Delivery>>> {
        let Acceptance::Accepted(kept) = self.records.accept(event, deliveries).await? else {
            return Ok(None);
        };
        if !self.is_transactional() {
            self.send(kept.iter().filter_map(|delivery| delivery.accepted_message(&event.body)).collect())
                .await?;
        }
        Ok(Some(kept))
    }

    /// Saves a delivery, and sends what its new state calls for.
    pub(crate) async fn save(&self, delivery: &Delivery) -> Result<CompareAndSet<Delivery>> {
        let Ok(saved) = self.write(delivery).await? else { return Ok(Err(Conflict)) };
        self.send_for(std::slice::from_ref(&saved)).await?;
        Ok(Ok(saved.delivery))
    }

    /// Saves a delivery of a page. What the page calls for is sent with [`send_for`](Self::send_for).
    pub(crate) async fn write(&self, delivery: &Delivery) -> PortResult<CompareAndSet<Saved>> {
        self.records.save_delivery(delivery).await
    }

    /// Sends what these deliveries' new states call for, all of them together.
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

    /// The message that a scheduled delivery waits for.
    pub(crate) async fn attempt_message(&self, delivery: &Delivery) -> Result<Option<ScheduledMessage>> {
        if delivery.due_attempt().is_none() {
            return Ok(None);
        }
        let event = self.deliveries.event(delivery.event_id).await?;
        // Without its event the attempt discards the delivery; without a message nothing would.
        let body = event.map_or_else(Bytes::new, |event| event.body.clone());
        Ok(delivery.attempt_message(&body))
    }

    /// Lets the lane go on after this delivery, which is finished: the first that waits is promoted. One that is about to make
    /// its first attempt is sent for again: whoever promoted it may have died before it sent.
    pub(crate) async fn wake_successor(&self, finished: &Delivery) -> Result<()> {
        loop {
            let head = self.deliveries.lane_head(finished.webhook_id, &finished.incident_id).await?;
            let next = match head {
                Some(head) if head.state == State::Waiting => {
                    match self.write(&head.promoted(self.clock.now())).await? {
                        Ok(saved) => saved.delivery,
                        // Another worker was faster, and may die before it sends: look again.
                        Err(Conflict) => continue,
                    }
                }
                Some(head) if matches!(head.due_attempt(), Some((AttemptKey { number: 1, .. }, _))) => head,
                // On a later rung, held, or gone: it has been sent for.
                _ => return Ok(()),
            };
            return self.send_attempt(&next).await;
        }
    }

    /// Claims a delivery that is to be changed, if it is scheduled: it may be in a worker's hands, and only the worker with its
    /// claim changes it. `None` if another has it. That one sees the webhook's new state; if it died, its claim ends.
    pub(crate) async fn claimed(&self, delivery: Delivery) -> Result<Option<Delivery>> {
        let Some((key, at)) = delivery.due_attempt() else { return Ok(Some(delivery)) };
        let now = self.clock.now();
        Ok(match self.deliveries.claim(delivery.webhook_id, delivery.id, key, at.max(now), now).await? {
            Claim::Taken(delivery) => Some(*delivery),
            Claim::Later(_) | Claim::Moved(_) | Claim::Unknown => None,
        })
    }

    /// Sends a scheduled delivery's message.
    pub(crate) async fn send_attempt(&self, delivery: &Delivery) -> Result<()> {
        let message = self.attempt_message(delivery).await?;
        self.send(message.into_iter().collect()).await
    }

    // --- Webhooks ----------------------------------------------------------------------------------------

    /// Keeps a new webhook.
    pub(crate) async fn create_webhook(&self, webhook: &Webhook) -> Result<()> {
        Ok(self.records.create_webhook(webhook).await?)
    }

    /// Saves a webhook. What it owes is sent with [`settle`](Self::settle), by whoever finds it.
    pub(crate) async fn save_webhook(&self, next: Webhook) -> Result<CompareAndSet<Arc<Webhook>>> {
        if self.records.save_webhook(&next).await?.is_err() {
            return Ok(Err(Conflict));
        }
        let outbox = if self.is_transactional() { vec![] } else { next.outbox };
        Ok(Ok(Arc::new(Webhook { version: next.version + 1, outbox, ..next })))
    }

    /// Changes a webhook by compare-and-set, as often as others are faster. `change` sees the latest record, and answers `None`
    /// where it does not apply. What the change owes is sent with [`settle`](Self::settle).
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

    /// Sends what a webhook's record owes, and strikes it off.
    pub(crate) async fn settle(&self, webhook: &Webhook) -> Result<()> {
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
