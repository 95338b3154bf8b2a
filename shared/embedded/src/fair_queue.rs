//! The in-memory part of a queue: whose message is next, and how many of each account and webhook are in progress.
//!
//! Accounts take turns, and within an account its webhooks. What is in progress is counted twice: in slots, and in
//! bytes of bodies. The same rule holds for both:
//!
//! - An account may use as much as it leaves free, apart from a reserve. One account whose receivers all hang takes
//!   almost half of a queue, two take almost a third each, and so on.
//! - The reserve is for accounts of which nothing is in progress. So there is always room for another.
//! - A webhook may use twice as much as it leaves to its account.
//! - The webhooks of an account that were slow lately may together use as much as they leave to its others.
//!
//! In addition each webhook has an adaptive concurrency limit. It grows by one with each message that was processed
//! quickly, and is halved with each slow one. So a receiver that hangs soon occupies a few slots instead of hundreds.

mod account;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use statuspulse_core::ids::AccountId;

use self::account::{Account, Found};
use crate::entry::{Entry, Load, Owner, Wanted, without_body};

/// One queue.
#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    accounts: HashMap<AccountId, Account>,
    /// The accounts with messages, in the order of their turns.
    turns: VecDeque<AccountId>,
    in_work: Load,
    buffered: Load,
}

/// What to do next.
pub(crate) enum Pick {
    /// Process this message. It occupies a slot from now on.
    Entry(Box<Entry>),
    /// First load messages from disk.
    Load(Wanted),
    /// Wait: there is no message, or no free slot for one.
    Nothing,
}

impl FairQueue {
    /// Adds a message that was committed.
    pub(crate) fn push(&mut self, mut entry: Entry) {
        let owner = entry.owner();
        if self.buffered.bytes + entry.memory().bytes > crate::limits::BODIES_BUFFERED {
            entry.message = without_body(entry.message);
        }
        let (room, memory) = (self.room_for_messages(), entry.memory());
        if self.account(owner).push(entry, room) {
            self.buffered.add(memory);
        }
        self.give_turn(owner.account);
    }

    /// How many messages of one webhook may be in memory.
    fn room_for_messages(&self) -> usize {
        crate::limits::MESSAGES_BUFFERED
            .saturating_sub(self.buffered.messages)
            .clamp(1, crate::limits::BUFFERED_PER_WEBHOOK)
    }

    fn account(&mut self, owner: Owner) -> &mut Account {
        self.accounts.entry(owner.account).or_default()
    }

    fn give_turn(&mut self, id: AccountId) {
        if let Some(account) = self.accounts.get_mut(&id)
            && !account.has_turn
        {
            account.has_turn = true;
            self.turns.push_back(id);
        }
    }

    /// Picks the next message, if there is one and room for it. `capacity` is what the queue may have in progress.
    pub(crate) fn pick(&mut self, capacity: Load) -> Pick {
        let free = capacity.less(self.in_work);
        if free.messages == 0 {
            return Pick::Nothing;
        }
        for _ in 0..self.turns.len() {
            let Some(id) = self.turns.pop_front() else { break };
            let Some(account) = self.accounts.get_mut(&id) else { continue };
            match account.pick(free, capacity.part(crate::limits::RESERVE_PART)) {
                Found::Entry(entry) => {
                    self.in_work.add(entry.load());
                    self.buffered.remove(entry.memory());
                    self.turns.push_back(id);
                    return Pick::Entry(entry);
                }
                Found::OnDisk { webhook, after, to } => {
                    self.turns.push_front(id);
                    let owner = Owner { account: id, webhook };
                    return Pick::Load(Wanted { owner, after, to, limit: self.room_for_messages() });
                }
                Found::NoRoom => self.turns.push_back(id),
                Found::Nothing => {
                    account.has_turn = false;
                    self.forget_if_empty(id);
                }
            }
        }
        Pick::Nothing
    }

    /// Adds the `entries` that a [`Pick::Load`] asked for.
    pub(crate) fn loaded(&mut self, wanted: Wanted, entries: Vec<Entry>) {
        let memory =
            Load { messages: entries.len(), bytes: entries.iter().map(|entry| entry.memory().bytes).sum() };
        let Some(account) = self.accounts.get_mut(&wanted.owner.account) else { return };
        if account.loaded(wanted, entries) {
            self.buffered.add(memory);
        }
    }

    /// Frees the slot of a message whose processing ended, successfully or not.
    pub(crate) fn ended(&mut self, entry: &Entry, took: Duration) {
        let owner = entry.owner();
        self.in_work.remove(entry.load());
        self.account(owner).ended(owner.webhook, entry.load(), took);
        self.forget_if_empty(owner.account);
    }

    /// At start: the webhook has messages on disk, up to `to` at most.
    pub(crate) fn found_on_disk(&mut self, owner: Owner, to: i64) {
        self.account(owner).found_on_disk(owner.webhook, to);
        self.give_turn(owner.account);
    }

    /// Queues a message again whose row could not be deleted. It must not be loaded from disk as well.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        let owner = entry.owner();
        self.buffered.add(entry.memory());
        self.account(owner).put_back(entry);
        self.give_turn(owner.account);
    }

    fn forget_if_empty(&mut self, id: AccountId) {
        if self.accounts.get(&id).is_some_and(Account::is_empty) {
            self.accounts.remove(&id);
        }
    }
}
