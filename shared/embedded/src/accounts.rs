//! Accounts and API keys.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use statuspulse_core::access::{Account, ApiKey, KeyHash, Role};
use statuspulse_core::admin::accounts::revoked_key;
use statuspulse_core::audit::{AccountEntry, Actor};
use statuspulse_core::ids::{AccountId, AuditId, KeyId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::once::Draw;
use statuspulse_core::ports::{Accounts, Conflict, Page, PortResult, Usage};
use statuspulse_core::quota::Quotas;
use statuspulse_core::record::{from_millis, millis};
use statuspulse_core::target::{AllowedDomains, EndpointUrl};

use crate::Embedded;
use crate::audit::insert_entry;
use crate::columns::{Unknown, all_readable, bad, bytes16, bytes32, time};
use crate::sealing::Sealer;

#[async_trait]
impl Accounts for Embedded {
    async fn create_account(&self, account: &Account, key: &ApiKey, entry: &AccountEntry) -> PortResult<()> {
        let (account, key, entry, owner) = (account.clone(), key.clone(), entry.clone(), account.id);
        let sealer = self.sealer.clone();
        let work = move |connection: &Connection| {
            insert_account(connection, &account, &sealer)?;
            insert_key(connection, &key)?;
            insert_entry(connection, &entry)
        };
        self.writer.write(Some(owner), "creating an account", work, |()| {}).await
    }

    async fn accounts(&self, after: Option<AccountId>, limit: usize) -> PortResult<Vec<AccountId>> {
        let after = after.map_or_else(Vec::new, |after| after.to_bytes().to_vec());
        self.readers.read("listing accounts", |connection| {
            connection
                .prepare_cached("SELECT id FROM accounts WHERE id > ?1 ORDER BY id LIMIT ?2")?
                .query_map((after, i64::try_from(limit).unwrap_or(i64::MAX)), |row| {
                    Ok(AccountId::from_bytes(row.get(0)?))
                })?
                .collect()
        })
    }

    async fn account(&self, id: AccountId) -> PortResult<Option<Account>> {
        self.readers.read("reading an account", |connection| {
            connection
                .prepare_cached("SELECT * FROM accounts WHERE id = ?1")?
                .query_row([id.to_bytes()], |row| account_row(row, &self.sealer))
                .optional()
        })
    }

    async fn save_account(
        &self,
        account: &Account,
        entry: &AccountEntry,
    ) -> PortResult<Result<(), Conflict>> {
        let (account, entry, owner) = (account.clone(), entry.clone(), account.id);
        let sealer = self.sealer.clone();
        let work = move |connection: &Connection| {
            let sql = "UPDATE accounts SET name = ?2, allowed_domains = ?3, slack = ?5, quotas = ?6, version = version + 1
                       WHERE id = ?1 AND version = ?4";
            let changed = connection.prepare_cached(sql)?.execute((
                account.id.to_bytes(),
                &account.name,
                domains_text(&account),
                version(account.version),
                sealed_slack(connection, &account, &sealer),
                quotas_text(&account)?,
            ))?;
            if changed == 0 {
                return Ok(Err(Conflict));
            }
            insert_entry(connection, &entry).map(Ok)
        };
        self.writer.write(Some(owner), "changing an account", work, |_| {}).await
    }

    async fn create_key(&self, key: &ApiKey, entry: Option<&AccountEntry>) -> PortResult<()> {
        let (key, entry, owner) = (key.clone(), entry.cloned(), key.account_id);
        let work = move |connection: &Connection| {
            insert_key(connection, &key)?;
            entry.iter().try_for_each(|entry| insert_entry(connection, entry))
        };
        self.writer.write(owner, "creating a key", work, |()| {}).await
    }

    async fn key_by_hash(&self, hash: &KeyHash) -> PortResult<Option<ApiKey>> {
        self.readers.read("reading a key", |connection| {
            connection
                .prepare_cached("SELECT * FROM all_keys WHERE hash = ?1")?
                .query_row([hash.0], key_row)
                .optional()
        })
    }

    async fn keys(&self, account: AccountId) -> PortResult<Vec<ApiKey>> {
        let read = move |connection: &Connection| {
            let sql = "SELECT * FROM all_keys WHERE account_id = ?1 ORDER BY id";
            all_readable(connection.prepare_cached(sql)?.query_map([account.to_bytes()], key_row)?)
        };
        self.readers.long(account, "listing keys", read).await
    }

    async fn revoke_key(
        &self,
        key: KeyId,
        entry: &AccountEntry,
        read: Option<u64>,
    ) -> PortResult<Result<bool, Conflict>> {
        let (entry, account) = (entry.clone(), entry.account_id);
        let work = move |connection: &Connection| {
            if let Some(read) = read {
                let sql = "UPDATE accounts SET version = version + 1 WHERE id = ?1 AND version = ?2";
                if connection.prepare_cached(sql)?.execute((account.to_bytes(), version(read)))? == 0 {
                    return Ok(Err(Conflict));
                }
            }
            let sql =
                "UPDATE keys SET revoked_at = ?3 WHERE account_id = ?1 AND id = ?2 AND revoked_at IS NULL";
            let (owner, id) = (account.to_bytes(), key.to_bytes());
            let changed = connection.prepare_cached(sql)?.execute((owner, id, millis(entry.at)))?;
            if changed == 1 {
                insert_entry(connection, &entry)?;
                return Ok(Ok(true));
            }
            let known = "SELECT 1 FROM keys WHERE account_id = ?1 AND id = ?2";
            connection.prepare_cached(known)?.exists((owner, id)).map(Ok)
        };
        self.writer.write(Some(account), "revoking a key", work, |_| {}).await
    }

    async fn keep_draw(&self, draw: &Draw) -> PortResult<Draw> {
        self.store_draw(draw).await
    }

    async fn add_audit_entry(&self, entry: &AccountEntry) -> PortResult<()> {
        let (entry, owner) = (entry.clone(), entry.account_id);
        let work = move |connection: &Connection| insert_entry(connection, &entry);
        self.writer.write(Some(owner), "writing an entry of an audit log", work, |()| {}).await
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

    async fn remember_use(&self, key: &ApiKey, now: Timestamp) -> PortResult<()> {
        let hash = key.hash.0;
        let work = move |connection: &Connection| {
            let sql = "INSERT INTO key_facts VALUES (?1, NULL, ?2)
                       ON CONFLICT (hash) DO UPDATE SET last_used_at = max(ifnull(last_used_at, 0), ?2)";
            connection.prepare_cached(sql)?.execute((hash, millis(now)))?;
            Ok(())
        };
        self.writer.write(key.account_id, "remembering the use of a key", work, |()| {}).await
    }
}

#[async_trait]
impl Usage for Embedded {
    async fn quotas(&self, account: AccountId) -> PortResult<Quotas> {
        Ok(self.account(account).await?.map(|account| account.quotas).unwrap_or_default())
    }

    async fn bytes_kept(&self, id: AccountId) -> PortResult<Option<u64>> {
        self.readers.read("reading what an account keeps", |connection| {
            let kept: Option<i64> = connection
                .prepare_cached("SELECT kept_bytes FROM accounts WHERE id = ?1")?
                .query_row([id.to_bytes()], |row| row.get(0))
                .optional()?;
            Ok(Some(kept.map_or(0, |kept| u64::try_from(kept).unwrap_or(0))))
        })
    }
}

impl Embedded {
    /// Returns the accounts with this name, for the command line. Names are not unique.
    pub fn accounts_by_name(&self, name: &str) -> PortResult<Vec<Account>> {
        self.readers.read("finding an account", |connection| {
            let sql = "SELECT * FROM accounts WHERE name = ?1 ORDER BY id";
            let mut statement = connection.prepare_cached(sql)?;
            all_readable(statement.query_map([name], |row| account_row(row, &self.sealer))?)
        })
    }

    /// Returns every key with the name of its account, for the command line.
    pub fn all_keys(&self) -> PortResult<Vec<(ApiKey, Option<String>)>> {
        let sql = "SELECT all_keys.*, accounts.name AS account_name FROM all_keys
                   LEFT JOIN accounts ON accounts.id = all_keys.account_id ORDER BY all_keys.id";
        self.readers.read("listing keys", |connection| {
            let mut statement = connection.prepare_cached(sql)?;
            all_readable(statement.query_map([], |row| Ok((key_row(row)?, row.get("account_name")?)))?)
        })
    }

    /// Revokes the key with this id or prefix, in any account. Returns `false`, and revokes none, unless exactly one
    /// key matches that is not revoked.
    pub async fn revoke_any_key(&self, id_or_prefix: &str, now: Timestamp) -> PortResult<bool> {
        let id: Option<KeyId> = id_or_prefix.parse().ok();
        let prefix = id_or_prefix.to_owned();
        let work = move |connection: &Connection| {
            let meant =
                "SELECT id, account_id FROM keys WHERE (id = :id OR prefix = :prefix) AND revoked_at IS NULL";
            let found: Vec<([u8; 16], Option<[u8; 16]>)> = connection
                .prepare_cached(meant)?
                .query_map(named_params! { ":id": id.map(KeyId::to_bytes), ":prefix": prefix }, |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?
                .collect::<rusqlite::Result<_>>()?;
            let [(only, owner)] = found.as_slice() else { return Ok(false) };
            connection
                .prepare_cached("UPDATE keys SET revoked_at = ?2 WHERE id = ?1")?
                .execute((only, millis(now)))?;
            if let Some(owner) = owner {
                let account = AccountId::from_bytes(*owner);
                insert_entry(
                    connection,
                    &revoked_key(account, KeyId::from_bytes(*only), (now, Actor::OWNER)),
                )?;
            }
            Ok(true)
        };
        self.writer.write(None, "revoking a key", work, |_| {}).await
    }
}

fn sealed_slack(connection: &Connection, account: &Account, sealer: &Sealer) -> Option<Vec<u8>> {
    account.slack.as_ref().map(|url| sealer.seal(connection, account.id.to_bytes(), url.as_str()))
}

pub(crate) fn insert_account(
    connection: &Connection,
    account: &Account,
    sealer: &Sealer,
) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT INTO accounts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)")?.execute((
        account.id.to_bytes(),
        &account.name,
        domains_text(account),
        millis(account.created_at),
        version(account.version),
        sealed_slack(connection, account, sealer),
        quotas_text(account)?,
    ))?;
    Ok(())
}

