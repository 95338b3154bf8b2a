//! Reads query parameters as strictly as the fields of a body: if a misspelt filter were ignored, the customer would
//! see the wrong list. All errors are collected, and each names its parameter.

use std::borrow::Cow;
use std::str::FromStr;

use jiff::Timestamp;
use statuspulse_core::error::{Error, FieldError, Result};
use statuspulse_core::fields::parse_time;
use url::form_urlencoded;

/// The parameters that have not been read yet, and the errors so far.
pub(crate) struct Query<'a> {
    entries: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    errors: Vec<FieldError>,
}

impl<'a> Query<'a> {
    pub(crate) fn of(query: Option<&'a str>) -> Self {
        let entries = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect();
        Self { entries, errors: vec![] }
    }

    /// Takes a parameter. It is refused if it appears more than once.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        let mut values = self.texts(name);
        if values.len() > 1 {
            self.refuse(name, "appears more than once");
        }
        values.pop()
    }

    /// Takes all values of a parameter.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<Cow<'a, str>> {
        self.entries.extract_if(.., |(key, _)| key == name).map(|(_, value)| value).collect()
    }

    /// Takes a parameter that must be one of the names that `from_name` accepts. `names` lists them for the error.
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

    /// Takes a parameter that must be a time in RFC 3339. In a query a `+` means a space, so a space before an offset is one.
    pub(crate) fn timestamp(&mut self, name: &'static str) -> Option<Timestamp> {
        let text = self.text(name)?;
        match parse_time(&text.replace(' ', "+")) {
            Ok(time) => Some(time),
            Err(detail) => {
                self.refuse(name, detail);
                None
            }
        }
    }

    /// Takes a parameter that must be an id.
    pub(crate) fn id<T: FromStr>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        let id = text.parse().ok();
        if id.is_none() {
            self.refuse(name, "is not such an id");
        }
        id
    }

    /// Takes a parameter that must be `true` or `false`.
    pub(crate) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        self.one_of(name, |text| text.parse().ok(), || "true, false".to_owned())
    }

    /// Takes a parameter that must be a status code of HTTP.
    pub(crate) fn status_code(&mut self, name: &'static str) -> Option<u16> {
        let text = self.text(name)?;
        let code = text.parse().ok().filter(|code| (100..=999).contains(code));
        if code.is_none() {
            self.refuse(name, "must be a number from 100 to 999");
        }
        code
    }

    pub(crate) fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldError::new(name, detail));
    }

    /// Refuses the parameters that were not taken, and returns all errors.
    pub(crate) fn finish(mut self) -> Result<()> {
        for (name, _) in std::mem::take(&mut self.entries) {
            self.refuse(&name, "is not a parameter of this call");
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Error::Invalid(self.errors)) }
    }
}
