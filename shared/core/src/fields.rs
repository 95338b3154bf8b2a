//! Reads a JSON object field by field, so that every error names its field and all errors are reported at once.
//!
//! Values are kept as the text they came as ([`RawValue`]): a number is never converted to a float and back. A key that
//! appears more than once is refused, because receivers would disagree on which one counts.
//!
//! This is part of the core because events are JSON by their own rules, whichever way they come in: see
//! [`event`](crate::event). The HTTP API parses its bodies with it too.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, Refusals};
use crate::limits;

/// An object's keys and values.
pub type Entries<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The fields of a JSON object that were not read yet, and what was refused so far.
#[derive(Debug)]
pub struct Fields<'a> {
    pointer: String,
    entries: Entries<'a>,
    /// The refused fields.
    pub refused: Refusals,
}

impl<'a> Fields<'a> {
    /// The fields of a request's body.
    pub fn of_body(body: &'a [u8]) -> Result<Self, Error> {
        if body.starts_with(b"\xef\xbb\xbf") {
            return Err(Error::Malformed(
                "it begins with a byte order mark; send UTF-8 without one".to_owned(),
            ));
        }
        if body.starts_with(b"\x1f\x8b") {
            return Err(Error::Malformed("it is compressed with gzip; send it as it is".to_owned()));
        }
        let text = std::str::from_utf8(body).map_err(|_| Error::Malformed("it is not UTF-8".to_owned()))?;
        if text.trim().is_empty() {
            return Err(Error::Malformed("it is empty".to_owned()));
        }
        let object: Object<'a> =
            serde_json::from_str(text).map_err(|error| Error::Malformed(error.to_string()))?;
        Ok(Self::of_entries("", object.0))
    }

    /// The fields of a nested object.
    pub fn of_value(pointer: &str, value: &'a RawValue) -> Result<Self, Refusals> {
        let object: Object<'a> =
            serde_json::from_str(value.get()).map_err(|_| Refusals::of(pointer, "must be an object"))?;
        Ok(Self::of_entries(pointer, object.0))
    }

    fn of_entries(pointer: &str, mut entries: Entries<'a>) -> Self {
        let mut seen = HashSet::with_capacity(entries.len());
        let mut twice = vec![];
        entries.retain(|(key, _)| {
            let first = seen.insert(key.clone());
            if !first {
                twice.push(key.clone());
            }
            first
        });
        let mut fields = Self { pointer: pointer.to_owned(), entries, refused: Refusals::default() };
        for key in twice {
            fields.refuse(&key, "appears more than once");
        }
        fields
    }

    /// Takes the field as received; `None` if it is absent or `null`.
    pub fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.entries.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.entries.swap_remove(at);
        (value.get() != "null").then_some(value)
    }

    /// Whether the field is present, even as `null`.
    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key == name)
    }

    /// Whether the field is present as `null`.
    pub fn is_null(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, value)| key == name && value.get() == "null")
    }

    /// Takes the field as a `T`. `expected` completes the error "must be …".
    pub fn get<T: Deserialize<'a>>(&mut self, name: &str, expected: &str) -> Option<T> {
        let value = self.raw(name)?;
        self.check(name, serde_json::from_str(value.get()).map_err(|_| format!("must be {expected}")))
    }

    /// Takes the field as a string.
    pub fn text(&mut self, name: &str) -> Option<Cow<'a, str>> {
        // Borrowed if the text has no escapes.
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        self.get::<Text<'a>>(name, "a string").map(|Text(text)| text)
    }

    /// Takes the field as an object: its entries in order.
    pub fn object(&mut self, name: &str) -> Option<Entries<'a>> {
        let value = self.raw(name)?;
        match Fields::of_value(&self.pointer_to(name), value) {
            Ok(fields) => {
                self.refused.extend(fields.refused);
                Some(fields.entries)
            }
            Err(refused) => {
                self.refused.extend(refused);
                None
            }
        }
    }

    /// Takes the field as a list of strings.
    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        self.get(name, "a list of strings")
    }

    /// Takes the field as a time in any form of RFC 3339.
    pub fn timestamp(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        self.check(name, parse_time(&text))
    }

    /// Takes the field as a time in the one form that a payload may have.
    pub(crate) fn utc(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        self.check(name, parse_utc(&text))
    }

    /// Returns the value of a check, or refuses the field with the check's error.
    pub fn check<T>(&mut self, name: &str, checked: Result<T, impl fmt::Display>) -> Option<T> {
        self.refused.check(&self.pointer_to(name), checked)
    }

    /// Returns the value. If there is none, refuses the field as missing, unless it was refused already.
    pub fn require<T>(&mut self, name: &str, value: Option<T>) -> Option<T> {
        self.refused.require(&self.pointer_to(name), value)
    }

    /// Refuses the field.
    pub fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.refused.add(self.pointer_to(name), detail);
    }

    /// Refuses an entry of an object.
    pub fn refuse_key(&mut self, name: &str, key: &str, detail: impl Into<String>) {
        self.refused.add(format!("{}/{}", self.pointer_to(name), escape(key)), detail);
    }

    /// Checks the values that were not read: parsers of receivers differ on a key that appears more than once, and
    /// refuse deep nesting. `levels` is how many levels each value may have.
    pub(crate) fn check_nested(&mut self, levels: usize) {
        for (key, value) in self.entries.iter().filter(|(_, value)| is_nested(value)) {
            self.refused.extend(check_levels(&format!("{}/{}", self.pointer, escape(key)), value, levels));
        }
    }

    /// Returns everything that was refused, including all fields that were not read: a misspelt name must not be
    /// ignored.
    pub fn into_refused(mut self) -> Refusals {
        for (name, _) in std::mem::take(&mut self.entries) {
            self.refuse(&name, "is not a known field");
        }
        self.refused
    }

    /// Returns everything that was refused as an error, if there is anything.
    pub fn finish(self) -> Result<(), Error> {
        self.into_refused().accept(Some(()), &[])
    }

    fn pointer_to(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, escape(name))
    }
}

