//! A finished delivery is made again, because its owner asks for it.

use jiff::Timestamp;

use super::Engine;
use crate::delivery::{Delivery, State, Status};
use crate::error::{Error, Result};
use crate::ids::{AccountId, DeliveryId, WebhookId};
use crate::limits;
use crate::ports::SweepPart;
use crate::webhook::SweepMode;

impl Engine {
    /// Delivers a finished delivery once more, now; on a paused webhook it is held instead.
    pub async fn redeliver(
        &self,
        account: AccountId,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<Delivery> {
        let webhook = self.webhook(account, webhook).await?;
        loop {
            let delivery = self.delivery(account, webhook.id, id).await?;
            if !delivery.is_finished() {
                // A call that broke off before its message was sent is completed by its repetition.
                if delivery.is_released() || delivery.state == State::Waiting {
                    self.follow_up(delivery.clone()).await?;
                }
                let detail = match delivery.status() {
                    Status::Held => "it is held; resume the webhook to deliver it",
                    _ => "it is not finished; it will be delivered by itself",
                };
                return Err(Error::Conflict { code: "delivery_unfinished", detail: detail.to_owned() });
            }
            let asked = delivery.asked_again();
            let again = if webhook.is_active() { asked.begun_again(self.clock.now()) } else { asked };
            if let Ok(saved) = self.deliveries.save_delivery(&again).await? {
                self.follow_up(saved.delivery.clone()).await?;
                return Ok(saved.delivery);
            }
        }
    }

    /// Delivers all of a webhook's failed deliveries again whose events were accepted at `since` or later: they
    /// are held, and let go at a bounded rate like those of a resume. Answers how many.
    pub async fn redeliver_failed(
        &self,
        account: AccountId,
        webhook: WebhookId,
        since: Timestamp,
    ) -> Result<u64> {
        let webhook = self.webhook(account, webhook).await?;
        if webhook.sweep.is_some_and(|sweep| sweep.mode == SweepMode::Discard) {
            let detail = "held deliveries are being discarded; ask again when that is done".to_owned();
            return Err(Error::Conflict { code: "discard_in_progress", detail });
        }
        let mut count = 0;
        loop {
            let page = self
                .deliveries
                .sweep_page(webhook.id, SweepPart::FailedSince(since), limits::SWEEP_PAGE)
                .await?;
            if page.is_empty() {
                break;
            }
            for delivery in page {
                if self.deliveries.save_delivery(&delivery.asked_again()).await?.is_ok() {
                    count += 1;
                }
            }
        }
        self.ensure_release(webhook.id).await?;
        Ok(count)
    }
}
