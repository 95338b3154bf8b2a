//! Shows and sets what accounts may use. Only operators set it.

use super::Admin;
use crate::access::{Account, Action, Caller};
use crate::audit::{self, AccountEntry, FieldChange};
use crate::error::{Error, Refusals, Result};
use crate::ids::AccountId;
use crate::quota::{Quota, Quotas};

/// Changes quotas of an account. `None` returns one to its default.
#[derive(Debug, Clone, Default)]
pub struct QuotaPatch {
    /// The quotas that are changed.
    pub quotas: Vec<(Quota, Option<u64>)>,
    /// The fields that could not be parsed.
    pub refused: Refusals,
}

impl Admin {
    /// The quotas of an account.
    pub async fn quotas(&self, caller: Caller, account: AccountId) -> Result<Quotas> {
        caller.may(Action::SetQuotas)?;
        let account = self.accounts.account(account).await?;
        account.map(|account| account.quotas).ok_or(Error::NotFound("account"))
    }

    /// Sets quotas of an account. They apply here at once, and elsewhere within
    /// [`QUOTAS_REUSED_FOR`](crate::limits::QUOTAS_REUSED_FOR).
    pub async fn set_quotas(&self, caller: Caller, account: AccountId, patch: QuotaPatch) -> Result<Quotas> {
        caller.may(Action::SetQuotas)?;
        patch.refused.accept(Some(()), &[])?;
        loop {
            let before = self.accounts.account(account).await?.ok_or(Error::NotFound("account"))?;
            let mut next = before.clone();
            for (quota, value) in &patch.quotas {
                next.quotas.set(*quota, *value);
            }
            let changed = |quota: &Quota| {
                let value = |account: &Account| Some(account.quotas.of(*quota).to_string());
                FieldChange::of(quota.name(), value(&before), value(&next))
            };
            let fields = Quota::ALL.iter().filter_map(changed).collect();
            let made = (self.clock.now(), caller.actor());
            let entry = AccountEntry::new(account, made, audit::Action::QuotasUpdated, &account, fields);
            if self.accounts.save_account(&next, &entry).await?.is_ok() {
                self.limiter.changed(account);
                self.tell(&entry).await;
                return Ok(next.quotas);
            }
        }
    }
}
