//! Counts what accounts use against their rates.
//!
//! It counts in memory, for this process. On AWS each execution environment counts by itself, so an account may use a
//! multiple of a rate there. The throttling of the gateway bounds the sum.
//!
//! A rate of n in a minute means one every minute / n. Some of it may come at once: what the rate allows in the time of
//! its [burst](Quota::burst). This is GCRA, as in ATM networks. One time per rate is all there is to remember: when
//! everything that was used is paid off.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::ids::AccountId;
use crate::limits;
use crate::ports::Usage;
use crate::quota::{Quota, Quotas};
use crate::time::{later, since};

/// Counts what accounts use.
pub struct Limiter {
    usage: Arc<dyn Usage>,
    known: Mutex<HashMap<AccountId, Known>>,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limiter")
    }
}

/// What is known of an account.
#[derive(Debug, Clone, Default)]
struct Known {
    quotas: Quotas,
    kept_bytes: Option<u64>,
    read_at: Option<Timestamp>,
    /// For each rate, when everything that was used is paid off.
    paid_off: HashMap<Quota, Timestamp>,
}

impl Limiter {
    /// A limiter that reads the quotas of accounts from here.
    pub fn new(usage: Arc<dyn Usage>) -> Self {
        Self { usage, known: Mutex::default() }
    }

    /// Counts an event with this many bytes. Refuses it if the account may not send it now, or may not keep it.
    pub async fn take_event(&self, account: AccountId, bytes: u64, now: Timestamp) -> Result<()> {
        self.read_if_old(account, now).await?;
        let mut all = self.all();
        let known = all.entry(account).or_default();
        let quota = known.quotas.of(Quota::KeptBytes);
        if known.kept_bytes.is_some_and(|kept| kept.saturating_add(bytes) > quota) {
            let detail = "events that are older than 30 days are deleted every hour";
            return Err(exceeded(Quota::KeptBytes, quota, detail));
        }
        known.spend(Quota::EventsPerMinute, 1, now)?;
        known.spend(Quota::EventBytesPerMinute, bytes, now)?;
        known.kept_bytes = known.kept_bytes.map(|kept| kept.saturating_add(bytes));
        Ok(())
    }

    /// Counts this much use of a rate, or refuses it.
    pub async fn take(&self, account: AccountId, rate: Quota, count: u64, now: Timestamp) -> Result<()> {
        self.read_if_old(account, now).await?;
        self.all().entry(account).or_default().spend(rate, count, now)
    }

    /// Refuses one more of something of which the account has `count`.
    pub async fn check_count(
        &self,
        account: AccountId,
        quota: Quota,
        count: usize,
        now: Timestamp,
    ) -> Result<()> {
        self.read_if_old(account, now).await?;
        let value = self.all().entry(account).or_default().quotas.of(quota);
        if u64::try_from(count).unwrap_or(u64::MAX) < value {
            return Ok(());
        }
        Err(exceeded(quota, value, "delete one first"))
    }

    /// Forgets what is known of the account's quotas, because they were changed.
    pub fn changed(&self, account: AccountId) {
        if let Some(known) = self.all().get_mut(&account) {
            known.read_at = None;
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<AccountId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_if_old(&self, account: AccountId, now: Timestamp) -> Result<()> {
        let read_at = self.all().get(&account).and_then(|known| known.read_at);
        if read_at.is_some_and(|at| since(at, now) < limits::QUOTAS_REUSED_FOR) {
            return Ok(());
        }
        let quotas = self.usage.quotas(account).await?;
        let kept_bytes = self.usage.bytes_kept(account).await?;
        let mut all = self.all();
        if all.len() >= limits::ACCOUNTS_COUNTED {
            all.retain(|_, known| known.paid_off.values().any(|paid_off| *paid_off > now));
        }
        let known = all.entry(account).or_default();
        if known.quotas != quotas {
            // What was used of another quota says little about this one.
            *known = Known { quotas, ..Known::default() };
        }
        known.kept_bytes = kept_bytes;
        known.read_at = Some(now);
        Ok(())
    }
}

impl Known {
    fn spend(&mut self, rate: Quota, cost: u64, now: Timestamp) -> Result<()> {
        let per_minute = self.quotas.of(rate);
        let paid_off = self.paid_off.get(&rate).copied().unwrap_or(now);
        match spent(paid_off, now, cost, Rate { per_minute, burst: rate.burst() }) {
            Ok(paid_off) => {
                self.paid_off.insert(rate, paid_off);
                Ok(())
            }
            Err(wait) => Err(Error::RateLimited {
                detail: format!("this account has used up its quota {} of {per_minute}", rate.name()),
                retry_after: wait,
            }),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    per_minute: u64,
    burst: Duration,
}

/// When everything is paid off after this use, or how long to wait before it. What alone is more than the burst is
/// allowed if nothing else was used.
fn spent(
    paid_off: Timestamp,
    now: Timestamp,
    cost: u64,
    rate: Rate,
) -> std::result::Result<Timestamp, Duration> {
    if rate.per_minute == 0 {
        return Err(limits::RATE_PERIOD);
    }
    let owed = since(now, paid_off);
    let price = u128::from(cost) * limits::RATE_PERIOD.as_nanos() / u128::from(rate.per_minute);
    let price = Duration::from_nanos(u64::try_from(price).unwrap_or(u64::MAX));
    let most = rate.burst.saturating_sub(price);
    if owed <= most { Ok(later(now, owed.saturating_add(price))) } else { Err(owed.saturating_sub(most)) }
}

fn exceeded(quota: Quota, value: u64, what_to_do: &str) -> Error {
    Error::Conflict {
        code: "quota_exceeded",
        detail: format!("this account has used up its quota {} of {value}; {what_to_do}", quota.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn rate(per_minute: u64) -> Rate {
        Rate { per_minute, burst: Duration::from_secs(10) }
    }

    /// How many uses of this cost are allowed at this time, and how long the next one has to wait.
    fn burst(paid_off: &mut Timestamp, now: Timestamp, rate: Rate) -> (u32, Duration) {
        for count in 0.. {
            match spent(*paid_off, now, 1, rate) {
                Ok(next) => *paid_off = next,
                Err(wait) => return (count, wait),
            }
        }
        unreachable!()
    }

    #[test]
    fn ten_seconds_worth_may_come_at_once_and_then_comes_evenly() {
        let mut paid_off = at(0);
        assert_eq!(burst(&mut paid_off, at(0), rate(600)), (100, Duration::from_millis(100)));
        assert_eq!(burst(&mut paid_off, at(99), rate(600)), (0, Duration::from_millis(1)));
        assert_eq!(burst(&mut paid_off, at(100), rate(600)).0, 1);
        assert_eq!(burst(&mut paid_off, at(5_100), rate(600)).0, 50);
        let saved_up = burst(&mut paid_off, at(3_600_000), rate(600)).0;
        assert_eq!(saved_up, 100, "no more is saved up than what may come at once");
    }

    #[test]
    fn what_is_larger_than_the_burst_is_allowed_alone() {
        let paid_off = spent(at(0), at(0), 5_000, rate(1_000)).unwrap();
        assert_eq!(spent(paid_off, at(299_000), 5_000, rate(1_000)), Err(Duration::from_secs(1)));
        assert!(spent(paid_off, at(300_000), 5_000, rate(1_000)).is_ok());
        assert_eq!(spent(at(0), at(0), 1, rate(0)), Err(limits::RATE_PERIOD), "a quota of 0 allows nothing");
    }
}
