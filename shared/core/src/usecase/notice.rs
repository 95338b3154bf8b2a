//! The account's engineers are told on Slack that a webhook was paused: once a pause, whatever Slack does.

use std::time::Duration;

use super::attempt::USER_AGENT;
use super::probe::TestResult;
use super::{Engine, Handled};
use crate::destination::{Destination, escaped, slack_text};
use crate::error::{Error, Result};
use crate::ids::AccountId;
use crate::limits;
use crate::message::NoticeMessage;
use crate::ports::Call;
use crate::signature::later;
use crate::target::EndpointUrl;
use crate::webhook::{Notice, Pause, PauseReason, State, Webhook};

impl Engine {
    pub(super) async fn notice(&self, message: NoticeMessage) -> Result<Handled> {
        let now = self.clock.now();
        let Some(webhook) = self.webhooks.webhook(message.webhook_id).await? else {
            return Ok(Handled::Done);
        };
        let State::Paused(pause) = &webhook.state else { return Ok(Handled::Done) };
        if webhook.epoch != message.epoch {
            return Ok(Handled::Done);
        }
        let tries = match pause.notice {
            Notice::None | Notice::Done => return Ok(Handled::Done),
            Notice::Sending { until, .. } if now < until => return Ok(Handled::Again(until)),
            Notice::Due => 1,
            Notice::Sending { tries, .. } => tries + 1,
        };
        let account = self.accounts.account(webhook.account_id).await?;
        let own = account.as_ref().and_then(|account| account.slack.clone());
        let Some(slack) = own.or_else(|| self.deployment.slack.clone()) else {
            self.set_notice(&webhook, Notice::None).await?;
            return Ok(Handled::Done);
        };
        // Only one worker gets past this: however many messages there are, one notice.
        let until = later(now, limits::CLAIM);
        let sending = Notice::Sending { tries, until };
        let Some(claimed) = self.set_notice(&webhook, sending).await? else {
            return Ok(Handled::Again(later(now, limits::DRAIN_INTERVAL)));
        };
        let account = account.map(|account| account.name);
        let held = self.deliveries.held(webhook.id).await?;
        let text = text(&webhook, pause, &account.unwrap_or_default(), held, &self.deployment.public_url);
        if self.may_outlive(until) {
            return Ok(Handled::Again(until));
        }
        self.send_notice(slack, &text, claimed, tries).await
    }

    /// Sends a message to the account's own channel, so that whoever set it sees that it works.
    pub async fn test_slack(&self, account: AccountId) -> Result<TestResult> {
        let Some(slack) = self.account(account).await?.slack else {
            return Err(Error::Conflict {
                code: "no_slack_url",
                detail: "the account has no slack_url; PATCH /v1/account sets one".to_owned(),
            });
        };
        let text = ":white_check_mark: StatusPulse tells this channel when a webhook is paused.";
        let sent = self.sender.send(message_to(slack, text)).await;
        Ok(TestResult::of(&Destination::Slack, &sent))
    }

    async fn send_notice(
        &self,
        slack: EndpointUrl,
        text: &str,
        webhook: Webhook,
        tries: u32,
    ) -> Result<Handled> {
        let sent = self.sender.send(message_to(slack, text)).await;
        match Destination::Slack.verdict(&sent.result).failure() {
            None => {
                self.set_notice(&webhook, Notice::Done).await?;
            }
            Some(failure) if tries < limits::NOTICE_TRIES => {
                tracing::warn!(webhook.id = %webhook.id, class = failure.class.name(), tries, "Slack notice failed; it is tried again");
                let until = later(self.clock.now(), wait_after(tries));
                self.set_notice(&webhook, Notice::Sending { tries, until }).await?;
                return Ok(Handled::Again(until));
            }
            Some(failure) => {
                tracing::error!(webhook.id = %webhook.id, class = failure.class.name(), tries, "Slack notice given up");
                self.set_notice(&webhook, Notice::Done).await?;
            }
        }
        Ok(Handled::Done)
    }

    /// Records where the notice stands; `None` if the webhook was changed meanwhile in a way that matters.
    async fn set_notice(&self, webhook: &Webhook, notice: Notice) -> Result<Option<Webhook>> {
        let mut latest = webhook.clone();
        loop {
            let mut next = latest.clone();
            let State::Paused(pause) = &mut next.state else { return Ok(None) };
            pause.notice = notice;
            if self.webhooks.save_webhook(&next).await?.is_ok() {
                next.version += 1;
                return Ok(Some(next));
            }
            let Some(again) = self.webhooks.webhook(webhook.id).await? else { return Ok(None) };
            if again.epoch != webhook.epoch || again.state != webhook.state {
                return Ok(None);
            }
            latest = Webhook::clone(&again);
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

/// How long to wait after so many tries.
fn wait_after(tries: u32) -> Duration {
    let waits = limits::NOTICE_WAITS;
    waits[usize::try_from(tries).unwrap_or(usize::MAX).clamp(1, waits.len()) - 1]
}

/// The notice: which webhook, since when, the last error, how much is held, how to resume. The URL's path is
/// left out, as paths of webhooks are often secrets.
fn text(webhook: &Webhook, pause: &Pause, account: &str, held: u64, public_url: &str) -> String {
    let why = match pause.reason {
        PauseReason::Failures => "after four consecutive failures",
        PauseReason::Gone => "because its endpoint answered 410 Gone",
        PauseReason::Manual => "by hand",
        PauseReason::Permanent => "because its destination will take nothing any more",
    };
    let mut text = format!(
        ":octagonal_sign: Webhook {} of {} was paused {why}.\nEndpoint: {}\nPaused since: {}",
        webhook.id,
        escaped(account),
        escaped(&webhook.settings.url.without_path()),
        pause.since,
    );
    if let Some(since) = pause.failing_since {
        text.push_str(&format!("\nFailing since: {since}"));
    }
    if let Some(error) = &pause.last_error {
        text.push_str(&format!("\nLast error: {}", escaped(error)));
    }
    let noun = if held == 1 { "delivery is" } else { "deliveries are" };
    text.push_str(&format!(
        "\n{held} {noun} held. To resume: POST <{public_url}/v1/webhooks/{}/resume>",
        webhook.id
    ));
    text
}
