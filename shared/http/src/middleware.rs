//! What stands around every handler.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Method};
use statuspulse_core::Admin;
use statuspulse_core::error::Error;
use statuspulse_core::ids::request_id;
use statuspulse_core::ports::Random;

use crate::problem::{self, Refusal};
use crate::rest;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer. Gives the answer an id that a customer can quote, writes the problem document of a
/// refusal, and sees that nothing is cached or guessed at: answers hold secrets, and text that strangers'
/// endpoints sent.
pub(crate) async fn outer(State(random): State<Arc<dyn Random>>, request: Request, next: Next) -> Response {
    let request_id = request_id(&*random);
    let (head, body) = request.into_parts();
    let (body, rest) = rest::shared(body);
    let request = Request::from_parts(head, Body::new(body));
    let mut response =
        unless_it_panics(next.run(request)).await.unwrap_or_else(|_| Refusal::Panicked.into_response());
    rest.discard().await;
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

/// Before a 2xx says that something was changed, that change survives the death of the machine. One rule for
/// every call that is not a read, so that no handler can forget it.
pub(crate) async fn settle(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let response = next.run(request).await;
    if reads || !response.status().is_success() {
        return response;
    }
    match admin.deliveries.settled().await {
        Ok(()) => response,
        Err(unavailable) => Refusal::from(Error::from(unavailable)).into_response(),
    }
}

struct Panicked;

/// A panic ends its request, not the connection with the requests of others on it. No handler keeps state
/// between calls, so there is nothing half-changed to be seen.
async fn unless_it_panics<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}
