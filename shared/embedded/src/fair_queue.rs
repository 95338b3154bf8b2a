//! The in-memory part of a queue: which webhook is next, and how many messages of each are in progress.
//!
//! A webhook may use half of the slots that are free. So a webhook whose receiver hangs takes at most a third of all
//! slots (x = (1 - x) / 2), a second one half of what is then free, and so on. There is always room for another.
//!
//! In addition each webhook has an adaptive concurrency limit. It grows by one with each message that was processed
//! quickly, and is halved with each slow one. So a receiver that hangs soon occupies a few slots instead of hundreds.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use statuspulse_core::ids::WebhookId;
use statuspulse_core::message::Message;

/// One queue.
#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    webhooks: HashMap<WebhookId, Backlog>,
    /// The webhooks with messages, in the order of their turns.
    turns: VecDeque<WebhookId>,
    in_work: usize,
}

/// One webhook's messages in one queue.
#[derive(Debug)]
struct Backlog {
    next: VecDeque<Entry>,
    /// Whether there are more messages on disk, past `last_seq`.
    more_on_disk: bool,
    /// The last message that was loaded into memory.
    last_seq: i64,
    /// The last message that arrived, in memory or only on disk.
    newest_seq: i64,
    in_work: usize,
    /// How many of its messages may be in progress at once.
    concurrency: usize,
    has_turn: bool,
}

impl Default for Backlog {
    fn default() -> Self {
        Self {
            next: VecDeque::new(),
            more_on_disk: false,
            last_seq: 0,
            newest_seq: 0,
            in_work: 0,
            concurrency: crate::limits::CONCURRENCY_START,
            has_turn: false,
        }
    }
}

/// A message in its queue.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) seq: i64,
    pub(crate) receives: u32,
    pub(crate) message: Message,
}

/// What to do next.
pub(crate) enum Pick {
    /// Process this message. It occupies a slot from now on.
    Entry(Box<Entry>),
    /// First load this webhook's messages from disk: those past `after`, up to `to`. Rows past `to` are about to be
    /// pushed, so reading them here would deliver them twice.
    Load { webhook: WebhookId, after: i64, to: i64 },
    /// Wait: there is no message, or no free slot for one.
    Nothing,
}

impl FairQueue {
    /// Adds a message that was committed.
    pub(crate) fn push(&mut self, entry: Entry) {
        let webhook = entry.message.webhook_id();
        let backlog = self.webhooks.entry(webhook).or_default();
        if entry.seq <= backlog.last_seq {
            return;
        }
        backlog.newest_seq = entry.seq;
        if backlog.more_on_disk || backlog.next.len() >= crate::limits::BUFFERED {
            backlog.more_on_disk = true;
        } else {
            backlog.last_seq = entry.seq;
            backlog.next.push_back(entry);
        }
        self.give_turn(webhook);
    }

    fn give_turn(&mut self, webhook: WebhookId) {
        if let Some(backlog) = self.webhooks.get_mut(&webhook)
            && !backlog.has_turn
        {
            backlog.has_turn = true;
            self.turns.push_back(webhook);
        }
    }

    /// Picks the next message, if there is one and a slot for it. `slots` is the number of slots of the queue.
    pub(crate) fn pick(&mut self, slots: usize) -> Pick {
        let share = (slots.saturating_sub(self.in_work) / 2).max(1);
        if self.in_work >= slots {
            return Pick::Nothing;
        }
        for _ in 0..self.turns.len() {
            let Some(webhook) = self.turns.pop_front() else { break };
            let Some(backlog) = self.webhooks.get_mut(&webhook) else { continue };
            if backlog.in_work >= share.min(backlog.concurrency) {
                self.turns.push_back(webhook);
                continue;
            }
            let Some(entry) = backlog.next.pop_front() else {
                if backlog.more_on_disk {
                    self.turns.push_front(webhook);
                    return Pick::Load { webhook, after: backlog.last_seq, to: backlog.newest_seq };
                }
                backlog.has_turn = false;
                self.forget_if_idle(webhook);
                continue;
            };
            backlog.in_work += 1;
            self.in_work += 1;
            self.turns.push_back(webhook);
            return Pick::Entry(Box::new(entry));
        }
        Pick::Nothing
    }

    /// Adds the `entries` that a [`Pick::Load`] asked for.
    pub(crate) fn loaded(&mut self, webhook: WebhookId, after: i64, to: i64, entries: Vec<Entry>) {
        let Some(backlog) = self.webhooks.get_mut(&webhook) else { return };
        // Another task has loaded them in the meantime.
        if backlog.last_seq != after {
            return;
        }
        backlog.last_seq = match entries.last() {
            Some(last) if entries.len() >= crate::limits::BUFFERED => last.seq,
            _ => to,
        };
        // A message that was pushed after the read is not in `entries`.
        backlog.more_on_disk = backlog.newest_seq > backlog.last_seq;
        backlog.next.extend(entries);
    }

    /// Frees the slot of a message whose processing ended, successfully or not.
    pub(crate) fn ended(&mut self, webhook: WebhookId, took: Duration) {
        self.in_work = self.in_work.saturating_sub(1);
        if let Some(backlog) = self.webhooks.get_mut(&webhook) {
            backlog.in_work = backlog.in_work.saturating_sub(1);
            backlog.concurrency = if took < crate::limits::SLOW {
                backlog.concurrency.saturating_add(1)
            } else {
                crate::limits::CONCURRENCY_MIN.max(backlog.concurrency / 2)
            };
        }
        self.forget_if_idle(webhook);
    }

    /// At start: the webhook has messages on disk, up to `to` at most.
    pub(crate) fn found_on_disk(&mut self, webhook: WebhookId, to: i64) {
        let backlog = self.webhooks.entry(webhook).or_default();
        backlog.more_on_disk = true;
        backlog.newest_seq = to;
        self.give_turn(webhook);
    }

    /// Queues a message again whose row could not be deleted. It must not be loaded from disk as well.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        let webhook = entry.message.webhook_id();
        let backlog = self.webhooks.entry(webhook).or_default();
        backlog.last_seq = backlog.last_seq.max(entry.seq);
        backlog.newest_seq = backlog.newest_seq.max(entry.seq);
        let place = backlog.next.partition_point(|other| other.seq < entry.seq);
        backlog.next.insert(place, entry);
        self.give_turn(webhook);
    }

    /// Removes the webhook if it has no messages. `last_seq` is no longer needed: later messages have a higher `seq`.
    fn forget_if_idle(&mut self, webhook: WebhookId) {
        let idle = |backlog: &Backlog| {
            backlog.in_work == 0 && !backlog.has_turn && backlog.next.is_empty() && !backlog.more_on_disk
        };
        if self.webhooks.get(&webhook).is_some_and(idle) {
            self.webhooks.remove(&webhook);
        }
    }
}
