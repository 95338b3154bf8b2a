//! The receiver as a sender sees it. The client is a bare socket, so that the tests see exactly the bytes sent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ProtocolVersion, RootCertStore};
use statuspulse_kit::{
    Answer, Authority, Behaviour, CertificateSpec, HeaderFlood, Mark, Receiver, ReceiverOptions, Record,
    Signature, TlsVersions, verify,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const SOON: Duration = Duration::from_secs(10);

fn post(path: &str, event: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: kit\r\nX-StatusPulse-Event-Id: {event}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a request on a fresh connection and reads up to `most` bytes of the response.
async fn exchange(receiver: &Receiver, request: &str, most: u64) -> io::Result<String> {
    let mut stream = TcpStream::connect(receiver.addr()).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, stream.take(most).read_to_end(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn status(receiver: &Receiver, path: &str, event: &str) -> io::Result<String> {
    Ok(exchange(receiver, &post(path, event, "{}"), 12).await?.split_off(9))
}

/// Reads one `ok` response to its end and leaves the connection open.
async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\nok") {
        answer.push(char::from(tokio::time::timeout(SOON, stream.read_u8()).await??));
    }
    Ok(answer)
}

async fn connect_tls(receiver: &Receiver, authority: &Authority) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(authority.ca_pem().as_bytes()).map_err(io::Error::other)?;
    roots.add(ca).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(receiver.addr()).await?).await
}

