//! Bounds the bytes that each account has in progress.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use statuspulse_core::ids::AccountId;
use statuspulse_core::ports::InProgress;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many bytes of each account can be in progress. An account waits for its own, in order, and never for another's.
#[derive(Debug)]
pub struct BytesInProgress {
    most: usize,
    by_account: Arc<ByAccount>,
}

/// The accounts that have something in progress.
#[derive(Debug, Default)]
struct ByAccount(Mutex<HashMap<AccountId, Arc<Semaphore>>>);

/// Bytes in progress, until this is dropped.
struct Part {
    account: AccountId,
    /// `None` while it waits.
    taken: Option<OwnedSemaphorePermit>,
    by_account: Arc<ByAccount>,
}

impl BytesInProgress {
    /// What is larger than `most` counts as `most`: it is in progress alone.
    pub fn new(most: usize) -> Self {
        Self { most, by_account: Arc::default() }
    }
}

#[async_trait]
impl InProgress for BytesInProgress {
    async fn begin(&self, account: AccountId, bytes: usize) -> Box<dyn Send + Sync> {
        let new = || Arc::new(Semaphore::new(self.most));
        let free = Arc::clone(self.by_account.all().entry(account).or_insert_with(new));
        // Before the wait, so that a caller that goes away meanwhile leaves nothing behind.
        let mut part = Part { account, taken: None, by_account: Arc::clone(&self.by_account) };
        let bytes = u32::try_from(bytes.min(self.most)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        part.taken = free.acquire_many_owned(bytes).await.ok();
        Box::new(part)
    }
}

impl ByAccount {
    fn all(&self) -> MutexGuard<'_, HashMap<AccountId, Arc<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut all = self.by_account.all();
        drop(self.taken.take());
        // A part in progress or a waiting caller holds the semaphore too. Only the map does: nothing is left.
        if all.get(&self.account).is_some_and(|free| Arc::strong_count(free) == 1) {
            all.remove(&self.account);
        }
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
    async fn an_account_waits_for_its_own_bytes_alone() {
        let in_progress = BytesInProgress::new(100);
        let waits = async |n, bytes| {
            timeout(Duration::from_secs(60), in_progress.begin(account(n), bytes)).await.is_err()
        };
        let one = in_progress.begin(account(1), 60).await;
        let two = in_progress.begin(account(1), 40).await;
        assert!(waits(1, 1).await);
        assert!(!waits(2, 100).await, "another account does not wait");
        drop(two);
        assert!(!waits(1, 40).await);
        assert!(waits(1, 41).await);
        drop(one);
        let larger_than_all = in_progress.begin(account(1), 1_000_000).await;
        assert!(waits(1, 1).await);
        assert!(!waits(2, 100).await);
        let (next, ()) = tokio::join!(in_progress.begin(account(1), 100), async { drop(larger_than_all) });
        drop(next);
        assert!(in_progress.by_account.all().is_empty(), "nothing is kept");
    }
}
