//! Sends notifications to the account's engineers on Slack: a webhook is failing, was paused, or answers again. Each is
//! sent once, even if Slack is slow or down.
//!
//! **Batching.** The first notification is sent at once. Those raised within
//! [`NOTIFICATION_GAP`](limits::NOTIFICATION_GAP) of it are sent as one message: the worker that takes the account's
//! next slot claims all that are due. Each notification still has its own message, which finds it sent, so that nothing
//! depends on which worker sends the batch.

use std::sync::Arc;

use super::{Handled, Worker};
use crate::call::message_to;
use crate::destination::Verdict;
use crate::destination::slack::{self, Notice, Slack};
use crate::error::Result;
use crate::message::NotifyMessage;
use crate::notification::{Notification, NotificationKind, NotificationState, SendOutcome};
use crate::outbox::Latest;
use crate::ports::{RateLimit, Sent};
use crate::time::later;
use crate::webhook::Webhook;
use crate::{limits, notification_text, retry};

impl Worker {
    pub(super) async fn notify(&self, message: NotifyMessage) -> Result<Handled> {
        let now = self.clock.now();
        let Some(webhook) = self.webhooks.webhook(message.webhook_id).await? else {
            return Ok(Handled::Done);
        };
        let Some(notification) =
            webhook.notification.as_ref().filter(|known| known.id == message.notification)
        else {
            return Ok(Handled::Done);
        };
        match notification.state {
            NotificationState::Sending { until, .. } if now < until => return Ok(Handled::Again(until)),
            NotificationState::Sent => return Ok(Handled::Done),
            NotificationState::Sending { .. } | NotificationState::Pending => {}
        }
        let account = self.accounts.account(webhook.account_id).await?;
        let own = account.as_ref().and_then(|account| account.slack.clone());
        let Some(slack) = own.or_else(|| self.deployment.slack.clone()) else {
            let drop = |latest: &Webhook| latest.without_notification(notification.id);
            self.outbox.change_webhook(webhook.id, drop).await?;
            return Ok(Handled::Done);
        };
        let limit = RateLimit::Notifications(webhook.account_id);
        if let Err(free) = self.rate_limits.take(limit, now, later(now, limits::NOTIFICATION_GAP)).await? {
            return Ok(Handled::Again(free));
        }
        let until = later(now, limits::CLAIM);
        let Some(claimed) = self.claim_notification(&webhook, notification.id).await? else {
            return Ok(Handled::Again(later(now, limits::DRAIN_INTERVAL)));
        };
        let mut batch = vec![claimed];
        for other in self.webhooks.webhooks(webhook.account_id).await?.readable.iter() {
            if batch.len() >= limits::NOTIFICATIONS_TOGETHER {
                break;
            }
            if other.id != webhook.id
                && let Some(notification) = other.sendable_notification(now)
            {
                batch.extend(self.claim_notification(other, notification.id).await?);
            }
        }
        let account = account.map(|account| account.name).unwrap_or_default();
        let notice = self.words_for(&batch, &account).await?;
        if self.may_outlive(until) {
            return Ok(Handled::Again(until));
        }
        match self.sender.send(message_to(webhook.account_id, slack, slack::notice(&notice))).await {
            Ok(sent) => self.notifications_sent(sent, batch).await,
            Err(error) => {
                tracing::error!(%error, "a notification could not be sent; it is sent when its claim has expired");
                Ok(Handled::Again(until))
            }
        }
    }

    async fn words_for(&self, batch: &[Claimed], account: &str) -> Result<Notice> {
        let all: Vec<(&Webhook, &Notification)> =
            batch.iter().map(|claimed| (&*claimed.webhook, &claimed.notification)).collect();
        let [(webhook, notification)] = all[..] else {
            return Ok(notification_text::of_several(all, account, &self.deployment));
        };
        let is_pause = matches!(notification.kind, NotificationKind::Paused { .. });
        let held = if is_pause { self.deliveries.held(webhook.id).await? } else { 0 };
        Ok(notification_text::of_one(webhook, notification, account, held, &self.deployment))
    }

    /// Records the outcome of a Slack message for all notifications of the batch. The first is the one this message is
    /// for.
    async fn notifications_sent(&self, sent: Sent, batch: Vec<Claimed>) -> Result<Handled> {
        let now = self.clock.now();
        let failure = Verdict::of(&Slack, &sent.result).failure();
        let asked = sent.result.ok().and_then(|reply| retry::retry_after(&reply.retry_after?, now));
        self.metrics.notification_ended(failure.is_none());
        let outcome = match &failure {
            None => SendOutcome::Accepted,
            Some(_) => SendOutcome::Refused(asked.unwrap_or_default()),
        };
        for claimed in &batch {
            if let Some(failure) = &failure {
                let (id, tries) = (claimed.webhook.id, claimed.notification.tries());
                tracing::warn!(webhook.id = %id, class = failure.class.name(), tries, "notification to Slack failed");
            }
            let change = |latest: &Webhook| latest.after_notification(&claimed.notification, outcome, now);
            self.outbox.change_webhook(claimed.webhook.id, change).await?;
        }
        // It may need another try, or another worker, which may die, may have claimed it: keep this message until it is
        // sent.
        let Some(own) = batch.first() else { return Ok(Handled::Done) };
        let latest = self.webhooks.webhook(own.webhook.id).await?;
        let latest = latest.as_ref().and_then(|webhook| webhook.notification.as_ref());
        Ok(match latest.filter(|latest| latest.id == own.notification.id).map(|latest| latest.state) {
            Some(NotificationState::Sending { until, .. }) => Handled::Again(until),
            _ => Handled::Done,
        })
    }

    /// Claims the next try, so that only one worker sends it. Returns `None` if another worker has claimed it, or if a
    /// newer notification replaced it.
    async fn claim_notification(&self, webhook: &Webhook, id: u64) -> Result<Option<Claimed>> {
        let now = self.clock.now();
        let claim = |latest: &Webhook| latest.with_notification_claimed(id, now);
        let latest = self.outbox.change_webhook(webhook.id, claim).await?;
        Ok(latest.filter(|latest| latest.changed).and_then(|Latest { webhook, .. }| {
            let notification = webhook.notification.clone()?;
            Some(Claimed { webhook, notification })
        }))
    }
}

/// A webhook, and the notification that this worker has claimed.
struct Claimed {
    webhook: Arc<Webhook>,
    notification: Notification,
}
