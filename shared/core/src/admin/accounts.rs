//! Accounts and API keys are made, listed and revoked.

use super::Admin;
use super::probe::TestResult;
use crate::access::{self, Account, Action, ApiKey, Caller, KeyHash, KeyText, Role};
use crate::destination::Destination;
use crate::error::{Error, Result};
use crate::fields::Fields;
use crate::ids::{AccountId, KeyId};
use crate::limits;
use crate::target::{AllowedDomains, EndpointUrl, TargetPolicy};
use crate::worker::message_to;

impl Admin {
    /// Whose key this is. A wrong, a revoked and an expired one are told apart by nobody.
    pub async fn authenticate(&self, key: &str) -> Result<Caller> {
        self.caller_of_key(&KeyHash::of(key)).await
    }

    pub(super) async fn caller_of_key(&self, hash: &KeyHash) -> Result<Caller> {
        access::caller_of_key(&*self.accounts, hash, self.clock.now()).await
    }

    /// Makes an account and its first admin key.
    pub async fn create_account(&self, caller: Caller, body: &[u8]) -> Result<(Account, KeyText)> {
        caller.may(Action::CreateAccount)?;
        let now = self.clock.now();
        let mut fields = Fields::of_body(body)?;
        let name = fields.text("name");
        let name = fields.require("name", name);
        let account = name.and_then(|name| match Account::new(&name, now, &*self.random) {
            Ok(account) => Some(account),
            Err(refused) => {
                fields.refuse("name", refused.to_string());
                None
            }
        });
        let allowed_domains = allowed_domains(&mut fields).unwrap_or_default();
        fields.refuse_rest();
        fields.finish()?;
        let account = account.ok_or_else(|| Error::invalid("/name", "is required"))?;
        let account = Account { allowed_domains, ..account };
        let (key, text) = ApiKey::generate(Some(account.id), Role::Admin, None, now, &*self.random);
        self.accounts.create_account(&account, &key).await?;
        Ok((account, text))
    }

    /// Restricts an account's webhooks to listed domains, or lifts that: refused while a webhook stands outside the list, as
    /// what is registered keeps to it. Sets or removes the Slack channel of its engineers.
    pub async fn update_account(&self, account: AccountId, body: &[u8]) -> Result<Account> {
        let mut fields = Fields::of_body(body)?;
        let clears = fields.has("allowed_domains");
        let domains = allowed_domains(&mut fields).or_else(|| clears.then(AllowedDomains::default));
        let sets_slack = fields.has("slack_url");
        let slack = slack_url(&mut fields, &self.deployment.policy);
        fields.refuse_rest();
        fields.finish()?;
        if domains.is_none() && !sets_slack {
            return self.account(account).await;
        }
        if let Some(domains) = &domains {
            self.check_webhooks(account, domains).await?;
        }
        loop {
            let mut next = self.account(account).await?;
            if let Some(domains) = &domains {
                next.allowed_domains = domains.clone();
            }
            if sets_slack {
                next.slack.clone_from(&slack);
            }
            if self.accounts.save_account(&next).await?.is_ok() {
                return Ok(next);
            }
        }
    }

    async fn check_webhooks(&self, account: AccountId, domains: &AllowedDomains) -> Result<()> {
        let webhooks = self.webhooks.webhooks(account).await?;
        match webhooks.iter().find(|webhook| !webhook.settings.keeps_to(domains)) {
            Some(outside) => Err(Error::Conflict {
                code: "webhook_outside_domains",
                detail: format!("webhook {} is registered at a domain that is not on the list", outside.id),
            }),
            None => Ok(()),
        }
    }

    /// Sends a message to the account's own channel, so that whoever set it sees that it works.
    pub async fn test_slack(&self, account: AccountId) -> Result<TestResult> {
        let Some(slack) = self.account(account).await?.slack else {
            return Err(Error::Conflict {
                code: "no_slack_url",
                detail: "the account has no slack_url; PATCH /v1/account sets one".to_owned(),
            });
        };
        let text = ":white_check_mark: StatusPulse tells this channel when a webhook fails, is paused, or answers again.";
        let sent = self.sender.send(message_to(slack, text)).await;
        Ok(TestResult::of(&Destination::Slack, &sent))
    }

    /// Makes a key for the account.
    pub async fn create_key(&self, account: AccountId, body: &[u8]) -> Result<(ApiKey, KeyText)> {
        let now = self.clock.now();
        let mut fields = Fields::of_body(body)?;
        let role = fields.text("role");
        let role = fields.require("role", role).unwrap_or_default();
        let role = Role::from_name(&role).filter(|role| *role != Role::Operator).or_else(|| {
            if !role.is_empty() {
                fields.refuse("role", "must be one of admin, publisher, viewer");
            }
            None
        });
        let expires_at = fields.timestamp("expires_at");
        if expires_at.is_some_and(|end| end <= now) {
            fields.refuse("expires_at", "must be in the future");
        }
        fields.refuse_rest();
        fields.finish()?;
        let Some(role) = role else { return Err(Error::invalid("/role", "is required")) };
        let valid = self.accounts.keys(account).await?.iter().filter(|key| key.is_valid(now)).count();
        if valid >= limits::KEYS_PER_ACCOUNT {
            let detail =
                format!("an account may have {} valid keys; revoke one first", limits::KEYS_PER_ACCOUNT);
            return Err(Error::Conflict { code: "too_many_keys", detail });
        }
        let (key, text) = ApiKey::generate(Some(account), role, expires_at, now, &*self.random);
        self.accounts.create_key(&key).await?;
        Ok((key, text))
    }

    /// The account's keys, oldest first, revoked ones included.
    pub async fn keys(&self, account: AccountId) -> Result<Vec<ApiKey>> {
        Ok(self.accounts.keys(account).await?)
    }

    /// Revokes a key: it is refused from the next call on.
    pub async fn revoke_key(&self, account: AccountId, key: KeyId) -> Result<()> {
        let known = self.accounts.revoke_key(account, key, self.clock.now()).await?;
        if known { Ok(()) } else { Err(Error::NotFound("key")) }
    }
}

fn slack_url(fields: &mut Fields<'_>, policy: &TargetPolicy) -> Option<EndpointUrl> {
    let text = fields.text("slack_url")?;
    match EndpointUrl::parse(&text, policy) {
        Ok(url) => Some(url),
        Err(refused) => {
            fields.refuse("slack_url", refused.detail);
            None
        }
    }
}

fn allowed_domains(fields: &mut Fields<'_>) -> Option<AllowedDomains> {
    let names = fields.texts("allowed_domains")?;
    if names.len() > limits::ALLOWED_DOMAINS {
        fields.refuse("allowed_domains", format!("may name {} domains at most", limits::ALLOWED_DOMAINS));
        return None;
    }
    match AllowedDomains::parse(names) {
        Ok(domains) => Some(domains),
        Err(refused) => {
            fields.refuse_item("allowed_domains", refused.index, refused.detail);
            None
        }
    }
}
