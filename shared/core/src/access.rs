//! Accounts, API keys, and what each role may do.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::audit::{Actor, ActorKind};
use crate::error::{Error, Result};
use crate::ids::{AccountId, KeyId};
use crate::limits;
use crate::ports::environment::Random;
use crate::quota::Quotas;
use crate::target::{AllowedDomains, EndpointUrl};
use crate::time::later;

/// A customer.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// The domains its webhooks are restricted to; empty for no restriction.
    pub allowed_domains: AllowedDomains,
    /// The incoming webhook of the Slack channel that gets its notifications. A secret.
    pub slack: Option<EndpointUrl>,
    /// What it may use.
    pub quotas: Quotas,
    /// Creation time.
    pub created_at: Timestamp,
    /// Incremented with each save, for compare-and-set.
    pub version: u64,
}

impl Account {
    /// A new account with this name. The error says what is wrong with the name.
    pub fn new(name: &str, now: Timestamp, random: &dyn Random) -> std::result::Result<Self, NameRefused> {
        Ok(Self {
            id: AccountId::new(now, random),
            name: checked_name(name)?,
            allowed_domains: AllowedDomains::default(),
            slack: None,
            quotas: Quotas::default(),
            created_at: now,
            version: 0,
        })
    }
}

/// The name of an account or of a key, if it is valid.
pub fn checked_name(name: &str) -> std::result::Result<String, NameRefused> {
    let is_valid = !name.trim().is_empty()
        && name.chars().count() <= limits::NAME_CHARS
        && !name.chars().any(char::is_control);
    if is_valid { Ok(name.to_owned()) } else { Err(NameRefused) }
}

/// The name is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {} characters, and no control characters", limits::NAME_CHARS)]
pub struct NameRefused;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Reads and changes an account, and publishes for it.
    Admin,
    /// Only publishes events for an account.
    Publisher,
    /// Only reads an account.
    Viewer,
    /// Belongs to no account. Creates accounts, sets their quotas, manages their keys, and publishes for any of them, but
    /// cannot read their data.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Whether a key with this role may do this.
    pub fn may(self, action: Action) -> bool {
        match self {
            Role::Admin => {
                matches!(action, Action::Read | Action::Manage | Action::Publish | Action::PublishAlerts)
            }
            Role::Publisher => matches!(action, Action::Publish | Action::PublishAlerts),
            Role::Viewer => action == Action::Read,
            Role::Operator => matches!(
                action,
                Action::Publish | Action::CreateAccount | Action::SetQuotas | Action::ManageKeys
            ),
        }
    }
}

/// The text of a key or a session. It is shown once, when it is created.
#[derive(Clone)]
pub struct KeyText(SecretString);

impl KeyText {
    const KEY: &str = "spk_";
    const SESSION: &str = "spd_";
    /// Characters shown in lists: enough to tell keys apart, too few to guess the rest.
    const SHOWN: usize = 12;

    fn generate(prefix: &str, random: &dyn Random) -> Self {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        Self(SecretString::from(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText")
    }
}

/// The SHA-256 of a key's text, which is all that is stored. 32 random bytes need no slow hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The hash of a text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

/// An API key as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// The account that owns it; `None` for an operator key.
    pub account_id: Option<AccountId>,
    /// What it may do.
    pub role: Role,
    /// What it is for, in its owner's words.
    pub name: Option<String>,
    /// The start of its text, to tell keys apart.
    pub prefix: String,
    /// The hash it is found by.
    pub hash: KeyHash,
    /// Creation time.
    pub created_at: Timestamp,
    /// When it expires; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked; `None` if it was not.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, at most [`KEY_USE_EVERY`](limits::KEY_USE_EVERY) before its latest use; `None` if it was not.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    /// A new key without a name, and its text, which is shown once.
    pub fn generate(
        account_id: Option<AccountId>,
        role: Role,
        expires_at: Option<Timestamp>,
        now: Timestamp,
        random: &dyn Random,
    ) -> (Self, KeyText) {
        let text = KeyText::generate(KeyText::KEY, random);
        let key = Self {
            id: KeyId::new(now, random),
            account_id,
            role,
            name: None,
            prefix: text.reveal().chars().take(KeyText::SHOWN).collect(),
            hash: KeyHash::of(text.reveal()),
            created_at: now,
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        (key, text)
    }

    /// Whether it is valid at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether a use at this time is worth remembering. A key that is used all the time is not written each time.
    pub fn is_newly_used(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|last| later(last, limits::KEY_USE_EVERY) <= now)
    }
}

/// What a browser has instead of an API key: first a link that works once, then a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The hash it is found by.
    pub hash: KeyHash,
    /// Link or cookie.
    pub kind: SessionKind,
    /// The API key that created it. If the key is no longer valid, neither is the session.
    pub key: KeyHash,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// What a session's text can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// Can be exchanged once for a browser's session.
    Link,
    /// Opens the dashboard.
    Browser,
}

