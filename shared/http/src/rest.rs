//! What a client is still sending when its answer is ready.
//!
//! A call may be refused before its body was read: no key, no such webhook, too large. If the connection closed
//! then, a client that is still writing would see a reset, and never the answer that says why; one that keeps its
//! connection would lose the next call on it. So the rest is read and thrown away, up to a bound in bytes and time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use statuspulse_core::limits;

/// Beyond this there is no end worth waiting for: the connection closes.
const DISCARDED_BYTES: u64 = 8 * limits::ENVELOPE_BYTES as u64;
/// A client that sends nothing more gets its answer all the same.
const DISCARDED_WITHIN: Duration = Duration::from_secs(1);

/// A body that is read by a handler, and to its end by [`Rest::discard`].
pub(crate) struct Shared(Arc<Mutex<Body>>);

/// What a handler leaves of a body.
pub(crate) struct Rest(Arc<Mutex<Body>>);

/// Splits a body into what the handler gets and what sees to its rest.
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
    /// Reads what is left, if that is bounded.
    pub(crate) async fn discard(self) {
        let mut rest = Shared(self.0);
        if rest.is_end_stream() || rest.size_hint().lower() > DISCARDED_BYTES {
            return;
        }
        let mut left = DISCARDED_BYTES;
        let to_its_end = async {
            while let Some(Ok(frame)) = rest.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                match left.checked_sub(length) {
                    Some(smaller) => left = smaller,
                    None => return,
                }
            }
        };
        // Whether the end was reached or not, the answer goes out.
        tokio::time::timeout(DISCARDED_WITHIN, to_its_end).await.ok();
    }
}
