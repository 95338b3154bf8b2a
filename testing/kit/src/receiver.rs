//! The receiver: its listener and its connections.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::authority::ServerCertificate;
use crate::behaviour::Behaviour;
use crate::clock;
use crate::ledger::{Ledger, Mark, Received, Record};
use crate::perform::{Connection, Then, perform, refuse};
use crate::wire::{NoRequest, read_request};

/// Which TLS versions a receiver supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersions {
    #[default]
    Tls12AndTls13,
    OnlyTls12,
    OnlyTls13,
}

#[derive(Debug, Clone, Default)]
pub struct ReceiverOptions {
    /// 0 picks a free port.
    pub port: u16,
    /// Plain HTTP if absent.
    pub certificate: Option<ServerCertificate>,
    pub tls_versions: TlsVersions,
    pub record: Record,
}

impl ReceiverOptions {
    pub fn plain() -> Self {
        Self::default()
    }

    pub fn tls(certificate: ServerCertificate) -> Self {
        Self { certificate: Some(certificate), ..Self::default() }
    }
}

/// How an accepted connection is served.
#[derive(Clone)]
enum Speech {
    Plain,
    Tls(TlsAcceptor),
    Silent,
}

#[derive(Default)]
struct Counters {
    connections: AtomicU64,
    tls_handshakes: AtomicU64,
}

/// A server on 127.0.0.1 whose paths are webhook endpoints. Dropping it stops it and closes its connections.
pub struct Receiver {
    address: SocketAddr,
    https: bool,
    ledger: Arc<Ledger>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Starts on the current tokio runtime. Every path answers `200 ok` until [`behaviour`](Self::behaviour) changes
    /// it.
    pub fn start(options: ReceiverOptions) -> io::Result<Self> {
        let speech = match options.certificate {
            None => Speech::Plain,
            Some(certificate) => Speech::Tls(acceptor(certificate, options.tls_versions)?),
        };
        Self::listen(options.port, speech, options.record)
    }

    /// Accepts connections and sends nothing, so that a TLS handshake never ends.
    pub fn silent() -> io::Result<Self> {
        Self::listen(0, Speech::Silent, Record::Full)
    }

    fn listen(port: u16, speech: Speech, record: Record) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let https = !matches!(speech, Speech::Plain);
        let ledger = Arc::new(Ledger::new(record));
        let counters = Arc::new(Counters::default());
        let task = tokio::spawn(accept(listener, speech, Arc::clone(&ledger), Arc::clone(&counters)));
        Ok(Self { address, https, ledger, counters, task })
    }

    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `https://localhost:PORT/path`, or `http://127.0.0.1:PORT/path` without TLS.
    pub fn url(&self, path: &str) -> String {
        let origin = if self.https { "https://localhost" } else { "http://127.0.0.1" };
        format!("{origin}:{}{path}", self.address.port())
    }

    /// Sets how `path` (with its query, if any) responds from the next request on. A sequence starts at its first step.
    pub fn behaviour(&self, path: &str, behaviour: impl Into<Behaviour>) {
        self.ledger.set_behaviour(path, behaviour.into());
    }

    /// Sets the secret that marked requests on `path` are verified with, under [`Record::Marks`].
    pub fn secret(&self, path: &str, secret: &str) {
        self.ledger.set_secret(path, secret);
    }

    /// The requests on `path` that are still kept, oldest first; empty under [`Record::Marks`].
    pub fn received(&self, path: &str) -> Vec<Received> {
        self.ledger.received(path)
    }

    /// The number of requests on `path`, kept or not.
    pub fn count(&self, path: &str) -> u64 {
        self.ledger.count(path)
    }

    /// Takes the marks of all paths since the last call.
    pub fn take_marks(&self) -> Vec<(String, Vec<Mark>)> {
        self.ledger.take_marks()
    }

    /// Waits until `path` has received `n` requests and returns all that are kept.
    ///
    /// # Errors
    /// After `within`, a message with the number of requests received.
    pub async fn wait_for(&self, path: &str, n: u64, within: Duration) -> Result<Vec<Received>, String> {
        self.ledger.wait_for(path, n, within).await?;
        Ok(self.received(path))
    }

    /// Waits for a request on `path` whose body contains `text` and returns the first. `within` limits the wait for
    /// each further request.
    ///
    /// # Errors
    /// If the next request does not arrive in time, a message with the bodies received.
    pub async fn wait_for_text(&self, path: &str, text: &str, within: Duration) -> Result<Received, String> {
        let mut came: Vec<Received> = vec![];
        loop {
            let next = came.len() as u64 + 1;
            came = match self.wait_for(path, next, within).await {
                Ok(came) => came,
                Err(error) => {
                    let bodies: Vec<_> = came.iter().map(|request| &request.body).collect();
                    return Err(format!("{error}, none with {text}: {bodies:?}"));
                }
            };
            if let Some(found) = came.iter().find(|request| request.contains(text)) {
                return Ok(found.clone());
            }
        }
    }

    /// The number of kept requests on `path` whose body contains `text`.
    pub fn count_text(&self, path: &str, text: &str) -> usize {
        self.received(path).iter().filter(|request| request.contains(text)).count()
    }

    /// A channel of all requests from now on, on any path. Only the channel of the latest call receives them.
    pub fn arrivals(&self) -> mpsc::UnboundedReceiver<Received> {
        self.ledger.listen()
    }

    /// TCP connections accepted so far. Kept connections carry several requests.
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::Relaxed)
    }

    /// TLS handshakes completed so far.
    pub fn tls_handshakes(&self) -> u64 {
        self.counters.tls_handshakes.load(Ordering::Relaxed)
    }

    /// Stops the receiver and waits until its port is free for another one.
    pub async fn stop(mut self) {
        self.task.abort();
        // The error is the expected cancellation.
        (&mut self.task).await.ok();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("address", &self.address).finish_non_exhaustive()
    }
}

