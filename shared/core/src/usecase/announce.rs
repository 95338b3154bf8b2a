//! Others are told what became of a webhook or a delivery: customers' automation, over whatever the deployment has for
//! it. At least once, like every message; who must not act twice goes by the ids in it.

use super::{Engine, Handled};
use crate::delivery::Delivery;
use crate::error::Result;
use crate::message::{AnnouncementMessage, Message, News, Wakeup};
use crate::ports::Announcement;
use crate::webhook::{State, Webhook};

impl Engine {
    pub(super) async fn announce(&self, message: AnnouncementMessage) -> Result<Handled> {
        let Some(announcer) = &self.announcer else { return Ok(Handled::Done) };
        // Whose webhook it is stands in its record, also in a deleted one's.
        if let Some(webhook) = self.webhooks.webhook(message.webhook_id).await? {
            let announcement = Announcement {
                account_id: webhook.account_id,
                webhook_id: message.webhook_id,
                at: message.at,
                news: message.news,
            };
            announcer.announce(&announcement).await?;
        }
        Ok(Handled::Done)
    }

    /// The announcement that a webhook's latest change of state calls for. It goes out with the first step of what the
    /// change began.
    pub(super) fn news_of_webhook(&self, webhook: &Webhook) -> Option<Wakeup> {
        let sweep = webhook.sweep.filter(|sweep| sweep.step == 0 && self.announcer.is_some())?;
        let news = match &webhook.state {
            State::Paused(pause) => {
                News::Paused { reason: pause.reason.name().to_owned(), last_error: pause.last_error.clone() }
            }
            // A release that a redelivery began is no resume.
            State::Active if webhook.resumed_at == Some(sweep.due) => News::Resumed,
            State::Active | State::Pending | State::Deleted => return None,
        };
        let message = AnnouncementMessage { webhook_id: webhook.id, at: sweep.due, news };
        Some(Wakeup { message: Message::Announcement(message), due: self.clock.now() })
    }

    /// The announcement that a delivery's end calls for.
    pub(super) fn news_of_delivery(&self, delivery: &Delivery) -> Option<Wakeup> {
        let failed = delivery.state == crate::delivery::State::Failed && self.announcer.is_some();
        let last = delivery.attempts.last().filter(|_| failed)?;
        let news = News::DeliveryFailed {
            delivery_id: delivery.id,
            event_id: delivery.event_id,
            incident_id: delivery.incident_id.clone(),
            last_error: last.failure.as_ref().map(|failure| failure.reason.clone()),
        };
        let message = AnnouncementMessage { webhook_id: delivery.webhook_id, at: last.at, news };
        Some(Wakeup { message: Message::Announcement(message), due: self.clock.now() })
    }
}
