//! What the tests share: a scripted name server, a sender, calls, and a server that sends given bytes.
#![expect(clippy::unwrap_used, reason = "a test's own helpers may fail it")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use statuspulse_core::attempt::{Class, Failure, Reply};
use statuspulse_core::ids::AccountId;
use statuspulse_core::ports::{Call, Clock, Sender, Sent};
use statuspulse_core::target::{EndpointUrl, TargetPolicy};
use statuspulse_kit::{Authority, CertificateSpec, Receiver, ReceiverOptions};
use statuspulse_outbound::{CertificateDer, Outbound, OutboundConfig, Resolve, Unresolved};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// Long enough for anything on loopback, on a busy machine.
pub(crate) const AMPLE: Duration = Duration::from_secs(10);
/// Long enough for an exchange, and short enough to wait for.
pub(crate) const SHORT: Duration = Duration::from_millis(700);

/// The answer of the name server to one query.
#[derive(Debug, Clone)]
pub(crate) enum Dns {
    Addresses(Vec<IpAddr>),
    /// NXDOMAIN and SERVFAIL look the same through the system's resolver.
    Fails,
    Never,
    /// The resolver could not open a socket.
    OutOfFiles,
    /// The same, after this time.
    OutOfFilesAfter(Duration),
}

pub(crate) fn found(addresses: &[&str]) -> Dns {
    Dns::Addresses(addresses.iter().map(|address| address.parse().unwrap()).collect())
}

/// Gives its answers in order, and repeats the last one.
#[derive(Debug)]
pub(crate) struct ScriptedDns {
    answers: Mutex<Vec<Dns>>,
    asked: AtomicUsize,
    forgot: AtomicUsize,
}

impl ScriptedDns {
    pub(crate) fn new(answers: Vec<Dns>) -> Arc<Self> {
        let answers = Mutex::new(answers);
        Arc::new(Self { answers, asked: AtomicUsize::new(0), forgot: AtomicUsize::new(0) })
    }

    pub(crate) fn forgot(&self) -> usize {
        self.forgot.load(Ordering::SeqCst)
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Resolve for ScriptedDns {
    async fn resolve(&self, _host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // Lets other tasks query in the meantime, as with a real name server.
        tokio::task::yield_now().await;
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
        };
        match answer {
            Dns::Addresses(addresses) => Ok(addresses),
            Dns::Fails => Err(Unresolved::NoSuchName),
            Dns::OutOfFilesAfter(wait) => {
                tokio::time::sleep_until(tokio::time::Instant::now() + wait).await;
                Err(Unresolved::Ours(io::Error::other("too many open files")))
            }
            Dns::OutOfFiles => Err(Unresolved::Ours(io::Error::other("too many open files"))),
            Dns::Never => std::future::pending().await,
        }
    }

    fn forget(&self) {
        self.forgot.fetch_add(1, Ordering::SeqCst);
    }
}

/// A policy that allows these blocks in addition to public addresses.
pub(crate) fn allowing(cidrs: &[&str]) -> TargetPolicy {
    TargetPolicy::development(cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect())
}

pub(crate) fn root_of(authority: &Authority) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(authority.ca_pem().as_bytes()).unwrap()
}

pub(crate) fn sender(
    policy: TargetPolicy,
    roots: Vec<CertificateDer<'static>>,
    dns: &Arc<ScriptedDns>,
) -> Outbound {
    sender_at(&Arc::default(), policy, roots, dns)
}

pub(crate) fn sender_at(
    clock: &Arc<WallClock>,
    policy: TargetPolicy,
    roots: Vec<CertificateDer<'static>>,
    dns: &Arc<ScriptedDns>,
) -> Outbound {
    let resolver: Arc<dyn Resolve> = Arc::<ScriptedDns>::clone(dns);
    let config = OutboundConfig::deployed(resolver, Arc::<WallClock>::clone(clock));
    Outbound::new(OutboundConfig { policy, extra_roots: roots, ..config }).unwrap()
}

/// A clock that only moves when a test moves it.
#[derive(Debug, Default)]
pub(crate) struct WallClock(AtomicI64);

