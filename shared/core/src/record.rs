//! How the rules' types stand in a store: records that serialise, kept apart from the types the rules work with,
//! so that neither a rule nor a store's layout is changed by accident. Both stores keep the same records.
//!
//! Times are milliseconds since 1970. A webhook is two records, as one of them is sealed: what is no secret, and
//! what is.

mod attempt;
mod webhook;

use std::time::Duration;

use jiff::Timestamp;

pub use attempt::{read_attempts, read_trigger, write_attempts};
pub use webhook::{WebhookParts, read_webhook, write_webhook};

/// A record that no version of this program wrote.
#[derive(Debug, thiserror::Error)]
#[error("unreadable record: {0}")]
pub struct Unreadable(String);

impl Unreadable {
    /// A record whose field names nothing known.
    pub fn unknown(field: &str, value: &str) -> Self {
        Self(format!("unknown {field}: {value}"))
    }

    /// A record that does not parse.
    pub fn because(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// A time as kept.
pub fn millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// A time read back.
pub fn from_millis(millis: i64) -> Result<Timestamp, Unreadable> {
    Timestamp::from_millisecond(millis).map_err(Unreadable::because)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn optional_time(millis: Option<i64>) -> Result<Option<Timestamp>, Unreadable> {
    millis.map(from_millis).transpose()
}
