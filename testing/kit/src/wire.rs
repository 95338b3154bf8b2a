//! Reads HTTP/1.1 requests, as far as our senders need it. Every size is limited.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Ample: our senders write about 15 short headers, and customers can add a few.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Ample: a payload has at most 128 KiB, but grows when it is escaped and wrapped for Slack and PagerDuty.
const BODY_BYTES_MAX: usize = 1024 * 1024;

pub(crate) struct Request {
    pub(crate) target: String,
    /// In the order received, with names in lowercase.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) keep_alive: bool,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// Why no further request can be read from a connection.
pub(crate) enum NoRequest {
    /// The sender closed the connection, or it broke.
    Left,
    /// The request is invalid. Answer with this status and close the connection.
    Refused(u16),
}

pub(crate) fn find<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Reads the next request. Bytes after its end stay in `buffer`.
pub(crate) async fn read_request<S>(stream: &mut S, buffer: &mut BytesMut) -> Result<Request, NoRequest>
where
    S: AsyncRead + Unpin,
{
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        // A method starts with a letter. A TLS ClientHello does not, and its sender would wait for ever.
        if buffer.first().is_some_and(|byte| !byte.is_ascii_alphabetic()) {
            return Err(NoRequest::Refused(400));
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(NoRequest::Refused(431));
        }
        fill(stream, buffer).await?;
    };
    let head = buffer.split_to(head_end);
    let mut request = parse_head(&String::from_utf8_lossy(&head)).ok_or(NoRequest::Refused(400))?;
    if request.header("transfer-encoding").is_some() {
        return Err(NoRequest::Refused(411));
    }
    let length = request.header("content-length").unwrap_or("0");
    let length: usize = length.parse().map_err(|_| NoRequest::Refused(400))?;
    if length > BODY_BYTES_MAX {
        return Err(NoRequest::Refused(413));
    }
    while buffer.len() < length {
        fill(stream, buffer).await?;
    }
    request.body = buffer.split_to(length).freeze();
    Ok(request)
}

async fn fill<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> Result<(), NoRequest> {
    // Otherwise a buffer that is nearly used up would be filled a few bytes at a time.
    buffer.reserve(4096);
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) => Err(NoRequest::Left),
        Ok(_) => Ok(()),
    }
}

fn parse_head(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (_method, target, version) = (first.next()?, first.next()?, first.next()?);
    let headers: Vec<_> = lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<Option<_>>()?;
    let closes = find(&headers, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let keep_alive = version == "HTTP/1.1" && !closes;
    Some(Request { target: target.to_owned(), headers, body: Bytes::new(), keep_alive })
}
