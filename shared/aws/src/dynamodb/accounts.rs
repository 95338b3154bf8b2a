//! Accounts and API keys. A key is stored twice: under its hash, where every call finds it, and with its account, for
//! lists.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use statuspulse_core::access::{Account, ApiKey, KeyHash, Role};
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::ids::{AccountId, AuditId, KeyId, WebhookId};
use statuspulse_core::once::Draw;
use statuspulse_core::ports::{Accounts, Conflict, Page, PortResult, Unavailable, Usage};
use statuspulse_core::quota::Quotas;
use statuspulse_core::record::Unreadable;
use statuspulse_core::sealing::Sealer;
use statuspulse_core::target::{AllowedDomains, EndpointUrl};

use super::Table;
use super::item::{Item, Read, binary, number, text, time};
use super::keys::{ALL_ACCOUNTS, Key, SK, account_partition};
use super::table::{Change, Condition, Written, all_readable, readable};

#[async_trait]
impl Accounts for Table {
    async fn create_account(&self, account: &Account, key: &ApiKey, entry: &AccountEntry) -> PortResult<()> {
        let doing = "creating an account";
        let mut writes = self.key_writes(key)?;
        let mut item = account_item(account);
        item.extend(self.sealed_slack(account).await?.map(|sealed| ("slack".to_owned(), sealed)));
        writes.push(self.put_write(Key::Account(account.id), item, Condition::IS_NEW)?);
        writes.push(self.put_write(Key::AccountListed(account.id), Item::new(), Condition::IS_NEW)?);
        writes.extend(self.audit_writes(entry)?);
        self.transact(writes, doing).await?.map_err(|Conflict| exists(doing))?;
        self.key_cache.forget(&key.hash);
        Ok(())
    }

    async fn accounts(&self, after: Option<AccountId>, limit: usize) -> PortResult<Vec<AccountId>> {
        let from = after.map_or_else(|| "a#".to_owned(), |after| format!("a#{after}~"));
        let items =
            self.range(ALL_ACCOUNTS.to_owned(), from, "a#~".to_owned(), limit, "listing accounts").await?;
        let id = |item: &Item| item.maybe_text(SK)?.strip_prefix("a#")?.parse().ok();
        Ok(items.iter().filter_map(id).collect())
    }

    async fn account(&self, id: AccountId) -> PortResult<Option<Account>> {
        let doing = "reading an account";
        let Some(item) = self.get(Key::Account(id), doing).await? else { return Ok(None) };
        let mut account = readable(read_account(id, &item), doing)?;
        if item.contains_key("slack") {
            let sealer = self.data_key.sealer().await?;
            account.slack = Some(readable(read_slack(id, &item, &sealer), doing)?);
        }
        Ok(Some(account))
    }

    async fn save_account(
        &self,
        account: &Account,
        entry: &AccountEntry,
    ) -> PortResult<Result<(), Conflict>> {
        let mut update =
            "SET #name = :name, #allowed_domains = :domains, #quotas = :quotas, #version = :next".to_owned();
        let mut values = HashMap::from([
            (":name".to_owned(), text(&account.name)),
            (":domains".to_owned(), text(domains_text(account))),
            (":quotas".to_owned(), text(readable(quotas_text(account), "writing an account")?)),
            (":version".to_owned(), number(account.version)),
            (":next".to_owned(), number(account.version + 1)),
        ]);
        match self.sealed_slack(account).await? {
            Some(sealed) => {
                update.push_str(", #slack = :slack");
                values.insert(":slack".to_owned(), sealed);
            }
            None => update.push_str(" REMOVE #slack"),
        }
        let condition = "#version = :version".into();
        let change = Change { key: Key::Account(account.id), update, condition, values };
        let mut writes = vec![self.update_write(change)?];
        writes.extend(self.audit_writes(entry)?);
        self.transact(writes, "changing an account").await
    }

    async fn create_key(&self, key: &ApiKey, entry: Option<&AccountEntry>) -> PortResult<()> {
        let doing = "creating a key";
        let mut writes = self.key_writes(key)?;
        if let Some(entry) = entry {
            writes.extend(self.audit_writes(entry)?);
        }
        self.transact(writes, doing).await?.map_err(|Conflict| exists(doing))?;
        self.key_cache.forget(&key.hash);
        Ok(())
    }

