//! `statuspulse deliveries list --follow`: the newest deliveries, then everything that happens.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use statuspulse_core::limits::PAGE_MAX;
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Call, Client, Failure};
use super::filter::Filter;
use super::operations::SHOW_DELIVERY;
use super::pages::{self, List};
use super::session::Session;
use super::table::Table;
use super::terminal::remark;
use super::views;
use super::watch::{UNFINISHED, Watch, accepted};
use crate::limits::{FOLLOW_LOOKS, FOLLOW_POLL};

/// Shows the newest `limit` deliveries, and then each new or changed one once. Returns only if a call fails and cannot
/// succeed later.
pub(super) async fn run(session: &Session, filter: &Filter, limit: usize) -> Result<()> {
    let mut follower = Follower::new(&session.client, filter);
    let mut table = Table::new(views::DELIVERIES.columns);
    session.terminal.rows(&mut table, &follower.start(limit).await?)?;
    let mut ticks = interval(FOLLOW_POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        let polled = follower.poll().await;
        let changed = follower.take_changed();
        if !changed.is_empty() {
            session.terminal.rows(&mut table, &changed)?;
        }
        let was_failing = std::mem::replace(&mut is_failing, polled.is_err());
        match polled {
            Err(error) if !is_temporary(&error) => return Err(error),
            Err(error) if !was_failing => remark(&format!("{error:#}\nTrying again until it works.")),
            _ => {}
        }
    }
}

fn is_temporary(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Failure::Unavailable(_)))
}

struct Follower<'a> {
    client: &'a Client,
    filter: &'a Filter,
    /// The filter without its status, because the status of a delivery changes.
    any: Filter,
    watch: Watch,
    /// What is new or has changed, and was not taken yet.
    changed: Vec<Value>,
}

impl<'a> Follower<'a> {
    fn new(client: &'a Client, filter: &'a Filter) -> Self {
        Self { client, filter, any: filter.with_status(None), watch: Watch::default(), changed: vec![] }
    }

    /// The newest deliveries, oldest first. Also takes note of all that can still change.
    async fn start(&mut self, limit: usize) -> Result<Vec<Value>> {
        let newest = pages::read(self.client, || self.any.call(), Some(1)).await?;
        self.note(newest);
        self.poll_list().await?;
        for status in UNFINISHED {
            let filter = self.any.with_status(Some(status));
            let unfinished = pages::read(self.client, || filter.call(), None).await?;
            self.note(unfinished);
        }
        let mut first = pages::read(self.client, || self.filter.call(), Some(limit)).await?.entries;
        for delivery in &first {
            self.watch.note(delivery);
        }
        self.changed.clear();
        first.reverse();
        Ok(first)
    }

    /// Finds what is new or has changed.
    async fn poll(&mut self) -> Result<()> {
        self.watch.begin_poll();
        self.poll_list().await?;
        for _ in 0..FOLLOW_LOOKS {
            let Some((id, accepted)) = self.watch.overdue() else { break };
            self.look_at(&id, accepted).await?;
        }
        Ok(())
    }

    /// What polls have found and the filter wants, oldest first.
    fn take_changed(&mut self) -> Vec<Value> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.retain(|delivery| self.filter.wants(delivery));
        changed.sort_by_key(accepted);
        changed
    }

    /// Lists what was accepted lately.
    async fn poll_list(&mut self) -> Result<()> {
        let since = self.watch.since();
        let listed = pages::read(self.client, || self.any.call().query("since", since), None).await?;
        self.note(listed);
        Ok(())
    }

    /// Looks again at a delivery and, as one page shows many, at those that were accepted shortly before it.
    async fn look_at(&mut self, id: &str, accepted: Timestamp) -> Result<()> {
        let until = accepted.checked_add(SignedDuration::from_millis(1))?;
        let mut page =
            pages::page(self.client, self.any.call().query("until", Some(until)), PAGE_MAX).await?;
        page.entries.retain(|delivery| self.watch.knows(delivery));
        let has_it = page.entries.iter().any(|delivery| delivery["id"] == *id);
        self.note(page);
        if has_it { Ok(()) } else { self.look_at_alone(id).await }
    }

    async fn look_at_alone(&mut self, id: &str) -> Result<()> {
        match self.client.send(Call::to(&SHOW_DELIVERY).of(id)).await {
            Ok(answer) => self.note_one(answer.value),
            Err(error) if matches!(error.downcast_ref(), Some(Failure::NotFound(_))) => self.watch.forget(id),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn note(&mut self, list: List) {
        for delivery in list.entries {
            self.note_one(delivery);
        }
    }

    fn note_one(&mut self, delivery: Value) {
        if self.watch.note(&delivery) {
            self.changed.push(delivery);
        }
    }
}

#[cfg(test)]
mod tests;
