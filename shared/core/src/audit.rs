//! Who did what to a webhook, and when.
//!
//! The log is kept with its webhook and written in the same compare-and-set as the change it tells of: no change goes without
//! its entry, and no entry without its change. Only the latest entries are kept, as every attempt reads the webhook.

use jiff::Timestamp;

use crate::ids::KeyId;
use crate::limits;

/// The latest entries, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditLog(Vec<Entry>);

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub change: Change,
    /// With which API key; `None` where StatusPulse did it by itself.
    pub by: Option<KeyId>,
}

/// What was done to a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was registered.
    Created,
    /// It passed its handshake, after it had not at first.
    Verified,
    /// Its settings were changed.
    Updated,
    /// It was paused.
    Paused,
    /// It was resumed, and what was held delivered.
    Resumed,
    /// It was resumed, and what was held dropped.
    ResumedDiscarding,
    /// It got a new secret; the old one signed too, for a while.
    SecretRotated,
    /// The old secret was ended before its time.
    RotationFinished,
}

impl Change {
    /// All of them.
    pub const ALL: [Change; 8] = [
        Change::Created,
        Change::Verified,
        Change::Updated,
        Change::Paused,
        Change::Resumed,
        Change::ResumedDiscarding,
        Change::SecretRotated,
        Change::RotationFinished,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Change::Created => "created",
            Change::Verified => "verified",
            Change::Updated => "updated",
            Change::Paused => "paused",
            Change::Resumed => "resumed",
            Change::ResumedDiscarding => "resumed_discarding",
            Change::SecretRotated => "secret_rotated",
            Change::RotationFinished => "rotation_finished",
        }
    }

    /// The change of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|change| change.name() == name)
    }
}

impl AuditLog {
    /// The log that was kept.
    pub(crate) fn restore(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    /// The latest entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Adds what was done; the oldest entry makes room.
    pub fn add(&mut self, change: Change, by: Option<KeyId>, at: Timestamp) {
        if self.0.len() >= limits::AUDIT_ENTRIES_KEPT {
            self.0.remove(0);
        }
        self.0.push(Entry { at, change, by });
    }
}
