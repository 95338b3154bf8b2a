//! The audit log: what was changed, when, by whom and from where.
//!
//! A change and its entry are written together, so neither exists without the other. An account's log keeps every entry
//! for [`RETENTION`](crate::limits::RETENTION), however many there are. A webhook's record has its own latest changes
//! besides: every attempt reads the record, so these are few.

use std::net::IpAddr;

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::ids::{AccountId, AuditId, KeyId, WebhookId};
use crate::limits;
use crate::target::HIDDEN;

/// The latest changes of a webhook, oldest first, and the entries for its account's log that the next save writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditLog {
    latest: Vec<Entry>,
    unsaved: Vec<Unsaved>,
}

/// One change of a webhook, in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When it was made.
    pub at: Timestamp,
    /// The change.
    pub change: Change,
    /// The API key that made it; `None` if StatusPulse made it itself.
    pub by: Option<KeyId>,
}

/// A change that is not saved yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unsaved {
    at: Timestamp,
    change: Change,
    by: Actor,
    fields: Vec<FieldChange>,
}

/// An entry of an account's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountEntry {
    /// Its id, which begins with the time.
    pub id: AuditId,
    /// The account.
    pub account_id: AccountId,
    /// When it was made.
    pub at: Timestamp,
    /// The name of its [`Action`], or of one that only a later version knows.
    pub action: String,
    /// Who made it.
    pub by: Actor,
    /// The webhook that it concerns, if any.
    pub webhook_id: Option<WebhookId>,
    /// The id of what was changed: an account, a key, a webhook or a delivery.
    pub object_id: String,
    /// What changed, without secrets.
    pub fields: Vec<FieldChange>,
}

/// A field that changed. In place of a secret there is [`HIDDEN`](crate::target::HIDDEN).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// The field's name.
    pub field: String,
    /// The value before; `None` if there was none.
    pub old: Option<String>,
    /// The value since; `None` if there is none.
    pub new: Option<String>,
}

impl FieldChange {
    /// The change of a field, if it changed.
    pub(crate) fn of(field: &str, old: Option<String>, new: Option<String>) -> Option<Self> {
        (old != new).then(|| Self { field: field.to_owned(), old, new })
    }

    /// The change of a secret, if it changed. Its values are not told.
    pub(crate) fn of_secret<T: PartialEq>(field: &str, old: Option<&T>, new: Option<&T>) -> Option<Self> {
        let hidden = |value: Option<&T>| value.map(|_| HIDDEN.to_owned());
        (old != new).then(|| Self { field: field.to_owned(), old: hidden(old), new: hidden(new) })
    }
}

/// Who made a change, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// What they are.
    pub kind: ActorKind,
    /// The API key that they used, or that their session belongs to.
    pub key_id: Option<KeyId>,
    /// The address that the call came from, if it is known.
    pub address: Option<IpAddr>,
}

/// The kinds of actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ActorKind {
    /// A key of the account.
    Key,
    /// An operator's key.
    Operator,
    /// The owner of the deployment, on its command line.
    Owner,
    /// StatusPulse itself, for example when it pauses a webhook.
    Statuspulse,
}

impl ActorKind {
    /// All of them.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

impl Actor {
    /// StatusPulse itself.
    pub const STATUSPULSE: Self = Self { kind: ActorKind::Statuspulse, key_id: None, address: None };
    /// The owner of the deployment.
    pub const OWNER: Self = Self { kind: ActorKind::Owner, key_id: None, address: None };
}

/// What an entry of an account's log says was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray)]
pub enum Action {
    /// The account was created.
    #[strum(serialize = "account.created")]
    AccountCreated,
    /// The account arrived from another deployment.
    #[strum(serialize = "account.imported")]
    AccountImported,
    /// A setting of the account was changed.
    #[strum(serialize = "account.updated")]
    AccountUpdated,
    /// An operator changed what the account may use.
    #[strum(serialize = "quotas.updated")]
    QuotasUpdated,
    /// An API key was created.
    #[strum(serialize = "key.created")]
    KeyCreated,
    /// An API key was revoked.
    #[strum(serialize = "key.revoked")]
    KeyRevoked,
    /// Someone signed in to the dashboard.
    #[strum(serialize = "session.created")]
    SessionCreated,
    /// A webhook was registered.
    #[strum(serialize = "webhook.created")]
    WebhookCreated,
    /// It passed its handshake after its registration.
    #[strum(serialize = "webhook.verified")]
    WebhookVerified,
    /// Its settings were changed.
    #[strum(serialize = "webhook.updated")]
    WebhookUpdated,
    /// It was paused.
    #[strum(serialize = "webhook.paused")]
    WebhookPaused,
    /// It was resumed, and held deliveries are sent.
    #[strum(serialize = "webhook.resumed")]
    WebhookResumed,
    /// It was resumed, and held deliveries are dropped.
    #[strum(serialize = "webhook.resumed_discarding")]
    WebhookResumedDiscarding,
    /// What waits on its ladder is retried now.
    #[strum(serialize = "webhook.retried")]
    WebhookRetried,
    /// It got a new secret.
    #[strum(serialize = "webhook.secret_rotated")]
    WebhookSecretRotated,
    /// The window of a rotation was ended early.
    #[strum(serialize = "webhook.rotation_finished")]
    WebhookRotationFinished,
    /// A rotation was undone inside its window.
    #[strum(serialize = "webhook.rotation_cancelled")]
    WebhookRotationCancelled,
    /// All of its failed deliveries since a time were delivered again.
    #[strum(serialize = "webhook.redelivered")]
    WebhookRedelivered,
    /// It was deleted.
    #[strum(serialize = "webhook.deleted")]
    WebhookDeleted,
    /// A delivery was delivered again, or retried early.
    #[strum(serialize = "delivery.redelivered")]
    DeliveryRedelivered,
}

impl Action {
    /// All of them.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The kinds of changes of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Change {
    /// It was registered.
    Created,
    /// It passed its handshake after its registration.
    Verified,
    /// Its settings were changed.
    Updated,
    /// It was paused.
    Paused,
    /// It was resumed, and held deliveries are sent.
    Resumed,
    /// It was resumed, and held deliveries are dropped.
    ResumedDiscarding,
    /// What waits on its ladder is retried now.
    Retried,
    /// It got a new secret. The old one keeps signing until the end of the window.
    SecretRotated,
    /// The window of a rotation was ended early.
    RotationFinished,
    /// A rotation was undone inside its window.
    RotationCancelled,
    /// It was deleted.
    Deleted,
}

impl Change {
    /// All of them.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The change with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// What the account's log calls it.
    pub fn action(self) -> Action {
        match self {
            Change::Created => Action::WebhookCreated,
            Change::Verified => Action::WebhookVerified,
            Change::Updated => Action::WebhookUpdated,
            Change::Paused => Action::WebhookPaused,
            Change::Resumed => Action::WebhookResumed,
            Change::ResumedDiscarding => Action::WebhookResumedDiscarding,
            Change::Retried => Action::WebhookRetried,
            Change::SecretRotated => Action::WebhookSecretRotated,
            Change::RotationFinished => Action::WebhookRotationFinished,
            Change::RotationCancelled => Action::WebhookRotationCancelled,
            Change::Deleted => Action::WebhookDeleted,
        }
    }
}

impl AuditLog {
    /// A log read from a store.
    pub(crate) fn restore(entries: Vec<Entry>) -> Self {
        Self { latest: entries, unsaved: vec![] }
    }