fn acceptor(certificate: ServerCertificate, versions: TlsVersions) -> io::Result<TlsAcceptor> {
    let versions: &[&rustls::SupportedProtocolVersion] = match versions {
        TlsVersions::Tls12AndTls13 => &[&TLS12, &TLS13],
        TlsVersions::OnlyTls12 => &[&TLS12],
        TlsVersions::OnlyTls13 => &[&TLS13],
    };
    let (chain, key) = certificate.into_parts();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts connections. They run in this task's `JoinSet`, so aborting the task closes them.
async fn accept(listener: TcpListener, speech: Speech, ledger: Arc<Ledger>, counters: Arc<Counters>) {
    let mut connections = JoinSet::new();
    loop {
        // The connection died before it was accepted, or no file descriptor is free. Neither ends the receiver.
        let Ok((socket, _)) = listener.accept().await else {
            clock::pause(Duration::from_millis(10)).await;
            continue;
        };
        counters.connections.fetch_add(1, Ordering::Relaxed);
        while connections.try_join_next().is_some() {}
        connections.spawn(converse(socket, speech.clone(), Arc::clone(&ledger), Arc::clone(&counters)));
    }
}

async fn converse(socket: TcpStream, speech: Speech, ledger: Arc<Ledger>, counters: Arc<Counters>) {
    // Otherwise a small answer could wait for an ACK, and the sender would measure our delay.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    match speech {
        Speech::Plain => serve(socket, &ledger).await,
        Speech::Tls(acceptor) => {
            // Some tests expect the client to refuse our certificate.
            let Ok(stream) = acceptor.accept(socket).await else { return };
            counters.tls_handshakes.fetch_add(1, Ordering::Relaxed);
            serve(stream, &ledger).await;
        }
        // `socket` stays open and unread until the receiver stops.
        Speech::Silent => std::future::pending().await,
    }
}

async fn serve<C: Connection>(mut connection: C, ledger: &Ledger) {
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    loop {
        let request = match read_request(&mut connection, &mut buffer).await {
            Ok(request) => request,
            Err(NoRequest::Left) => return,
            Err(NoRequest::Refused(status)) => {
                return refuse(status, &mut connection).await;
            }
        };
        let keep_alive = request.keep_alive;
        let behaviour = ledger.note(request);
        match perform(&behaviour, &mut connection).await {
            Ok(Then::Keep) if keep_alive => {}
            Ok(Then::Keep | Then::Close) => break,
            Ok(Then::Cut) | Err(_) => return,
        }
    }
    // The sender may have closed the connection already.
    connection.shutdown().await.ok();
}
