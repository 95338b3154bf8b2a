//! How the types of the rules are stored: records that serialise. They are separate types, so that a change of the
//! rules does not change the stored format by accident. Both stores use the same records.
//!
//! Times are milliseconds since 1970. A webhook is stored in two parts: one with its secrets, which is sealed, and one
//! with everything else.

mod attempt;
mod webhook;

use std::time::Duration;

use jiff::Timestamp;

pub use attempt::{read_attempts, read_trigger, write_attempts};
pub use webhook::{WebhookParts, read_webhook, write_webhook};

/// A record cannot be read: it is damaged, or another version wrote it.
#[derive(Debug, thiserror::Error)]
#[error("unreadable record: {0}")]
pub struct Unreadable(String);

impl Unreadable {
    /// A field has an unknown value.
    pub fn unknown(field: &str, value: &str) -> Self {
        Self(format!("unknown {field}: {value}"))
    }

    /// The record does not parse.
    pub fn because(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Converts a time to its stored form.
pub fn millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// Converts a time from its stored form.
pub fn from_millis(millis: i64) -> Result<Timestamp, Unreadable> {
    Timestamp::from_millisecond(millis).map_err(Unreadable::because)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn optional_time(millis: Option<i64>) -> Result<Option<Timestamp>, Unreadable> {
    millis.map(from_millis).transpose()
}
