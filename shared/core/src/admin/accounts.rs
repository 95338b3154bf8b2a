//! Creates accounts, and creates, lists and revokes API keys.

use jiff::Timestamp;

use super::Admin;
use super::commands::{AccountPatch, NewAccount, NewKey};
use super::probe::TestResult;
use crate::access::{self, Account, ApiKey, Caller, KeyHash, KeyText, Manager, Role, checked_name};
use crate::audit::{AccountEntry, Action, Actor, FieldChange};
use crate::authentication;
use crate::call::message_to;
use crate::destination::slack::{self, Slack};
use crate::error::{Error, Refusals, Result};
use crate::ids::{AccountId, KeyId};
use crate::limits;
use crate::quota::Quota;
use crate::target::{AllowedDomains, EndpointUrl};

impl Admin {
    /// The caller that this API key belongs to, whose call is counted ([`calls_charged`](crate::quota::calls_charged)). Unknown, revoked
    /// and expired keys give the same error.
    pub async fn authenticate(&self, key: &str, calls: u64) -> Result<Caller> {
        self.caller_of_key(&KeyHash::of(key), calls).await
    }

    pub(super) async fn caller_of_key(&self, hash: &KeyHash, calls: u64) -> Result<Caller> {
        let now = self.clock.now();
        let caller = authentication::caller(&*self.accounts, hash, now).await?;
        if let Some(account) = caller.account_id {
            self.limiter.take(account, Quota::CallsPerMinute, calls, now).await?;
        }
        Ok(caller)
    }

    /// Creates an account and its first admin key.
    pub async fn create_account(&self, caller: Caller, asked: NewAccount) -> Result<(Account, KeyText)> {
        caller.may(access::Action::CreateAccount)?;
        let drawn = self.drawn(asked.once);
        let (now, random) = (drawn.at, &*drawn.random);
        let mut refused = asked.refused;
        let name = refused.require("/name", asked.name);
        let account = name.and_then(|name| refused.check("/name", Account::new(&name, now, random)));
        let domains = checked_domains(&asked.allowed_domains, &mut refused);
        let (account, allowed_domains) =
            refused.accept(account.zip(domains), &["/name", "/allowed_domains"])?;
        let account = Account { allowed_domains, ..account };
        let (key, text) = ApiKey::generate(Some(account.id), Role::Admin, None, now, random);
        if drawn.is_repeated
            && let Some(known) = self.accounts.account(account.id).await?
        {
            return Ok((known, text));
        }
        let entry = created_account(&account, &key, caller.actor());
        self.accounts.create_account(&account, &key, &entry).await?;
        self.tell(&entry).await;
        Ok((account, text))
    }

    /// Changes an account. Sets or removes its list of allowed domains: this is refused while a webhook is outside of
    /// the new list. Sets or removes the Slack channel of its engineers.
    pub async fn update_account(&self, by: Manager, patch: AccountPatch) -> Result<Account> {
        let account = by.account_id;
        let mut refused = patch.refused;
        let domains = patch.allowed_domains.and_then(|names| checked_domains(&names, &mut refused));
        let slack = patch
            .slack_url
            .map(|text| refused.check("/slack_url", EndpointUrl::parse(&text?, &self.deployment.policy)));
        refused.accept(Some(()), &["/allowed_domains", "/slack_url"])?;
        if domains.is_none() && slack.is_none() {
            return self.account(account).await;
        }
        if let Some(domains) = &domains {
            self.check_webhooks(account, domains).await?;
        }
        loop {
            let before = self.account(account).await?;
            let mut next = before.clone();
            if let Some(domains) = &domains {
                next.allowed_domains = domains.clone();
            }
            if let Some(slack) = &slack {
                next.slack.clone_from(slack);
            }
            check_slack_domain(&next, slack.as_ref().is_some_and(Option::is_some))?;
            let made = (self.clock.now(), by.actor());
            let fields = changes_of_account(&before, &next);
            let entry = AccountEntry::new(account, made, Action::AccountUpdated, &account, fields);
            if self.accounts.save_account(&next, &entry).await?.is_ok() {
                self.tell(&entry).await;
                return Ok(next);
            }
        }
    }

    async fn check_webhooks(&self, account: AccountId, domains: &AllowedDomains) -> Result<()> {
        let webhooks = self.webhooks.subscriptions(account).await?;
        match webhooks.readable.iter().find(|webhook| !webhook.settings.keeps_to(domains)) {
            Some(outside) => Err(Error::Conflict {
                code: "webhook_outside_domains",
                detail: format!("webhook {} uses a domain that is not on the list", outside.id),
            }),
            None => Ok(()),
        }
    }

