//! The jobs that wait for the writer. Accounts take turns, so a job waits for at most one job of each other account, no
//! matter how many are queued. The jobs of one account run in order.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use statuspulse_core::ids::AccountId;

/// Whose turn a job takes. `None` are the writes that belong to no account: pruning, messages that became due.
pub(crate) type Turn = Option<AccountId>;

pub(crate) struct Turns<J> {
    waiting: Mutex<Waiting<J>>,
    came: Condvar,
}

struct Waiting<J> {
    jobs: HashMap<Turn, VecDeque<J>>,
    /// The accounts that have jobs, in the order of their turns.
    turns: VecDeque<Turn>,
    closed: bool,
}

impl<J> Turns<J> {
    pub(crate) fn new() -> Self {
        let waiting = Waiting { jobs: HashMap::new(), turns: VecDeque::new(), closed: false };
        Self { waiting: Mutex::new(waiting), came: Condvar::new() }
    }

    /// Adds a job. After [`close`](Self::close) it is dropped.
    pub(crate) fn push(&self, turn: Turn, job: J) {
        let mut guard = self.waiting();
        let Waiting { jobs, turns, closed } = &mut *guard;
        if *closed {
            return;
        }
        let own = jobs.entry(turn).or_default();
        if own.is_empty() {
            turns.push_back(turn);
        }
        own.push_back(job);
        drop(guard);
        self.came.notify_one();
    }

    /// The next job, if one waits.
    pub(crate) fn try_next(&self) -> Option<J> {
        self.waiting().next()
    }

    /// Waits for the next job. Returns `None` once it is closed and empty.
    pub(crate) fn next(&self) -> Option<J> {
        let mut waiting = self.waiting();
        loop {
            if let Some(job) = waiting.next() {
                return Some(job);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// From now on no job is added.
    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.came.notify_all();
    }

    /// Closes, and drops the jobs that are still queued, so that their callers get an error instead of waiting forever.
    pub(crate) fn abandon(&self) {
        self.close();
        while let Some(job) = self.try_next() {
            drop(job);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<J>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> fmt::Debug for Turns<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("waiting", &self.waiting().turns).finish_non_exhaustive()
    }
}

impl<J> Waiting<J> {
    fn next(&mut self) -> Option<J> {
        let turn = self.turns.pop_front()?;
        let own = self.jobs.get_mut(&turn)?;
        let job = own.pop_front();
        if own.is_empty() {
            self.jobs.remove(&turn);
        } else {
            self.turns.push_back(turn);
        }
        job
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(n: u8) -> Turn {
        Some(AccountId::from_bytes([n; 16]))
    }

    #[test]
    fn accounts_take_turns_and_an_account_keeps_its_order() {
        let turns = Turns::new();
        for job in ["a1", "a2", "a3"] {
            turns.push(account(1), job);
        }
        turns.push(None, "ours");
        turns.push(account(2), "b1");
        turns.push(account(2), "b2");
        turns.close();
        turns.push(account(3), "too late");
        let order: Vec<&str> = std::iter::from_fn(|| turns.next()).collect();
        assert_eq!(order, ["a1", "ours", "b1", "a2", "b2", "a3"]);
        let waiting = turns.waiting();
        assert!(
            waiting.jobs.is_empty() && waiting.turns.is_empty(),
            "an account without jobs leaves nothing behind"
        );
    }

    #[test]
    fn who_comes_back_has_its_turn_after_those_who_wait() {
        let turns = Turns::new();
        turns.push(account(1), "a1");
        turns.push(account(2), "b1");
        assert_eq!(turns.try_next(), Some("a1"));
        turns.push(account(1), "a2");
        assert_eq!((turns.try_next(), turns.try_next(), turns.try_next()), (Some("b1"), Some("a2"), None));
    }
}
