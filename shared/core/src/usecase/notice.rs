//! The account's engineers are told on Slack how its webhooks are: that one fails, was paused, answers again. Each once,
//! whatever Slack does.
//!
//! **A burst folds.** The first alert is told at once. What comes within [`NOTICE_GAP`](limits::NOTICE_GAP) of it is told by one
//! message: whoever has the account's next turn tells all that is due. Every alert keeps a message of its own, which finds it
//! told, so that nothing depends on who takes whom along.

use std::time::Duration;

use super::attempt::USER_AGENT;
use super::probe::TestResult;
use super::{Engine, Handled};
use crate::alert::{Alert, AlertKind, Notice};
use crate::destination::{Destination, slack_text};
use crate::error::{Error, Result};
use crate::ids::AccountId;
use crate::message::NoticeMessage;
use crate::ports::{Call, Turn};
use crate::signature::later;
use crate::target::EndpointUrl;
use crate::webhook::Webhook;
use crate::{limits, notice, retry};

impl Engine {
    pub(super) async fn notice(&self, message: NoticeMessage) -> Result<Handled> {
        let now = self.clock.now();
        let Some(webhook) = self.webhooks.webhook(message.webhook_id).await? else {
            return Ok(Handled::Done);
        };
        let Some(alert) = webhook.alert_to_tell().filter(|alert| alert.at == message.at) else {
            return Ok(Handled::Done);
        };
        if let Notice::Sending { until, .. } = alert.notice
            && now < until
        {
            return Ok(Handled::Again(until));
        }
        let account = self.accounts.account(webhook.account_id).await?;
        let own = account.as_ref().and_then(|account| account.slack.clone());
        let Some(slack) = own.or_else(|| self.deployment.slack.clone()) else {
            self.change_alert(&webhook, |_| None).await?;
            return Ok(Handled::Done);
        };
        let turn = Turn::Notices(webhook.account_id);
        if let Err(free) = self.turns.take_turn(turn, now, later(now, limits::NOTICE_GAP)).await? {
            return Ok(Handled::Again(free));
        }
        let until = later(now, limits::CLAIM);
        let Some(claimed) = self.claim_notice(&webhook).await? else {
            return Ok(Handled::Again(later(now, limits::DRAIN_INTERVAL)));
        };
        let mut told = vec![claimed];
        for other in self.webhooks.webhooks(webhook.account_id).await?.iter() {
            if other.id != webhook.id && other.is_to_be_told(now) && told.len() < limits::NOTICES_TOGETHER {
                told.extend(self.claim_notice(other).await?);
            }
        }
        let account = account.map(|account| account.name).unwrap_or_default();
        let text = self.words_for(&told, &account).await?;
        if self.may_outlive(until) {
            return Ok(Handled::Again(until));
        }
        self.send_notice(slack, &text, told).await
    }

    /// Sends a message to the account's own channel, so that whoever set it sees that it works.
    pub async fn test_slack(&self, account: AccountId) -> Result<TestResult> {
        let Some(slack) = self.account(account).await?.slack else {
            return Err(Error::Conflict {
                code: "no_slack_url",
                detail: "the account has no slack_url; PATCH /v1/account sets one".to_owned(),
            });
        };
        let text = ":white_check_mark: StatusPulse tells this channel when a webhook fails, is paused, or answers again.";
        let sent = self.sender.send(message_to(slack, text)).await;
        Ok(TestResult::of(&Destination::Slack, &sent))
    }

    async fn words_for(&self, told: &[Webhook], account: &str) -> Result<String> {
        let alerts: Vec<(&Webhook, &Alert)> =
            told.iter().filter_map(|webhook| Some((webhook, webhook.alert.as_ref()?))).collect();
        let [(webhook, alert)] = alerts[..] else { return Ok(notice::of_several(alerts, account)) };
        let is_pause = matches!(alert.kind, AlertKind::Paused { .. });
        let held = if is_pause { self.deliveries.held(webhook.id).await? } else { 0 };
        Ok(notice::of_one(webhook, alert, account, held, &self.deployment))
    }

    /// Sends what the claimed alerts of these webhooks, of which the first is the message's own, are told by.
    async fn send_notice(&self, slack: EndpointUrl, text: &str, claimed: Vec<Webhook>) -> Result<Handled> {
        let sent = self.sender.send(message_to(slack, text)).await;
        let now = self.clock.now();
        let failure = Destination::Slack.verdict(&sent.result).failure();
        let asked = sent.result.ok().and_then(|reply| retry::retry_after(&reply.retry_after?, now));
        let mut own = Handled::Done;
        for (place, webhook) in claimed.iter().enumerate() {
            let tries = webhook.alert.as_ref().map_or(1, tries);
            let notice = match &failure {
                None => Notice::Done,
                Some(failure) if tries < limits::NOTICE_TRIES => {
                    tracing::warn!(webhook.id = %webhook.id, class = failure.class.name(), tries, "Slack notice failed; it is tried again");
                    let until = later(now, wait_after(tries).max(asked.unwrap_or_default()));
                    if place == 0 {
                        own = Handled::Again(until);
                    }
                    Notice::Sending { tries, until }
                }
                Some(failure) => {
                    tracing::error!(webhook.id = %webhook.id, class = failure.class.name(), tries, "Slack notice given up");
                    Notice::Done
                }
            };
            self.change_alert(webhook, |alert| Some(Alert { notice, ..alert })).await?;
        }
        Ok(own)
    }

    /// Makes the alert's next try this worker's alone: however many messages there are, one notice.
    async fn claim_notice(&self, webhook: &Webhook) -> Result<Option<Webhook>> {
        let until = later(self.clock.now(), limits::CLAIM);
        self.change_alert(webhook, |alert| {
            let tries = tries(&alert) + 1;
            Some(Alert { notice: Notice::Sending { tries, until }, ..alert })
        })
        .await
    }

    /// Changes a webhook's alert; `None` if there is other news meanwhile, or somebody else tells it.
    async fn change_alert(
        &self,
        webhook: &Webhook,
        change: impl Fn(Alert) -> Option<Alert> + Send,
    ) -> Result<Option<Webhook>> {
        let Some(alert) = &webhook.alert else { return Ok(None) };
        let mut next = webhook.clone();
        loop {
            next.alert = next.alert.and_then(&change);
            if self.webhooks.save_webhook(&next).await?.is_ok() {
                next.version += 1;
                return Ok(Some(next));
            }
            let Some(latest) = self.webhooks.webhook(webhook.id).await? else { return Ok(None) };
            if !latest.alert.as_ref().is_some_and(|latest| latest.stands_like(alert)) {
                return Ok(None);
            }
            next = Webhook::clone(&latest);
        }
    }
}

/// A message to engineers.
fn message_to(slack: EndpointUrl, text: &str) -> Call {
    let headers = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("User-Agent".to_owned(), USER_AGENT.to_owned()),
    ];
    Call { url: slack, headers, body: slack_text(text), timeout: limits::ATTEMPT_TIMEOUT }
}

/// How often it was tried to tell an alert.
fn tries(alert: &Alert) -> u32 {
    match alert.notice {
        Notice::Sending { tries, .. } => tries,
        Notice::Due | Notice::Done => 0,
    }
}

/// How long to wait after so many tries.
fn wait_after(tries: u32) -> Duration {
    let waits = limits::NOTICE_WAITS;
    waits[usize::try_from(tries).unwrap_or(usize::MAX).clamp(1, waits.len()) - 1]
}
