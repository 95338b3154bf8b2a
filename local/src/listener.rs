//! Accepts connections and serves HTTP/1.1 on them.
//!
//! Anyone can connect, with or without a key, so what a client can take is bounded: the connections in all and of each
//! address, the time to send the head and the body of a request, and the lifetime of a connection. While all
//! connections are taken, new ones wait in the kernel's queue.
//!
//! A call runs to its end once it has begun, whether or not its client waits for the answer. A client that closes its
//! writing side after the request gets its answer.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use statuspulse_core::access::ClientAddress;
use statuspulse_core::target::Cidr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::clients::{Clients, Place};
use crate::limits;
use crate::metrics::Counters;
use crate::prefix::Prefix;
use crate::rest;
use crate::runtimes::Management;

/// Accepts connections, up to a number.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) tcp: TcpListener,
    /// Connections at the same time.
    pub(crate) connections: usize,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<Cidr>,
    pub(crate) prefix: Prefix,
    pub(crate) metrics: Arc<Counters>,
    /// Serves every call except publishing.
    pub(crate) management: Management,
}

/// The client's address has taken all of its places.
struct TooMany;

/// What all connections share.
struct Shared {
    router: Router,
    trusted_proxies: Vec<Cidr>,
    prefix: Prefix,
    clients: Arc<Clients>,
    metrics: Arc<Counters>,
    management: Management,
    /// Cancelled when the server stops.
    stopping: CancellationToken,
}

impl Listener {
    /// Serves the router until `stop` returns, and then finishes the calls in progress.
    pub(crate) async fn serve(self, router: Router, stop: impl Future<Output = ()>) {
        let Self { tcp, connections, trusted_proxies, prefix, metrics, management } = self;
        metrics.connections_max.set(i64::try_from(connections).unwrap_or(i64::MAX));
        let permits = Arc::new(Semaphore::new(connections));
        let clients = Clients::new((connections / limits::CLIENT_SHARE).max(1));
        let stopping = CancellationToken::new();
        let shared =
            Arc::new(Shared { router, trusted_proxies, prefix, clients, metrics, management, stopping });
        let open = TaskTracker::new();
        let mut complaints = Complaints::default();
        let mut stop = pin!(stop);
        loop {
            if permits.available_permits() == 0 {
                complaints.add(|| tracing::warn!(connections, "all connections are taken; new ones wait"));
            }
            let accepted = async {
                // The semaphore is never closed.
                let permit = Arc::clone(&permits).acquire_owned().await.ok();
                tcp.accept().await.map(|(stream, peer)| (stream, peer.ip(), permit))
            };
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = accepted => accepted,
            };
            let (stream, peer, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    complaints
                        .add(|| tracing::error!(%error, "a connection cannot be accepted; trying again"));
                    sleep_until(Instant::now() + limits::ACCEPT_AGAIN).await;
                    continue;
                }
            };
            // A proxy's connections are its clients', whose calls are counted instead.
            let client = (!shared.is_trusted(peer)).then_some(peer);
            let Ok(place) = shared.enter(client) else {
                complaints.add(|| tracing::warn!(%peer, "an address has too many connections"));
                refuse(&stream);
                continue;
            };
            let shared = Arc::clone(&shared);
            open.spawn(async move {
                shared.metrics.connections.inc();
                serve_connection(stream, peer, &shared).await;
                shared.metrics.connections.dec();
                drop((permit, place));
            });
        }
        drop(tcp);
        shared.stopping.cancel();
        open.close();
        open.wait().await;
    }
}

