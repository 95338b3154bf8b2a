//! How single values are stored, and the error if one cannot be read.

use std::time::Duration;

use jiff::Timestamp;

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

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn optional_time(millis: Option<i64>) -> Result<Option<Timestamp>, Unreadable> {
    millis.map(from_millis).transpose()
}
