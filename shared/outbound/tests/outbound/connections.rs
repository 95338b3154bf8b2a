//! Which connections are kept, reused or closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use statuspulse_core::attempt::Class;
use statuspulse_core::ids::AccountId;
use statuspulse_core::limits::{IDLE_FOR, IDLE_PER_ORIGIN, LOOKUP_REUSE, UNACKED_FOR};
use statuspulse_core::ports::{Call, Sender};
use statuspulse_kit::{Answer, Behaviour, CertificateSpec, Receiver, ReceiverOptions, TlsVersions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Barrier;

use crate::stage::{
    AMPLE, SHORT, Stage, call, drop_all_packets, failure, found, pass, read_request, reply, server, server_at,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    for status in [200, 204, 500, 301, 200] {
        receiver.behaviour("/", Answer::status(status));
        assert_eq!(reply(stage.post(&receiver.url("/")).await).status, status);
    }
    assert_eq!((receiver.connections(), receiver.tls_handshakes()), (1, 1));
}

#[tokio::test]
async fn a_body_below_the_limit_is_read_to_its_end_so_that_the_connection_is_kept() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    receiver.behaviour("/", Answer::status(200).body(vec![b'x'; 60_000]));
    for _ in 0..3 {
        reply(stage.post(&receiver.url("/")).await);
    }
    assert_eq!(receiver.connections(), 1);
    receiver.behaviour("/", Answer::status(200).body(vec![b'x'; 200_000]));
    for _ in 0..3 {
        reply(stage.post(&receiver.url("/")).await);
    }
    assert_eq!(receiver.connections(), 3, "a connection whose body exceeds the limit is not kept");
}

/// Accounts share the origin of Slack and others. What comes on a connection of one must never be another's answer.
#[tokio::test]
async fn a_connection_is_kept_for_its_account_alone() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    for (account, connections) in [(1, 1), (2, 2), (1, 2), (2, 2), (3, 3)] {
        let account_id = AccountId::from_bytes([account; 16]);
        let sent = stage.outbound.send(Call { account_id, ..call(&receiver.url("/"), AMPLE) }).await.unwrap();
        assert_eq!(reply(sent).status, 200);
        assert_eq!(receiver.connections(), connections, "account {account}");
    }
}

#[tokio::test]
async fn later_connections_to_a_receiver_work_under_either_version() {
    let stage = Stage::new();
    for tls_versions in [TlsVersions::OnlyTls12, TlsVersions::OnlyTls13] {
        let certificate = stage.authority.issue(CertificateSpec::Good).unwrap();
        let receiver =
            Receiver::start(ReceiverOptions { tls_versions, ..ReceiverOptions::tls(certificate) }).unwrap();
        receiver.behaviour("/", Answer::status(200).body(vec![b'x'; 200_000]));
        for connections in 1..=3 {
            reply(stage.post(&receiver.url("/")).await);
            assert_eq!(receiver.tls_handshakes(), connections);
        }
    }
}

#[tokio::test]
async fn requests_at_the_same_time_have_a_connection_each_and_leave_them_to_the_next() {
    let stage = Arc::new(Stage::new());
    let receiver = stage.receiver();
    let url = receiver.url("/");
    for _ in 0..3 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let (stage, url) = (Arc::clone(&stage), url.clone());
            calls.spawn(async move { stage.post(&url).await });
        }
        for sent in calls.join_all().await {
            reply(sent);
        }
    }
    assert_eq!(receiver.count("/"), 30);
    assert!(receiver.connections() <= 10, "{}", receiver.connections());
}