impl WallClock {
    pub(crate) fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// A sender that trusts one authority and may call loopback. By default all names resolve to loopback.
pub(crate) struct Stage {
    pub(crate) authority: Authority,
    pub(crate) dns: Arc<ScriptedDns>,
    pub(crate) clock: Arc<WallClock>,
    pub(crate) outbound: Arc<Outbound>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with_dns(vec![found(&["127.0.0.1"])])
    }

    pub(crate) fn with_dns(answers: Vec<Dns>) -> Self {
        let authority = Authority::fresh().unwrap();
        let dns = ScriptedDns::new(answers);
        let clock = Arc::<WallClock>::default();
        let policy = allowing(&["127.0.0.0/8"]);
        let outbound = Arc::new(sender_at(&clock, policy, vec![root_of(&authority)], &dns));
        Self { authority, dns, clock, outbound }
    }

    pub(crate) fn receiver(&self) -> Receiver {
        self.receiver_with(CertificateSpec::Good)
    }

    pub(crate) fn receiver_with(&self, certificate: CertificateSpec) -> Receiver {
        Receiver::start(ReceiverOptions::tls(self.authority.issue(certificate).unwrap())).unwrap()
    }

    pub(crate) async fn post(&self, url: &str) -> Sent {
        self.outbound.send(call(url, AMPLE)).await.unwrap()
    }

    pub(crate) async fn post_within(&self, url: &str, timeout: Duration) -> Sent {
        self.outbound.send(call(url, timeout)).await.unwrap()
    }
}

pub(crate) fn account() -> AccountId {
    AccountId::from_bytes([1; 16])
}

pub(crate) fn call(url: &str, timeout: Duration) -> Call {
    Call {
        account_id: account(),
        url: EndpointUrl::restore(url).unwrap(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Bytes::from_static(b"{\"event_type\":\"incident_opened\"}"),
        timeout,
    }
}

#[track_caller]
pub(crate) fn reply(sent: Sent) -> Reply {
    sent.result.unwrap()
}

/// Returns the failure. Checks its class, and that its reason is a sentence without an address.
#[track_caller]
pub(crate) fn failure(sent: Sent, class: Class) -> Failure {
    let failure = sent.result.unwrap_err();
    assert_eq!(failure.class, class, "{failure:?}");
    assert!(
        failure.reason.ends_with(['.', '?']) && failure.reason.len() > 20,
        "not a sentence: {}",
        failure.reason
    );
    assert!(
        !failure.reason.contains("127.") && !failure.reason.contains("::"),
        "contains an address: {}",
        failure.reason
    );
    failure
}

/// Advances the time for idle connections and cached look-ups. Not for use while an exchange waits for a socket.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
}

/// Starts a server on loopback that runs `each` with the number and the socket of every connection.
pub(crate) async fn server<F, R>(each: F) -> SocketAddr
where
    F: Fn(usize, TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    server_at("127.0.0.1:0".parse().unwrap(), each).await
}

pub(crate) async fn server_at<F, R>(address: SocketAddr, each: F) -> SocketAddr
where
    F: Fn(usize, TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(each(number, socket));
        }
    });
    address
}

/// Reads one request to the end of its body, which must be that of `call`.
pub(crate) async fn read_request(socket: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    while !request.ends_with(b"incident_opened\"}") {
        if socket.read_buf(&mut request).await.unwrap_or(0) == 0 {
            break;
        }
    }
    request
}

/// Makes the system drop all further packets of a connection unread, so that they are not acknowledged.
pub(crate) fn drop_all_packets(socket: &TcpStream) {
    const RETURN: u16 = 0x06;
    let keep_no_byte = [socket2::SockFilter::new(RETURN, 0, 0, 0)];
    socket2::SockRef::from(socket).attach_filter(&keep_no_byte).unwrap();
}

/// A listener whose queue of connections is full, so that the kernel drops further requests for one.
pub(crate) fn silent_listener(address: &str, port: u16) -> (std::net::TcpListener, std::net::TcpStream) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    let address = std::net::SocketAddr::new(address.parse().unwrap(), port);
    socket.bind(address).unwrap();
    let listener = socket.listen(0).unwrap().into_std().unwrap();
    let only_one = std::net::TcpStream::connect(address).unwrap();
    (listener, only_one)
}
