//! Time is paused: it moves on when every task waits, so deadlines pass at once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::*;

/// What the handlers of a test wait for and count.
#[derive(Debug, Default)]
struct Handlers {
    begun: Notify,
    go_on: Notify,
    ended: AtomicUsize,
}

fn router(handlers: &Arc<Handlers>) -> Router {
    let slow = {
        let handlers = handlers.clone();
        async move || {
            handlers.begun.notify_one();
            handlers.go_on.notified().await;
            handlers.ended.fetch_add(1, Ordering::SeqCst);
            handlers.begun.notify_one();
            "done"
        }
    };
    Router::new()
        .route("/", get(async || "hello"))
        .route("/slow", post(slow))
        .route("/body", post(async |body: Bytes| body.len().to_string()))
}

async fn listen(connections: usize, trusted_proxies: &[&str]) -> (SocketAddr, Arc<Handlers>) {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let trusted_proxies = trusted_proxies.iter().map(|cidr| cidr.parse().unwrap()).collect();
    let handlers = Arc::<Handlers>::default();
    let (metrics, management) = (Arc::default(), Management::on(&Handle::current()));
    let prefix = Prefix::default();
    let listener = Listener { tcp, connections, trusted_proxies, prefix, metrics, management };
    tokio::spawn(listener.serve(router(&handlers), std::future::pending()));
    (address, handlers)
}

async fn connect_from(client: &str, server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{client}:0").parse().unwrap()).unwrap();
    socket.connect(server).await.unwrap()
}

async fn sent(server: SocketAddr, text: &str) -> TcpStream {
    let mut stream = connect_from("127.0.0.1", server).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Everything up to the end of the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    // A reset is an end too.
    drop(stream.read_to_string(&mut text).await);
    text
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn half_a_head_and_an_idle_connection_end_at_their_deadline() {
    let (server, _) = listen(64, &[]).await;
    let began = Instant::now();
    assert_eq!(rest(sent(server, "GET / HTTP/1.1\r\nHost: x\r\n").await).await, "");
    assert!(began.elapsed() >= limits::HEAD_WITHIN);
    assert_eq!(rest(sent(server, "").await).await, "");
    let kept = rest(sent(server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await).await;
    assert!(kept.starts_with("HTTP/1.1 200") && kept.ends_with("hello"), "{kept}");
    assert!(began.elapsed() < limits::CONNECTION_LIFETIME);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_ends_its_call() {
    let (server, _) = listen(64, &[]).await;
    let began = Instant::now();
    let head = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12";
    let answer = rest(sent(server, head).await).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(began.elapsed() >= limits::BODY_WITHIN && began.elapsed() < limits::CONNECTION_LIFETIME);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_its_writing_side_gets_its_answer() {
    let (server, handlers) = listen(64, &[]).await;
    let mut stream = sent(server, "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    stream.shutdown().await.unwrap();
    handlers.begun.notified().await;
    handlers.go_on.notify_one();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_change_runs_to_its_end_though_its_client_resets_the_connection() {
    let (server, handlers) = listen(64, &[]).await;
    let stream = sent(server, "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    handlers.begun.notified().await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    // Long enough for the server to see it.
    assert!(rest(sent(server, GET).await).await.ends_with("hello"));
    handlers.go_on.notify_one();
    timeout(limits::HEAD_WITHIN, handlers.begun.notified()).await.expect("the handler was dropped");
    assert_eq!(handlers.ended.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_over_the_bound_waits_and_is_served_when_another_ends() {
    let (server, _) = listen(2, &["127.0.0.0/8"]).await;
    let began = Instant::now();
    let idle = [sent(server, "GET").await, sent(server, "GET").await];
    let third = sent(server, GET).await;
    assert!(rest(third).await.ends_with("hello"));
    assert!(began.elapsed() >= limits::HEAD_WITHIN, "it was served beside the two that hang");
    drop(idle);
}

#[tokio::test(start_paused = true)]
async fn one_address_cannot_take_all_connections() {
    let (server, _) = listen(2 * limits::CLIENT_SHARE, &[]).await;
    let idle = [sent(server, "GET").await, sent(server, "GET").await];
    let refused = rest(sent(server, "").await).await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("Retry-After: 1"), "{refused}");
    let mut other = connect_from("127.0.0.2", server).await;
    other.write_all(GET.as_bytes()).await.unwrap();
    assert!(rest(other).await.ends_with("hello"));
    drop(idle);
}

#[tokio::test(start_paused = true)]
async fn behind_a_trusted_proxy_each_client_has_its_own_bound() {
    let (server, handlers) = listen(2 * limits::CLIENT_SHARE, &["127.0.0.1/32"]).await;
    let call = |client: &str| {
        format!(
            "POST /slow HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        )
    };
    let mut slow = vec![];
    for _ in 0..2 {
        slow.push(sent(server, &call("198.51.100.9, 192.0.2.1")).await);
        handlers.begun.notified().await;
    }
    let refused = rest(sent(server, &call("203.0.113.5, 192.0.2.1, 127.0.0.1")).await).await;
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    let other = sent(server, &call("192.0.2.2")).await;
    handlers.begun.notified().await;
    for _ in 0..3 {
        handlers.go_on.notify_one();
        handlers.begun.notified().await;
    }
    assert!(rest(other).await.starts_with("HTTP/1.1 200"));
    assert!(rest(sent(server, GET).await).await.ends_with("hello"), "the proxy's own calls have no bound");
}

#[tokio::test]
async fn only_publishing_is_served_outside_of_the_management_runtime() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("its own").build();
    let runtime = runtime.unwrap();
    let thread = async || std::thread::current().name().unwrap_or_default().to_owned();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = tcp.local_addr().unwrap();
    let management = Management::on(runtime.handle());
    let listener = Listener {
        tcp,
        connections: 100,
        trusted_proxies: vec![],
        prefix: Prefix::default(),
        metrics: Arc::default(),
        management,
    };
    let router = Router::new().route("/", get(thread).post(thread)).route("/v1/events", post(thread));
    tokio::spawn(listener.serve(router, std::future::pending()));
    assert!(rest(sent(server, GET).await).await.ends_with("its own"));
    let post = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    assert!(rest(sent(server, &post("/")).await).await.ends_with("its own"));
    assert!(!rest(sent(server, &post("/v1/events")).await).await.ends_with("its own"));
    runtime.shutdown_background();
}

/// The body of a read is not waited for while it is made.
#[tokio::test]
async fn a_read_whose_body_does_not_arrive_holds_up_no_other() {
    let (server, _) = listen(100 * limits::CLIENT_SHARE, &[]).await;
    let endless = "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nConnection: close\r\n\r\n";
    let mut without_body = vec![];
    for _ in 0..64 {
        without_body.push(sent(server, endless).await);
    }
    let first = without_body.remove(0);
    tokio::select! {
        biased;
        answer = async { rest(sent(server, GET).await).await } => assert!(answer.ends_with("hello"), "{answer}"),
        _ = rest(first) => panic!("the other reads waited for its body"),
    }
}
