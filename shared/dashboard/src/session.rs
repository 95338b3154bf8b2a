//! Sessions and flash messages, both in cookies.
//!
//! The session cookie is sent only to this host, scripts cannot read it, and links and forms of other sites do not send
//! it. A flash message is what a form shows on the next page.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{AppendHeaders, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};
use http::request::Parts;
use serde::{Deserialize, Serialize};
use statuspulse_core::access::{self, Action};
use statuspulse_core::ids::AccountId;
use statuspulse_core::{Admin, limits};

use crate::Dashboard;
use crate::guard::Refused;
use crate::show::Frame;

const SESSION: &str = "__Host-statuspulse";
const FLASH: &str = "__Host-statuspulse-said";
/// How long a flash message is kept for its page.
const FLASH_SECONDS: u64 = 60;

/// A signed-in user with the right to read the account.
pub(crate) struct Viewer {
    pub(crate) admin: Arc<Admin>,
    pub(crate) account: AccountId,
    /// The right to make changes, if the role has it.
    pub(crate) manages: Option<access::Manager>,
    pub(crate) flash: Option<Flash>,
    pub(crate) token: String,
}

/// A signed-in user with the right to make changes.
pub(crate) struct Manager(pub(crate) Viewer, pub(crate) access::Manager);

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
        with_cookie(FLASH, &text, FLASH_SECONDS, answer)
    }
}

impl Viewer {
    /// The frame of the user's pages.
    pub(crate) async fn frame(&self) -> Result<Frame, Refused> {
        let account = self.admin.account(self.account).await?;
        Ok(Frame {
            account: Some(account.name),
            may_manage: self.manages.is_some(),
            flash: self.flash.clone(),
        })
    }

    /// Deletes the flash cookie, if the page has shown its message.
    pub(crate) fn said(&self, page: Response) -> Response {
        if self.flash.is_some() { with_cookie(FLASH, "", 0, page) } else { page }
    }
}

impl FromRequestParts<Dashboard> for Viewer {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Refused> {
        Self::of(&parts.headers, dashboard).await
    }
}

impl Viewer {
    /// The user whose session cookie is in these headers. Fails with [`Refused::SignedOut`] if there is no valid one.
    pub(crate) async fn of(headers: &HeaderMap, dashboard: &Dashboard) -> Result<Self, Refused> {
        let token = cookie(headers, SESSION).ok_or(Refused::SignedOut)?.to_owned();
        let caller = dashboard.admin.signed_in(&token).await?;
        let account = caller.account_for(Action::Read)?;
        let flash = cookie(headers, FLASH)
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let manages = caller.manager().ok();
        Ok(Self { admin: dashboard.admin.clone(), account, manages, flash, token })
    }
}

impl FromRequestParts<Dashboard> for Manager {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Refused> {
        let viewer = Viewer::from_request_parts(parts, dashboard).await?;
        match viewer.manages {
            Some(by) => Ok(Self(viewer, by)),
            None => Err(Refused::Forbidden("Viewers cannot make changes".to_owned())),
        }
    }
}

/// Sets the session cookie.
pub(crate) fn signed_in(token: &str, answer: Response) -> Response {
    with_cookie(SESSION, token, limits::DASHBOARD_SESSION.as_secs(), answer)
}

/// Deletes the session cookie.
pub(crate) fn signed_out(answer: Response) -> Response {
    with_cookie(SESSION, "", 0, answer)
}

fn with_cookie(name: &str, value: &str, seconds: u64, answer: Response) -> Response {
    let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict");
    (AppendHeaders([(SET_COOKIE, cookie)]), answer).into_response()
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let headers = headers.get_all(COOKIE).into_iter().filter_map(|header| header.to_str().ok());
    let mut pairs =
        headers.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, value)| *known == name && !value.is_empty()).map(|(_, value)| value)
}
