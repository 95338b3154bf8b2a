//! The header `Idempotency-Key`: of an event, and of calls that show something once.

use http::HeaderMap;
use serde_json::{Value, json};
use statuspulse_core::error::{Error, Result};
use statuspulse_core::limits;
use statuspulse_core::once::Once;

use crate::Api;

/// The header.
pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The value of the header; the core checks its length. More than one header is refused, because it would be unclear
/// which key is meant.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::invalid(IDEMPOTENCY_KEY, "appears more than once"));
    }
    value.to_str().map(Some).map_err(|_| Error::invalid(IDEMPOTENCY_KEY, "must be visible ASCII characters"))
}

/// Begins a call that shows something once. `owner` is whose idempotency keys they are: an account, or an operator's key.
pub(crate) async fn once(
    api: &Api,
    owner: [u8; 16],
    call: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<Once>> {
    api.admin.once(owner, call, idempotency_key(headers)?, body).await
}

/// The header in the description of such a call.
pub(crate) fn parameter() -> Value {
    json!({
        "name": IDEMPOTENCY_KEY, "in": "header", "example": "onboarding-42",
        "schema": { "type": "string", "minLength": 1, "maxLength": limits::IDEMPOTENCY_KEY_CHARS },
        "description": "Repeat the call with the same key if its answer was lost: for a day it makes nothing twice, and shows the \
                        same again.",
    })
}
