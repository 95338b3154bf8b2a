//! Sessions: finds the signed-in caller by the session cookie.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use statuspulse_core::access::{self, Action, ClientAddress, Urls};
use statuspulse_core::deployment::DASHBOARD;
use statuspulse_core::ids::AccountId;
use statuspulse_core::quota::calls_charged;
use statuspulse_core::{Admin, limits};

use crate::Dashboard;
use crate::cookie::{cookie, with_cookie};
use crate::flash::Flash;
use crate::refused::Refused;
use crate::show::Frame;

const SESSION: &str = "__Host-statuspulse";
const NEXT: &str = "__Host-statuspulse-next";
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// A signed-in user with the right to read the account.
pub(crate) struct Viewer {
    pub(crate) admin: Arc<Admin>,
    pub(crate) account: AccountId,
    /// How they are shown URLs.
    pub(crate) urls: Urls,
    /// The right to make changes, if the role has it.
    pub(crate) manages: Option<access::Manager>,
    pub(crate) flash: Option<Flash>,
    pub(crate) token: String,
}

/// A signed-in user with the right to make changes.
pub(crate) struct Manager(pub(crate) Viewer, pub(crate) access::Manager);

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
        if self.flash.is_some() { Flash::clear(page) } else { page }
    }
}

impl FromRequestParts<Dashboard> for Viewer {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Refused> {
        let viewer = Self::of(&parts.headers, dashboard).await?;
        let address = parts.extensions.get::<ClientAddress>().map(|client| client.0);
        let manages = viewer.manages.map(|by| access::Manager { address, ..by });
        Ok(Self { manages, ..viewer })
    }
}

impl Viewer {
    /// The user whose session cookie is in these headers. Fails with [`Refused::SignedOut`] if there is no valid one.
    pub(crate) async fn of(headers: &HeaderMap, dashboard: &Dashboard) -> Result<Self, Refused> {
        let token = cookie(headers, SESSION).ok_or(Refused::SignedOut)?.to_owned();
        let caller = dashboard
            .admin
            .signed_in(&token, calls_charged(|name| Some(headers.get(name)?.as_bytes())))
            .await?;
        let account = caller.account_for(Action::Read)?;
        // A refresh in the background must not take the message of the page that is being opened.
        let flash = if opens_a_page(headers) { Flash::of(headers) } else { None };
        let manages = caller.manager().ok();
        Ok(Self { admin: dashboard.admin.clone(), account, urls: caller.urls(), manages, flash, token })
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

/// Whether a browser is opening a page. Otherwise an open page is refreshing itself.
pub(crate) fn opens_a_page(headers: &HeaderMap) -> bool {
    headers.get(&FETCH_DEST).is_none_or(|kind| kind == "document")
}

/// Remembers the requested page until the user has signed in.
pub(crate) fn remembering(asked: &str, answer: Response) -> Response {
    with_cookie(NEXT, &URL_SAFE_NO_PAD.encode(asked), crate::limits::NEXT_SECONDS, answer)
}

/// The page to open after sign-in, as a path below the dashboard: the requested one, or the list.
pub(crate) fn next(headers: &HeaderMap) -> String {
    let asked = cookie(headers, NEXT).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let asked = asked.and_then(|bytes| String::from_utf8(bytes).ok());
    let below = asked.as_deref().and_then(|path| path.strip_prefix(DASHBOARD)?.strip_prefix('/'));
    below.filter(|path| !path.is_empty()).unwrap_or("webhooks").to_owned()
}

/// Forgets the requested page.
pub(crate) fn arrived(answer: Response) -> Response {
    with_cookie(NEXT, "", 0, answer)
}

/// Deletes the session cookie.
pub(crate) fn signed_out(answer: Response) -> Response {
    with_cookie(SESSION, "", 0, answer)
}
