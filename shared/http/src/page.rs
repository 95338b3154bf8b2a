//! Lists in pages: `?limit=` and `?cursor=` in, `{"data": […], "next_cursor": …}` out.
//!
//! A cursor is the id of the last entry shown and a MAC over it, the account, and which list it was with
//! which filter. So a cursor that reaches a store is one that we gave out for this very list: nobody can
//! forge a start key, and one that is carried over to another filter is refused instead of showing a page
//! from somewhere.

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

/// What cursors are sealed with: 32 random bytes of the deployment's own. If they change, cursors given out
/// before are refused, and nothing else happens.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// The key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey")
    }
}

/// The first byte of a cursor, so that another layout can be told from this one.
const VERSION: u8 = 1;
const ID_BYTES: usize = 16;
/// 128 bits: what cannot be guessed, in a cursor that is still short.
const TAG_BYTES: usize = 16;

/// Which part of a list is asked for.
pub(crate) struct Window {
    pub(crate) limit: usize,
    pub(crate) after: Option<[u8; ID_BYTES]>,
}

/// One list: whose, which, and with which filter.
pub(crate) struct List<'a> {
    key: &'a CursorKey,
    account: AccountId,
    /// Name and filter, written so that no two lists write the same.
    scope: String,
}

impl<'a> List<'a> {
    pub(crate) fn new(key: &'a CursorKey, account: AccountId, scope: impl Into<String>) -> Self {
        Self { key, account, scope: scope.into() }
    }

    /// What `limit` and `cursor` ask for.
    pub(crate) fn window(&self, query: &mut Query<'_>) -> Window {
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
                    "is not a cursor of this list; take next_cursor from a page with the same filter",
                );
            }
            after
        });
        Window { limit, after }
    }

    /// A page, and where the next one starts.
    pub(crate) fn page<T: Serialize>(&self, data: Vec<T>, next: Option<[u8; ID_BYTES]>) -> Response {
        Json(PageView { data, next_cursor: next.map(|id| self.seal(id)) }).into_response()
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
        // HMAC takes a key of any length; the error exists for other kinds of MAC.
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
    /// Where the next page starts; null at the list's end.
    #[schema(required = true)]
    next_cursor: Option<String>,
}