impl Session {
    /// A new session, and its text, which is shown once.
    pub fn generate(
        kind: SessionKind,
        key: KeyHash,
        expires_at: Timestamp,
        random: &dyn Random,
    ) -> (Self, KeyText) {
        let text = KeyText::generate(KeyText::SESSION, random);
        (Self { hash: KeyHash::of(text.reveal()), kind, key, expires_at }, text)
    }
}

/// What a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read an account's webhooks and deliveries.
    Read,
    /// Change them.
    Manage,
    /// Publish an event.
    Publish,
    /// Publish the alerts of a notification, which names no account.
    PublishAlerts,
    /// Create an account.
    CreateAccount,
    /// Set what an account may use.
    SetQuotas,
    /// Create, list and revoke the keys of any account.
    ManageKeys,
}

/// How URLs of endpoints are shown. Their paths and queries often contain a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urls {
    /// To those who may change them.
    Whole,
    /// To all others: only scheme, host and port.
    ByHost,
}

/// The caller: the holder of a valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The key; `None` for calls from the deployment's own parts.
    pub key_id: Option<KeyId>,
    /// The key's role.
    pub role: Role,
    /// The key's account; `None` for an operator.
    pub account_id: Option<AccountId>,
    /// The address that the call came from, if it is known.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// The caller with this key, as it was found by its hash. Unknown, revoked and expired keys give the same error.
    pub(crate) fn with_key(found: Option<&ApiKey>, now: Timestamp) -> Result<Self> {
        match found.filter(|key| key.is_valid(now)) {
            Some(key) => {
                Ok(Self { key_id: Some(key.id), role: key.role, account_id: key.account_id, address: None })
            }
            None => Err(Error::Unauthenticated("the API key is not valid")),
        }
    }

    /// Returns an error if the role may not do this.
    pub fn may(&self, action: Action) -> Result<()> {
        if self.role.may(action) {
            Ok(())
        } else {
            Err(Error::Forbidden(format!("a key with the role {} may not do this", self.role.name())))
        }
    }

    /// The caller's own account, if the role may do this.
    pub fn account_for(&self, action: Action) -> Result<AccountId> {
        self.may(action)?;
        self.account_id.ok_or_else(|| Error::Forbidden("an operator key belongs to no account".to_owned()))
    }

    /// How the caller is shown URLs.
    pub fn urls(&self) -> Urls {
        if self.role.may(Action::Manage) { Urls::Whole } else { Urls::ByHost }
    }

    /// The caller as a manager, if the role may change the account.
    pub fn manager(&self) -> Result<Manager> {
        let account_id = self.account_for(Action::Manage)?;
        let nobody = || Error::Forbidden("an API key is required to change an account".to_owned());
        Ok(Manager { account_id, key_id: self.key_id.ok_or_else(nobody)?, address: self.address })
    }

    /// How the audit log names the caller.
    pub fn actor(&self) -> Actor {
        let kind = match (self.role, self.key_id) {
            (Role::Operator, _) => ActorKind::Operator,
            (_, Some(_)) => ActorKind::Key,
            (_, None) => ActorKind::Statuspulse,
        };
        Actor { kind, key_id: self.key_id, address: self.address }
    }
}

/// A caller who may change an account. The account's [audit log](crate::audit) records what they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manager {
    /// The account.
    pub account_id: AccountId,
    /// The key that makes the changes.
    pub key_id: KeyId,
    /// The address that the call came from, if it is known.
    pub address: Option<IpAddr>,
}

impl Manager {
    /// How the audit log names the caller.
    pub fn actor(&self) -> Actor {
        Actor { kind: ActorKind::Key, key_id: Some(self.key_id), address: self.address }
    }
}

/// The address of a client, as an extension of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);
