//! Flash messages: what a form shows on the next page. They are in a cookie.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use statuspulse_core::limits;

use crate::cookie::{cookie, with_cookie};

const FLASH: &str = "__Host-statuspulse-said";

/// The message that a form shows on the next page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Flash {
    /// Whether the action succeeded.
    pub(crate) good: bool,
    pub(crate) text: String,
    /// A new secret, which is shown only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    /// Further texts, each with a title.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) texts: Vec<(String, String)>,
}

impl Flash {
    pub(crate) fn good(text: impl Into<String>) -> Self {
        Self { good: true, text: text.into(), secret: None, texts: vec![] }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self { good: false, text: text.into(), secret: None, texts: vec![] }
    }

    pub(crate) fn secret(text: impl Into<String>, secret: &str) -> Self {
        Self { good: true, text: text.into(), secret: Some(secret.to_owned()), texts: vec![] }
    }

    /// Adds a titled text, cut to [`limits::FLASH_TEXT_BYTES`] so that the cookie has room for it.
    pub(crate) fn showing(mut self, title: &str, text: &str) -> Self {
        let end = text.floor_char_boundary(limits::FLASH_TEXT_BYTES);
        let more = if end < text.len() { "…" } else { "" };
        self.texts.push((title.to_owned(), format!("{}{more}", &text[..end])));
        self
    }

    /// Sets the message as a cookie on the answer, for the next page.
    pub(crate) fn on(&self, answer: Response) -> Response {
        let text = serde_json::to_vec(self).map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).unwrap_or_default();
        with_cookie(FLASH, &text, crate::limits::FLASH_SECONDS, answer)
    }

    /// The message in the cookie of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cookie(headers, FLASH)?).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Deletes the cookie, because this page has shown the message.
    pub(crate) fn clear(page: Response) -> Response {
        with_cookie(FLASH, "", 0, page)
    }
}
