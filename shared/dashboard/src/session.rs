//! Who looks: a session in a cookie that only this host gets back, that no script reads, and that no other site's link or form
//! sends along. And what the last form has to say on the next page, in another one.

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
/// How long what a form has to say waits for its page.
const FLASH_SECONDS: u64 = 60;

/// Somebody who is signed in, and may look.
pub(crate) struct Viewer {
    pub(crate) admin: Arc<Admin>,
    pub(crate) account: AccountId,
    /// As whom they may change things, if they may.
    pub(crate) manages: Option<access::Manager>,
    pub(crate) flash: Option<Flash>,
    pub(crate) token: String,
}

/// Somebody who is signed in, and may change things.
pub(crate) struct Manager(pub(crate) Viewer, pub(crate) access::Manager);

/// What a form has to say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Flash {
    /// Whether it went well.
    pub(crate) good: bool,
    pub(crate) text: String,
    /// A secret, which is shown this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    /// What else is to be seen, each under its title.
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

    /// And this text under this title, as much of it as a cookie has room for.
    pub(crate) fn showing(mut self, title: &str, text: &str) -> Self {
        let end = text.floor_char_boundary(limits::FLASH_TEXT_BYTES);
        let more = if end < text.len() { "…" } else { "" };
        self.texts.push((title.to_owned(), format!("{}{more}", &text[..end])));
        self
    }

    /// The answer, which leaves this for the next page.
    pub(crate) fn on(&self, answer: Response) -> Response {
        let text = serde_json::to_vec(self).map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).unwrap_or_default();
        with_cookie(FLASH, &text, FLASH_SECONDS, answer)
    }
}

impl Viewer {
    /// What every page of theirs has around it.
    pub(crate) async fn frame(&self) -> Result<Frame, Refused> {
        let account = self.admin.account(self.account).await?;
        Ok(Frame {
            account: Some(account.name),
            may_manage: self.manages.is_some(),
            flash: self.flash.clone(),
        })
    }

    /// A page that has said what there was to say.
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
    /// Who shows these headers.
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
            None => Err(Refused::Forbidden("A viewer changes nothing".to_owned())),
        }
    }
}

/// The answer that signs a browser in.
pub(crate) fn signed_in(token: &str, answer: Response) -> Response {
    with_cookie(SESSION, token, limits::DASHBOARD_SESSION.as_secs(), answer)
}

/// The answer that signs it out.
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