    async fn key_by_hash(&self, hash: &KeyHash) -> PortResult<Option<ApiKey>> {
        let now = self.clock.now();
        if let Some(known) = self.key_cache.get(hash, now) {
            return Ok(known);
        }
        let doing = "reading a key";
        let item = self.get(Key::Credential(*hash), doing).await?;
        let key = readable(item.map(|item| read_key(&item)).transpose(), doing)?;
        self.key_cache.remember(hash, key.as_ref(), now);
        Ok(key)
    }

    async fn keys(&self, account: AccountId) -> PortResult<Vec<ApiKey>> {
        let doing = "listing keys";
        let items = self.all_with_prefix(account_partition(Some(account)), "k#", doing).await?;
        Ok(all_readable(&items, read_key, doing))
    }

    /// The record found by hash decides whether to write. Lists read the other one.
    async fn remember_use(&self, key: &ApiKey, now: Timestamp) -> PortResult<()> {
        self.key_cache.used(&key.hash, now);
        let doing = "remembering the use of a key";
        let before = now.checked_sub(statuspulse_core::limits::KEY_USE_EVERY).unwrap_or(now);
        let used = |key, condition: &'static str| Change {
            key,
            update: "SET #last_used_at = :now".to_owned(),
            condition: condition.into(),
            values: HashMap::from([(":now".to_owned(), time(now)), (":before".to_owned(), time(before))]),
        };
        // Another environment may have written it a moment ago. A key is never deleted.
        let condition =
            "attribute_exists(#hash) AND (attribute_not_exists(#last_used_at) OR #last_used_at <= :before)";
        for place in [Key::Credential(key.hash), Key::CredentialOfAccount(key.account_id, key.id)] {
            if let Written::Refused(_) = self.update(used(place, condition), doing).await? {
                break;
            }
        }
        Ok(())
    }

    async fn keep_draw(&self, draw: &Draw) -> PortResult<Draw> {
        self.store_draw(draw).await
    }

    async fn add_audit_entry(&self, entry: &AccountEntry) -> PortResult<()> {
        let doing = "writing an entry of an audit log";
        let conflict = |Conflict| Unavailable { doing, source: "it is being written".into() };
        self.transact(self.audit_writes(entry)?, doing).await?.map_err(conflict)
    }

    async fn audit_log(
        &self,
        account: AccountId,
        webhook: Option<WebhookId>,
        after: Option<AuditId>,
        limit: usize,
    ) -> PortResult<Page<AccountEntry, AuditId>> {
        self.read_audit_log(account, webhook, after, limit).await
    }

    async fn revoke_key(
        &self,
        key: KeyId,
        entry: &AccountEntry,
        version: Option<u64>,
    ) -> PortResult<Result<bool, Conflict>> {
        let doing = "revoking a key";
        let (account, now) = (entry.account_id, entry.at);
        let revoked = |key| {
            self.update_write(Change {
                key,
                update: "SET #revoked_at = :now".to_owned(),
                condition: "attribute_not_exists(#revoked_at)".into(),
                values: HashMap::from([(":now".to_owned(), time(now))]),
            })
        };
        for _ in 0..crate::limits::REVOKE_TRIES {
            let Some(item) = self.get(Key::CredentialOfAccount(Some(account), key), doing).await? else {
                return Ok(Ok(false));
            };
            // Whatever else the record has, which only another version may know.
            let hash = KeyHash(readable(item.array("hash"), doing)?);
            self.key_cache.forget(&hash);
            if item.contains_key("revoked_at") {
                return Ok(Ok(true));
            }
            let mut writes =
                vec![revoked(Key::CredentialOfAccount(Some(account), key))?, revoked(Key::Credential(hash))?];
            writes.extend(self.audit_writes(entry)?);
            if let Some(version) = version {
                writes.push(self.update_write(Change {
                    key: Key::Account(account),
                    update: "SET #version = :next".to_owned(),
                    condition: "#version = :version".into(),
                    values: HashMap::from([
                        (":version".to_owned(), number(version)),
                        (":next".to_owned(), number(version + 1)),
                    ]),
                })?);
            }
            // Refused: another call revoked it, or a transaction conflicted. Read it again.
            match self.transact(writes, doing).await? {
                Ok(()) => return Ok(Ok(true)),
                Err(Conflict) if version.is_some() => return Ok(Err(Conflict)),
                Err(Conflict) => {}
            }
        }
        Err(Unavailable { doing, source: "too many concurrent changes".into() })
    }
}

