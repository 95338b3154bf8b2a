//! Accounts and sessions, of which a run uses little.

use async_trait::async_trait;
use jiff::Timestamp;
use statuspulse_core::access::{Account, ApiKey, KeyHash, Session};
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::ids::{AccountId, AuditId, KeyId, WebhookId};
use statuspulse_core::once::Draw;
use statuspulse_core::ports::{Accounts, Conflict, Page, PortResult, Sessions, Usage};
use statuspulse_core::quota::Quotas;
use statuspulse_core::webhook::Webhook;

use crate::check::Ledger;
use crate::history::short;
use crate::ports::{Ports, unavailable};

/// Accounts do not change during a run.
#[async_trait]
impl Accounts for Ports {
    async fn create_account(&self, _: &Account, _: &ApiKey, _: &AccountEntry) -> PortResult<()> {
        Err(unavailable("create_account", "not part of a run"))
    }
    async fn account(&self, id: AccountId) -> PortResult<Option<Account>> {
        self.call("account", |inner, _| (inner.store.accounts.get(&id).cloned(), String::new())).await
    }
    async fn accounts(&self, after: Option<AccountId>, limit: usize) -> PortResult<Vec<AccountId>> {
        self.call("accounts", |inner, _| {
            let known = inner.store.accounts.keys().copied();
            let page = known.filter(|id| after.is_none_or(|after| *id > after)).take(limit).collect();
            (page, String::new())
        })
        .await
    }
    async fn save_account(&self, _: &Account, _: &AccountEntry) -> PortResult<Result<(), Conflict>> {
        Ok(Err(Conflict))
    }
    async fn create_key(&self, _: &ApiKey, _: Option<&AccountEntry>) -> PortResult<()> {
        Err(unavailable("create_key", "not part of a run"))
    }
    async fn key_by_hash(&self, _: &KeyHash) -> PortResult<Option<ApiKey>> {
        Ok(None)
    }
    async fn keys(&self, _: AccountId) -> PortResult<Vec<ApiKey>> {
        Ok(vec![])
    }
    async fn revoke_key(
        &self,
        _: KeyId,
        _: &AccountEntry,
        _: Option<u64>,
    ) -> PortResult<Result<bool, Conflict>> {
        Ok(Ok(false))
    }
    async fn remember_use(&self, _: &ApiKey, _: Timestamp) -> PortResult<()> {
        Ok(())
    }
    async fn keep_draw(&self, draw: &Draw) -> PortResult<Draw> {
        Ok(draw.clone())
    }
    /// Has no faults: what follows is what a run is about.
    async fn add_audit_entry(&self, _: &AccountEntry) -> PortResult<()> {
        Ok(())
    }
    async fn audit_log(
        &self,
        _: AccountId,
        _: Option<WebhookId>,
        _: Option<AuditId>,
        _: usize,
    ) -> PortResult<Page<AccountEntry, AuditId>> {
        Ok(Page { items: vec![], next: None })
    }
}

/// No account of a run uses up a quota.
pub(crate) struct NoQuotas;

#[async_trait]
impl Usage for NoQuotas {
    async fn quotas(&self, _: AccountId) -> PortResult<Quotas> {
        Ok(Quotas::default())
    }
    async fn bytes_kept(&self, _: AccountId) -> PortResult<Option<u64>> {
        Ok(None)
    }
}

/// A run does not use the dashboard.
#[async_trait]
impl Sessions for Ports {
    async fn create_session(&self, _: &Session, _: Option<&AccountEntry>) -> PortResult<()> {
        Err(unavailable("create_session", "not part of a run"))
    }
    async fn session(&self, _: &KeyHash) -> PortResult<Option<Session>> {
        Ok(None)
    }
    async fn take_session(&self, _: &KeyHash) -> PortResult<Option<Session>> {
        Ok(None)
    }
}

impl Ledger {
    /// Whoever changes a webhook's state leaves a trace.
    pub(crate) fn audited(&mut self, before: &Webhook, saved: &Webhook) {
        if before.state != saved.state && saved.audit_entries().is_empty() {
            self.violated(format!("audit: nothing says who made {} {}", short(saved.id), brief_state(saved)));
        }
    }
}

fn brief_state(webhook: &Webhook) -> String {
    format!("{:?}", webhook.state).chars().take_while(char::is_ascii_alphabetic).collect()
}
