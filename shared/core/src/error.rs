//! What a use case refuses, and why. Mapped to HTTP in one place (`shared/http`, `problem.rs`).

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
