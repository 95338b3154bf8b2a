//! One request and its response, on a connection.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use statuspulse_core::attempt::{Failure, Reply, ResponseHeaders};
use statuspulse_core::limits::{RESPONSE_HEADERS_KEPT_BYTES, RESPONSE_KEPT_BYTES, RESPONSE_READ_BYTES};
use statuspulse_core::ports::Call;
use tokio::time::timeout_at;

use crate::clock::Instant;
use crate::connection::{Connection, NoAnswer};
use crate::explain;

/// Builds hyper's request for a call.
pub(crate) fn request(call: &Call) -> Result<Request<Full<Bytes>>, Failure> {
    build(call).ok_or_else(explain::our_fault)
}

fn build(call: &Call) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::try_from(call.url.path_and_query()).ok()?;
    let headers = request.headers_mut();
    headers.reserve(call.headers.len() + 4);
    for (name, value) in &call.headers {
        // Core has checked them. If it ever does not, this is an error and not a panic.
        headers
            .append(HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.as_str()).ok()?);
    }
    let origin = call.url.origin();
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    headers.insert(HOST, HeaderValue::try_from(host).ok()?);
    // hyper would not set it for an empty body.
    headers.insert(CONTENT_LENGTH, HeaderValue::from(call.body.len()));
    if !headers.contains_key(ACCEPT) {
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    }
    // Bodies are never decompressed, so a compression bomb has no effect.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Some(request)
}

/// Sends the request and reads the response. When the head is complete the response counts, even if the body then
/// breaks off: a receiver that answered 200 has accepted the delivery.
///
/// Also returns whether the connection can be reused.
pub(crate) async fn exchange(
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
    call: &Call,
    deadline: Instant,
) -> Result<(Reply, bool), NoAnswer> {
    let response = match timeout_at(deadline, connection.ask(request)).await {
        Ok(answer) => answer?,
        Err(_) => return Err(NoAnswer::not_stale(explain::answer_timeout(call.timeout))),
    };
    let status = response.status().as_u16();
    if response.status().is_informational() {
        return Err(NoAnswer::not_stale(explain::not_final(status)));
    }
    let retry_after = retry_after(response.headers());
    let headers = kept_headers(response.headers());
    let mut body = Vec::new();
    let read = timeout_at(deadline, read_body(connection, response, &mut body)).await;
    let reusable = matches!(read, Ok(true)) && connection.is_usable().await;
    Ok((Reply { status, retry_after, headers, body }, reusable))
}

/// Reads the body to its end or to the limit, and keeps its start. Returns `true` if it reached the end.
async fn read_body(connection: &mut Connection, response: Response<Incoming>, kept: &mut Vec<u8>) -> bool {
    let mut body = response.into_body();
    let mut read = 0;
    while read < RESPONSE_READ_BYTES {
        let data = match connection.drive(body.frame()).await {
            None | Some(Some(Err(_))) => return false,
            Some(None) => return true,
            // Trailers are ignored.
            Some(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        read += data.len();
        let room = RESPONSE_KEPT_BYTES - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
    }
    false
}

fn retry_after(headers: &HeaderMap) -> Option<String> {
    headers.get(RETRY_AFTER)?.to_str().ok().map(str::to_owned)
}

/// A value as text that is safe to show: what is no UTF-8, and control characters, become U+FFFD.
fn visible(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The headers that fit into the limit. A header that is too long is skipped; later ones may still fit.
fn kept_headers(headers: &HeaderMap) -> ResponseHeaders {
    let mut room = RESPONSE_HEADERS_KEPT_BYTES;
    let mut kept = vec![];
    for (name, value) in headers {
        let bytes = name.as_str().len() + value.len();
        if bytes <= room {
            room -= bytes;
            kept.push((name.to_string(), visible(value.as_bytes())));
        }
    }
    kept
}
