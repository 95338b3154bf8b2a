//! A query's parameters, read as strictly as a body's fields: a misspelt filter that was ignored would show a
//! customer the wrong list. Every error is found at once and names its parameter.

use std::borrow::Cow;

use jiff::Timestamp;
use statuspulse_core::error::{Error, FieldError, Result};
use statuspulse_core::fields::parse_utc;
use url::form_urlencoded;

/// The parameters not taken yet, and the errors found so far.
pub(crate) struct Query<'a> {
    entries: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    errors: Vec<FieldError>,
}

impl<'a> Query<'a> {
    pub(crate) fn of(query: Option<&'a str>) -> Self {
        let entries = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect();
        Self { entries, errors: vec![] }
    }

    /// The parameter, which may stand once.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        let mut values = self.texts(name);
        if values.len() > 1 {
            self.refuse(name, "stands more than once");
        }
        values.pop()
    }

    /// The parameter, however often it stands.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<Cow<'a, str>> {
        self.entries.extract_if(.., |(key, _)| key == name).map(|(_, value)| value).collect()
    }

    /// The parameter as one of the names that `from_name` knows.
    pub(crate) fn one_of<T>(
        &mut self,
        name: &'static str,
        from_name: impl Fn(&str) -> Option<T>,
        names: impl FnOnce() -> String,
    ) -> Option<T> {
        let text = self.text(name)?;
        let value = from_name(&text);
        if value.is_none() {
            self.refuse(name, format!("must be one of {}", names()));
        }
        value
    }

    /// The parameter as a time.
    pub(crate) fn timestamp(&mut self, name: &'static str) -> Option<Timestamp> {
        let text = self.text(name)?;
        match parse_utc(&text) {
            Ok(time) => Some(time),
            Err(detail) => {
                self.refuse(name, detail);
                None
            }
        }
    }

    pub(crate) fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldError::new(name, detail));
    }

    /// Ends the reading: parameters nobody took are refused.
    pub(crate) fn finish(mut self) -> Result<()> {
        for (name, _) in std::mem::take(&mut self.entries) {
            self.refuse(&name, "is not a parameter of this call");
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Error::Invalid(self.errors)) }
    }
}
