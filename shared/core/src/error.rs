//! What a use case refuses, and why. Mapped to HTTP in one place (`shared/http`, `problem.rs`).

use std::fmt::Display;
use std::time::Duration;

use crate::ports::Unavailable;

/// One field of the input that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where it is, as a JSON pointer (`/payload/triggered_at`), or a parameter's or header's name.
    pub pointer: String,
    /// What is wrong with it, and what would be right.
    pub detail: String,
}

impl FieldError {
    /// An error of the field at the pointer.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// Whether it is of the field at this pointer, or of something inside that.
    pub fn is_at(&self, pointer: &str) -> bool {
        self.pointer.strip_prefix(pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The fields of an input that are refused. They are gathered, and named all at once: a command carries those that its
/// door could not read to the rules that refuse others.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Vec<FieldError>);

impl Refusals {
    /// One refused field.
    pub fn of(pointer: &str, detail: &str) -> Self {
        Self(vec![FieldError::new(pointer, detail)])
    }

    /// Refuses the field at the pointer.
    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    /// Takes over others.
    pub fn extend(&mut self, others: Refusals) {
        self.0.extend(others.0);
    }

    /// What a check let pass; what it did not is refused with its reason.
    pub fn check<T>(&mut self, pointer: &str, checked: std::result::Result<T, impl Display>) -> Option<T> {
        checked.map_err(|reason| self.add(pointer, reason.to_string())).ok()
    }

    /// The value; if there is none, the field is refused as missing, unless it was there and refused already.
    pub fn require<T>(&mut self, pointer: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.0.iter().any(|error| error.is_at(pointer)) {
            self.add(pointer, "is required");
        }
        value
    }

    /// Whether every field can be taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was read, if nothing is refused: where there is no value, that was. The refusals are in the order of these
    /// pointers; what is at none of them comes last.
    pub fn accept<T>(mut self, value: Option<T>, order: &[&str]) -> Result<T> {
        let place = |error: &FieldError| order.iter().position(|pointer| error.is_at(pointer));
        self.0.sort_by_key(|error| place(error).unwrap_or(order.len()));
        value.filter(|_| self.is_empty()).ok_or(Error::Invalid(self.0))
    }
}

/// Why a use case was refused or could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is not a JSON object at all.
    #[error("the body is not a JSON object: {0}")]
    Malformed(String),
    /// Fields of the input cannot be taken.
    #[error("invalid input")]
    Invalid(Vec<FieldError>),
    /// The input is larger than the limit.
    #[error("{what} has {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Where it is; empty for the whole body.
        pointer: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// There is no such thing, or it is another account's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It cannot be done in the present state.
    #[error("{detail}")]
    Conflict {
        /// For programs; stable.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// The new URL did not pass its handshake; nothing has changed.
    #[error("the handshake with the new URL failed after {} ms: {reason}", after.as_millis())]
    HandshakeFailed {
        /// Why.
        reason: String,
        /// How long it took.
        after: Duration,
    },
    /// No key, or not one that is valid now.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The key's role may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// A port could not do its part; the call may be made again.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Error {
    /// One field that cannot be taken.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, detail)])
    }
}

/// What a use case answers.
pub type Result<T> = std::result::Result<T, Error>;
