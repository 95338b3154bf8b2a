//! What happened lately: the figures of an account or of one of its webhooks.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Admin;
use crate::error::Result;
use crate::figures::{Counts, OfResume, hour_of};
use crate::ids::{AccountId, WebhookId};
use crate::limits;

/// The figures of an account, or of one of its webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The last 24 hours of the clock, oldest first. The last one is not over.
    pub hours: Vec<(Timestamp, Counts)>,
    /// The same 24 hours together.
    pub day: Counts,
    /// The last 30 days together.
    pub month: Counts,
    /// What became of what the last resume released. `None` if there was none lately, and for an account.
    pub resume: Option<OfResume>,
}

impl Admin {
    /// The figures of an account, or of one of its webhooks.
    pub async fn stats(&self, account: AccountId, webhook: Option<WebhookId>) -> Result<Stats> {
        let resumed_at = match webhook {
            Some(id) => self.webhook(account, id).await?.resumed_at(),
            None => None,
        };
        let now = self.clock.now();
        let since = now.checked_sub(limits::RETENTION).unwrap_or(Timestamp::MIN);
        let mut month = Counts::default();
        let mut by_hour = last_hours(now);
        for (hour, counts) in self.figures.figures(account, webhook, since).await? {
            month.add(&counts);
            if let Some(shown) = by_hour.get_mut(&hour) {
                shown.add(&counts);
            }
        }
        let resume = resumed_at.filter(|at| *at >= since).map(|at| month.of_resume(at));
        Ok(Stats { day: sum(by_hour.values()), hours: by_hour.into_iter().collect(), month, resume })
    }

    /// The last 24 hours of the clock of one webhook, as in [`Stats::hours`].
    pub async fn hours(&self, account: AccountId, webhook: WebhookId) -> Result<Vec<(Timestamp, Counts)>> {
        let now = self.clock.now();
        let mut by_hour = last_hours(now);
        let since = by_hour.keys().next().copied().unwrap_or(now);
        for (hour, counts) in self.figures.figures(account, Some(webhook), since).await? {
            by_hour.entry(hour).or_default().add(&counts);
        }
        Ok(by_hour.into_iter().collect())
    }
}

/// The sum of counts.
pub fn sum<'a>(all: impl IntoIterator<Item = &'a Counts>) -> Counts {
    let mut sum = Counts::default();
    all.into_iter().for_each(|counts| sum.add(counts));
    sum
}

/// The last 24 hours of the clock, without counts.
fn last_hours(now: Timestamp) -> BTreeMap<Timestamp, Counts> {
    let current = hour_of(now).as_second();
    let hours = (0..24).filter_map(|ago| Timestamp::from_second(current - ago * 3600).ok());
    hours.map(|hour| (hour, Counts::default())).collect()
}
