//! Belt and braces: what no message will wake is looked for now and then, and woken. Every step of ours leaves a message
//! behind, so there should be nothing; what is found is counted, and is a fault of ours or a queue that is far behind.

use std::collections::HashSet;

use jiff::Timestamp;

use super::Engine;
use crate::alert::Notice;
use crate::delivery::{Delivery, State};
use crate::error::Result;
use crate::limits;
use crate::ports::SweepPart;
use crate::webhook::Webhook;

impl Engine {
    /// Goes through all webhooks, from a random account on: a look that is broken off has seen some, and another sees the
    /// others. Answers with how much had to be woken.
    pub async fn look_after_all(&self) -> Result<u64> {
        let mut accounts = vec![];
        loop {
            let page = self.accounts.accounts(accounts.last().copied(), limits::PAGE_MAX).await?;
            accounts.extend_from_slice(&page);
            if page.len() < limits::PAGE_MAX {
                break;
            }
        }
        let mut dice = [0; 8];
        self.random.fill(&mut dice);
        let start = usize::try_from(u64::from_le_bytes(dice) % (accounts.len().max(1) as u64)).unwrap_or(0);
        accounts.rotate_left(start);
        let mut found = 0;
        for account in accounts {
            for webhook in self.webhooks.webhooks(account).await?.iter() {
                match self.look_after(webhook).await {
                    Ok(0) => {}
                    Ok(woken) => {
                        tracing::error!(webhook.id = %webhook.id, woken, "nothing would have come for these");
                        self.metrics.stranded(woken);
                        found += woken;
                    }
                    // One that cannot be looked at hides no other.
                    Err(error) => tracing::error!(webhook.id = %webhook.id, %error, "cannot be looked after"),
                }
            }
        }
        Ok(found)
    }

    async fn look_after(&self, webhook: &Webhook) -> Result<u64> {
        let long_ago = self.clock.now().checked_sub(limits::OVERDUE).unwrap_or(Timestamp::MIN);
        if let Some(sweep) = webhook.sweep {
            // It sees to the deliveries, if it goes on itself.
            return if sweep.due < long_ago { self.wake_webhook(webhook).await } else { Ok(0) };
        }
        let mut found = 0;
        if owes_a_notice_since(webhook, long_ago) {
            found += self.wake_webhook(webhook).await?;
        }
        let held = self.deliveries.sweep_page(webhook.id, SweepPart::Held, 1).await?;
        if webhook.is_active() && !held.is_empty() {
            self.ensure_release(webhook.id).await?;
            found += 1;
        }
        let moving = self.deliveries.sweep_page(webhook.id, SweepPart::Moving, limits::SWEEP_PAGE).await?;
        let mut lanes = HashSet::new();
        for delivery in moving {
            let stranded = match delivery.state {
                State::Scheduled { at, .. } => at < long_ago,
                State::Waiting if lanes.insert(delivery.incident_id.clone()) => {
                    delivery.accepted_at < long_ago
                        && self.waits_for_nobody(webhook, &delivery, long_ago).await?
                }
                _ => false,
            };
            if stranded {
                self.follow_up(delivery).await?;
                found += 1;
            }
        }
        Ok(found)
    }

    async fn wake_webhook(&self, webhook: &Webhook) -> Result<u64> {
        self.follow_up_webhook(webhook).await?;
        Ok(1)
    }

    /// Who is first in its lane has nobody to wake it, nor has one whose head was due long ago; and what waits on a paused
    /// webhook should be held.
    async fn waits_for_nobody(
        &self,
        webhook: &Webhook,
        waiting: &Delivery,
        long_ago: Timestamp,
    ) -> Result<bool> {
        if !webhook.is_active() {
            return Ok(true);
        }
        let head = self.deliveries.lane_head(waiting.webhook_id, &waiting.incident_id).await?;
        Ok(head.is_some_and(|head| match head.state {
            State::Waiting => true,
            // On a later rung it is one of those that are looked through themselves.
            State::Scheduled { number: 1, at } => at < long_ago,
            _ => false,
        }))
    }
}

fn owes_a_notice_since(webhook: &Webhook, long_ago: Timestamp) -> bool {
    webhook.alert.as_ref().is_some_and(|alert| match alert.notice {
        Notice::Due => alert.at < long_ago,
        Notice::Sending { until, .. } => until < long_ago,
        Notice::Done => false,
    })
}