#[tokio::test]
async fn only_so_many_idle_connections_are_kept_to_one_origin() {
    let stage = Arc::new(Stage::new());
    let accepted = Arc::new(AtomicUsize::new(0));
    let closed = Arc::new(AtomicUsize::new(0));
    let together = Arc::new(Barrier::new(IDLE_PER_ORIGIN + 8));
    let (accepts, closes) = (Arc::clone(&accepted), Arc::clone(&closed));
    let address = server(move |_, mut socket| {
        accepts.fetch_add(1, Ordering::SeqCst);
        let (together, closes) = (Arc::clone(&together), Arc::clone(&closes));
        async move {
            read_request(&mut socket).await;
            together.wait().await;
            let _gone = socket.write_all(OK).await;
            read_request(&mut socket).await;
            closes.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let url = format!("http://127.0.0.1:{}/", address.port());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..IDLE_PER_ORIGIN + 8 {
        let (stage, url) = (Arc::clone(&stage), url.clone());
        calls.spawn(async move { stage.post(&url).await });
    }
    for sent in calls.join_all().await {
        reply(sent);
    }
    while closed.load(Ordering::SeqCst) < 8 {
        tokio::task::yield_now().await;
    }
    assert_eq!((accepted.load(Ordering::SeqCst), closed.load(Ordering::SeqCst)), (IDLE_PER_ORIGIN + 8, 8));
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let stage = Stage::new();
    let (ends, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let address = server(move |number, mut socket| {
        let ends = ends.clone();
        async move {
            read_request(&mut socket).await;
            let _gone = socket.write_all(OK).await;
            let mut more = Vec::new();
            let _gone = socket.read_to_end(&mut more).await;
            let _gone = ends.send((number, more.len()));
        }
    })
    .await;
    let url = format!("http://127.0.0.1:{}/", address.port());
    reply(stage.post(&url).await);
    pass(IDLE_FOR - Duration::from_secs(1)).await;
    assert!(ended.try_recv().is_err());
    pass(Duration::from_secs(2)).await;
    assert_eq!(ended.recv().await, Some((0, 0)), "closed without another byte");
    reply(stage.post(&url).await);
}

/// A Lambda environment is frozen between invocations: its monotonic clock stops, while a NAT gateway or load balancer may
/// drop the idle connection.
#[tokio::test]
async fn a_connection_from_long_before_a_freeze_is_not_used() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    let kept_for = i64::try_from(IDLE_FOR.as_secs()).unwrap();
    for (frozen, connections) in [(0, 1), (kept_for - 1, 1), (kept_for, 2), (3_600, 3), (0, 3), (-3_600, 3)] {
        stage.clock.pass(frozen);
        reply(stage.post(&receiver.url("/")).await);
        assert_eq!(receiver.connections(), connections, "after {frozen} seconds");
    }
}

/// A NAT gateway that has forgotten an idle connection drops its packets without telling anyone.
#[tokio::test]
async fn a_kept_connection_that_swallows_packets_is_replaced_without_being_noticed() {
    let stage = Stage::new();
    let (swallows, mut swallowed) = tokio::sync::mpsc::unbounded_channel();
    let address = server(move |number, mut socket| {
        let swallows = swallows.clone();
        async move {
            read_request(&mut socket).await;
            let _gone = socket.write_all(OK).await;
            if number == 0 {
                drop_all_packets(&socket);
                let _gone = swallows.send(socket);
            }
        }
    })
    .await;
    let url = format!("http://127.0.0.1:{}/", address.port());
    assert_eq!(reply(stage.post(&url).await).status, 200);
    let _swallowing = swallowed.recv().await.unwrap();
    assert_eq!(reply(stage.post(&url).await).status, 200);
}

/// The same silence, but the request was acknowledged: the receiver may be handling it.
#[tokio::test]
async fn a_receiver_that_thinks_for_long_on_a_kept_connection_is_asked_once() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    reply(stage.post(&receiver.url("/")).await);
    receiver.behaviour("/", Behaviour::Hang);
    failure(stage.post_within(&receiver.url("/"), UNACKED_FOR + SHORT).await, Class::Timeout);
    assert_eq!((receiver.count("/"), receiver.connections()), (2, 1));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_is_replaced_without_being_noticed() {
    let stage = Stage::new();
    let address = server(|_, mut socket| async move {
        read_request(&mut socket).await;
        let _gone = socket.write_all(OK).await; // then closes without announcing it
    })
    .await;
    let url = format!("http://127.0.0.1:{}/", address.port());
    for _ in 0..5 {
        assert_eq!(reply(stage.post(&url).await).status, 200);
    }
}

/// The receiver closes the connection when it has read the next request.
#[tokio::test]
async fn a_kept_connection_that_dies_under_the_request_is_replaced_once_without_being_noticed() {
    let stage = Stage::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let address = server(move |number, mut socket| {
        let counter = Arc::clone(&counter);
        async move {
            read_request(&mut socket).await;
            let _gone = socket.write_all(OK).await;
            if number == 0 {
                read_request(&mut socket).await;
                counter.fetch_add(1, Ordering::SeqCst);
                return;
            }
            read_request(&mut socket).await;
        }
    })
    .await;
    let url = format!("http://127.0.0.1:{}/", address.port());
    reply(stage.post(&url).await);
    assert_eq!(reply(stage.post(&url).await).status, 200);
    assert_eq!(seen.load(Ordering::SeqCst), 1, "the stale connection did carry the request");
}

#[tokio::test]
async fn a_fresh_connection_that_breaks_is_a_failure_after_one_request() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    receiver.behaviour("/", Behaviour::Close);
    failure(stage.post(&receiver.url("/")).await, Class::Connect);
    assert_eq!((receiver.count("/"), receiver.connections()), (1, 1));
}

#[tokio::test]
async fn a_kept_connection_that_breaks_within_an_answer_is_a_failure() {
    let stage = Stage::new();
    let address = server(|_, mut socket| async move {
        read_request(&mut socket).await;
        let _gone = socket.write_all(OK).await;
        read_request(&mut socket).await;
        let _gone = socket.write_all(b"HTTP/1.1 5").await;
    })
    .await;
    let url = format!("http://127.0.0.1:{}/", address.port());
    reply(stage.post(&url).await);
    failure(stage.post(&url).await, Class::Connect);
}

#[tokio::test]
async fn a_kept_connection_that_hangs_is_a_timeout_and_is_not_asked_again() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    reply(stage.post(&receiver.url("/")).await);
    receiver.behaviour("/", Behaviour::Hang);
    failure(stage.post_within(&receiver.url("/"), SHORT).await, Class::Timeout);
    assert_eq!((receiver.count("/"), receiver.connections()), (2, 1));
}

#[tokio::test]
async fn an_answer_nobody_asked_for_spoils_the_connection_and_nothing_else() {
    let stage = Stage::new();
    let address = server(|_, mut socket| async move {
        read_request(&mut socket).await;
        let _gone =
            socket.write_all(&[OK, b"HTTP/1.1 500 Poison\r\ncontent-length: 0\r\n\r\n"].concat()).await;
        read_request(&mut socket).await;
    })
    .await;
    let url = format!("http://127.0.0.1:{}/", address.port());
    for _ in 0..5 {
        assert_eq!(reply(stage.post(&url).await).status, 200);
    }
}

#[tokio::test]
async fn a_connection_said_to_be_closed_is_not_used_again() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    receiver.behaviour("/", Answer::status(200).header("connection", "close"));
    for _ in 0..3 {
        reply(stage.post(&receiver.url("/")).await);
    }
    assert_eq!(receiver.connections(), 3);
}

