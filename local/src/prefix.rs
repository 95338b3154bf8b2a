//! A public URL with a path: the server shares its host name with others, behind a proxy that passes the path on or takes
//! it away.
//!
//! The routers know paths from the root on. So the path is taken from each request, and put before what an answer leads
//! to: redirects, the links of pages, and the references of problems and of the API description.

use anyhow::{Result, ensure};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, Uri};
use axum::response::Response;

use crate::limits;

/// The first parts of paths that are routes of our own.
const OWN: [&str; 7] = ["v1", "dashboard", "docs", "openapi.json", "healthz", "readyz", "metrics"];

/// The path of the public URL, without a slash at its end; empty if it has none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prefix(String);

impl Prefix {
    /// Reads the path of a public URL.
    pub(crate) fn parse(path: &str) -> Result<Self> {
        let path = path.trim_end_matches('/');
        let is_plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        };
        let mut parts = path.split('/').skip(1);
        ensure!(
            parts.clone().all(is_plain),
            "the path {path} may have letters, digits and - . _ ~ between its slashes"
        );
        let first = parts.next().unwrap_or_default();
        ensure!(
            !OWN.contains(&first),
            "the path must not begin with /{first}, which is a path of the server"
        );
        Ok(Self(path.to_owned()))
    }

    /// The path below the prefix. A proxy may have taken it away before.
    pub(crate) fn below<'p>(&self, path: &'p str) -> &'p str {
        match path.strip_prefix(self.0.as_str()) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        }
    }

    /// The request with the path below the prefix.
    pub(crate) fn take_from<B>(&self, request: Request<B>) -> Request<B> {
        let uri = request.uri();
        let below = self.below(uri.path());
        if below == uri.path() {
            return request;
        }
        let target = uri.query().map_or_else(|| below.to_owned(), |query| format!("{below}?{query}"));
        let Ok(uri) = target.parse::<Uri>() else { return request };
        let (mut head, body) = request.into_parts();
        head.uri = uri;
        Request::from_parts(head, body)
    }

    /// The answer, with the prefix before what it leads to. In JSON only the API's description leads anywhere.
    pub(crate) async fn put_into(&self, answer: Response, is_description: bool) -> Response {
        if self.0.is_empty() {
            return answer;
        }
        let (mut head, body) = answer.into_parts();
        let led = head.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        if let Some(moved) = led.filter(|to| to.starts_with('/')).map(|to| format!("{}{to}", self.0))
            && let Ok(moved) = HeaderValue::try_from(moved)
        {
            head.headers.insert(LOCATION, moved);
        }
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let before: &[&str] = match kind.split(';').next().unwrap_or_default() {
            "text/html" => &[" href=\"", " action=\"", " formaction=\"", " src=\""],
            "application/problem+json" => &["\"type\":\""],
            "application/json" if is_description => &["\"url\": \""],
            _ => return Response::from_parts(head, body),
        };
        // An answer to HEAD has no body, and one of ours is never too long.
        let Ok(whole) = to_bytes(body, limits::PAGE_BYTES).await else {
            return Response::from_parts(head, Body::empty());
        };
        let mut text = String::from_utf8_lossy(&whole).into_owned();
        for before in before {
            text = text.replace(&format!("{before}/"), &format!("{before}{}/", self.0));
        }
        if !whole.is_empty() {
            head.headers.insert(CONTENT_LENGTH, text.len().into());
        }
        Response::from_parts(head, Body::from(text))
    }
}
