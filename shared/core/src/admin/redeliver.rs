//! Redelivery: sends finished deliveries again, and retries early, because their owner asks for it.

use jiff::Timestamp;

use super::Admin;
use super::probe::not_verified;
use crate::access::Manager;
use crate::audit::{AccountEntry, Action, FieldChange};
use crate::delivery::{Delivery, State};
use crate::error::{Error, Result};
use crate::ids::{AccountId, DeliveryId, WebhookId};
use crate::limits;
use crate::ports::DeliveryQuery;
use crate::time::later;
use crate::webhook::{self, BulkJob, JobKind, Webhook};

impl Admin {
    /// Delivers a finished delivery again now. On a paused webhook it is held instead. A retry that is due later is made
    /// now.
    pub async fn redeliver(&self, by: Manager, webhook: WebhookId, id: DeliveryId) -> Result<Delivery> {
        let webhook = self.webhook(by.account_id, webhook).await?;
        let mut is_noted = false;
        loop {
            let delivery = self.delivery(by.account_id, webhook.id, id).await?;
            let now = self.clock.now();
            let again = if delivery.is_finished() {
                let asked = delivery.requested_again();
                if webhook.is_active() { asked.restarted(now) } else { asked }
            } else {
                match self.retried_now(&webhook, delivery, now).await? {
                    Retry::Early(early) => *early,
                    Retry::IsDue(due) => return Ok(*due),
                }
            };
            // Before it is done, so that it is not done without a trace. Once, however often it is tried.
            if !is_noted {
                let made = (now, by.actor());
                let entry = AccountEntry::new(by.account_id, made, Action::DeliveryRedelivered, &id, vec![]);
                self.note(entry.about(webhook.id)).await?;
                is_noted = true;
            }
            if let Ok(saved) = self.outbox.save(&again).await? {
                // It may be waiting, or held on a webhook that was resumed in the meantime.
                if saved.due_attempt().is_none() {
                    self.outbox.reconcile_and_recheck(&saved).await?;
                }
                return Ok(saved);
            }
        }
    }

    /// Claims a retry that is due later, and schedules it for now. Refuses a delivery that is not on the ladder.
    async fn retried_now(&self, webhook: &Webhook, delivery: Delivery, now: Timestamp) -> Result<Retry> {
        // An earlier call may have been interrupted before it sent the message.
        if delivery.is_released() || matches!(delivery.state, State::Waiting | State::Held) {
            self.outbox.reconcile_and_recheck(&delivery).await?;
        }
        let detail = match delivery.state {
            State::Held => "the delivery is held; resume the webhook to deliver it",
            State::Scheduled { number, .. } if number > 1 && webhook.is_active() => {
                if delivery.clone().retried_now(now).is_none() {
                    return Ok(Retry::IsDue(Box::new(delivery)));
                }
                match self.outbox.claimed(delivery).await?.and_then(|claimed| claimed.retried_now(now)) {
                    Some(early) => return Ok(Retry::Early(Box::new(early))),
                    None => "the delivery is being attempted; try again when that is done",
                }
            }
            _ => "the delivery is not finished; it will be attempted without a redelivery",
        };
        Err(Error::Conflict { code: "delivery_unfinished", detail: detail.to_owned() })
    }

    /// Makes the retries now that wait on the webhook's ladder, in addition to those at their own times. The rate is
    /// bounded, and low while the endpoint fails. Returns their number, as far as it is counted.
    pub async fn retry(&self, by: Manager, id: WebhookId) -> Result<u64> {
        let now = self.clock.now();
        let webhook = self.webhook(by.account_id, id).await?;
        let due = DeliveryQuery::DueAfter(later(now, limits::DRAIN_INTERVAL));
        let waiting = self.deliveries.query(id, due, limits::COUNTED).await?;
        let outage = webhook.health.outage;
        let count = waiting.into_iter().filter_map(|each| each.retried_early(now, outage)).count();
        self.change_webhook(by.account_id, id, |webhook| match (&webhook.state, webhook.job) {
            (webhook::State::Active, None) if count > 0 => {
                webhook.retry(by.actor(), now);
                Ok(Some(()))
            }
            (webhook::State::Active, None | Some(BulkJob { kind: JobKind::Recover, .. })) => Ok(None),
            (webhook::State::Active, Some(_)) => Err(Error::Conflict {
                code: "job_in_progress",
                detail: "the webhook's deliveries are being released; try again when that is done".to_owned(),
            }),
            (webhook::State::Pending, _) => Err(not_verified()),
            (webhook::State::Paused(_) | webhook::State::Deleted, _) => Err(Error::Conflict {
                code: "webhook_paused",
                detail: "the webhook is paused; resume it".to_owned(),
            }),
        })
        .await?;
        Ok(count as u64)
    }

    /// How many of a webhook's deliveries [`redeliver_failed`](Self::redeliver_failed) would deliver again; at most
    /// [`COUNTED`](limits::COUNTED) are counted.
    pub async fn failed_since(
        &self,
        account: AccountId,
        webhook: WebhookId,
        since: Timestamp,
    ) -> Result<u64> {
        let id = self.webhook(account, webhook).await?.id;
        let failed = self.deliveries.query(id, DeliveryQuery::FailedSince(since), limits::COUNTED).await?;
        Ok(failed.len() as u64)
    }

    /// Delivers all of a webhook's failed deliveries again whose events were accepted at `since` or later. They are
    /// held, and released at a bounded rate as after a resume. Returns their number.
    pub async fn redeliver_failed(&self, by: Manager, webhook: WebhookId, since: Timestamp) -> Result<u64> {
        let webhook = self.webhook(by.account_id, webhook).await?;
        if webhook.job.is_some_and(|job| job.kind == JobKind::Discard) {
            let detail = "held deliveries are being discarded; try again when that is done".to_owned();
            return Err(Error::Conflict { code: "discard_in_progress", detail });
        }
        let made = (self.clock.now(), by.actor());
        let since_when = FieldChange::of("since", None, Some(since.to_string()));
        let fields = since_when.into_iter().collect();
        let entry = AccountEntry::new(by.account_id, made, Action::WebhookRedelivered, &webhook.id, fields);
        self.note(entry.about(webhook.id)).await?;
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
        self.outbox.start_job_for_held(webhook.id).await?;
        Ok(count)
    }

    /// Adds an entry to the audit log for what is about to be done.
    async fn note(&self, entry: AccountEntry) -> Result<()> {
        self.accounts.add_audit_entry(&entry).await?;
        self.tell(&entry).await;
        Ok(())
    }
}

/// What a redelivery does with an unfinished delivery.
enum Retry {
    /// Attempts it now.
    Early(Box<Delivery>),
    /// Nothing: its attempt is due.
    IsDue(Box<Delivery>),
}