#[tokio::test]
async fn requests_on_one_connection_are_recorded_as_they_came() {
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let mut arrivals = receiver.arrivals();
    let mut stream = TcpStream::connect(receiver.addr()).await.unwrap();
    // Both are sent at once: reading the first must keep the second in the buffer.
    let two =
        [post("/hook?team=a", "evt_1", r#"{"n":1}"#), post("/hook?team=a", "evt_2", r#"{"n":2}"#)].concat();
    stream.write_all(two.as_bytes()).await.unwrap();
    for _ in 0..2 {
        assert!(read_answer(&mut stream).await.unwrap().starts_with("HTTP/1.1 200 "));
    }

    let received = receiver.wait_for("/hook?team=a", 2, SOON).await.unwrap();
    assert_eq!(received[0].body, r#"{"n":1}"#);
    assert_eq!(received[1].header("X-StatusPulse-Event-Id"), Some("evt_2"));
    assert_eq!(received[1].headers[0], ("host".to_owned(), "kit".to_owned()));
    assert_eq!(received[1].answered, 200);
    assert!(received[0].at <= received[1].at);
    assert_eq!((receiver.connections(), receiver.count("/hook"), receiver.count("/hook?team=a")), (1, 0, 2));
    assert_eq!(arrivals.recv().await.unwrap(), received[0]);
}

#[tokio::test]
async fn waiting_ends_with_the_last_request_or_with_a_sentence() {
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let request = post("/late", "evt_1", "{}");
    let (received, sent) =
        tokio::join!(receiver.wait_for("/late", 1, SOON), exchange(&receiver, &request, 12));
    sent.unwrap();
    assert_eq!(received.unwrap().len(), 1);
    let error = receiver.wait_for("/late", 2, Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(error, "/late: 1 of 2 requests within 1 ms");
}

#[tokio::test]
async fn a_script_counts_requests_or_attempts_of_an_event() {
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    receiver.behaviour("/path", Behaviour::first(2, Behaviour::status(503), Behaviour::ok()));
    receiver.behaviour(
        "/event",
        Behaviour::first_of_each_event(1, Answer::status(429).header("retry-after", "7"), Behaviour::ok()),
    );
    let mut seen = Vec::new();
    for (path, event) in
        [("/path", "a"), ("/path", "b"), ("/path", "a"), ("/event", "a"), ("/event", "b"), ("/event", "a")]
    {
        seen.push(status(&receiver, path, event).await.unwrap());
    }
    assert_eq!(seen, ["503", "503", "200", "429", "429", "200"]);
    // A new sequence starts at its first step.
    receiver.behaviour("/path", Behaviour::first(1, Behaviour::status(410), Behaviour::ok()));
    assert_eq!(status(&receiver, "/path", "a").await.unwrap(), "410");
    let answered: Vec<_> = receiver.received("/path").iter().map(|received| received.answered).collect();
    assert_eq!(answered, [503, 503, 200, 410]);
}

#[tokio::test]
async fn every_finite_behaviour_sends_what_it_says() {
    let every = Duration::from_millis(1);
    let full = Answer::status(307).header("location", "https://elsewhere.invalid/").body("moved");
    let table: [(Behaviour, &str); 12] = [
        (full.into(), "location: https://elsewhere.invalid/\r\ncontent-length: 5\r\n\r\nmoved"),
        (Behaviour::status(204), "HTTP/1.1 204 Kit\r\n\r\n"),
        (Behaviour::delayed(every, Behaviour::ok()), "\r\n\r\nok"),
        (Behaviour::CloseMidBody { status: 200 }, "content-length: 1000\r\n\r\nfirst"),
        (Behaviour::DripHeader { status: 200, every }, "HTTP/1.1 200 Kit\r\ncontent-length: 2\r\n\r\nok"),
        (
            Behaviour::HugeContentLength { status: 200, length: 1 << 40 },
            "content-length: 1099511627776\r\n\r\nok",
        ),
        (Behaviour::Garbage, "220 this is not the protocol"),
        (Behaviour::HeaderFlood(HeaderFlood::OneLarge), "aaaa\r\ncontent-length: 2\r\n\r\nok"),
        (Behaviour::HeaderFlood(HeaderFlood::Many), "x-many-9999: 9999\r\n"),
        (Behaviour::SwitchingProtocols, "HTTP/1.1 101 "),
        (Behaviour::Gzip { status: 200 }, "content-encoding: gzip\r\ncontent-length: 22\r\n\r\n\u{1f}"),
        (Behaviour::Close, ""),
    ];
    for (behaviour, expected) in table {
        let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
        receiver.behaviour("/", behaviour.clone());
        let mut stream = TcpStream::connect(receiver.addr()).await.unwrap();
        stream.write_all(post("/", "evt_1", "{}").as_bytes()).await.unwrap();
        // Close our half, so that behaviours that wait for the sender to close end too.
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains(expected), "{behaviour:?}: {}", &answer[..answer.len().min(200)]);
        assert_eq!(answer.is_empty(), expected.is_empty());
    }
}

#[tokio::test]
async fn endless_behaviours_go_on_and_the_others_end_as_they_say() {
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    receiver.behaviour("/endless", Behaviour::EndlessBody { status: 200 });
    receiver.behaviour("/drip", Behaviour::DripBody { status: 200, every: Duration::from_millis(1) });
    receiver.behaviour("/hints", Behaviour::InformationalFlood);
    receiver.behaviour("/reset", Behaviour::Reset);
    receiver.behaviour("/hang", Behaviour::Hang);
    for (path, most) in [("/endless", 1 << 20), ("/drip", 100), ("/hints", 1 << 20)] {
        let read = exchange(&receiver, &post(path, "evt_1", "{}"), most).await.unwrap();
        assert_eq!(read.len() as u64, most, "{path}");
    }
    let reset = exchange(&receiver, &post("/reset", "evt_1", "{}"), 1).await.unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);

    let mut hung = TcpStream::connect(receiver.addr()).await.unwrap();
    hung.write_all(post("/hang", "evt_1", "{}").as_bytes()).await.unwrap();
    assert_eq!(receiver.wait_for("/hang", 1, SOON).await.unwrap()[0].answered, 0);
    let silence = tokio::time::timeout(Duration::from_millis(50), hung.read_u8()).await;
    assert!(silence.is_err());
}

#[tokio::test]
async fn what_is_not_a_request_is_refused_with_a_status() {
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let long = format!("POST / HTTP/1.1\r\nx: {}", "a".repeat(20_000_000));
    for (request, expected) in [
        ("nonsense\r\n\r\n", "400"),
        ("\u{16}\u{3}\u{1} a TLS hello to a plain port", "400"),
        ("POST / HTTP/1.1\r\ncontent-length: many\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", "411"),
        ("POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n", "413"),
        (&long, "431"),
    ] {
        let answer = exchange(&receiver, request, 12).await.unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {expected}"));
    }
    assert_eq!(receiver.count("/"), 0);
}

#[tokio::test]
async fn a_bad_certificate_is_bad_in_the_way_it_says() {
    let authority = Authority::fresh().unwrap();
    let unknown = Authority::fresh().unwrap();
    type Expected = fn(&CertificateError) -> bool;
    let table: [(&Authority, CertificateSpec, Expected); 5] = [
        (&authority, CertificateSpec::WrongHost, |e| {
            matches!(e, CertificateError::NotValidForNameContext { .. })
        }),
        (&authority, CertificateSpec::Expired, |e| matches!(e, CertificateError::ExpiredContext { .. })),
        (&authority, CertificateSpec::NotYetValid, |e| {
            matches!(e, CertificateError::NotValidYetContext { .. })
        }),
        (&authority, CertificateSpec::SelfSigned, |e| matches!(e, CertificateError::UnknownIssuer)),
        (&unknown, CertificateSpec::Good, |e| matches!(e, CertificateError::UnknownIssuer)),
    ];
    for (issuer, spec, expected) in table {
        let receiver = Receiver::start(ReceiverOptions::tls(issuer.issue(spec).unwrap())).unwrap();
        let error = connect_tls(&receiver, &authority).await.unwrap_err();
        let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Some(rustls::Error::InvalidCertificate(reason)) = reason else { panic!("{spec:?}: {error}") };
        assert!(expected(reason), "{spec:?}: {reason:?}");
    }
}

#[tokio::test]
async fn a_good_certificate_serves_https_in_the_versions_allowed() {
    let authority = Authority::fresh().unwrap();
    let table = [
        (TlsVersions::Tls12AndTls13, ProtocolVersion::TLSv1_3),
        (TlsVersions::OnlyTls12, ProtocolVersion::TLSv1_2),
        (TlsVersions::OnlyTls13, ProtocolVersion::TLSv1_3),
    ];
    for (tls_versions, expected) in table {
        let certificate = authority.issue(CertificateSpec::Good).unwrap();
        let receiver =
            Receiver::start(ReceiverOptions { tls_versions, ..ReceiverOptions::tls(certificate) }).unwrap();
        assert_eq!(receiver.url("/a"), format!("https://localhost:{}/a", receiver.addr().port()));
        let mut stream = connect_tls(&receiver, &authority).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
        for _ in 0..2 {
            stream.write_all(post("/a", "evt_1", "{}").as_bytes()).await.unwrap();
            read_answer(&mut stream).await.unwrap();
        }
        assert_eq!((receiver.count("/a"), receiver.connections(), receiver.tls_handshakes()), (2, 1, 1));

        receiver.behaviour("/a", Behaviour::Reset);
        stream.write_all(post("/a", "evt_1", "{}").as_bytes()).await.unwrap();
        let reset = stream.read_u8().await.unwrap_err();
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_silent_receiver_accepts_and_says_nothing() {
    let receiver = Receiver::silent().unwrap();
    let authority = Authority::fresh().unwrap();
    let handshake = connect_tls(&receiver, &authority);
    assert!(tokio::time::timeout(Duration::from_millis(50), handshake).await.is_err());
    assert_eq!((receiver.connections(), receiver.tls_handshakes()), (1, 0));
}

#[tokio::test]
async fn a_stopped_receiver_leaves_its_port_and_its_connections() {
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let port = receiver.addr().port();
    let mut kept = TcpStream::connect(receiver.addr()).await.unwrap();
    kept.write_all(post("/", "evt_1", "{}").as_bytes()).await.unwrap();
    read_answer(&mut kept).await.unwrap();
    receiver.stop().await;
    let next = Receiver::start(ReceiverOptions { port, ..ReceiverOptions::plain() }).unwrap();
    assert!(tokio::time::timeout(SOON, kept.read_u8()).await.unwrap().is_err());
    assert_eq!(status(&next, "/", "evt_1").await.unwrap(), "200");
}

#[tokio::test]
async fn marks_keep_number_time_and_whether_the_signature_was_good() {
    let receiver =
        Receiver::start(ReceiverOptions { record: Record::Marks, ..ReceiverOptions::plain() }).unwrap();
    receiver.secret("/known", "whsec_secret");
    let sent = statuspulse_kit::unix_nanos();
    let body = format!(r#"{{"incident_id":"INC-{}"}}"#, Mark::text(7, sent));
    let signature = verify::statuspulse_digest("whsec_secret", body.as_bytes());
    for (path, header, body) in [
        ("/known", signature.as_str(), body.as_str()),
        ("/known", "0000", &body),
        ("/unknown", &signature, &body),
        ("/known", &signature, "handshake"),
    ] {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nX-StatusPulse-Signature: {header}\r\nContent-Length: {length}");
        exchange(&receiver, &format!("{head}\r\n\r\n{body}"), 12).await.unwrap();
    }
    let mut marks = receiver.take_marks();
    marks.sort_by(|a, b| a.0.cmp(&b.0));
    let verdicts: Vec<_> =
        marks.iter().flat_map(|(_, marks)| marks.iter().map(|mark| mark.signature)).collect();
    assert_eq!(verdicts, [Signature::Good, Signature::Bad, Signature::Unchecked]);
    let first = marks[0].1[0];
    assert_eq!((first.number, first.sent, first.answered), (7, sent, 200));
    assert!(first.at >= sent);
    assert!(receiver.received("/known").is_empty() && receiver.take_marks().is_empty());
    assert_eq!(receiver.count("/known"), 3);
}
