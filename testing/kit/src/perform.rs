//! Carries out behaviours on the socket, byte by byte.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::answer::Answer;
use crate::behaviour::{Behaviour, HeaderFlood};
use crate::clock;

/// `ok`, compressed by `gzip -n`.
const GZIPPED_OK: &[u8] =
    &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0xcf, 6, 0, 0x47, 0xdd, 0xdc, 0x79, 2, 0, 0, 0];
const LARGE_HEADER_BYTES: usize = 1024 * 1024;
const MANY_HEADERS: usize = 10_000;

/// A connection with or without TLS.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {
    /// The underlying socket, which a reset needs.
    fn socket(&self) -> &TcpStream;
}

impl Connection for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Connection for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// What to do with the connection afterwards.
pub(crate) enum Then {
    Keep,
    /// Close it properly, with a TLS close_notify.
    Close,
    /// Drop it without a close_notify.
    Cut,
}

/// Carries out a behaviour. An error means that the sender closed the connection first, which it may do.
pub(crate) async fn perform<C: Connection>(
    mut behaviour: &Behaviour,
    connection: &mut C,
) -> io::Result<Then> {
    while let Behaviour::Delay(by, then) = behaviour {
        clock::pause(*by).await;
        behaviour = then;
    }
    match behaviour {
        Behaviour::Answer(answer) => {
            send(connection, &answer_bytes(answer)).await?;
            return Ok(Then::Keep);
        }
        Behaviour::Raw(bytes) => {
            send(connection, bytes).await?;
            return Ok(Then::Keep);
        }
        Behaviour::Gzip { status } => {
            let answer = Answer::status(*status).header("content-encoding", "gzip").body(GZIPPED_OK);
            send(connection, &answer_bytes(&answer)).await?;
            return Ok(Then::Keep);
        }
        Behaviour::DripHeader { status, every } => {
            drip(connection, &answer_bytes(&Answer::status(*status)), *every).await?;
            return Ok(Then::Keep);
        }
        Behaviour::Hang => until_the_sender_leaves(connection).await,
        Behaviour::Reset => connection.socket().set_zero_linger()?,
        Behaviour::CloseMidBody { status } => {
            send(connection, format!("{}content-length: 1000\r\n\r\nfirst", start(*status)).as_bytes())
                .await?;
        }
        Behaviour::EndlessBody { status } => {
            send(connection, format!("{}transfer-encoding: chunked\r\n\r\n", start(*status)).as_bytes())
                .await?;
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
            send_for_ever(connection, chunk.as_bytes()).await?;
        }
        Behaviour::DripBody { status, every } => {
            send(connection, format!("{}content-length: 100000\r\n\r\n", start(*status)).as_bytes()).await?;
            drip(connection, &[b'x'; 100_000], *every).await?;
        }
        Behaviour::HugeContentLength { status, length } => {
            send(connection, format!("{}content-length: {length}\r\n\r\nok", start(*status)).as_bytes())
                .await?;
            until_the_sender_leaves(connection).await;
        }
        Behaviour::Garbage => {
            send(connection, b"220 this is not the protocol you are looking for\r\n\r\n").await?;
            return Ok(Then::Close);
        }
        Behaviour::HeaderFlood(flood) => {
            send(connection, flood_bytes(*flood).as_bytes()).await?;
            return Ok(Then::Close);
        }
        Behaviour::InformationalFlood => {
            let hint = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n".repeat(64);
            send_for_ever(connection, hint.as_bytes()).await?;
        }
        Behaviour::SwitchingProtocols => {
            let head =
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            send(connection, head).await?;
            until_the_sender_leaves(connection).await;
        }
        // The ledger has replaced sequences by a step and mocks by an answer. A sequence inside a sequence is not
        // supported and closes the connection.
        Behaviour::Close
        | Behaviour::Delay(..)
        | Behaviour::Sequence { .. }
        | Behaviour::PagerDuty
        | Behaviour::Slack
        | Behaviour::Discord => {}
    }
    Ok(Then::Cut)
}

/// Answers without a body and closes the connection. Reads and discards further bytes for up to a second, because
/// closing with unread bytes would reset the connection and the answer could be lost.
pub(crate) async fn refuse<C: Connection>(status: u16, connection: &mut C) {
    let head = format!("{}connection: close\r\ncontent-length: 0\r\n\r\n", start(status));
    if send(connection, head.as_bytes()).await.is_ok() && connection.shutdown().await.is_ok() {
        let leaving = until_the_sender_leaves(connection);
        // A timeout is fine too: the answer was sent.
        tokio::time::timeout(Duration::from_secs(1), leaving).await.ok();
    }
}

fn start(status: u16) -> String {
    // An unusual reason phrase, because clients must ignore it.
    format!("HTTP/1.1 {status} Kit\r\n")
}

fn answer_bytes(answer: &Answer) -> Vec<u8> {
    let mut head = start(answer.status);
    for (name, value) in &answer.headers {
        head.extend([name.as_str(), ": ", value, "\r\n"]);
    }
    // These two never have a body. A content-length could make a client wait for one.
    let bodiless = matches!(answer.status, 204 | 304);
    if !bodiless {
        head.push_str(&format!("content-length: {}\r\n", answer.body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    if !bodiless {
        bytes.extend_from_slice(&answer.body);
    }
    bytes
}

fn flood_bytes(flood: HeaderFlood) -> String {
    let headers = match flood {
        HeaderFlood::OneLarge => format!("x-large: {}\r\n", "a".repeat(LARGE_HEADER_BYTES)),
        HeaderFlood::Many => (0..MANY_HEADERS).map(|n| format!("x-many-{n}: {n}\r\n")).collect(),
    };
    format!("{}{headers}content-length: 2\r\n\r\nok", start(200))
}

async fn send<C: Connection>(connection: &mut C, bytes: &[u8]) -> io::Result<()> {
    connection.write_all(bytes).await?;
    connection.flush().await
}

async fn send_for_ever<C: Connection>(connection: &mut C, bytes: &[u8]) -> io::Result<()> {
    loop {
        send(connection, bytes).await?;
    }
}

async fn drip<C: Connection>(connection: &mut C, bytes: &[u8], every: Duration) -> io::Result<()> {
    for byte in bytes {
        send(connection, &[*byte]).await?;
        clock::pause(every).await;
    }
    Ok(())
}

/// Waits on the socket instead of a timer, so that hung requests cost nothing after their senders have gone.
async fn until_the_sender_leaves<C: Connection>(connection: &mut C) {
    let mut ignored = [0; 1024];
    while matches!(connection.read(&mut ignored).await, Ok(1..)) {}
}