async fn serve_connection(stream: TcpStream, peer: IpAddr, shared: &Arc<Shared>) {
    // Responses are small: Nagle's algorithm would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let service = service_fn(|request| {
        let shared = Arc::clone(shared);
        async move { Ok::<_, Infallible>(shared.answer(peer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_WITHIN)
        // Also keeps hyper from dropping a handler whose client has gone.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // A client that breaks off or sends no HTTP is its own affair.
        _ = connection.as_mut() => return,
        () = sleep_until(Instant::now() + limits::CONNECTION_LIFETIME) => {}
        () = shared.stopping.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(timeout(limits::LAST_ANSWER_WITHIN, connection).await);
}

impl Shared {
    async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
        let behind = self.client_behind(peer, request.headers());
        let Ok(place) = self.enter(behind) else {
            return too_many_calls();
        };
        let request = self.prefix.take_from(request);
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let publishes = request.uri().path() == statuspulse_http::PUBLISH_PATH;
        let is_description = request.uri().path() == "/openapi.json";
        let (mut head, body) = request.into_parts();
        head.extensions.insert(ClientAddress(behind.unwrap_or(peer).to_canonical()));
        let (body, rest) = rest::shared(Body::new(TimedBody::new(body)));
        let call = self.router.clone().oneshot(Request::from_parts(head, Body::new(body)));
        // A handler does not panic, so the task fails only when the runtime stops, and with it this connection.
        let answer = match (is_read, publishes) {
            (true, _) => self.management.read(call).await,
            (false, true) => Ok(call.await),
            (false, false) => self.management.change(call).await,
        };
        let response = match answer {
            Ok(Ok(response)) => self.prefix.put_into(response, is_description).await,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        };
        rest.discard().await;
        // Slows down clients that retry at once whatever the answer is.
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            sleep_until(Instant::now() + limits::TOO_MANY_WAIT).await;
        }
        drop(place);
        response
    }

    /// Takes a place for a client, if it is known which one it is.
    fn enter(&self, client: Option<IpAddr>) -> Result<Option<Place>, TooMany> {
        let Some(client) = client else { return Ok(None) };
        match self.clients.enter(client) {
            Some(place) => Ok(Some(place)),
            None => {
                self.metrics.connections_refused.inc();
                Err(TooMany)
            }
        }
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|proxy| proxy.contains(address.to_canonical()))
    }

    /// The client of a trusted proxy: the last address of `X-Forwarded-For` that is not itself one. `None` for a client
    /// that connected directly, and if the proxy names none.
    fn client_behind(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.is_trusted(peer) {
            return None;
        }
        let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
        let named: Vec<&str> = lines.flat_map(|line| line.split(',')).collect();
        let named = named.iter().rev().map_while(|name| name.trim().parse::<IpAddr>().ok());
        named.into_iter().find(|address| !self.is_trusted(*address))
    }
}

/// The answer to a client that has too many connections or calls. It has no request id, as no call has begun.
const TOO_MANY: &str = r#"{"type":"/docs#problem-too_many_connections","title":"Too many connections","status":429,"detail":"your address has too many connections or calls at the same time; wait until some have ended","code":"too_many_connections","instance":"","errors":[]}"#;
const PROBLEM: &str = "application/problem+json";

fn too_many_calls() -> Response<Body> {
    (StatusCode::TOO_MANY_REQUESTS, [(CONTENT_TYPE, PROBLEM), (RETRY_AFTER, "1")], TOO_MANY).into_response()
}

/// Says why, if the kernel takes it at once, and closes the connection.
fn refuse(stream: &TcpStream) {
    let length = TOO_MANY.len();
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: {PROBLEM}\r\nContent-Length: {length}\r\n\
         Retry-After: 1\r\nConnection: close\r\n\r\n{TOO_MANY}"
    );
    drop(stream.try_write(answer.as_bytes()));
}

/// Logs at most once in [`limits::COMPLAIN_EVERY`].
#[derive(Debug, Default)]
struct Complaints {
    last: Option<Instant>,
}

impl Complaints {
    fn add(&mut self, complain: impl FnOnce()) {
        let now = Instant::now();
        if self.last.is_none_or(|last| now.duration_since(last) >= limits::COMPLAIN_EVERY) {
            self.last = Some(now);
            complain();
        }
    }
}

/// A request body that must arrive in time.
struct TimedBody {
    body: Incoming,
    /// Set when the client first has to be waited for.
    late: Option<Pin<Box<Sleep>>>,
}

impl TimedBody {
    fn new(body: Incoming) -> Self {
        Self { body, late: None }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let late =
            self.late.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limits::BODY_WITHIN)));
        ready!(late.as_mut().poll(context));
        Poll::Ready(Some(Err("the body did not arrive in time".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
