//! What of a queue is in memory: whose turn it is, and how much each webhook has in work.
//!
//! A webhook may have half of the slots that are free. One whose receiver hangs takes a third of them at most
//! (x = (1 - x) / 2), a second one half of what then is free, and so on: there is always room for the next.
//!
//! And it has a window of its own, which opens by one with each message whose work was quick, and halves with each
//! whose work was slow: a receiver that hangs is soon called a few times at once, not a few hundred, and costs the
//! others next to nothing.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use statuspulse_core::ids::WebhookId;
use statuspulse_core::message::Message;

/// Messages of one webhook in memory at most.
pub(crate) const BUFFERED: usize = 64;

/// The window of a webhook of which nothing is known yet: an endpoint that answers in 200 ms gets 320 a second.
const WINDOW_START: usize = 64;
/// The window of one that hangs: enough to see soon that it answers again.
const WINDOW_MIN: usize = 8;
/// Work this long was waiting for a receiver that does not answer; an attempt ends after ten seconds.
const SLOW: Duration = Duration::from_secs(5);

/// One queue.
#[derive(Debug, Default)]
pub(crate) struct Line {
    webhooks: HashMap<WebhookId, Backlog>,
    /// The webhooks with a backlog, in the order of their turns.
    turns: VecDeque<WebhookId>,
    in_work: usize,
}

/// One webhook's messages in one queue.
#[derive(Debug)]
struct Backlog {
    next: VecDeque<Entry>,
    /// Whether there are more on disk, past `last_seq`.
    more_on_disk: bool,
    last_seq: i64,
    /// The last message that came, be it in memory or only on disk.
    newest_seq: i64,
    in_work: usize,
    window: usize,
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
            window: WINDOW_START,
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

/// What is next.
pub(crate) enum Pick {
    /// This message; it is in work from now on.
    Entry(Box<Entry>),
    /// First this webhook's messages are to be read from the disk: those past `after`, up to `to`. What is on the
    /// disk past that is on its way here, and would come twice.
    Load { webhook: WebhookId, after: i64, to: i64 },
    /// Nothing that has a slot.
    Nothing,
}

impl Line {
    /// A message came.
    pub(crate) fn push(&mut self, entry: Entry) {
        let webhook = entry.message.webhook_id();
        let backlog = self.webhooks.entry(webhook).or_default();
        if entry.seq <= backlog.last_seq {
            return;
        }
        backlog.newest_seq = entry.seq;
        if backlog.more_on_disk || backlog.next.len() >= BUFFERED {
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

    /// The next message, if there is one and a slot for it.
    pub(crate) fn pick(&mut self, slots: usize) -> Pick {
        let share = (slots.saturating_sub(self.in_work) / 2).max(1);
        if self.in_work >= slots {
            return Pick::Nothing;
        }
        for _ in 0..self.turns.len() {
            let Some(webhook) = self.turns.pop_front() else { break };
            let Some(backlog) = self.webhooks.get_mut(&webhook) else { continue };
            if backlog.in_work >= share.min(backlog.window) {
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

    /// What was read of a webhook's messages past `after`, up to `to`.
    pub(crate) fn loaded(&mut self, webhook: WebhookId, after: i64, to: i64, entries: Vec<Entry>) {
        let Some(backlog) = self.webhooks.get_mut(&webhook) else { return };
        // Somebody else loaded meanwhile.
        if backlog.last_seq != after {
            return;
        }
        backlog.last_seq = match entries.last() {
            Some(last) if entries.len() >= BUFFERED => last.seq,
            _ => to,
        };
        // One that came after the disk was read is not among them.
        backlog.more_on_disk = backlog.newest_seq > backlog.last_seq;
        backlog.next.extend(entries);
    }

    /// A message's work has ended, well or not.
    pub(crate) fn ended(&mut self, webhook: WebhookId, took: Duration) {
        self.in_work = self.in_work.saturating_sub(1);
        if let Some(backlog) = self.webhooks.get_mut(&webhook) {
            backlog.in_work = backlog.in_work.saturating_sub(1);
            backlog.window = if took < SLOW {
                backlog.window.saturating_add(1)
            } else {
                WINDOW_MIN.max(backlog.window / 2)
            };
        }
        self.forget_if_idle(webhook);
    }

    /// There are messages on the disk that nobody has read, up to `to`: what a start finds.
    pub(crate) fn found_on_disk(&mut self, webhook: WebhookId, to: i64) {
        let backlog = self.webhooks.entry(webhook).or_default();
        backlog.more_on_disk = true;
        backlog.newest_seq = to;
        self.give_turn(webhook);
    }

    /// A message that was handed out before is to be handed out again. Its row never went away, so it must not
    /// be read from the disk as well.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        let webhook = entry.message.webhook_id();
        let backlog = self.webhooks.entry(webhook).or_default();
        backlog.last_seq = backlog.last_seq.max(entry.seq);
        backlog.newest_seq = backlog.newest_seq.max(entry.seq);
        let place = backlog.next.partition_point(|other| other.seq < entry.seq);
        backlog.next.insert(place, entry);
        self.give_turn(webhook);
    }

    /// `last_seq` may be forgotten with the rest: a message that comes later has a higher one.
    fn forget_if_idle(&mut self, webhook: WebhookId) {
        let idle = |backlog: &Backlog| {
            backlog.in_work == 0 && !backlog.has_turn && backlog.next.is_empty() && !backlog.more_on_disk
        };
        if self.webhooks.get(&webhook).is_some_and(idle) {
            self.webhooks.remove(&webhook);
        }
    }
}
