//! Paged lists: `?limit=` and `?cursor=` in, `{"data": […], "next_cursor": …}` out.
//!
//! A cursor contains the id of the last entry shown, and a MAC over this id, the account, the list and its filter. A
//! cursor that passes the check was issued for the same list: start keys cannot be forged, and a cursor that is used
//! with another filter is refused.

use std::fmt;

use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use statuspulse_core::ids::AccountId;
use statuspulse_core::limits::{PAGE_DEFAULT, PAGE_MAX};
use utoipa::ToSchema;

use crate::query::Query;

/// The key of the MAC in cursors: 32 random bytes, different for each deployment. If it changes, older cursors are
/// refused; there is no other effect.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// Creates a key from its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey")
    }
}

/// The first byte of a cursor: the version of its layout.
const VERSION: u8 = 1;
const ID_BYTES: usize = 16;
/// 128 bits: long enough not to be guessed, and short enough for a URL.
const TAG_BYTES: usize = 16;

/// The requested page of a list.
pub(crate) struct PageRequest {
    pub(crate) limit: usize,
    pub(crate) after: Option<[u8; ID_BYTES]>,
}

/// A list of an account, with its filter.
pub(crate) struct List<'a> {
    key: &'a CursorKey,
    account: AccountId,
    /// Name and filter of the list; unique for each combination.
    scope: String,
}

impl<'a> List<'a> {
    pub(crate) fn new(key: &'a CursorKey, account: AccountId, scope: impl Into<String>) -> Self {
        Self { key, account, scope: scope.into() }
    }

    /// Reads `limit` and `cursor`. Invalid values are refused in `query`.
    pub(crate) fn page_request(&self, query: &mut Query<'_>) -> PageRequest {
        let limit = match query.text("limit") {
            None => PAGE_DEFAULT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| {
                    text.bytes().all(|byte| byte.is_ascii_digit()) && (1..=PAGE_MAX).contains(limit)
                })
                .unwrap_or_else(|| {
                    query.refuse("limit", format!("must be a number from 1 to {PAGE_MAX}"));
                    PAGE_DEFAULT
                }),
        };
        let after = query.text("cursor").and_then(|cursor| {
            let after = self.open(&cursor);
            if after.is_none() {
                query.refuse(
                    "cursor",
                    "is not a cursor of this list; use next_cursor of a page with the same filter",
                );
            }
            after
        });
        PageRequest { limit, after }
    }

    /// The answer with a page; `next` is the id of its last entry if more follow.
    pub(crate) fn page<T: Serialize>(&self, data: Vec<T>, next: Option<[u8; ID_BYTES]>) -> Response {
        Json(self.view(data, next)).into_response()
    }

    pub(crate) fn view<T>(&self, data: Vec<T>, next: Option<[u8; ID_BYTES]>) -> PageView<T> {
        PageView { data, next_cursor: next.map(|id| self.seal(id)) }
    }

    fn seal(&self, id: [u8; ID_BYTES]) -> String {
        let tag = self.mac(&id).finalize().into_bytes();
        let mut cursor = [0; 1 + ID_BYTES + TAG_BYTES];
        cursor[0] = VERSION;
        cursor[1..=ID_BYTES].copy_from_slice(&id);
        cursor[1 + ID_BYTES..].copy_from_slice(&tag[..TAG_BYTES]);
        URL_SAFE_NO_PAD.encode(cursor)
    }

    fn open(&self, cursor: &str) -> Option<[u8; ID_BYTES]> {
        let bytes: [u8; 1 + ID_BYTES + TAG_BYTES] = URL_SAFE_NO_PAD.decode(cursor).ok()?.try_into().ok()?;
        let (version, sealed) = bytes.split_first()?;
        let (id, tag) = sealed.split_first_chunk::<ID_BYTES>()?;
        self.mac(id).verify_truncated_left(tag).ok()?;
        (*version == VERSION).then_some(*id)
    }

    fn mac(&self, id: &[u8; ID_BYTES]) -> Hmac<Sha256> {
        // HMAC accepts keys of any length; the error exists for other kinds of MAC.
        #[expect(clippy::expect_used, reason = "an HMAC key may have any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key.0).expect("any length");
        mac.update(&[VERSION]);
        mac.update(id);
        mac.update(&self.account.to_bytes());
        mac.update(self.scope.as_bytes());
        mac
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PageView<T> {
    data: Vec<T>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}
