//! The only place where a refusal becomes an HTTP answer: an RFC 9457 problem document.
//!
//! A handler's refusal first travels as a response without a body ([`Refusal`] in its extensions); the outer
//! layer then writes the document, as only it knows the request's id. `code` is for programs and never
//! changes; `detail` is for people. What went wrong inside us is logged, never shown.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use statuspulse_core::error::{Error, FieldError};
use utoipa::ToSchema;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
/// What a client is asked to wait when a part of us does not answer.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Why a call was refused.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// By a use case, or by what was read for it.
    Core(Arc<Error>),
    /// There is nothing at this path.
    UnknownPath,
    /// The path does not take this method.
    MethodNotAllowed,
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

/// The document that tells of a refusal, in the response it came in (which has headers worth keeping, such as
/// `Allow`).
pub(crate) fn written(refusal: &Refusal, mut response: Response, request_id: &str) -> Response {
    let problem = Problem::of(refusal);
    log(refusal, request_id);
    let headers = response.headers_mut();
    if problem.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if problem.status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    headers.insert(CONTENT_TYPE, MEDIA_TYPE);
    *response.body_mut() = Json(problem.document(request_id)).into_response().into_body();
    response
}

/// What is wrong with us is logged once, here, under the id the customer was given; what is wrong with a call
/// is between us and the caller.
fn log(refusal: &Refusal, request_id: &str) {
    match refusal {
        Refusal::Core(error) => {
            if let Error::Unavailable(error) = &**error {
                tracing::error!(request.id = request_id, %error, "request {request_id} could not be done");
            }
        }
        Refusal::Panicked => {
            tracing::error!(request.id = request_id, "request {request_id} made its handler panic")
        }
        Refusal::UnknownPath | Refusal::MethodNotAllowed => {}
    }
}

/// What is told of a refusal.
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
                Self::new(StatusCode::NOT_FOUND, "unknown_path", "Not found", "there is nothing at this path")
            }
            Refusal::MethodNotAllowed => Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "this path does not take this method; see the Allow header",
            ),
            Refusal::Panicked => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "the call failed inside StatusPulse; name the instance when you ask about it",
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
            // Not core's own words: of a body that was not read to its end the size is not known.
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
            Error::Forbidden(detail) => Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail),
            Error::Unavailable(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Temporarily unavailable",
                "a part of StatusPulse does not answer; make the same call again",
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

/// The first field's error in full: whoever reads only the detail has something to mend.
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
    /// Where the code is explained.
    r#type: String,
    title: &'a str,
    /// The answer's status once more.
    status: u16,
    /// What is wrong, for people; its words may change.
    #[schema(value_type = String)]
    detail: Cow<'a, str>,
    /// What is wrong, for programs; never changes.
    code: &'a str,
    /// The request's id: name it when you ask about a call.
    instance: &'a str,
    /// Every field that is wrong; empty where it is not about fields.
    errors: Vec<FieldView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FieldError)]
struct FieldView<'a> {
    /// The field, as a JSON pointer into the body, or the name of a parameter or header.
    pointer: &'a str,
    /// What is wrong with it, and what would be right.
    detail: &'a str,
}

impl<'a> FieldView<'a> {
    fn of(error: &'a FieldError) -> Self {
        Self { pointer: &error.pointer, detail: &error.detail }
    }
}
