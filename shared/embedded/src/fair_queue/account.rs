//! The messages of one account in a queue: its webhooks take turns.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use statuspulse_core::ids::WebhookId;
use statuspulse_core::limits;

use crate::entry::{Entry, Load, Wanted};

/// One account.
#[derive(Debug, Default)]
pub(super) struct Account {
    webhooks: HashMap<WebhookId, Backlog>,
    /// The webhooks with messages, in the order of their turns.
    turns: VecDeque<WebhookId>,
    in_work: Load,
    /// How many messages of webhooks that were slow lately are in progress.
    slow_in_work: usize,
    pub(super) has_turn: bool,
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

impl Backlog {
    /// Whether its last messages were slow.
    fn is_slow(&self) -> bool {
        self.concurrency < crate::limits::CONCURRENCY_START
    }

    fn is_idle(&self) -> bool {
        self.in_work == 0 && !self.has_turn && self.next.is_empty() && !self.more_on_disk
    }
}

/// What an account has to do next.
pub(super) enum Found {
    Entry(Box<Entry>),
    /// The next messages of this webhook are on disk.
    OnDisk {
        webhook: WebhookId,
        after: i64,
        to: i64,
    },
    /// It has messages, but has used its share, or its webhooks have.
    NoRoom,
    Nothing,
}

impl Account {
    /// Adds a message. Returns `false` if it stays on disk: `room` messages of its webhook are in memory.
    pub(super) fn push(&mut self, entry: Entry, room: usize) -> bool {
        let webhook = entry.owner().webhook;
        let backlog = self.webhooks.entry(webhook).or_default();
        if entry.seq <= backlog.last_seq {
            return false;
        }
        backlog.newest_seq = entry.seq;
        backlog.more_on_disk |= backlog.next.len() >= room;
        let in_memory = !backlog.more_on_disk;
        if in_memory {
            backlog.last_seq = entry.seq;
            backlog.next.push_back(entry);
        }
        self.give_turn(webhook);
        in_memory
    }

    fn give_turn(&mut self, webhook: WebhookId) {
        if let Some(backlog) = self.webhooks.get_mut(&webhook)
            && !backlog.has_turn
        {
            backlog.has_turn = true;
            self.turns.push_back(webhook);
        }
    }

    /// The next message, if the account has one and may use some of what is `free` in the queue. Only an account of
    /// which nothing is in progress may use the `reserve`.
    pub(super) fn pick(&mut self, free: Load, reserve: Load) -> Found {
        let is_idle = self.in_work == Load::default();
        let room = if is_idle { free } else { free.less(reserve).less(self.in_work) };
        if room.messages == 0 {
            return Found::NoRoom;
        }
        for _ in 0..self.turns.len() {
            let Some(webhook) = self.turns.pop_front() else { break };
            let Some(backlog) = self.webhooks.get_mut(&webhook) else { continue };
            let share = (room.messages * 2 / 3).max(1).min(backlog.concurrency);
            let slow_have_enough = backlog.is_slow() && self.slow_in_work >= room.messages;
            let has_enough = backlog.in_work >= share || slow_have_enough;
            if has_enough || backlog.next.front().is_some_and(|entry| entry.body_bytes > room.bytes) {
                self.turns.push_back(webhook);
                continue;
            }
            let Some(entry) = backlog.next.pop_front() else {
                if backlog.more_on_disk {
                    self.turns.push_front(webhook);
                    return Found::OnDisk { webhook, after: backlog.last_seq, to: backlog.newest_seq };
                }
                backlog.has_turn = false;
                self.forget_if_idle(webhook);
                continue;
            };
            self.slow_in_work += usize::from(backlog.is_slow());
            backlog.in_work += 1;
            self.in_work.add(entry.load());
            self.turns.push_back(webhook);
            return Found::Entry(Box::new(entry));
        }
        if self.turns.is_empty() { Found::Nothing } else { Found::NoRoom }
    }

    /// Adds loaded messages. Returns `false` if another task has loaded them in the meantime.
    pub(super) fn loaded(&mut self, wanted: Wanted, entries: Vec<Entry>) -> bool {
        let Some(backlog) = self.webhooks.get_mut(&wanted.owner.webhook) else { return false };
        if backlog.last_seq != wanted.after {
            return false;
        }
        backlog.last_seq = match entries.last() {
            Some(last) if entries.len() >= wanted.limit => last.seq,
            _ => wanted.to,
        };
        // A message that was pushed after the read is not in `entries`.
        backlog.more_on_disk = backlog.newest_seq > backlog.last_seq;
        backlog.next.extend(entries);
        true
    }

    /// Frees the slot of a message whose processing ended.
    pub(super) fn ended(&mut self, webhook: WebhookId, load: Load, took: Duration) {
        self.in_work.remove(load);
        let Some(backlog) = self.webhooks.get_mut(&webhook) else { return };
        let slow_before = if backlog.is_slow() { backlog.in_work } else { 0 };
        backlog.in_work = backlog.in_work.saturating_sub(1);
        backlog.concurrency = if took < limits::SLOW_FROM {
            backlog.concurrency.saturating_add(1)
        } else {
            crate::limits::CONCURRENCY_MIN.max(backlog.concurrency / 2)
        };
        let slow_now = if backlog.is_slow() { backlog.in_work } else { 0 };
        self.slow_in_work = (self.slow_in_work + slow_now).saturating_sub(slow_before);
        self.forget_if_idle(webhook);
    }

    pub(super) fn found_on_disk(&mut self, webhook: WebhookId, to: i64) {
        let backlog = self.webhooks.entry(webhook).or_default();
        backlog.more_on_disk = true;
        backlog.newest_seq = to;
        self.give_turn(webhook);
    }

    pub(super) fn put_back(&mut self, entry: Entry) {
        let webhook = entry.owner().webhook;
        let backlog = self.webhooks.entry(webhook).or_default();
        backlog.last_seq = backlog.last_seq.max(entry.seq);
        backlog.newest_seq = backlog.newest_seq.max(entry.seq);
        let place = backlog.next.partition_point(|other| other.seq < entry.seq);
        backlog.next.insert(place, entry);
        self.give_turn(webhook);
    }

    /// Removes the webhook if it has no messages, unless it was slow and there is room to remember that. `last_seq` is
    /// no longer needed: later messages have a higher `seq`.
    fn forget_if_idle(&mut self, webhook: WebhookId) {
        let may_remember = self.webhooks.len() <= crate::limits::SLOW_REMEMBERED;
        let is_done = |backlog: &Backlog| backlog.is_idle() && !(backlog.is_slow() && may_remember);
        if self.webhooks.get(&webhook).is_some_and(is_done) {
            self.webhooks.remove(&webhook);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.webhooks.is_empty() && self.in_work == Load::default()
    }
}
