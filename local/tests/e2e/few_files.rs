//! Runs the program with few file descriptors: no client can use them all up, and no attempt fails for lack of one.

use statuspulse_kit::{Receiver, ReceiverOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Home, payload};

const FILES: u32 = 128;
/// More than there are files.
const WEBHOOKS: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_endpoints_than_files_are_all_reached_at_the_first_attempt() {
    let home = Home::new();
    let program = home.serve_with_files(FILES).await;
    let api = home.admin(&program).await;
    // A receiver each: no connection can be reused.
    let receivers: Vec<Receiver> =
        (0..WEBHOOKS).map(|_| Receiver::start(ReceiverOptions::plain()).unwrap()).collect();
    let mut webhooks = vec![];
    for receiver in &receivers {
        webhooks.push(api.webhook(&receiver.url("/hook"), &[]).await.0);
    }
    for n in 0..3 {
        api.published(&[], &payload("opened", &format!("INC-{n}"), n), WEBHOOKS as u64).await;
    }
    for webhook in &webhooks {
        api.all_delivered(webhook).await;
        for delivery in api.deliveries(webhook).await {
            assert_eq!(delivery["attempts"].as_array().unwrap().len(), 1, "{delivery}");
        }
    }
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_with_half_a_request_each_keep_nobody_out() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let program = home.serve_with_files(FILES).await;
    let api = home.admin(&program).await;
    let (webhook, _) = api.webhook(&receiver.url("/hook"), &[]).await;
    let mut strangers = vec![];
    for _ in 0..2 * FILES {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut stream = socket.connect(program.address().parse().unwrap()).await.unwrap();
        drop(stream.write_all(b"POST /v1/events HTTP/1.1\r\nHost: x\r\n").await);
        strangers.push(stream);
    }
    for n in 0..20 {
        api.published(&[], &payload("opened", &format!("INC-{n}"), n), 1).await;
    }
    api.all_delivered(&webhook).await;
    let deliveries = api.deliveries(&webhook).await;
    assert!(deliveries.iter().all(|delivery| delivery["attempts"].as_array().unwrap().len() == 1));
    let refused = refused(&mut strangers).await;
    drop(strangers);
    assert!(refused > FILES as usize, "only {refused} of the strangers were refused");
    program.stop().await;
}

/// How many of them got the answer for too many connections.
async fn refused(strangers: &mut [TcpStream]) -> usize {
    let mut refused = 0;
    for stream in strangers {
        let mut start = [0; 12];
        let read = tokio::time::timeout(std::time::Duration::from_millis(5), stream.read(&mut start)).await;
        refused += usize::from(read.is_ok());
    }
    refused
}
