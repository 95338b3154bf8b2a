//! The TCP stream below TLS and HTTP.
//!
//! A NAT gateway or firewall may forget an idle connection and then drop its packets without telling either side. A
//! request sent on such a connection looks like one to a slow receiver. Only the system knows the difference: the
//! packets are not acknowledged. So a kept connection breaks when nothing has been acknowledged for [`UNACKED_FOR`]. A
//! new connection has just been acknowledged, and its receiver has the whole time of the attempt.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use statuspulse_core::limits::UNACKED_FOR;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Says that a connection is used again. The socket itself is owned by hyper.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reuse(Arc<AtomicBool>);

impl Reuse {
    pub(crate) fn begins(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A TCP stream that breaks if it is used again and its packets are not acknowledged.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    reuse: Reuse,
    is_watched: bool,
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream) -> (Self, Reuse) {
        let reuse = Reuse::default();
        (Self { tcp, reuse: reuse.clone(), is_watched: false }, reuse)
    }

    fn watch_if_reused(&mut self) -> io::Result<()> {
        if !self.is_watched && self.reuse.0.load(Ordering::Relaxed) {
            let millis = u32::try_from(UNACKED_FOR.as_millis()).unwrap_or(u32::MAX);
            rustix::net::sockopt::set_tcp_user_timeout(&self.tcp, millis)?;
            self.is_watched = true;
        }
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.watch_if_reused()?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watch_if_reused()?;
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}
