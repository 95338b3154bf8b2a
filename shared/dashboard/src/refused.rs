//! Why requests are refused. The outer layer turns a refusal into a page.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use statuspulse_core::error::Error;

/// Why a request was refused.
#[derive(Debug, Clone)]
pub(crate) enum Refused {
    /// The browser is not signed in.
    SignedOut,
    /// A form of another site sent the request.
    OtherSite,
    /// There is no such page or object.
    NotFound(&'static str),
    /// The role does not allow this.
    Forbidden(String),
    /// The input is invalid, or the current state does not allow the action.
    Wrong(String),
    /// The account has used up one of its rates.
    TooMany(String, Duration),
    /// An internal error.
    Unavailable,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Unauthenticated(_) => Self::SignedOut,
            Error::Forbidden(detail) => Self::Forbidden(detail),
            Error::NotFound(what) => Self::NotFound(what),
            Error::RateLimited { detail, retry_after } => Self::TooMany(detail, retry_after),
            Error::Unavailable(unavailable) => {
                tracing::error!(error = %unavailable, source = %unavailable.source, "a dashboard request failed");
                Self::Unavailable
            }
            other => Self::Wrong(in_words(&other)),
        }
    }
}

/// An error as text, with the errors of all fields.
pub(crate) fn in_words(error: &Error) -> String {
    match error {
        Error::Invalid(fields) => {
            let words: Vec<_> = fields
                .iter()
                .map(|field| format!("{} {}", field.pointer.trim_start_matches('/'), field.detail))
                .collect();
            words.join("; ")
        }
        other => other.to_string(),
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl Refused {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::SignedOut => StatusCode::UNAUTHORIZED,
            Self::OtherSite | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Wrong(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