pub(crate) fn insert_key(connection: &Connection, key: &ApiKey) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT INTO keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute((
        key.id.to_bytes(),
        key.account_id.map(AccountId::to_bytes),
        key.role.name(),
        &key.prefix,
        key.hash.0,
        millis(key.created_at),
        key.expires_at.map(millis),
        key.revoked_at.map(millis),
    ))?;
    connection.prepare_cached("INSERT INTO key_facts VALUES (?1, ?2, ?3)")?.execute((
        key.hash.0,
        &key.name,
        key.last_used_at.map(millis),
    ))?;
    Ok(())
}

pub(crate) fn account_row(row: &Row<'_>, sealer: &Sealer) -> rusqlite::Result<Account> {
    let domains: String = row.get("allowed_domains")?;
    let id = bytes16(row, "id")?;
    let slack = match row.get_ref("slack")?.as_blob_or_null()? {
        None => None,
        Some(sealed) => {
            let url = sealer.unseal(id, sealed).map_err(bad)?;
            Some(EndpointUrl::restore(&url).map_err(bad)?)
        }
    };
    Ok(Account {
        id: AccountId::from_bytes(id),
        slack,
        name: row.get("name")?,
        allowed_domains: AllowedDomains::restore(domains.split_whitespace()),
        quotas: serde_json::from_str(row.get_ref("quotas")?.as_str()?).map_err(bad)?,
        created_at: time(row, "created_at")?,
        version: row.get::<_, i64>("version")?.unsigned_abs(),
    })
}