    /// Sends a test message to the account's own channel.
    pub async fn test_slack(&self, account: AccountId) -> Result<TestResult> {
        let Some(slack) = self.account(account).await?.slack else {
            return Err(Error::Conflict {
                code: "no_slack_url",
                detail: "the account has no slack_url; set one with PATCH /v1/account".to_owned(),
            });
        };
        self.try_slack(account, slack).await
    }

    /// Makes this the account's channel if Slack accepts a test message for it. Otherwise nothing changes, and the
    /// result says why.
    pub async fn connect_slack(&self, by: Manager, url: &str) -> Result<TestResult> {
        let slack = EndpointUrl::parse(url, &self.deployment.policy)
            .map_err(|refused| Error::invalid("/slack_url", refused.to_string()))?;
        let account = self.account(by.account_id).await?;
        check_slack_domain(&Account { slack: Some(slack.clone()), ..account }, true)?;
        let result = self.try_slack(by.account_id, slack).await?;
        if result.ok {
            let patch = AccountPatch { slack_url: Some(Some(url.to_owned())), ..AccountPatch::default() };
            self.update_account(by, patch).await?;
        }
        Ok(result)
    }

    async fn try_slack(&self, account: AccountId, slack: EndpointUrl) -> Result<TestResult> {
        self.limiter.take(account, Quota::ProbesPerMinute, 1, self.clock.now()).await?;
        let text = ":white_check_mark: StatusPulse will notify this channel when a webhook fails, is paused \
                    or answers again.";
        let sent = self.sender.send(message_to(account, slack, slack::text(text))).await?;
        Ok(TestResult::of(&Slack, &sent))
    }

    /// Creates a key for the caller's account.
    pub async fn create_key(&self, by: Manager, asked: NewKey) -> Result<(ApiKey, KeyText)> {
        self.make_key(by.account_id, by.actor(), asked).await
    }

    /// Creates a key for any account. Only operators do it.
    pub async fn create_key_of(
        &self,
        caller: Caller,
        account: AccountId,
        asked: NewKey,
    ) -> Result<(ApiKey, KeyText)> {
        self.check_manages_keys(caller, account).await?;
        self.make_key(account, caller.actor(), asked).await
    }

    async fn make_key(&self, account: AccountId, by: Actor, asked: NewKey) -> Result<(ApiKey, KeyText)> {
        let now = self.clock.now();
        let NewKey { role, name, expires_at, once, mut refused } = asked;
        let drawn = self.drawn(once);
        let role = refused.require("/role", role).and_then(|name| {
            let role = Role::from_name(&name).filter(|role| *role != Role::Operator);
            refused.check("/role", role.ok_or("must be one of admin, publisher, viewer"))
        });
        if expires_at.is_some_and(|end| end <= now) {
            refused.add("/expires_at", "must be in the future");
        }
        let name = name.and_then(|name| refused.check("/name", checked_name(&name)));
        let role = refused.accept(role, &["/role", "/name", "/expires_at"])?;
        let (key, text) = ApiKey::generate(Some(account), role, expires_at, drawn.at, &*drawn.random);
        let known = self.accounts.keys(account).await?;
        if drawn.is_repeated
            && let Some(made) = known.iter().find(|known| known.id == key.id)
        {
            return Ok((made.clone(), text));
        }
        let valid = known.iter().filter(|key| key.is_valid(now)).count();
        if valid >= limits::KEYS_PER_ACCOUNT {
            let detail =
                format!("an account can have {} valid keys; revoke one first", limits::KEYS_PER_ACCOUNT);
            return Err(Error::Conflict { code: "too_many_keys", detail });
        }
        let key = ApiKey { name, ..key };
        let entry = created_key(account, &key, by);
        self.accounts.create_key(&key, Some(&entry)).await?;
        self.tell(&entry).await;
        Ok((key, text))
    }

    /// The account's keys, oldest first, revoked ones included.
    pub async fn keys(&self, account: AccountId) -> Result<Vec<ApiKey>> {
        Ok(self.accounts.keys(account).await?)
    }

    /// The keys of any account, for operators.
    pub async fn keys_of(&self, caller: Caller, account: AccountId) -> Result<Vec<ApiKey>> {
        self.check_manages_keys(caller, account).await?;
        self.keys(account).await
    }

