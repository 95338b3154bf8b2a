//! One HTTP/1.1 connection, polled by the task that waits for the response.
//!
//! hyper splits a connection into two halves: one sends a request, the other does the I/O and is usually spawned as a
//! task. Here the task of the call polls both. This avoids wake-ups across tasks, and dropping a call closes its
//! connection.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use statuspulse_core::attempt::Failure;
use statuspulse_core::limits::{RESPONSE_HEAD_BYTES, RESPONSE_HEADERS};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::explain;
use crate::meter::{Meter, Metered};
use crate::socket::Reuse;

/// The stream below HTTP: TCP, or TLS over TCP.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

type Driver = http1::Connection<TokioIo<Metered<Box<dyn Stream>>>, Full<Bytes>>;

pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` after it has ended; it must not be polled then.
    driver: Option<Driver>,
    /// Counts the bytes that HTTP reads.
    meter: Meter,
    /// Counts the bytes that TCP reads.
    below: Meter,
    reuse: Reuse,
    address: IpAddr,
}

/// Why an exchange has no response.
pub(crate) struct NoAnswer {
    pub(crate) failure: Failure,
    /// Whether no byte of a response had arrived. On a kept connection this is the sign that it was stale.
    pub(crate) silent: bool,
    /// Whether no byte of the request had arrived either, as far as the system knows.
    pub(crate) swallowed: bool,
}

impl NoAnswer {
    /// The receiver has the request.
    pub(crate) fn not_stale(failure: Failure) -> Self {
        Self { failure, silent: false, swallowed: false }
    }
}

impl Connection {
    /// Starts HTTP on a stream. `below` counts the bytes of the TCP stream under it, and `reuse` tells it that the
    /// connection is used again.
    pub(crate) async fn open(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        below: Meter,
        reuse: Reuse,
        address: IpAddr,
    ) -> Result<Self, Failure> {
        let stream: Box<dyn Stream> = Box::new(stream);
        let (stream, meter) = Metered::new(stream);
        let (sender, driver) = http1::Builder::new()
            .title_case_headers(true)
            .max_buf_size(RESPONSE_HEAD_BYTES)
            .max_header_size(RESPONSE_HEAD_BYTES)
            .max_headers(RESPONSE_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| explain::exchange(&error))?;
        Ok(Self { sender, driver: Some(driver), meter, below, reuse, address })
    }

    /// The remote address.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Tells the stream that the next request is not the first.
    pub(crate) fn begin_reuse(&self) {
        self.reuse.begins();
    }

    /// Sends the request and waits for the head of the response.
    pub(crate) async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, NoAnswer> {
        self.meter.begin_exchange();
        self.below.begin_exchange();
        let answer = self.sender.send_request(request);
        match driven(&mut self.driver, answer).await {
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) => Err(NoAnswer {
                failure: explain::exchange(&error),
                silent: self.meter.is_silent(),
                swallowed: explain::is_unacknowledged(&error),
            }),
            None => {
                Err(NoAnswer { failure: explain::closed(), silent: self.meter.is_silent(), swallowed: false })
            }
        }
    }

    /// Polls the connection while it waits for a future. Returns `None` if the connection ends first.
    pub(crate) async fn drive<F: Future>(&mut self, waited_for: F) -> Option<F::Output> {
        driven(&mut self.driver, waited_for).await
    }

    /// Whether another request may be sent, as far as can be known without waiting. The receiver may have closed the
    /// connection, or sent unexpected bytes.
    pub(crate) async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| {
            poll_driver(&mut self.driver, cx);
            let ready = matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(())));
            Poll::Ready(ready && self.driver.is_some())
        })
        .await
    }
}

fn poll_driver(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    // The future that waits for the response gets the error.
    if driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(cx).is_ready()) {
        *driver = None;
    }
}

async fn driven<F: Future>(driver: &mut Option<Driver>, waited_for: F) -> Option<F::Output> {
    let mut waited_for = pin!(waited_for);
    poll_fn(|cx| {
        // Before the connection, so that the connection sees the request.
        if let Poll::Ready(done) = waited_for.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        poll_driver(driver, cx);
        match waited_for.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if driver.is_none() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
