//! The errors of the services. `problem.rs` in `shared/http` maps them to HTTP.

use std::fmt::Display;
use std::time::Duration;

use crate::ids::WebhookId;
use crate::limits::ERRORS_SHOWN;
use crate::record::values::Unreadable;

/// The adapter failed: a disk is full, or a service does not answer. Whether anything was written is unknown. The call
/// can be repeated.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct Unavailable {
    /// What the adapter was doing.
    pub doing: &'static str,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Unavailable {
    /// Whether the cause is a record that cannot be read. A repeated call fails again.
    pub fn is_unreadable(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*self.source);
        while let Some(error) = cause {
            if error.is::<Unreadable>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// One invalid field of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field as a JSON pointer (`/payload/triggered_at`), or the name of a parameter or header.
    pub pointer: String,
    /// What is wrong, and what is allowed.
    pub detail: String,
}

impl FieldError {
    /// An error of the field at the pointer.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// Whether the error is at this pointer or below it.
    pub fn is_at(&self, pointer: &str) -> bool {
        self.pointer.strip_prefix(pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The refused fields of an input, which are reported together. A command carries the fields that could not be parsed
/// to the code that checks the others.
///
/// Only [`ERRORS_SHOWN`](crate::limits::ERRORS_SHOWN) are kept. The others are counted, so that an input cannot make an
/// answer that is many times as long.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    shown: Vec<FieldError>,
    more: usize,
}

impl Refusals {
    /// One refused field.
    pub fn of(pointer: &str, detail: &str) -> Self {
        Self { shown: vec![FieldError::new(pointer, detail)], more: 0 }
    }

    /// Refuses the field at the pointer.
    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        if self.shown.len() < ERRORS_SHOWN {
            self.shown.push(FieldError::new(pointer, detail));
        } else {
            self.more += 1;
        }
    }

    /// Adds the refusals of another list.
    pub fn extend(&mut self, others: Refusals) {
        self.more += others.more;
        for error in others.shown {
            self.add(error.pointer, error.detail);
        }
    }

    /// Returns the value of a check, or refuses the field with the check's error.
    pub fn check<T>(&mut self, pointer: &str, checked: std::result::Result<T, impl Display>) -> Option<T> {
        checked.map_err(|reason| self.add(pointer, reason.to_string())).ok()
    }

    /// Returns the value. If there is none, refuses the field as missing, unless it was refused already.
    pub fn require<T>(&mut self, pointer: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.shown.iter().any(|error| error.is_at(pointer)) {
            self.add(pointer, "is required");
        }
        value
    }

    /// Whether nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Returns the value if nothing was refused. A missing value must have been refused before. The refusals are sorted
    /// by their place in `order`; all others come last.
    pub fn accept<T>(mut self, value: Option<T>, order: &[&str]) -> Result<T> {
        let place = |error: &FieldError| order.iter().position(|pointer| error.is_at(pointer));
        self.shown.sort_by_key(|error| place(error).unwrap_or(order.len()));
        if self.more > 0 {
            self.shown.push(FieldError::new("", format!("and {} more errors", self.more)));
        }
        value.filter(|_| self.is_empty()).ok_or(Error::Invalid(self.shown))
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is not a JSON object.
    #[error("the body is not a JSON object: {0}")]
    Malformed(String),
    /// Fields of the input are invalid.
    #[error("invalid input")]
    Invalid(Vec<FieldError>),
    /// The input is larger than the limit.
    #[error("{what} has {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// JSON pointer; empty for the whole body.
        pointer: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The object does not exist, or belongs to another account.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// This is not possible in the current state.
    #[error("{detail}")]
    Conflict {
        /// For programs: stable.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// The handshake with the new URL failed; nothing was changed.
    #[error("the handshake with the new URL failed after {} ms: {reason}", after.as_millis())]
    HandshakeFailed {
        /// Why.
        reason: String,
        /// How long it took.
        after: Duration,
    },
    /// There is no valid key, session or link.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The account has used up one of its rates.
    #[error("{detail}")]
    RateLimited {
        /// For people.
        detail: String,
        /// When the same call is allowed.
        retry_after: Duration,
    },
    /// The key's role may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The webhook's record is damaged, or another version wrote it. It can only be listed and deleted.
    #[error("webhook {0} cannot be read by this version of StatusPulse; it can be deleted")]
    Unreadable(WebhookId),
    /// A port failed. The call can be repeated.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Error {
    /// An error with one invalid field.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, detail)])
    }
}

/// The result of a service call.
pub type Result<T> = std::result::Result<T, Error>;
