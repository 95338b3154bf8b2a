//! `statuspulse keys`: creates, lists and revokes API keys in the server's data folder, or over the API if there is none.
//!
//! With a folder it needs no API key, so it can create the first keys of an installation.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use ring::rand::SystemRandom;
use statuspulse_core::access::{Account, ApiKey, KeyText, Role, checked_name};
use statuspulse_core::admin::accounts::{created_account, created_key};
use statuspulse_core::audit::Actor;
use statuspulse_core::ids::AccountId;
use statuspulse_core::ports::{Accounts, Clock, Deliveries};
use statuspulse_embedded::{Embedded, Purpose};

use crate::api;
use crate::arguments::{KeysCommand, KeysOptions};
use crate::system::{SystemClock, SystemRandomness};

pub(crate) async fn run(options: KeysOptions) -> Result<()> {
    let Some(data) = options.data else {
        ensure!(
            options.server.url.is_some(),
            "neither a data folder nor a server: set STATUSPULSE_DATA or use --data, or set STATUSPULSE_URL and \
             STATUSPULSE_KEY"
        );
        return api::keys::run(&options.server, options.account.as_deref(), options.command).await;
    };
    ensure!(!options.server.json, "--json is only for the API: omit --data, and unset STATUSPULSE_DATA");
    let mut out = std::io::stdout();
    if !matches!(options.command, KeysCommand::Create { .. }) {
        ensure!(options.account.is_none(), "with --data, --account is only for `keys create`");
    }
    match options.command {
        KeysCommand::Create { role, name, new } => {
            if !new {
                exists(&data).context("nothing was created; --new makes the folder")?;
            }
            let key = create(&data, options.account.as_deref(), role.into(), name.as_deref()).await?;
            writeln!(out, "{}", key.reveal())?;
        }
        KeysCommand::List => {
            let store = open_existing(&data)?;
            for (key, account) in store.all_keys()? {
                writeln!(out, "{}", line(&key, account.as_deref()))?;
            }
        }
        KeysCommand::Revoke { key } => {
            let store = open_existing(&data)?;
            if !store.revoke_any_key(&key, SystemClock::start().now()).await? {
                bail!(
                    "{key:?} is not the id or prefix of exactly one valid key; see `statuspulse keys list`"
                );
            }
            store.durable().await?;
        }
    }
    Ok(())
}

pub(crate) async fn create(
    data: &Path,
    account: Option<&str>,
    role: Role,
    name: Option<&str>,
) -> Result<KeyText> {
    let name = name.map(checked_name).transpose().context("--name")?;
    let account = match (account, role) {
        (Some(_), Role::Operator) => bail!("an operator key belongs to no account: omit --account"),
        (None, Role::Operator) => None,
        (None, _) => bail!("--account is required with the role {}", role.name()),
        (Some(account), _) => Some(account),
    };
    let store = open(data)?;
    let key = match account {
        None => new_key(&store, None, role, name).await?,
        Some(account) => match accounts(&store, account).await?.as_slice() {
            [] => new_account(&store, account, role, name).await?,
            [known] => new_key(&store, Some(known.id), role, name).await?,
            several => {
                let ids: Vec<_> = several.iter().map(|one| one.id.to_string()).collect();
                bail!("several accounts are named {account:?}; give one of their ids: {}", ids.join(", "))
            }
        },
    };
    store.durable().await?;
    Ok(key)
}

/// The accounts with this name, or the one with this id.
async fn accounts(store: &Embedded, name_or_id: &str) -> Result<Vec<Account>> {
    let Ok(id) = name_or_id.parse() else { return Ok(store.accounts_by_name(name_or_id)?) };
    let found = store.account(id).await?;
    found.map(|account| vec![account]).with_context(|| format!("there is no account {id}"))
}

async fn new_key(
    store: &Embedded,
    account: Option<AccountId>,
    role: Role,
    name: Option<String>,
) -> Result<KeyText> {
    let (key, text) = ApiKey::generate(account, role, None, SystemClock::start().now(), &randomness());
    let key = ApiKey { name, ..key };
    let entry = account.map(|account| created_key(account, &key, Actor::OWNER));
    store.create_key(&key, entry.as_ref()).await?;
    Ok(text)
}

async fn new_account(store: &Embedded, account: &str, role: Role, name: Option<String>) -> Result<KeyText> {
    let account = Account::new(account, SystemClock::start().now(), &randomness()).context("--account")?;
    let (key, text) = ApiKey::generate(Some(account.id), role, None, account.created_at, &randomness());
    let key = ApiKey { name, ..key };
    store.create_account(&account, &key, &created_account(&account, &key, Actor::OWNER)).await?;
    Ok(text)
}

fn randomness() -> SystemRandomness {
    SystemRandomness(SystemRandom::new())
}

fn open(data: &Path) -> Result<Arc<Embedded>> {
    Ok(Embedded::open(data, Purpose::Administer, Arc::new(SystemClock::start()))?)
}

/// Opens a store that exists already, so that a misspelt folder is an error and not a new, empty store.
fn open_existing(data: &Path) -> Result<Arc<Embedded>> {
    exists(data)?;
    open(data)
}

pub(crate) fn exists(data: &Path) -> Result<()> {
    ensure!(
        statuspulse_embedded::database_in(data).exists(),
        "no database in {}; check --data",
        data.display()
    );
    Ok(())
}

fn line(key: &ApiKey, account: Option<&str>) -> String {
    let state = if key.revoked_at.is_some() {
        "revoked"
    } else if key.is_valid(SystemClock::start().now()) {
        "valid"
    } else {
        "expired"
    };
    let (id, prefix, role) = (key.id, &key.prefix, key.role.name());
    let used = key.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {at:.0}"));
    let (account, name) = (account.unwrap_or("-"), key.name.as_deref().unwrap_or("-"));
    format!("{id}  {prefix}...  {role:<9}  {state:<7}  {used:<25}  {account}  {name}")
}
