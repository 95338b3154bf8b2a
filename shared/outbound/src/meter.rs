//! A count of bytes below the HTTP parser.
//!
//! The parser bounds a head and its fields, and we stop reading a body; but it also passes over things that
//! have no bound of their own: interim answers (1xx), chunk extensions, empty chunks. All of them are bytes, and
//! one exchange may read only so many of these. The same goes for TLS, its empty records and session tickets; so
//! there is a meter below TLS and one above it, where "not a byte of an answer" can be told from TLS's goodbye.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use statuspulse_core::limits::{RESPONSE_HEAD_BYTES, RESPONSE_READ_BYTES};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A head, a body, and as much again for what frames it.
const ALLOWANCE: usize = 2 * (RESPONSE_HEAD_BYTES + RESPONSE_READ_BYTES);

/// More was sent than one exchange may read.
#[derive(Debug)]
pub(crate) struct Flood;

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more bytes than an exchange may read")
    }
}

impl std::error::Error for Flood {}

/// How many bytes the current exchange has read. The connection is deep inside hyper; this handle is not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<AtomicUsize>);

impl Meter {
    pub(crate) fn begin_exchange(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether the receiver has sent nothing at all in this exchange.
    pub(crate) fn is_silent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// The stream whose reads are counted.
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
