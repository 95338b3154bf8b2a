//! Turns refusals into RFC 9457 problem documents. No other code does this.
//!
//! A handler's refusal becomes a response without a body, with the [`Refusal`] in its extensions. The outer layer then
//! writes the document, because only it knows the request id. `code` is for programs and never changes; `detail` is for
//! people. Internal errors are logged and not shown.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use statuspulse_core::error::{Error, FieldError};
use utoipa::ToSchema;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
/// The `Retry-After` of a 503, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Why a call was refused.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// A use case refused the call, or its input could not be read.
    Core(Arc<Error>),
    /// The router has no such path.
    UnknownPath,
    /// The path does not support this method.
    MethodNotAllowed,
    /// The body is compressed.
    Encoded,
    /// A handler panicked.
    Panicked,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Core(Arc::new(error))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = Problem::of(&self).status;
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the problem document of a refusal into `response`, whose headers are kept (`Allow`, for example), and logs an
/// internal error.
pub(crate) fn written(refusal: &Refusal, mut response: Response, request_id: &str) -> Response {
    let problem = Problem::of(refusal);
    log(refusal, request_id);
    let headers = response.headers_mut();
    if problem.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = retry_after(refusal) {
        headers.insert(RETRY_AFTER, seconds);
    }
    headers.insert(CONTENT_TYPE, MEDIA_TYPE);
    *response.body_mut() = Json(problem.document(request_id)).into_response().into_body();
    response
}

/// When the same call may succeed, in seconds.
fn retry_after(refusal: &Refusal) -> Option<HeaderValue> {
    let Refusal::Core(error) = refusal else { return None };
    match &**error {
        Error::RateLimited { retry_after, .. } => Some(whole_seconds(*retry_after).into()),
        Error::Unavailable(_) | Error::Unreadable(_) => Some(RETRY_AFTER_SECONDS),
        _ => None,
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// Logs internal errors, once, with the request id that the customer sees. Errors of the caller are not logged.
fn log(refusal: &Refusal, request_id: &str) {
    match refusal {
        Refusal::Core(error) => {
            if let Error::Unavailable(error) = &**error {
                tracing::error!(request.id = request_id, %error, "request {request_id} failed");
            }
        }
        Refusal::Panicked => {
            tracing::error!(request.id = request_id, "request {request_id} panicked")
        }
        Refusal::UnknownPath | Refusal::MethodNotAllowed | Refusal::Encoded => {}
    }
}

/// The content of a problem document.
struct Problem<'a> {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: Cow<'a, str>,
    errors: Vec<FieldView<'a>>,
}

impl<'a> Problem<'a> {
    fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self { status, code, title, detail: detail.into(), errors: vec![] }
    }

    fn of(refusal: &'a Refusal) -> Self {
        match refusal {
            Refusal::Core(error) => Self::of_error(error),
            Refusal::UnknownPath => {
                Self::new(StatusCode::NOT_FOUND, "unknown_path", "Not found", "this path does not exist")
            }
            Refusal::Encoded => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                "Unsupported encoding",
                "the body must not be compressed; send it without Content-Encoding",
            ),
            Refusal::MethodNotAllowed => Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "this path does not support this method; see the Allow header",
            ),
            Refusal::Panicked => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "an internal error occurred; quote the instance when you contact support",
            ),
        }
    }

    fn of_error(error: &'a Error) -> Self {
        match error {
            Error::Malformed(_) => {
                Self::new(StatusCode::BAD_REQUEST, "malformed_body", "Malformed body", error.to_string())
            }
            Error::Invalid(fields) => Self {
                errors: fields.iter().map(FieldView::of).collect(),
                ..Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "invalid_fields",
                    "Invalid fields",
                    summary(fields),
                )
            },
            // The core's text contains the size, which is unknown if the body was not read to its end.
            Error::TooLarge { what, pointer, limit, .. } => Self {
                errors: vec![FieldView { pointer, detail: "is larger than its limit" }],
                ..Self::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too_large",
                    "Too large",
                    format!("{what} is larger than the limit of {limit} bytes"),
                )
            },
            Error::NotFound(_) => {
                Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", error.to_string())
            }
            Error::Conflict { code, detail } => Self::new(StatusCode::CONFLICT, code, "Conflict", detail),
            Error::HandshakeFailed { reason, .. } => Self {
                errors: vec![FieldView { pointer: "/url", detail: reason }],
                ..Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "handshake_failed",
                    "Handshake failed",
                    format!("{error} Nothing was changed."),
                )
            },
            Error::Unauthenticated(detail) => {
                Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Not authenticated", *detail)
            }
            Error::RateLimited { detail, .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many calls", detail)
            }
            Error::Forbidden(detail) => Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail),
            Error::Unreadable(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Temporarily unavailable",
                error.to_string(),
            ),
            Error::Unavailable(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Temporarily unavailable",
                "StatusPulse is temporarily unavailable; repeat the same call",
            ),
        }
    }

    fn document(self, instance: &'a str) -> Document<'a> {
        Document {
            r#type: format!("/docs#problem-{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
            instance,
            errors: self.errors,
        }
    }
}

/// The first field's error in full, so that `detail` alone already says what to correct.
fn summary(fields: &[FieldError]) -> String {
    let first = fields.first().map(|field| format!("{} {}", field.pointer, field.detail)).unwrap_or_default();
    match fields.len() {
        0 | 1 => first,
        count => format!("{first} (and {} more: see errors)", count - 1),
    }
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document<'a> {
    /// A link to the explanation of `code`.
    r#type: String,
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What is wrong, for people. The text can change.
    #[schema(value_type = String)]
    detail: Cow<'a, str>,
    /// What is wrong, for programs. It never changes.
    code: &'a str,
    /// The request id. Quote it when you contact support.
    instance: &'a str,
    /// Every invalid field; empty if the problem is not about fields.
    errors: Vec<FieldView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FieldError)]
struct FieldView<'a> {
    /// A JSON pointer into the body, or the name of a parameter or header.
    pointer: &'a str,
    /// What is wrong, and what is expected.
    detail: &'a str,
}

impl<'a> FieldView<'a> {
    fn of(error: &'a FieldError) -> Self {
        Self { pointer: &error.pointer, detail: &error.detail }
    }
}
