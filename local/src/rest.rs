//! Drains the rest of a request body before the answer is sent.
//!
//! A call can be refused before its body was read: no key, an unknown webhook, a body that is too large. If the
//! connection were closed then, a client that is still writing would see a reset instead of the answer, and a client
//! that reuses its connection would lose its next call. So the rest of the body is read and discarded, up to a limit in
//! bytes and time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

/// The body as the handler reads it. [`Rest::discard`] reads the rest.
pub(crate) struct Shared(Arc<Mutex<Body>>);

/// The part of a body that the handler did not read.
pub(crate) struct Rest(Arc<Mutex<Body>>);

/// Splits a body into a handle for the handler and one that discards the rest.
pub(crate) fn shared(body: Body) -> (Shared, Rest) {
    let body = Arc::new(Mutex::new(body));
    (Shared(Arc::clone(&body)), Rest(body))
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut Body) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.with(|body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|body| body.size_hint())
    }
}

impl Rest {
    /// Reads and discards the rest, unless it is known to be larger than the limit.
    pub(crate) async fn discard(self) {
        let mut rest = Shared(self.0);
        if rest.is_end_stream() || rest.size_hint().lower() > crate::limits::DISCARDED_BYTES {
            return;
        }
        let mut left = crate::limits::DISCARDED_BYTES;
        let to_its_end = async {
            while let Some(Ok(frame)) = rest.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                match left.checked_sub(length) {
                    Some(smaller) => left = smaller,
                    None => return,
                }
            }
        };
        // The answer is sent whether or not the end was reached.
        tokio::time::timeout(crate::limits::DISCARDED_WITHIN, to_its_end).await.ok();
    }
}
