//! Counts bytes below the HTTP parser.
//!
//! The parser bounds a head and its fields, and `exchange` bounds the body. But the parser also skips things that it
//! does not bound: interim responses (1xx), chunk extensions, empty chunks. So the number of bytes that one exchange
//! may read is limited. TLS has such things too: empty records and session tickets. So one meter is below TLS and one
//! above it. The one above can tell whether a byte of a response arrived, or only TLS's closing alert.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use statuspulse_core::limits::{RESPONSE_HEAD_BYTES, RESPONSE_READ_BYTES};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Maximum number of bytes per exchange: a head and a body, and the same again for framing.
const ALLOWANCE: usize = 2 * (RESPONSE_HEAD_BYTES + RESPONSE_READ_BYTES);

/// The receiver sent more than [`ALLOWANCE`] bytes in one exchange.
#[derive(Debug)]
pub(crate) struct Flood;

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more bytes than one exchange may read")
    }
}

impl std::error::Error for Flood {}

/// A handle to the number of bytes that the current exchange has read. The stream itself is owned by hyper.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<AtomicUsize>);

impl Meter {
    pub(crate) fn begin_exchange(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether this exchange has read no byte.
    pub(crate) fn is_silent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// A stream whose reads are counted and limited.
#[derive(Debug)]
pub(crate) struct Metered<S> {
    stream: S,
    meter: Meter,
}

impl<S> Metered<S> {
    pub(crate) fn new(stream: S) -> (Self, Meter) {
        let meter = Meter::default();
        (Self { stream, meter: meter.clone() }, meter)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.0.load(Ordering::Relaxed) >= ALLOWANCE {
            return Poll::Ready(Err(io::Error::other(Flood)));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.meter.0.fetch_add(buf.filled().len() - before, Ordering::Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