#[async_trait]
impl Usage for Table {
    async fn quotas(&self, account: AccountId) -> PortResult<Quotas> {
        Ok(self.account(account).await?.map(|account| account.quotas).unwrap_or_default())
    }

    /// The table has no limit, and its items expire by themselves.
    async fn bytes_kept(&self, _: AccountId) -> PortResult<Option<u64>> {
        Ok(None)
    }
}

impl Table {
    pub(super) fn key_writes(
        &self,
        key: &ApiKey,
    ) -> PortResult<Vec<aws_sdk_dynamodb::types::TransactWriteItem>> {
        Ok(vec![
            self.put_write(Key::Credential(key.hash), key_item(key), Condition::IS_NEW)?,
            self.put_write(
                Key::CredentialOfAccount(key.account_id, key.id),
                key_item(key),
                Condition::IS_NEW,
            )?,
        ])
    }
}

impl Table {
    pub(super) async fn sealed_slack(&self, account: &Account) -> PortResult<Option<AttributeValue>> {
        let Some(url) = &account.slack else { return Ok(None) };
        let sealer = self.data_key.sealer().await?;
        Ok(Some(binary(sealer.seal(account.id.to_bytes(), url.as_str(), &*self.random))))
    }
}

fn read_slack(id: AccountId, item: &Item, sealer: &Sealer) -> Result<EndpointUrl, Unreadable> {
    let url = sealer.unseal(id.to_bytes(), item.bytes("slack")?).map_err(Unreadable::because)?;
    EndpointUrl::restore(&url).map_err(Unreadable::because)
}

/// Ids and keys are random, so this cannot happen with working randomness.
fn exists(doing: &'static str) -> Unavailable {
    Unavailable { doing, source: "an item with this key exists".into() }
}

pub(super) fn account_item(account: &Account) -> Item {
    HashMap::from([
        ("name".to_owned(), text(&account.name)),
        ("allowed_domains".to_owned(), text(domains_text(account))),
        ("created_at".to_owned(), time(account.created_at)),
        ("version".to_owned(), number(account.version)),
    ])
}

/// The domains, separated by spaces. A domain contains no space.
fn domains_text(account: &Account) -> String {
    account.allowed_domains.as_strings().join(" ")
}

pub(super) fn quotas_text(account: &Account) -> Result<String, Unreadable> {
    serde_json::to_string(&account.quotas).map_err(Unreadable::because)
}

pub(super) fn read_account(id: AccountId, item: &Item) -> Result<Account, Unreadable> {
    let domains = item.text("allowed_domains")?.split_whitespace();
    Ok(Account {
        id,
        name: item.text("name")?.to_owned(),
        allowed_domains: AllowedDomains::restore(domains),
        slack: None,
        quotas: match item.maybe_text("quotas") {
            None => Quotas::default(),
            Some(quotas) => serde_json::from_str(quotas).map_err(Unreadable::because)?,
        },
        created_at: item.time("created_at")?,
        version: item.small("version")?,
    })
}

pub(super) fn key_item(key: &ApiKey) -> Item {
    let mut item = HashMap::from([
        ("id".to_owned(), text(key.id.to_string())),
        ("role".to_owned(), text(key.role.name())),
        ("prefix".to_owned(), text(&key.prefix)),
        ("hash".to_owned(), binary(key.hash.0)),
        ("created_at".to_owned(), time(key.created_at)),
    ]);
    let optional = [
        ("account_id", key.account_id.map(|id| text(id.to_string()))),
        ("name", key.name.as_ref().map(text)),
        ("expires_at", key.expires_at.map(time)),
        ("revoked_at", key.revoked_at.map(time)),
        ("last_used_at", key.last_used_at.map(time)),
    ];
    item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    item
}

pub(super) fn read_key(item: &Item) -> Result<ApiKey, Unreadable> {
    let role = item.text("role")?;
    Ok(ApiKey {
        id: item.parsed("id")?,
        account_id: item.maybe_text("account_id").map(|_| item.parsed("account_id")).transpose()?,
        role: Role::from_name(role).ok_or_else(|| Unreadable::unknown("role", role))?,
        name: item.maybe_text("name").map(str::to_owned),
        prefix: item.text("prefix")?.to_owned(),
        hash: KeyHash(item.array("hash")?),
        created_at: item.time("created_at")?,
        expires_at: item.maybe_time("expires_at")?,
        revoked_at: item.maybe_time("revoked_at")?,
        last_used_at: item.maybe_time("last_used_at")?,
    })
}