    /// The latest entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.latest
    }

    /// When this change was made last, as far as the log reaches.
    pub fn last(&self, change: Change) -> Option<Timestamp> {
        self.latest.iter().rev().find(|entry| entry.change == change).map(|entry| entry.at)
    }

    /// Adds an entry, and drops the oldest one of the record if it has too many.
    pub fn add(&mut self, change: Change, by: Actor, at: Timestamp) {
        self.add_change(change, by, at, vec![]);
    }

    /// Adds an entry with the fields that changed.
    pub(crate) fn add_change(&mut self, change: Change, by: Actor, at: Timestamp, fields: Vec<FieldChange>) {
        if self.latest.len() >= limits::AUDIT_ENTRIES_KEPT {
            self.latest.remove(0);
        }
        self.latest.push(Entry { at, change, by: by.key_id });
        self.unsaved.push(Unsaved { at, change, by, fields });
    }

    /// The log when it is saved.
    #[must_use]
    pub fn saved(self) -> Self {
        Self { unsaved: vec![], ..self }
    }

    /// What the save of this version of the webhook adds to the account's log.
    pub(crate) fn unsaved(
        &self,
        account_id: AccountId,
        webhook: WebhookId,
        version: u64,
    ) -> Vec<AccountEntry> {
        let entry = |(number, unsaved): (u64, &Unsaved)| {
            // A new webhook and its first change have the same version.
            let (name, version) = (unsaved.change.name().as_bytes(), version.to_be_bytes());
            let parts: [&[u8]; 4] = [&webhook.to_bytes(), name, &version, &number.to_be_bytes()];
            AccountEntry {
                id: AuditId::derive(unsaved.at, &parts),
                account_id,
                at: unsaved.at,
                action: unsaved.change.action().name().to_owned(),
                by: unsaved.by,
                webhook_id: Some(webhook),
                object_id: webhook.to_string(),
                fields: unsaved.fields.clone(),
            }
        };
        (0..).zip(&self.unsaved).map(entry).collect()
    }
}

impl AccountEntry {
    /// The entry for an act on this object. The same parts make the same entry.
    pub fn new(
        account_id: AccountId,
        (at, by): (Timestamp, Actor),
        action: Action,
        object_id: &impl ToString,
        fields: Vec<FieldChange>,
    ) -> Self {
        let object_id = object_id.to_string();
        let action = action.name().to_owned();
        // Two changes of one object may be made in the same millisecond.
        let changes = format!("{action} {object_id} {fields:?}");
        let id = AuditId::derive(at, &[changes.as_bytes()]);
        Self { id, account_id, at, action, by, webhook_id: None, object_id, fields }
    }

    /// The same for an act that concerns a webhook.
    #[must_use]
    pub fn about(self, webhook: WebhookId) -> Self {
        Self { webhook_id: Some(webhook), ..self }
    }

    /// The line in the program's own log.
    pub(crate) fn log(&self) {
        tracing::info!(
            audit.id = %self.id,
            account.id = %self.account_id,
            action = self.action,
            object.id = self.object_id,
            by = self.by.kind.name(),
            key.id = self.by.key_id.map(|key| key.to_string()),
            address = self.by.address.map(|address| address.to_string()),
            "audit log"
        );
    }
}
