//! The audit log of a webhook: what was changed, when, and with which API key.
//!
//! The log is part of the webhook's record and is written in the same compare-and-set as the change, so neither exists
//! without the other. Only the latest entries are kept, because every attempt reads the webhook.

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::ids::KeyId;
use crate::limits;

/// The latest entries, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditLog(Vec<Entry>);

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When it was made.
    pub at: Timestamp,
    /// The change.
    pub change: Change,
    /// The API key that made it; `None` if StatusPulse made it itself.
    pub by: Option<KeyId>,
}

/// The kinds of changes.
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
    /// It got a new secret. The old one keeps signing until the end of the window.
    SecretRotated,
    /// The window of a rotation was ended early.
    RotationFinished,
    /// A rotation was undone inside its window.
    RotationCancelled,
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
}

impl AuditLog {
    /// A log read from a store.
    pub(crate) fn restore(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    /// The latest entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// When this change was made last, as far as the log reaches.
    pub fn last(&self, change: Change) -> Option<Timestamp> {
        self.0.iter().rev().find(|entry| entry.change == change).map(|entry| entry.at)
    }

    /// Adds an entry, and drops the oldest one if the log is full.
    pub fn add(&mut self, change: Change, by: Option<KeyId>, at: Timestamp) {
        if self.0.len() >= limits::AUDIT_ENTRIES_KEPT {
            self.0.remove(0);
        }
        self.0.push(Entry { at, change, by });
    }
}
