//! Points our own sender at every misbehaviour. README.md must say what it does then.

#![expect(clippy::unwrap_used, reason = "a test's own helpers may fail it")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use statuspulse_core::ids::AccountId;
use statuspulse_core::ports::{Call, Clock, Sender};
use statuspulse_core::target::{EndpointUrl, TargetPolicy};
use statuspulse_hostile::{At, all};
use statuspulse_kit::{Authority, Receiver, ReceiverOptions};
use statuspulse_outbound::{Outbound, OutboundConfig, Resolve, Unresolved};

/// The total time of an attempt, short enough to wait for.
const TIMEOUT: Duration = Duration::from_millis(1_500);

#[derive(Debug)]
struct Loopback;

#[async_trait]
impl Resolve for Loopback {
    async fn resolve(&self, _: &str) -> Result<Vec<IpAddr>, Unresolved> {
        Ok(vec![[127, 0, 0, 1].into()])
    }

    fn forget(&self) {}
}

#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_795_521_600).unwrap()
    }
}

/// The result of a call, in two words: a status that counts as the answer, or a class of failure.
async fn result(outbound: &Outbound, url: &str) -> String {
    let call = Call {
        account_id: AccountId::from_bytes([1; 16]),
        url: EndpointUrl::restore(url).unwrap(),
        headers: vec![],
        body: Bytes::from_static(b"{}"),
        timeout: TIMEOUT,
    };
    match outbound.send(call).await.unwrap().result {
        Ok(reply) => {
            let shown = reply.headers.iter().map(|(_, value)| value.as_str());
            assert!(
                !shown.flat_map(str::chars).any(char::is_control),
                "{url}: a header has a control character"
            );
            format!("answer {}", reply.status)
        }
        Err(failure) => {
            assert!(!failure.reason.contains("127.0.0.1"), "{}", failure.reason);
            format!("failure `{}`", failure.class.name())
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_says_what_our_sender_does() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let authority = Authority::fresh().unwrap();
    let root = CertificateDer::from_pem_slice(authority.ca_pem().as_bytes()).unwrap();
    let policy = TargetPolicy::development(vec!["127.0.0.0/8".parse().unwrap()]);
    let config = OutboundConfig::deployed(Arc::new(Loopback), Arc::new(Stopped));
    let outbound = Outbound::new(OutboundConfig { policy, extra_roots: vec![root], ..config }).unwrap();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let mut rows =
        vec!["| at | it | a good sender | StatusPulse |".to_owned(), "|---|---|---|---|".to_owned()];
    for misbehaviour in all() {
        let own;
        let url = match &misbehaviour.at {
            At::Path(path, behaviour) => {
                receiver.behaviour(path, behaviour.clone());
                receiver.url(path)
            }
            At::Port(_, certificate) => {
                let options = ReceiverOptions::tls(certificate.issued_by(&authority).unwrap());
                own = Receiver::start(options).unwrap();
                own.url("/")
            }
        };
        let result = result(&outbound, &url).await;
        // Whatever happened, the next call to the same receiver has its own answer.
        receiver.behaviour("/good", statuspulse_kit::Behaviour::status(204));
        let next = self::result(&outbound, &receiver.url("/good")).await;
        assert_eq!(next, "answer 204", "after {}", misbehaviour.at.name());
        let (name, what, good) = (misbehaviour.at.name(), misbehaviour.what, misbehaviour.good);
        rows.push(format!("| `{name}` | {what} | {good} | {result} |"));
    }
    let table = rows.join("\n");
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    assert!(
        std::fs::read_to_string(readme).unwrap().contains(&table),
        "README.md needs this table:\n{table}"
    );
}
