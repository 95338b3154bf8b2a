//! The responses of receivers: redirects, slow, endless and broken responses, and all statuses.

use std::time::Duration;

use statuspulse_core::attempt::{Class, judge};
use statuspulse_core::limits::{RESPONSE_HEADERS_KEPT_BYTES, RESPONSE_KEPT_BYTES, RESPONSE_READ_BYTES};
use statuspulse_core::ports::Sent;
use statuspulse_kit::{Answer, Behaviour, HeaderFlood};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::stage::{SHORT, Stage, failure, read_request, reply, server};

/// Posts to a receiver in this behaviour, and checks that it gets exactly one request.
async fn with_behaviour(behaviour: impl Into<Behaviour>, timeout: Duration) -> Sent {
    let stage = Stage::new();
    let receiver = stage.receiver();
    receiver.behaviour("/", behaviour);
    let sent = stage.post_within(&receiver.url("/"), timeout).await;
    assert_eq!(receiver.count("/"), 1, "exactly one request");
    sent
}

const AMPLE: Duration = crate::stage::AMPLE;

/// Posts to a receiver that sends exactly these bytes and then closes.
async fn with_words(words: &'static [u8]) -> Sent {
    let stage = Stage::new();
    let address = server(move |_, mut socket| async move {
        read_request(&mut socket).await;
        let _gone = socket.write_all(words).await;
        let _gone = socket.shutdown().await;
        read_request(&mut socket).await;
    })
    .await;
    stage.post(&format!("http://127.0.0.1:{}/", address.port())).await
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let stage = Stage::new();
    let (receiver, elsewhere) = (stage.receiver(), stage.receiver());
    let locations = ["https://169.254.169.254/".to_owned(), elsewhere.url("/"), receiver.url("/")];
    for status in [301, 302, 303, 307, 308] {
        for location in &locations {
            receiver.behaviour("/", Answer::status(status).header("location", location));
            let before = receiver.count("/");
            assert_eq!(reply(stage.post(&receiver.url("/")).await).status, status);
            assert_eq!(receiver.count("/"), before + 1);
        }
        assert_eq!(judge(status).map(|failure| failure.class), Some(Class::Redirect));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_head_that_drips_ends_at_the_total_deadline() {
    let started = Instant::now();
    let behaviour = Behaviour::DripHeader { status: 200, every: Duration::from_millis(40) };
    failure(with_behaviour(behaviour, SHORT).await, Class::Timeout);
    assert!(started.elapsed() < SHORT * 3);
}

#[tokio::test]
async fn a_receiver_that_takes_the_request_and_is_silent_ends_at_the_deadline() {
    let sent = with_behaviour(Behaviour::Hang, SHORT).await;
    assert!(failure(sent, Class::Timeout).reason.contains("0.7 s"));
}

#[tokio::test]
async fn an_endless_body_is_read_to_the_limit_and_no_further() {
    let started = Instant::now();
    let reply = reply(with_behaviour(Behaviour::EndlessBody { status: 200 }, AMPLE).await);
    assert_eq!((reply.status, reply.body.len()), (200, RESPONSE_KEPT_BYTES));
    assert!(started.elapsed() < AMPLE, "it did not wait for the deadline");
}

#[tokio::test]
async fn ten_gigabytes_promised_are_not_waited_for_beyond_the_deadline() {
    let behaviour = Behaviour::HugeContentLength { status: 202, length: 10_000_000_000 };
    let reply = reply(with_behaviour(behaviour, SHORT).await);
    assert_eq!((reply.status, reply.body.as_slice()), (202, &b"ok"[..]));
}

#[tokio::test]
async fn headers_are_kept_as_text_where_they_fit() {
    let head = "HTTP/1.1 503 Slow\r\nX-Request-Id: 7f3a\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n";
    let long =
        format!("X-Long: {}\r\nX-Fits: {}\r\n", "x".repeat(RESPONSE_HEADERS_KEPT_BYTES), "y".repeat(900));
    let rest = "X-Too-Long-By-Now: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\r\nX-E: \u{e9}\r\nX-C1: a\u{c2}\u{9b}b\r\nContent-Length: 0\r\n\r\n";
    let mut words = format!("{head}{long}").into_bytes();
    words.extend(rest.chars().map(|c| c as u8));
    let kept = reply(with_words(words.leak()).await).headers;
    let kept: Vec<_> = kept.iter().map(|(name, value)| (&**name, &**value)).collect();
    let fits = "y".repeat(900);
    let expected = [
        ("x-request-id", "7f3a"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-fits", &fits),
        ("x-e", "\u{fffd}"),
        // A control character of C1, which a terminal would obey.
        ("x-c1", "a\u{fffd}b"),
        ("content-length", "0"),
    ];
    assert_eq!(kept, expected);
    assert!(
        kept.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            <= RESPONSE_HEADERS_KEPT_BYTES
    );
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

#[tokio::test]
async fn memory_stays_flat_under_endless_bodies() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    receiver.behaviour("/", Behaviour::EndlessBody { status: 200 });
    for _ in 0..10 {
        reply(stage.post(&receiver.url("/")).await);
    }
    let before = resident_kib();
    for _ in 0..100 {
        reply(stage.post(&receiver.url("/")).await);
    }
    let grown = resident_kib().saturating_sub(before);
    // Leaves room for other tests that run in this process. Unbounded bodies would need gigabytes.
    assert!(grown < 64 * 1024, "100 endless bodies left {grown} KiB behind");
}

#[tokio::test]
async fn compressed_bodies_are_not_asked_for_and_not_unpacked() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    receiver.behaviour("/", Behaviour::Gzip { status: 200 });
    let reply = reply(stage.post(&receiver.url("/")).await);
    assert_eq!(reply.body[..2], [0x1f, 0x8b], "the body is not decompressed");
    assert_eq!(receiver.received("/")[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_connection_cut_before_the_answer_fails_as_a_connection() {
    for behaviour in [Behaviour::Close, Behaviour::Reset] {
        let reason = failure(with_behaviour(behaviour, AMPLE).await, Class::Connect).reason;
        assert_eq!(reason, "The connection was closed before the endpoint answered.");
    }
    failure(with_words(b"").await, Class::Connect);
    failure(with_words(b"HTTP/1.1 2").await, Class::Connect);
    failure(with_words(b"HTTP/1.1 200 OK\r\ncontent-le").await, Class::Connect);
}

#[tokio::test]
async fn a_connection_cut_during_the_request_fails_as_a_connection() {
    let stage = Stage::new();
    let address = server(|_, socket| async move { drop(socket) }).await;
    failure(stage.post(&format!("http://127.0.0.1:{}/", address.port())).await, Class::Connect);
    let mut large = crate::stage::call(&format!("http://127.0.0.1:{}/", address.port()), AMPLE);
    large.body = vec![b'x'; 8 << 20].into();
    failure(statuspulse_core::ports::Sender::send(&*stage.outbound, large).await.unwrap(), Class::Connect);
}

#[tokio::test]
async fn an_answer_whose_body_breaks_or_drips_counts_by_its_status() {
    let cut = reply(with_behaviour(Behaviour::CloseMidBody { status: 200 }, AMPLE).await);
    assert_eq!((cut.status, cut.body.as_slice()), (200, &b"first"[..]));
    assert_eq!(reply(with_behaviour(Behaviour::CloseMidBody { status: 503 }, AMPLE).await).status, 503);
    let drip = Behaviour::DripBody { status: 200, every: Duration::from_millis(20) };
    let dripped = reply(with_behaviour(drip, SHORT).await);
    assert!(dripped.status == 200 && !dripped.body.is_empty(), "{dripped:?}");
    let broken = b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nthis is no chunk";
    assert_eq!(reply(with_words(broken).await).status, 201);
}

#[tokio::test]
async fn what_is_not_an_answer_or_never_a_final_one_is_a_bad_response() {
    let behaviours = [
        Behaviour::Garbage,
        Behaviour::InformationalFlood,
        Behaviour::SwitchingProtocols,
        Behaviour::HeaderFlood(HeaderFlood::OneLarge),
        Behaviour::HeaderFlood(HeaderFlood::Many),
    ];
    for behaviour in behaviours {
        let started = Instant::now();
        let sent = with_behaviour(behaviour.clone(), AMPLE).await;
        assert!(started.elapsed() < AMPLE, "{behaviour:?} is bounded by bytes, not by time");
        failure(sent, Class::BadResponse);
    }
}

#[tokio::test]
async fn malformed_heads_are_bad_responses() {
    let heads: [&[u8]; 9] = [
        b"HTTP/1.1 OK 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/3.9 200 OK\r\n\r\n",
        b"<html>hello</html>\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\0\0",
    ];
    for head in heads {
        failure(with_words(head).await, Class::BadResponse);
    }
}

#[tokio::test]
async fn a_few_interim_answers_before_the_final_one_are_passed_over() {
    let words = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(reply(with_words(words).await).status, 204);
}

#[tokio::test]
async fn every_status_is_handed_on_as_it_came() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    let statuses = [
        200, 201, 202, 204, 299, 300, 304, 400, 401, 404, 408, 409, 413, 422, 425, 429, 500, 502, 503, 504,
        599, 600, 999,
    ];
    for status in statuses {
        receiver.behaviour("/", Behaviour::status(status));
        assert_eq!(reply(stage.post(&receiver.url("/")).await).status, status);
    }
}

#[tokio::test]
async fn retry_after_is_handed_on_as_it_came() {
    for value in ["120", "Wed, 21 Oct 2026 07:28:00 GMT", "soon"] {
        let reply = reply(with_behaviour(Answer::status(429).header("retry-after", value), AMPLE).await);
        assert_eq!((reply.status, reply.retry_after.as_deref()), (429, Some(value)));
    }
    assert_eq!(reply(with_behaviour(Behaviour::status(503), AMPLE).await).retry_after, None);
}

#[tokio::test]
async fn gone_is_an_answer() {
    let reply = reply(with_behaviour(Answer::status(410).body("moved away"), AMPLE).await);
    assert_eq!((reply.status, reply.body.as_slice()), (410, &b"moved away"[..]));
}

#[tokio::test]
async fn a_body_of_any_bytes_is_kept_as_it_came_up_to_the_limit() {
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let binary = reply(with_behaviour(Answer::status(500).body(bytes.clone()), AMPLE).await);
    assert_eq!(binary.body, bytes[..RESPONSE_KEPT_BYTES]);
    let markup = "\u{1b}[31m<script>alert('&')</script>\u{0}";
    assert_eq!(reply(with_behaviour(Answer::status(500).body(markup), AMPLE).await).body, markup.as_bytes());
}

#[tokio::test]
async fn a_body_of_unframed_bytes_ends_with_the_connection() {
    let reply = reply(with_words(b"HTTP/1.0 200 OK\r\n\r\nuntil the end").await);
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"until the end"[..]));
}

#[tokio::test]
async fn a_body_in_the_smallest_chunks_with_the_largest_extensions_is_bounded() {
    let stage = Stage::new();
    let address = server(|_, mut socket| async move {
        read_request(&mut socket).await;
        let _gone = socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let chunk = format!("1;{}\r\nx\r\n", "e".repeat(1000));
        while socket.write_all(chunk.as_bytes()).await.is_ok() {}
    })
    .await;
    let started = Instant::now();
    let reply = reply(stage.post(&format!("http://127.0.0.1:{}/", address.port())).await);
    assert!(reply.status == 200 && reply.body.len() < RESPONSE_READ_BYTES);
    assert!(started.elapsed() < AMPLE);
}