/// Checks a value and what is inside of it. `levels` is how many levels it may have.
fn check_levels(pointer: &str, value: &RawValue, levels: usize) -> Refusals {
    if levels == 0 {
        return Refusals::of(pointer, &format!("is nested more than {} levels deep", limits::PAYLOAD_LEVELS));
    }
    if let Ok(mut fields) = Fields::of_value(pointer, value) {
        fields.check_nested(levels - 1);
        return fields.refused;
    }
    let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
    let mut refused = Refusals::default();
    for (place, item) in items.into_iter().enumerate().filter(|(_, item)| is_nested(item)) {
        refused.extend(check_levels(&format!("{pointer}/{place}"), item, levels - 1));
    }
    refused
}

fn is_nested(value: &RawValue) -> bool {
    value.get().starts_with(['{', '['])
}

/// Escapes a key for a JSON pointer (RFC 6901).
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Parses a time in ISO 8601, UTC, with `Z`. The payload specification allows no other form.
pub fn parse_utc(text: &str) -> Result<Timestamp, String> {
    let expected = "must be a time in ISO 8601, UTC, such as 2024-03-15T14:22:01Z";
    match text.strip_suffix('Z').and_then(civil) {
        Some(time) => time.map(|time| instant(time, Offset::UTC)).map_err(|why| format!("{expected}; {why}")),
        None if text.len() > 10 && !text.ends_with('Z') => {
            Err(format!("{expected}; end it with Z, not with an offset"))
        }
        None => Err(expected.to_owned()),
    }
}

/// Parses a time in any form of RFC 3339, for filters and settings.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let expected = "must be a time in RFC 3339, such as 2024-03-15T14:22:01Z or 2024-03-15T15:22:01+01:00";
    let text = text.to_ascii_uppercase();
    let (time, offset) = match text.strip_suffix('Z') {
        Some(time) => (time, Some(Offset::UTC)),
        None => match text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)) {
            Some((time, offset)) => (time, offset_of(offset)),
            None => return Err(expected.to_owned()),
        },
    };
    match (civil(time), offset) {
        (Some(Ok(time)), Some(offset)) => Ok(instant(time, offset)),
        (Some(Err(why)), _) => Err(format!("{expected}; {why}")),
        _ => Err(expected.to_owned()),
    }
}

/// The offset of a text such as `+01:00`.
fn offset_of(text: &str) -> Option<Offset> {
    let (sign, rest) = text.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str, most: i32| {
        let number = Some(text).filter(|text| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()));
        number?.parse().ok().filter(|number| (0..=most).contains(number))
    };
    let seconds = number(hours, 23)? * 3600 + number(minutes, 59)? * 60;
    let seconds = match sign {
        "+" => seconds,
        "-" => -seconds,
        _ => return None,
    };
    Offset::from_seconds(seconds).ok()
}

/// A date and a time of day without its zone. `None` if the text has another shape, and an error that says why if there is
/// no such time.
fn civil(text: &str) -> Option<Result<DateTime, &'static str>> {
    let bytes = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let shaped = bytes.len() >= 19
        && separators.iter().all(|&(at, byte)| bytes[at] == byte)
        && (bytes.len() == 19 || (bytes[19] == b'.' && bytes.len() > 20))
        && bytes.iter().enumerate().all(|(at, byte)| {
            byte.is_ascii_digit() || at == 19 || separators.iter().any(|&(separator, _)| separator == at)
        });
    if !shaped {
        return None;
    }
    if text.starts_with("0000") {
        return Some(Err("the year must be 0001 or later"));
    }
    if &text[17..19] == "60" {
        return Some(Err("seconds end at 59"));
    }
    // What is finer than a nanosecond changes nothing here.
    let text = &text[..text.len().min(29)];
    Some(text.parse().map_err(|_| "there is no such time"))
}

/// The instant of a time in a zone. The last day of the year 9999 has instants that no record can have; the last one that
/// it can have is as good: nothing is ever later.
fn instant(time: DateTime, offset: Offset) -> Timestamp {
    let limit = if time.year() < 5000 { Timestamp::MIN } else { Timestamp::MAX };
    offset.to_timestamp(time).unwrap_or(limit)
}

/// An object's entries in order.
struct Object<'a>(Entries<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Self::Value = Vec::with_capacity(8);
                while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(entries)
            }
        }
        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
        from.deserialize_map(InOrder).map(Object)
    }
}
