//! The real resolver, against a name server on loopback.

#![expect(clippy::unwrap_used, reason = "test helpers may panic")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use statuspulse_core::limits::{CONNECT_TIMEOUT, LOOKUP_TTL_MAX, LOOKUP_WITHIN};
use statuspulse_outbound::{Resolve, SystemResolver, Unresolved};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// A name server. What it answers depends on the first label of the name.
#[derive(Clone)]
struct NameServer {
    address: SocketAddr,
    /// The names that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
    /// Whether it answers nothing at all.
    silent: Arc<AtomicUsize>,
}

impl NameServer {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server =
            Self { address: socket.local_addr().unwrap(), asked: Arc::default(), silent: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            let mut query = [0; 512];
            loop {
                let (length, client) = socket.recv_from(&mut query).await.unwrap();
                if let Some(answer) = serving.answer(&query[..length]) {
                    drop(socket.send_to(&answer, client).await);
                }
            }
        });
        server
    }

    fn resolver(&self) -> SystemResolver {
        SystemResolver::with_servers(&[self.address]).unwrap()
    }

    fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.as_str() == name).count()
    }

    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = name_in(query);
        let is_ipv4 = query[end + 1] == 1;
        self.asked.lock().unwrap().push(name.clone());
        if self.silent.load(Ordering::SeqCst) > 0 || name.starts_with("dark") {
            return None;
        }
        let code = match () {
            () if name.starts_with("missing") => 3,
            () if name.starts_with("broken") => 2,
            () => 0,
        };
        let has_address = code == 0 && is_ipv4 && !name.is_empty();
        let mut answer = query[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
        answer.extend(&query[12..end + 4]);
        if has_address {
            // A pointer to the name, type A, class IN, a TTL of an hour, and the address.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 192, 0, 2, 7]);
        }
        Some(answer)
    }
}

/// The name of the question, and where its type begins.
fn name_in(query: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (vec![], 12);
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    (labels.join("."), at + 1)
}

#[tokio::test]
async fn a_name_is_found_once_within_its_ttl_and_never_with_a_search_domain() {
    let server = NameServer::start().await;
    let resolver = server.resolver();
    for _ in 0..5 {
        assert_eq!(
            resolver.resolve("good.example.com").await.unwrap(),
            ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]
        );
    }
    // Once for each kind of address.
    assert_eq!(server.asked.lock().unwrap().len(), 2);
    assert_eq!(server.asked("good.example.com"), 2);
    assert!(LOOKUP_TTL_MAX <= Duration::from_secs(60), "a TTL of an hour is not honoured in full");
}

#[tokio::test]
async fn a_name_that_does_not_exist_or_whose_servers_fail_is_its_owners_affair() {
    let server = NameServer::start().await;
    let resolver = server.resolver();
    for name in ["missing.example.com", "broken.example.com"] {
        let failed = resolver.resolve(name).await.unwrap_err();
        assert!(matches!(failed, Unresolved::NoSuchName), "{name}: {failed:?}");
    }
}

/// Two hundred names whose servers never answer: they end in time, and a good name does not wait for them.
#[tokio::test]
async fn names_that_never_answer_hold_up_no_other_name() {
    let server = NameServer::start().await;
    let resolver = Arc::new(server.resolver());
    let mut dark = JoinSet::new();
    for n in 0..200 {
        let resolver = resolver.clone();
        dark.spawn(async move { resolver.resolve(&format!("dark{n}.example.com")).await });
    }
    for n in 0..20 {
        let name = format!("good{n}.example.com");
        let found = tokio::time::timeout(LOOKUP_WITHIN / 2, resolver.resolve(&name))
            .await
            .expect("it waited for the others");
        assert_eq!(found.unwrap().len(), 1);
    }
    while let Some(failed) = dark.join_next().await {
        assert!(matches!(failed.unwrap(), Err(Unresolved::Silent)));
    }
}

/// A resolver of ours that does not answer, or is not there, is not a failure of the name.
#[tokio::test]
async fn a_resolver_that_does_not_answer_is_our_trouble() {
    let server = NameServer::start().await;
    server.silent.store(1, Ordering::SeqCst);
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for resolver in [server.resolver(), SystemResolver::with_servers(&[nobody]).unwrap()] {
        let failed = tokio::time::timeout(CONNECT_TIMEOUT, resolver.resolve("good.example.com"));
        let failed = failed.await.expect("it ends before the deadline of a connect");
        assert!(matches!(failed, Err(Unresolved::Ours(_))), "{failed:?}");
    }
    server.silent.store(0, Ordering::SeqCst);
    let found = server.resolver().resolve("good.example.com").await;
    assert_eq!(found.unwrap().len(), 1);
}

/// Answers from the cache do not show that the resolver is still there.
#[tokio::test]
async fn a_cached_name_does_not_hide_that_our_resolver_is_silent() {
    let server = NameServer::start().await;
    let resolver = server.resolver();
    resolver.resolve("good.example.com").await.unwrap();
    server.silent.store(1, Ordering::SeqCst);
    resolver.resolve("good.example.com").await.expect("it is cached");
    let failed = resolver.resolve("other.example.com").await;
    assert!(matches!(failed, Err(Unresolved::Ours(_))), "{failed:?}");
}
