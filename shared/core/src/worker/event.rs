//! Events are published: customers' automation hears what became of a webhook or a delivery, over whatever the deployment has
//! for it. At least once, like every message; a listener that must not act twice goes by the ids in it.

use super::{Handled, Worker};
use crate::error::Result;
use crate::message::{DomainEvent, EventMessage};

impl Worker {
    pub(super) async fn publish_event(&self, message: EventMessage) -> Result<Handled> {
        let Some(events) = &self.events else { return Ok(Handled::Done) };
        let EventMessage { webhook_id, at, event: kind } = message;
        // Whose webhook it is stands in its record, also in a deleted one's.
        if let Some(webhook) = self.webhooks.webhook(webhook_id).await? {
            let event = DomainEvent { account_id: webhook.account_id, webhook_id, at, kind };
            events.publish(&event).await?;
        }
        Ok(Handled::Done)
    }
}
