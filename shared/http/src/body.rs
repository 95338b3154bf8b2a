//! Reads request bodies into memory, up to a limit.

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use statuspulse_core::error::{Error, Result};
use statuspulse_core::fields::Fields;
use statuspulse_core::limits;

/// Reads a required body of at most [`limits::REQUEST_BYTES`].
pub(crate) async fn read(body: Body) -> Result<Bytes> {
    read_up_to(limits::REQUEST_BYTES, body).await
}

/// Reads an optional body. An empty one becomes an empty object.
pub(crate) async fn read_optional(body: Body) -> Result<Bytes> {
    read_optional_up_to(limits::REQUEST_BYTES, body).await
}

/// Reads an optional body of at most `limit` bytes.
pub(crate) async fn read_optional_up_to(limit: usize, body: Body) -> Result<Bytes> {
    let body = read_up_to(limit, body).await?;
    Ok(if body.trim_ascii().is_empty() { Bytes::from_static(b"{}") } else { body })
}

/// Reads the body of a call without fields: it must be empty or an empty object.
pub(crate) async fn read_nothing(body: Body) -> Result<()> {
    let body = read_optional(body).await?;
    Fields::of_body(&body)?.finish()
}

/// Reads a body of at most `limit` bytes. Fails with [`Error::TooLarge`] if it is longer, and with
/// [`Error::Malformed`] if it breaks off.
pub(crate) async fn read_up_to(limit: usize, mut body: Body) -> Result<Bytes> {
    let declared = body.size_hint().lower();
    if declared <= limit as u64 {
        match Limited::new(&mut body, limit).collect().await {
            Ok(whole) => return Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {}
            Err(_) => return Err(Error::Malformed("it is incomplete".to_owned())),
        }
    }
    let bytes = usize::try_from(declared).unwrap_or(usize::MAX).max(limit + 1);
    Err(Error::TooLarge { what: "the body", pointer: "", bytes, limit })
}
