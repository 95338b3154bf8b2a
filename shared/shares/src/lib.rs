//! Divides what can run at the same time between accounts: look-ups of names, long reads, events that are accepted. What
//! one account has running, however slow it is, does not hold up another.

mod in_progress;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use statuspulse_core::ids::AccountId;
use tokio::sync::Notify;

pub use self::in_progress::BytesInProgress;

/// What may run at the same time. An account may have as much as it leaves free, so there is always room for another.
#[derive(Debug)]
pub struct Shares {
    total: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_account: HashMap<AccountId, usize>,
}

/// One of them. It is free again when this is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    account: AccountId,
}

impl Shares {
    /// So many can run at the same time, of all accounts together.
    pub fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { total, taken: Mutex::default(), freed: Notify::new() })
    }

    /// Waits until the account may have one more.
    pub async fn take(self: &Arc<Self>, account: AccountId) -> Share {
        loop {
            // Before the check, so that no wake-up is missed.
            let freed = self.freed.notified();
            if self.try_take(account) {
                return Share { shares: Arc::clone(self), account };
            }
            freed.await;
        }
    }

    fn try_take(&self, account: AccountId) -> bool {
        let mut taken = self.taken();
        let free = self.total.saturating_sub(taken.all);
        let own = taken.by_account.entry(account).or_default();
        let may = *own < free;
        *own += usize::from(may);
        taken.all += usize::from(may);
        may
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.by_account.get_mut(&self.account) {
            *own = own.saturating_sub(1);
        }
        taken.by_account.retain(|_, own| *own > 0);
        drop(taken);
        self.shares.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, timeout};

    use super::*;

    fn account(n: u8) -> AccountId {
        AccountId::from_bytes([n; 16])
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_leaves_as_much_as_it_has() {
        let shares = Shares::new(8);
        let mut first = vec![];
        for _ in 0..4 {
            first.push(shares.take(account(1)).await);
        }
        let waits = timeout(Duration::from_secs(60), shares.take(account(1))).await;
        assert!(waits.is_err(), "a fifth waits");
        let others = [shares.take(account(2)).await, shares.take(account(2)).await];
        let third = shares.take(account(3)).await;
        first.clear();
        drop(shares.take(account(1)).await);
        drop((others, third));
        assert_eq!(shares.taken().by_account.len(), 0, "nothing is kept");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_what_is_freed() {
        let shares = Shares::new(2);
        let one = shares.take(account(1)).await;
        let (next, ()) = tokio::join!(shares.take(account(1)), async { drop(one) });
        drop(next);
    }
}