#[tokio::test]
async fn a_name_that_moved_takes_its_requests_with_it() {
    let stage = Stage::with_dns(vec![found(&["127.0.0.1"]), found(&["127.0.0.2"])]);
    let old = Receiver::start(ReceiverOptions::plain()).unwrap();
    let there = format!("127.0.0.2:{}", old.addr().port()).parse().unwrap();
    server_at(there, |_, mut socket| async move {
        read_request(&mut socket).await;
        let _gone = socket.write_all(b"HTTP/1.1 201 Moved\r\ncontent-length: 0\r\n\r\n").await;
        read_request(&mut socket).await;
    })
    .await;
    let url = format!("http://hooks.example.com:{}/", old.addr().port());
    assert_eq!(reply(stage.post(&url).await).status, 200);
    pass(LOOKUP_REUSE).await;
    assert_eq!(reply(stage.post(&url).await).status, 201);
    assert_eq!((old.count("/"), stage.dns.asked()), (1, 2));
}

#[tokio::test]
async fn a_call_that_is_dropped_takes_its_connection_with_it() {
    let stage = Stage::new();
    let (ends, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let (starts, mut started) = tokio::sync::mpsc::unbounded_channel();
    let address = server(move |_, mut socket| {
        let (starts, ends) = (starts.clone(), ends.clone());
        async move {
            read_request(&mut socket).await;
            let _gone = starts.send(());
            let mut more = Vec::new();
            let _gone = socket.read_to_end(&mut more).await;
            let _gone = ends.send(());
        }
    })
    .await;
    let url = format!("http://127.0.0.1:{}/", address.port());
    let dropped = tokio::select! {
        _ = stage.post_within(&url, AMPLE) => false,
        _ = started.recv() => true,
    };
    assert!(dropped && ended.recv().await.is_some());
}
