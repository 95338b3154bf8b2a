//! Publishes domain events, so that customers' automation can react to changes of webhooks and deliveries. Delivery is
//! at least once. Consumers that must not act twice deduplicate by the ids in the event.

use super::{Handled, Worker};
use crate::error::Result;
use crate::message::{DomainEvent, EventMessage};

impl Worker {
    pub(super) async fn publish_event(&self, message: EventMessage) -> Result<Handled> {
        let Some(events) = &self.events else { return Ok(Handled::Done) };
        let EventMessage { webhook_id, at, event: kind } = message;
        // The record names the account. The record of a deleted webhook does too.
        if let Some(webhook) = self.webhooks.webhook(webhook_id).await? {
            let event = DomainEvent { account_id: webhook.account_id, webhook_id, at, kind };
            events.publish(&event).await?;
        }
        Ok(Handled::Done)
    }
}
