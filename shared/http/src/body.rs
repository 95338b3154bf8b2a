//! Reading a request's body: once, into one piece, and never more of it than its limit.

use axum::body::Body;
use axum::body::HttpBody;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use statuspulse_core::error::{Error, Result};
use statuspulse_core::fields::Fields;
use statuspulse_core::limits;

/// A body somewhat over its limit is read to its end before it is refused, and thrown away: a client that is
/// still writing when the connection closes would see a reset, and never the answer that says why. Beyond
/// this there is no end worth waiting for.
const DISCARDED_BYTES: u64 = 8 * limits::ENVELOPE_BYTES as u64;

/// The body of a call that needs one.
pub(crate) async fn read(body: Body) -> Result<Bytes> {
    read_up_to(limits::REQUEST_BYTES, body).await
}

/// The body of a call that can do without: none is an object without fields.
pub(crate) async fn read_optional(body: Body) -> Result<Bytes> {
    let body = read(body).await?;
    Ok(if body.trim_ascii().is_empty() { Bytes::from_static(b"{}") } else { body })
}

/// The body of a call that has no fields at all.
pub(crate) async fn read_nothing(body: Body) -> Result<()> {
    let body = read_optional(body).await?;
    let mut fields = Fields::of_body(&body)?;
    fields.refuse_rest();
    fields.finish()
}

/// The body, if it keeps to the limit.
pub(crate) async fn read_up_to(limit: usize, mut body: Body) -> Result<Bytes> {
    let declared = body.size_hint().lower();
    if declared <= limit as u64 {
        match Limited::new(&mut body, limit).collect().await {
            Ok(whole) => return Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {}
            Err(_) => return Err(Error::Malformed("it broke off".to_owned())),
        }
    }
    if declared <= DISCARDED_BYTES {
        discard(body).await;
    }
    let bytes = usize::try_from(declared).unwrap_or(usize::MAX).max(limit + 1);
    Err(Error::TooLarge { what: "the body", bytes, limit })
}

async fn discard(mut body: Body) {
    let mut left = DISCARDED_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
