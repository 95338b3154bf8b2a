//! The layers around the handlers.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, USER_AGENT, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Method};
use statuspulse_core::Admin;
use statuspulse_core::call;
use statuspulse_core::error::Error;
use statuspulse_core::ids::request_id;
use statuspulse_core::ports::Random;

use crate::problem::{self, Refusal};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer. It refuses calls that come from our own webhooks, adds the request id and writes the problem
/// document of a refusal. It forbids caching and MIME sniffing, because answers contain secrets, and text that endpoints
/// have sent.
pub(crate) async fn outer(State(random): State<Arc<dyn Random>>, request: Request, next: Next) -> Response {
    let request_id = request_id(&*random);
    let user_agent = request.headers().get(USER_AGENT).map(HeaderValue::as_bytes);
    let is_from_a_webhook = call::is_from_a_webhook(user_agent);
    let mut response = if is_from_a_webhook {
        Refusal::from(Error::Forbidden("a webhook cannot call StatusPulse itself".to_owned())).into_response()
    } else if is_encoded(&request) {
        Refusal::Encoded.into_response()
    } else {
        unless_it_panics(next.run(request)).await.unwrap_or_else(|_| Refusal::Panicked.into_response())
    };
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        response = problem::written(&refusal, response, &request_id);
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::try_from(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// Whether the call has a compressed body. No call takes one: a few bytes could become very many.
fn is_encoded(request: &Request) -> bool {
    let takes_a_body = matches!(*request.method(), Method::POST | Method::PATCH);
    let mut encodings = request.headers().get_all(CONTENT_ENCODING).iter();
    takes_a_body && encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Waits until changes are durable before a 2xx is sent; answers 503 if that fails. The layer applies to all calls
/// except GET and HEAD, so that no handler can forget it.
pub(crate) async fn durable(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let response = next.run(request).await;
    if reads || !response.status().is_success() {
        return response;
    }
    match admin.deliveries.durable().await {
        Ok(()) => response,
        Err(unavailable) => Refusal::from(Error::from(unavailable)).into_response(),
    }
}

struct Panicked;

/// Catches a panic, so that it ends only its own request and not the others on the same connection. This is unwind safe
/// because handlers keep no state between calls.
async fn unless_it_panics<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}
