//! The requests that receivers get.

use std::time::Duration;

use statuspulse_core::attempt::Class;
use statuspulse_core::ports::{Call, Sender};
use statuspulse_kit::{Behaviour, Receiver, ReceiverOptions};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stage::{AMPLE, SHORT, Stage, call, failure, reply};

#[tokio::test]
async fn a_request_is_a_post_of_the_exact_bytes_with_the_given_headers() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    let mut call = call(&receiver.url("/hook?team=a%20b"), AMPLE);
    call.body = "{\"n\":1240.50,\"é\":\"✓\"}".into();
    for (name, value) in [
        ("X-StatusPulse-Signature", "ab,cd"),
        ("authorization", "Bearer t"),
        ("x-twice", "1"),
        ("x-twice", "2"),
    ] {
        call.headers.push((name.to_owned(), value.to_owned()));
    }
    let body = call.body.clone();
    reply(stage.outbound.send(call).await.unwrap());
    let received = receiver.received("/hook?team=a%20b").remove(0);
    assert_eq!(received.body, body);
    for (name, value) in [
        ("host", format!("localhost:{}", receiver.addr().port()).as_str()),
        ("content-length", body.len().to_string().as_str()),
        ("content-type", "application/json"),
        ("accept-encoding", "identity"),
        ("x-statuspulse-signature", "ab,cd"),
        ("authorization", "Bearer t"),
    ] {
        let values: Vec<_> = received.headers.iter().filter(|(given, _)| given == name).collect();
        assert_eq!(values, [&(name.to_owned(), value.to_owned())]);
    }
    assert_eq!(received.headers.iter().filter(|(name, _)| name == "x-twice").count(), 2);
    assert!(
        received
            .headers
            .iter()
            .all(|(name, _)| name != "transfer-encoding" && name != "cookie" && name != "via")
    );
}

#[tokio::test]
async fn an_empty_body_and_a_large_one_arrive_whole() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    for length in [0, 1, 8 * 1024, 128 * 1024, 1024 * 1024] {
        let mut call = call(&receiver.url("/"), AMPLE);
        call.body = vec![b'x'; length].into();
        reply(stage.outbound.send(call).await.unwrap());
        let received = receiver.received("/").pop().unwrap();
        assert_eq!(received.body.len(), length);
        assert_eq!(received.header("content-length"), Some(length.to_string().as_str()));
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_header_that_is_none_fails_the_call_and_nothing_is_sent() {
    let stage = Stage::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    for (name, value) in
        [("x bad", "1"), ("", "1"), ("x-bad", "a\r\nx-injected: 1"), ("x-bad", "a\0b"), ("x-bäd", "1")]
    {
        let mut call = call(&receiver.url("/"), AMPLE);
        call.headers.push((name.to_owned(), value.to_owned()));
        let reason = failure(stage.outbound.send(call).await.unwrap(), Class::BadResponse).reason;
        assert!(reason.contains("error on our side"), "{reason}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn the_time_before_and_after_the_connect_are_measured_separately() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    receiver.behaviour("/", Behaviour::delayed(SHORT / 2, Behaviour::ok()));
    let sent = stage.post(&receiver.url("/")).await;
    assert!(sent.began_after < SHORT / 2 && sent.duration >= SHORT / 2, "{sent:?}");
    assert!(sent.duration < AMPLE);
    reply(sent);
}

#[tokio::test]
async fn a_call_without_time_fails_as_a_timeout() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    failure(stage.post_within(&receiver.url("/"), Duration::ZERO).await, Class::Timeout);
}

#[tokio::test]
async fn whatever_is_taken_as_a_url_can_be_asked_for() {
    let stage = Stage::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    for c in ('!'..='~').filter(|c| !"\\#".contains(*c)).chain(['é', '✓']) {
        let url = receiver.url(&format!("/a{c}b?c{c}d=%ff"));
        assert_eq!(reply(stage.post(&url).await).status, 200, "{url}");
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn debug_output_names_no_url() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    reply(stage.post(&receiver.url("/topsecret")).await);
    let shown = format!("{:?} {:?}", stage.outbound, call(&receiver.url("/topsecret"), AMPLE));
    assert!(!shown.contains("topsecret"), "{shown}");
}

/// Some receivers compare the names of headers as bytes, although names are case-insensitive.
#[tokio::test]
async fn names_of_headers_are_in_title_case_and_anything_is_accepted() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stage = Stage::new();
    let (sent, head) = tokio::join!(
        stage.outbound.send(Call {
            headers: vec![("X-StatusPulse-Event".to_owned(), "test".to_owned())],
            ..call(&format!("http://127.0.0.1:{port}/"), AMPLE)
        }),
        async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&head[..length]).into_owned()
        },
    );
    assert_eq!(reply(sent.unwrap()).status, 200);
    for line in ["X-Statuspulse-Event: test", "Accept: */*", "Host: 127.0.0.1", "Content-Length: "] {
        assert!(head.contains(&format!("\r\n{line}")), "{line} is not in {head}");
    }
}
