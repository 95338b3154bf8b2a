//! The dashboard as a browser uses it, with cookies, redirects and the headers that tell a request's origin.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::{Api, World, text};

/// A page of the dashboard.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) html: String,
    /// Where it was opened, after all redirects. Empty for the answer to a form.
    pub(crate) path: String,
}

impl Page {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.html);
        self
    }

    /// The visible text: without tags, with single spaces and decoded entities.
    pub(crate) fn words(&self) -> String {
        let mut words = String::new();
        let mut in_tag = false;
        for c in self.html.chars() {
            match c {
                '<' => in_tag = true,
                '>' => (in_tag, words) = (false, words + " "),
                c if !in_tag => words.push(c),
                _ => {}
            }
        }
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let entities = [("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&"), ("&nbsp;", " ")];
        entities.into_iter().fold(words, |words, (entity, text)| words.replace(entity, text))
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Self {
        assert!(self.words().contains(words), "{words:?} is not in: {}", self.words());
        self
    }

    #[track_caller]
    pub(crate) fn does_not_say(&self, words: &str) -> &Self {
        assert!(!self.words().contains(words), "{words:?} is in: {}", self.words());
        self
    }
}

/// The headers in which a browser states where a request comes from.
pub(crate) type Origin<'a> = &'a [(&'a str, &'a str)];

/// A request from the dashboard's own pages.
pub(crate) const SAME: Origin<'_> = &[("Sec-Fetch-Site", "same-origin")];

pub(crate) struct Browser {
    router: Router,
    pub(crate) cookies: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    pub(crate) fn new(api: &Api) -> Self {
        Self { router: api.router.clone(), cookies: Mutex::default() }
    }

    /// A browser that is signed in with this key.
    pub(crate) async fn signed_in(api: &Api) -> Self {
        let browser = Self::new(api);
        let link = link(api).await;
        browser.submit("/dashboard/sign-in", &[("link", &link)]).await.expect(200);
        browser
    }

    /// Its cookies, as a request sends them.
    pub(crate) fn cookie(&self) -> String {
        let jar = self.cookies.lock().unwrap();
        jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    pub(crate) async fn open(&self, path: &str) -> Page {
        let mut path = path.to_owned();
        loop {
            let answer = self.call(Request::get(&path).body(Body::empty()).unwrap()).await;
            match answer.headers().get(LOCATION) {
                Some(next) => path = next.to_str().unwrap().to_owned(),
                None => return Page { path, ..page(answer).await },
            }
        }
    }

    /// Fetches a page as an open page does when it refreshes itself.
    pub(crate) async fn refresh(&self, path: &str) -> Page {
        let request = Request::get(path).header("Sec-Fetch-Dest", "empty").body(Body::empty()).unwrap();
        page(self.call(request).await).await
    }

    /// Submits a form of the dashboard and follows the redirect.
    pub(crate) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let answer = self.send(path, fields, SAME).await;
        match answer.headers().get(LOCATION) {
            Some(next) => self.open(next.to_str().unwrap()).await,
            None => page(answer).await,
        }
    }

    /// Submits a form with the given origin, without following a redirect.
    pub(crate) async fn send(&self, path: &str, fields: &[(&str, &str)], from: Origin<'_>) -> Response<Body> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send_bytes(path, body.into_bytes(), from).await
    }

    /// Sends these bytes as a form.
    pub(crate) async fn send_bytes(&self, path: &str, body: Vec<u8>, from: Origin<'_>) -> Response<Body> {
        let mut request = Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in from {
            request = request.header(*name, *value);
        }
        self.call(request.body(Body::from(body)).unwrap()).await
    }

    async fn call(&self, mut request: Request<Body>) -> Response<Body> {
        let cookie = self.cookie();
        if !cookie.is_empty() {
            request.headers_mut().insert(COOKIE, cookie.parse().unwrap());
        }
        let answer = self.router.clone().oneshot(request).await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let (pair, attributes) = cookie.to_str().unwrap().split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let mut jar = self.cookies.lock().unwrap();
            if attributes.contains("Max-Age=0;") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}

pub(crate) async fn page(answer: Response<Body>) -> Page {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let html = String::from_utf8(bytes.to_vec()).unwrap();
    Page { status: parts.status, headers: parts.headers, html, path: String::new() }
}

/// Creates a sign-in link and returns its token.
pub(crate) async fn link(api: &Api) -> String {
    let bought = api.post("/v1/dashboard-sessions", &Value::Null).await.expect(201);
    text(&bought["url"]).split_once("?link=").unwrap().1.to_owned()
}

impl World {
    /// A browser that is signed in with the account's admin key.
    pub(crate) async fn browser(&self) -> Browser {
        Browser::signed_in(self).await
    }
}
