//! What stands around every page.

use askama::Template;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, HOST, LOCATION, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use statuspulse_core::deployment::DASHBOARD;
use statuspulse_core::error::Error;
use statuspulse_core::ids::request_id;

use crate::Dashboard;
use crate::session::Viewer;
use crate::show::Frame;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CSP: HeaderName = HeaderName::from_static("content-security-policy");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Nothing but our own files, and no script in a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Why a request got no page.
#[derive(Debug, Clone)]
pub(crate) enum Refused {
    /// Nobody is signed in.
    SignedOut,
    /// It was not one of ours that asked.
    OtherSite,
    /// There is no such page.
    NotFound(&'static str),
    /// The role may not do this.
    Forbidden(String),
    /// It cannot be done as things stand, or as it was asked.
    Wrong(String),
    /// Our own fault, or the store's.
    Unavailable,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Unauthenticated(_) => Self::SignedOut,
            Error::Forbidden(detail) => Self::Forbidden(detail),
            Error::NotFound(what) => Self::NotFound(what),
            Error::Unavailable(unavailable) => {
                tracing::error!(error = %unavailable, source = %unavailable.source, "a page cannot be made");
                Self::Unavailable
            }
            other => Self::Wrong(in_words(&other)),
        }
    }
}

/// Every field's error in one text.
pub(crate) fn in_words(error: &Error) -> String {
    match error {
        Error::Invalid(fields) => {
            let words: Vec<_> = fields
                .iter()
                .map(|field| format!("{} {}", field.pointer.trim_start_matches('/'), field.detail))
                .collect();
            words.join("; ")
        }
        other => other.to_string(),
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Self::SignedOut => StatusCode::UNAUTHORIZED,
            Self::OtherSite | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Wrong(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    async fn page(&self, request_id: &str, dashboard: &Dashboard, sent: &HeaderMap) -> Response {
        let (title, detail) = match self {
            Self::SignedOut => {
                let page = SignedOut::page(&dashboard.admin.deployment.public_url);
                return (self.status(), page).into_response();
            }
            Self::OtherSite => (
                "That came from another site",
                "A form of another site asked for a change here. Nothing was changed. If it was you, go back and try again from this site's own page.".to_owned(),
            ),
            Self::Forbidden(detail) => ("Not with this role", format!("{detail}. Sign in with an admin's key.")),
            Self::NotFound(what) => ("Not found", format!("There is no such {what}, or it was deleted.")),
            Self::Wrong(detail) => ("That cannot be done", detail.clone()),
            Self::Unavailable => (
                "Something is wrong on our side",
                "Nothing was lost. Please try again in a moment; if it goes on, tell support the request's id.".to_owned(),
            ),
        };
        // Who is signed in finds the way back. What there is to be said waits for another page.
        let frame = match Viewer::of(sent, dashboard).await {
            Ok(viewer) => viewer.frame().await.map(|frame| Frame { flash: None, ..frame }),
            Err(refused) => Err(refused),
        };
        let page = ErrorPage { frame: frame.unwrap_or_else(|_| Frame::bare()), title, detail, request_id };
        (self.status(), html(&page)).into_response()
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: Frame,
    title: &'a str,
    detail: String,
    request_id: &'a str,
}

/// Where a link comes from.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub(crate) struct SignedOut<'a> {
    frame: Frame,
    public_url: &'a str,
    note: Option<&'a str>,
}

impl<'a> SignedOut<'a> {
    pub(crate) fn page(public_url: &'a str) -> Response {
        html(&Self { frame: Frame::bare(), public_url, note: None })
    }

    pub(crate) fn with_note(public_url: &'a str, note: &'a str) -> Response {
        html(&Self { frame: Frame::bare(), public_url, note: Some(note) })
    }
}

/// A page as an answer.
pub(crate) fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => axum::response::Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a template failed");
            Refused::Unavailable.into_response()
        }
    }
}

/// The answer to a form: look there.
pub(crate) fn see(path: &str) -> Response {
    let location = format!("{DASHBOARD}/{path}");
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
        Err(_) => Refused::NotFound("page").into_response(),
    }
}

/// The outermost layer.
pub(crate) async fn outer(State(dashboard): State<Dashboard>, request: Request, next: Next) -> Response {
    let admin = &dashboard.admin;
    let request_id = request_id(&*admin.random);
    let sent = request.headers().clone();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = if reads || is_ours(request.headers()) {
        next.run(request).await
    } else {
        Refused::OtherSite.into_response()
    };
    // Before a page says that something was changed, that change survives the death of the machine.
    if !reads && response.status().is_redirection() && admin.deliveries.settled().await.is_err() {
        response = Refused::Unavailable.into_response();
    }
    if let Some(refused) = response.extensions_mut().remove::<Refused>() {
        // What was set to be said on the next page stays for that page.
        response = refused.page(&request_id, &dashboard, &sent).await;
    }
    let headers = response.headers_mut();
    headers.insert(CSP, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::try_from(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// Whether a request that changes something comes from a page of ours. Browsers say so themselves in `Sec-Fetch-Site`; older
/// ones at least name the page's origin.
fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(&FETCH_SITE), text(&ORIGIN), text(&HOST)) {
        (Some(site), ..) => site == "same-origin",
        (None, Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from == host),
        _ => false,
    }
}
