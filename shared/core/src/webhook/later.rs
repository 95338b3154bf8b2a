//! What a later version has written into a webhook's record and this one does not know.
//!
//! After a rollback, the version before reads what the later one wrote. It ignores what it does not know, and writes it
//! back as it was with its next change.

use std::fmt;

use serde_json::{Map, Value};

use crate::ids::KeyId;

/// The parts of a record that this version does not know.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Later {
    /// Unknown fields.
    pub(crate) fields: Map<String, Value>,
    /// Unknown fields of the sealed part.
    pub(crate) sealed: Map<String, Value>,
    pub(crate) events: Vec<String>,
    /// Time, change and API key.
    pub(crate) audit: Vec<(i64, String, Option<KeyId>)>,
    /// Due time and message.
    pub(crate) outbox: Vec<(i64, Value)>,
    pub(crate) notification: Option<Value>,
    pub(crate) job: Option<Value>,
    pub(crate) pause_reason: Option<String>,
}

impl fmt::Debug for Later {
    /// Without the content, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}
