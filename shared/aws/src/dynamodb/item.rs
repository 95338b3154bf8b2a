//! Writes and reads the attributes of items.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use statuspulse_core::record::{Unreadable, from_millis};

/// An item, or its key.
pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn time(value: Timestamp) -> AttributeValue {
    number(value.as_millisecond())
}

/// A time for DynamoDB's TTL, in seconds since 1970.
pub(crate) fn expiry(value: Timestamp) -> AttributeValue {
    number(value.as_second())
}

pub(crate) fn binary(value: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// Typed access to attributes. A missing attribute, or one of another type, makes the record unreadable.
pub(crate) trait Read {
    fn maybe_text(&self, name: &str) -> Option<&str>;
    fn maybe_number(&self, name: &str) -> Result<Option<i64>, Unreadable>;
    fn maybe_bytes(&self, name: &str) -> Option<&[u8]>;

    fn text(&self, name: &str) -> Result<&str, Unreadable> {
        self.maybe_text(name).ok_or_else(|| missing(name))
    }

    fn number(&self, name: &str) -> Result<i64, Unreadable> {
        self.maybe_number(name)?.ok_or_else(|| missing(name))
    }

    /// A number, converted to a smaller type.
    fn small<T: TryFrom<i64>>(&self, name: &str) -> Result<T, Unreadable> {
        let value = self.number(name)?;
        T::try_from(value).map_err(|_| Unreadable::unknown(name, &value.to_string()))
    }

    fn bytes(&self, name: &str) -> Result<&[u8], Unreadable> {
        self.maybe_bytes(name).ok_or_else(|| missing(name))
    }

    fn time(&self, name: &str) -> Result<Timestamp, Unreadable> {
        from_millis(self.number(name)?)
    }

    fn maybe_time(&self, name: &str) -> Result<Option<Timestamp>, Unreadable> {
        self.maybe_number(name)?.map(from_millis).transpose()
    }

    /// A text, parsed as an id or another type.
    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<T, Unreadable> {
        let text = self.text(name)?;
        text.parse().map_err(|_| Unreadable::unknown(name, text))
    }

    fn array<const N: usize>(&self, name: &str) -> Result<[u8; N], Unreadable> {
        self.bytes(name)?.try_into().map_err(|_| missing(name))
    }
}

impl Read for Item {
    fn maybe_text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_s().ok().map(String::as_str)
    }

    fn maybe_number(&self, name: &str) -> Result<Option<i64>, Unreadable> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let digits = value.as_n().map_err(|_| missing(name))?;
        digits.parse().map(Some).map_err(|_| Unreadable::unknown(name, digits))
    }

    fn maybe_bytes(&self, name: &str) -> Option<&[u8]> {
        self.get(name)?.as_b().ok().map(AsRef::as_ref)
    }
}

fn missing(name: &str) -> Unreadable {
    Unreadable::because(format!("{name} is missing or has another type"))
}
