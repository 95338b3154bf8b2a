//! TLS (rule 9.1): old versions, bad certificates, and servers without TLS.

use std::sync::Arc;
use std::time::Duration;

use statuspulse_core::attempt::Class;
use statuspulse_core::ports::Sender;
use statuspulse_kit::{Authority, CertificateSpec, Receiver, ReceiverOptions, TlsVersions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::stage::{AMPLE, SHORT, Stage, call, failure, reply, server};

/// Posts to a receiver with this certificate, and returns the reason of the failure.
async fn with_certificate(spec: CertificateSpec) -> String {
    let stage = Stage::new();
    let receiver = stage.receiver_with(spec);
    let reason = failure(stage.post(&receiver.url("/")).await, Class::Tls).reason;
    assert_eq!(receiver.count("/"), 0, "no request was made");
    reason
}

#[tokio::test]
async fn tls_1_2_and_tls_1_3_are_spoken() {
    let stage = Stage::new();
    for tls_versions in [TlsVersions::OnlyTls12, TlsVersions::OnlyTls13, TlsVersions::Tls12AndTls13] {
        let certificate = stage.authority.issue(CertificateSpec::Good).unwrap();
        let options = ReceiverOptions { tls_versions, ..ReceiverOptions::tls(certificate) };
        let receiver = Receiver::start(options).unwrap();
        assert_eq!(reply(stage.post(&receiver.url("/")).await).status, 200, "{tls_versions:?}");
    }
}

/// A server with an old TLS version: it answers a ClientHello with these bytes. Also returns what it receives.
async fn old_server(says: Vec<u8>) -> (String, Arc<Mutex<Vec<u8>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    let address = server(move |_, mut socket| {
        let (says, ears) = (says.clone(), Arc::clone(&ears));
        async move {
            let mut hello = vec![0; 4096];
            let read = socket.read(&mut hello).await.unwrap_or(0);
            let _gone = socket.write_all(&says).await;
            let mut all = hello[..read].to_vec();
            let _gone = socket.read_to_end(&mut all).await;
            ears.lock().await.extend(all);
        }
    })
    .await;
    (format!("https://localhost:{}/", address.port()), heard)
}

fn server_hello(version: u8) -> Vec<u8> {
    let mut hello = vec![3, version];
    hello.extend([7; 32]); // random
    hello.extend([0, 0xc0, 0x13, 0]); // no session, ECDHE-RSA-AES128-SHA, no compression
    let mut record = vec![22, 3, version, 0, 4 + 38, 2, 0, 0, 38];
    record.extend(hello);
    record
}

#[tokio::test]
async fn a_receiver_of_tls_1_0_or_1_1_is_refused_before_a_byte_of_the_payload() {
    let alert = vec![21, 3, 1, 0, 2, 2, 70]; // fatal, protocol_version
    for says in [alert, server_hello(1), server_hello(2)] {
        let stage = Stage::new();
        let (url, heard) = old_server(says).await;
        let reason = failure(stage.post(&url).await, Class::Tls).reason;
        assert!(reason.contains("older than 1.2"), "{reason}");
        // Records of application data begin with 23. The sender must send only a ClientHello and an alert.
        let heard = heard.lock().await;
        assert!(heard.first().is_none_or(|first| *first == 22));
        assert!(!heard.windows(8).any(|window| window == b"incident"));
    }
}

/// A server of TLS 1.2 that wants a client certificate ends the handshake like one without a common cipher suite.
#[tokio::test]
async fn a_refused_handshake_names_both_of_its_possible_causes() {
    let alert = vec![21, 3, 3, 0, 2, 2, 40]; // fatal, handshake_failure
    let stage = Stage::new();
    let (url, _heard) = old_server(alert).await;
    let reason = failure(stage.post(&url).await, Class::Tls).reason;
    assert!(reason.contains("client certificate") && reason.contains("in common"), "{reason}");
}

#[tokio::test]
async fn every_fault_of_a_certificate_has_its_own_sentence() {
    let faults = [
        (CertificateSpec::SelfSigned, "self-signed"),
        (CertificateSpec::Expired, "expired"),
        (CertificateSpec::NotYetValid, "not valid yet"),
        (CertificateSpec::WrongHost, "another name"),
        (CertificateSpec::CommonNameAlone, "no subject alternative name"),
    ];
    for (spec, word) in faults {
        let reason = with_certificate(spec).await;
        assert!(reason.contains(word), "{spec:?}: {reason}");
    }
}

#[tokio::test]
async fn an_authority_we_do_not_know_is_refused() {
    let (stage, other) = (Stage::new(), Authority::fresh().unwrap());
    let receiver =
        Receiver::start(ReceiverOptions::tls(other.issue(CertificateSpec::Good).unwrap())).unwrap();
    let reason = failure(stage.post(&receiver.url("/")).await, Class::Tls).reason;
    assert!(reason.contains("issuer"), "{reason}");
}

#[tokio::test]
async fn a_certificate_for_an_address_holds_for_that_address_alone() {
    let stage = Stage::new();
    let receiver = stage.receiver(); // for localhost and 127.0.0.1
    let port = receiver.addr().port();
    assert_eq!(reply(stage.post(&format!("https://127.0.0.1:{port}/")).await).status, 200);
    let reason = failure(stage.post(&format!("https://hooks.example.com:{port}/")).await, Class::Tls).reason;
    assert!(reason.contains("another name"), "{reason}");
    let wrong = ReceiverOptions::tls(stage.authority.issue(CertificateSpec::WrongHost).unwrap());
    let wrong = Receiver::start(wrong).unwrap();
    let reason =
        failure(stage.post(&format!("https://127.0.0.1:{}/", wrong.addr().port())).await, Class::Tls).reason;
    assert!(reason.contains("another name"), "{reason}");
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_refused_quickly() {
    let stage = Stage::new();
    let address = server(|_, mut socket| async move {
        let mut ignored = [0; 1024];
        let _gone = socket.read(&mut ignored).await;
        let _gone = socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        let _gone = socket.read(&mut ignored).await;
    })
    .await;
    let started = Instant::now();
    let sent = stage.post(&format!("https://localhost:{}/", address.port())).await;
    let reason = failure(sent, Class::Tls).reason;
    assert!(reason.contains("plain HTTP"), "{reason}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_receiver_that_never_speaks_is_left_in_time_and_holds_nobody_up() {
    let stage = Stage::new();
    let (silent, good) = (Receiver::silent().unwrap(), stage.receiver());
    let started = Instant::now();
    let url = silent.url("/");
    let hung = stage.post_within(&url, SHORT);
    let others = async {
        for _ in 0..20 {
            reply(stage.post(&good.url("/")).await);
        }
        started.elapsed()
    };
    let (hung, others) = tokio::join!(hung, others);
    assert!(hung.duration >= SHORT - Duration::from_millis(50) && hung.duration < SHORT * 3, "{hung:?}");
    assert!(others < SHORT, "the others took {others:?}");
    let reason = failure(hung, Class::Timeout).reason;
    assert!(reason.contains("TLS was not established"), "{reason}");
}

#[tokio::test]
async fn a_receiver_that_closes_during_the_handshake_fails_as_a_connection() {
    let stage = Stage::new();
    let address = server(|_, mut socket| async move {
        let mut hello = [0; 4096];
        let _gone = socket.read(&mut hello).await;
    })
    .await;
    failure(stage.post(&format!("https://localhost:{}/", address.port())).await, Class::Connect);
}

#[tokio::test]
async fn a_handshake_that_drips_ends_at_the_deadline() {
    let stage = Stage::new();
    let address = server(|_, mut socket| async move {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        // The start of a large handshake record, a byte at a time.
        for byte in [22, 3, 3, 0x3f, 0xff].into_iter().chain(std::iter::repeat(2)) {
            tick.tick().await;
            if socket.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    })
    .await;
    let url = format!("https://localhost:{}/", address.port());
    failure(stage.outbound.send(call(&url, SHORT)).await.unwrap(), Class::Timeout);
}

#[tokio::test]
async fn a_closed_port_fails_as_a_connection_at_once() {
    let stage = Stage::new();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let sent = stage.outbound.send(call(&format!("https://localhost:{port}/"), AMPLE)).await.unwrap();
    assert!(failure(sent, Class::Connect).reason.contains("refused"));
}
