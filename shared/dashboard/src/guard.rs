//! The layer around all pages, and the pages of errors.

use askama::Template;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, HOST, LOCATION, ORIGIN, REFERRER_POLICY, RETRY_AFTER, USER_AGENT, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use statuspulse_core::call;
use statuspulse_core::deployment::DASHBOARD;
use statuspulse_core::ids::request_id;

use crate::Dashboard;
use crate::refused::Refused;
use crate::session::{self, Viewer};
use crate::show::Frame;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CSP: HeaderName = HeaderName::from_static("content-security-policy");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Allows only files of this host, and no inline scripts or styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

impl Refused {
    async fn page(
        &self,
        request_id: &str,
        dashboard: &Dashboard,
        sent: &HeaderMap,
        asked: Option<&str>,
    ) -> Response {
        let (title, detail) = match self {
            Self::SignedOut => {
                let page = SignedOut::page(&dashboard.admin.deployment.public_url, None);
                let page = match asked {
                    Some(asked) => session::remembering(asked, page),
                    None => page,
                };
                return (self.status(), page).into_response();
            }
            Self::OtherSite => (
                "Request from another site",
                "Another website sent this request. Nothing was changed. If you wanted this change, make it on \
                 this site's own page."
                    .to_owned(),
            ),
            Self::Forbidden(detail) => ("Not allowed", format!("{detail}. Sign in with an admin key.")),
            Self::NotFound(what) => ("Not found", format!("There is no such {what}, or it was deleted.")),
            Self::Wrong(detail) => ("Request refused", detail.clone()),
            Self::TooMany(detail, wait) => {
                ("Too many requests", format!("{detail}. Try again in {} seconds.", wait.as_secs() + 1))
            }
            Self::Unavailable => (
                "Something went wrong on our side",
                "If you were making a change, check whether it took effect before you repeat it. If the problem persists, give \
                 support the request id."
                    .to_owned(),
            ),
        };
        // Signed-in users keep the navigation. The flash message stays for the next page.
        let frame = match Viewer::of(sent, dashboard).await {
            Ok(viewer) => viewer.frame().await.map(|frame| Frame { flash: None, ..frame }),
            Err(refused) => Err(refused),
        };
        let page = ErrorPage { frame: frame.unwrap_or_else(|_| Frame::bare()), title, detail, request_id };
        let mut response = (self.status(), html(&page)).into_response();
        if let Self::TooMany(_, wait) = self {
            response.headers_mut().insert(RETRY_AFTER, (wait.as_secs() + 1).into());
        }
        response
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

/// The page for browsers that are not signed in: how to get a sign-in link.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub(crate) struct SignedOut<'a> {
    frame: Frame,
    public_url: &'a str,
    /// Whether the page accepts an API key. It does not if the key would travel unencrypted.
    takes_keys: bool,
    note: Option<&'a str>,
}

impl<'a> SignedOut<'a> {
    /// With a `note`, the page says why signing in did not work.
    pub(crate) fn page(public_url: &'a str, note: Option<&'a str>) -> Response {
        html(&Self { frame: Frame::bare(), public_url, takes_keys: takes_keys(public_url), note })
    }
}

/// Whether what a browser sends to this address is encrypted, or does not leave the machine.
pub(crate) fn takes_keys(public_url: &str) -> bool {
    let local = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
    public_url.starts_with("https://")
        || local.iter().any(|local| {
            public_url.strip_prefix(local).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        })
}

/// Renders a page.
pub(crate) fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => axum::response::Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot render a template");
            Refused::Unavailable.into_response()
        }
    }
}

/// The answer to a form: a redirect to a page of the dashboard.
pub(crate) fn see(path: &str) -> Response {
    let location = format!("{DASHBOARD}/{path}");
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
        Err(_) => Refused::NotFound("page").into_response(),
    }
}

/// The outermost layer: checks where forms come from, waits until changes are durable, renders errors and sets headers.
pub(crate) async fn outer(State(dashboard): State<Dashboard>, request: Request, next: Next) -> Response {
    let admin = &dashboard.admin;
    let request_id = request_id(&*admin.random);
    let sent = request.headers().clone();
    let asked = asked_for(&request);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = if reads || is_ours(request.headers(), &dashboard.admin.deployment.public_url) {
        next.run(request).await
    } else {
        Refused::OtherSite.into_response()
    };
    // A change must be durable before the redirect reports it.
    if !reads && response.status().is_redirection() && admin.deliveries.durable().await.is_err() {
        response = Refused::Unavailable.into_response();
    }
    if let Some(refused) = response.extensions_mut().remove::<Refused>() {
        // The new response has no cookies, so a flash message is kept for the next page.
        response = refused.page(&request_id, &dashboard, &sent, asked.as_deref()).await;
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

/// The page that a browser is opening, as path and query.
fn asked_for(request: &Request) -> Option<String> {
    let path = request.uri().path_and_query()?.as_str();
    (request.method() == Method::GET && session::opens_a_page(request.headers())).then(|| path.to_owned())
}

/// Whether a form comes from this site. Browsers report it in `Sec-Fetch-Site`; older ones send the `Origin`, which
/// must have the scheme of the public URL and match the `Host`.
fn is_ours(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if call::is_from_a_webhook(headers.get(USER_AGENT).map(HeaderValue::as_bytes)) {
        return false;
    }
    match (text(&FETCH_SITE), text(&ORIGIN), text(&HOST)) {
        (Some(site), ..) => site == "same-origin",
        (None, Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(scheme, from)| {
            from == host && public_url.split_once("://").is_some_and(|(own, _)| own == scheme)
        }),
        _ => false,
    }
}