    /// Revokes a key of the caller's account. It is refused from the next call on. The last admin key can only be revoked
    /// by an operator: without it, the account could not create another one.
    pub async fn revoke_key(&self, by: Manager, key: KeyId) -> Result<()> {
        let account = by.account_id;
        loop {
            // Read before the keys. Each revocation of an admin key changes it, so two cannot take each other for the
            // one that is left.
            let version = self.account(account).await?.version;
            let now = self.clock.now();
            let (mut is_admin, mut others) = (false, 0);
            for known in self.accounts.keys(account).await? {
                if known.role == Role::Admin && known.is_valid(now) {
                    is_admin |= known.id == key;
                    others += usize::from(known.id != key);
                }
            }
            if is_admin && others == 0 {
                let detail = "this is the last valid admin key of the account: create another one first, or ask the operator \
                              of the deployment";
                return Err(Error::Conflict { code: "last_admin_key", detail: detail.to_owned() });
            }
            let entry = revoked_key(account, key, (now, by.actor()));
            if let Ok(is_known) = self.accounts.revoke_key(key, &entry, is_admin.then_some(version)).await? {
                return self.revoked(is_known, &entry).await;
            }
        }
    }

    /// Revokes a key of any account. Only operators do it.
    pub async fn revoke_key_of(&self, caller: Caller, account: AccountId, key: KeyId) -> Result<()> {
        self.check_manages_keys(caller, account).await?;
        let entry = revoked_key(account, key, (self.clock.now(), caller.actor()));
        loop {
            if let Ok(is_known) = self.accounts.revoke_key(key, &entry, None).await? {
                return self.revoked(is_known, &entry).await;
            }
        }
    }

    async fn revoked(&self, is_known: bool, entry: &AccountEntry) -> Result<()> {
        if !is_known {
            return Err(Error::NotFound("key"));
        }
        self.tell(entry).await;
        Ok(())
    }

    async fn check_manages_keys(&self, caller: Caller, account: AccountId) -> Result<()> {
        caller.may(access::Action::ManageKeys)?;
        let found = self.accounts.account(account).await?;
        found.map(drop).ok_or(Error::NotFound("account"))
    }
}

/// Checks that the account's list of domains has that of its Slack channel, which is new or was there before.
fn check_slack_domain(account: &Account, is_new: bool) -> Result<()> {
    match &account.slack {
        Some(slack) if !account.allowed_domains.admits(slack.host_text()) => Err(if is_new {
            Error::invalid("/slack_url", "its domain is not on the account's list of allowed domains")
        } else {
            Error::Conflict {
                code: "slack_url_outside_domains",
                detail: format!("slack_url uses {}, which is not on the list", slack.host_text()),
            }
        }),
        _ => Ok(()),
    }
}

/// The entry of the audit log for a new account.
pub fn created_account(account: &Account, key: &ApiKey, by: Actor) -> AccountEntry {
    let field = |name: &str, value: String| FieldChange::of(name, None, Some(value));
    let fields = [
        field("name", account.name.clone()),
        field("key_id", key.id.to_string()),
        FieldChange::of("allowed_domains", None, domains_text(account)),
    ];
    let fields = fields.into_iter().flatten().collect();
    AccountEntry::new(account.id, (account.created_at, by), Action::AccountCreated, &account.id, fields)
}

/// The entry of the audit log for a new key.
pub fn created_key(account: AccountId, key: &ApiKey, by: Actor) -> AccountEntry {
    let fields = [
        FieldChange::of("role", None, Some(key.role.name().to_owned())),
        FieldChange::of("name", None, key.name.clone()),
        FieldChange::of("expires_at", None, key.expires_at.map(|end| end.to_string())),
    ];
    let fields = fields.into_iter().flatten().collect();
    AccountEntry::new(account, (key.created_at, by), Action::KeyCreated, &key.id, fields)
}

/// The entry of the audit log for a key that is revoked.
pub fn revoked_key(account: AccountId, key: KeyId, made: (Timestamp, Actor)) -> AccountEntry {
    AccountEntry::new(account, made, Action::KeyRevoked, &key, vec![])
}

fn changes_of_account(before: &Account, next: &Account) -> Vec<FieldChange> {
    let domains = FieldChange::of("allowed_domains", domains_text(before), domains_text(next));
    let slack = FieldChange::of_secret("slack_url", before.slack.as_ref(), next.slack.as_ref());
    [domains, slack].into_iter().flatten().collect()
}

fn domains_text(account: &Account) -> Option<String> {
    let domains = account.allowed_domains.as_strings();
    (!domains.is_empty()).then(|| domains.join(", "))
}

fn checked_domains(names: &[String], refused: &mut Refusals) -> Option<AllowedDomains> {
    if names.len() > limits::ALLOWED_DOMAINS {
        refused.add("/allowed_domains", format!("must have at most {} domains", limits::ALLOWED_DOMAINS));
        return None;
    }
    let domains = AllowedDomains::parse(names);
    domains.map_err(|wrong| refused.add(format!("/allowed_domains/{}", wrong.index), wrong.detail)).ok()
}
