//! Redelivery: sends finished deliveries again because their owner asks for it.

use jiff::Timestamp;

use super::Admin;
use crate::delivery::{Delivery, State, Status};
use crate::error::{Error, Result};
use crate::ids::{AccountId, DeliveryId, WebhookId};
use crate::limits;
use crate::ports::DeliveryQuery;
use crate::webhook::JobKind;

impl Admin {
    /// Delivers a finished delivery again now. On a paused webhook it is held instead.
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
                // An earlier call may have been interrupted before it sent the message.
                if delivery.is_released() || matches!(delivery.state, State::Waiting | State::Held) {
                    self.outbox.reconcile_and_recheck(&delivery).await?;
                }
                let detail = match delivery.status() {
                    Status::Held => "the delivery is held; resume the webhook to deliver it",
                    _ => "the delivery is not finished; it will be attempted without a redelivery",
                };
                return Err(Error::Conflict { code: "delivery_unfinished", detail: detail.to_owned() });
            }
            let asked = delivery.requested_again();
            let again = if webhook.is_active() { asked.restarted(self.clock.now()) } else { asked };
            if let Ok(saved) = self.outbox.save(&again).await? {
                // It may be waiting, or held on a webhook that was resumed in the meantime.
                if saved.due_attempt().is_none() {
                    self.outbox.reconcile_and_recheck(&saved).await?;
                }
                return Ok(saved);
            }
        }
    }

    /// Delivers all of a webhook's failed deliveries again whose events were accepted at `since` or later. They are
    /// held, and released at a bounded rate as after a resume. Returns their number.
    pub async fn redeliver_failed(
        &self,
        account: AccountId,
        webhook: WebhookId,
        since: Timestamp,
    ) -> Result<u64> {
        let webhook = self.webhook(account, webhook).await?;
        if webhook.job.is_some_and(|job| job.kind == JobKind::Discard) {
            let detail = "held deliveries are being discarded; try again when that is done".to_owned();
            return Err(Error::Conflict { code: "discard_in_progress", detail });
        }
        let mut count = 0;
        loop {
            let page = self
                .deliveries
                .query(webhook.id, DeliveryQuery::FailedSince(since), limits::JOB_PAGE)
                .await?;
            if page.is_empty() {
                break;
            }
            for delivery in page {
                if self.outbox.save(&delivery.requested_again()).await?.is_ok() {
                    count += 1;
                }
            }
        }
        self.outbox.release_held(webhook.id).await?;
        Ok(count)
    }
}