/// The domains, separated by spaces. A domain contains no space.
fn domains_text(account: &Account) -> String {
    account.allowed_domains.as_strings().join(" ")
}

fn quotas_text(account: &Account) -> rusqlite::Result<String> {
    serde_json::to_string(&account.quotas).map_err(bad)
}

/// Counts what an event and its deliveries take, when they are stored and, as a negative number, when they are deleted.
pub(crate) fn count_kept(
    connection: &Connection,
    account: AccountId,
    body_bytes: u64,
    deliveries: usize,
    sign: i64,
) -> rusqlite::Result<()> {
    let deliveries = u64::try_from(deliveries).unwrap_or(u64::MAX);
    let bytes = body_bytes + deliveries * limits::DELIVERY_BYTES;
    let change = sign * i64::try_from(bytes).unwrap_or(i64::MAX);
    connection
        .prepare_cached("UPDATE accounts SET kept_bytes = kept_bytes + ?2 WHERE id = ?1")?
        .execute((account.to_bytes(), change))?;
    Ok(())
}

fn version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

pub(crate) fn key_row(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let role: String = row.get("role")?;
    let account: Option<[u8; 16]> = row.get("account_id")?;
    let moment = |name| row.get::<_, Option<i64>>(name)?.map(from_millis).transpose().map_err(bad);
    Ok(ApiKey {
        id: KeyId::from_bytes(bytes16(row, "id")?),
        account_id: account.map(AccountId::from_bytes),
        role: Role::from_name(&role).ok_or_else(|| bad(Unknown("role", role)))?,
        name: row.get("name")?,
        prefix: row.get("prefix")?,
        hash: KeyHash(bytes32(row, "hash")?),
        created_at: time(row, "created_at")?,
        expires_at: moment("expires_at")?,
        revoked_at: moment("revoked_at")?,
        last_used_at: moment("last_used_at")?,
    })
}
