//! Publishes domain events, so that customers' automation can react to changes of webhooks and deliveries. Delivery is
//! at least once. Consumers that must not act twice deduplicate by the ids in the event.

use super::{Handled, Worker};
use crate::error::Result;
use crate::message::{DomainEvent, EventMessage};

impl Worker {
    pub(super) async fn publish_event(&self, message: EventMessage) -> Result<Handled> {
        let Some(events) = &self.events else { return Ok(Handled::Done) };
        let EventMessage { account_id, webhook_id, at, event: kind } = message;
        events.publish(&DomainEvent { account_id, webhook_id, at, kind }).await?;
        Ok(Handled::Done)
    }
}
