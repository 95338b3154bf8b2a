//! Cookies: they are sent only to this host, scripts cannot read them, and forms of other sites do not send them. Links
//! do, such as those in Slack, because no page changes anything when it is opened.

use axum::response::{AppendHeaders, IntoResponse, Response};
use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};

/// Sets a cookie on the answer. With 0 seconds the browser deletes it.
pub(crate) fn with_cookie(name: &str, value: &str, seconds: u64, answer: Response) -> Response {
    let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
    (AppendHeaders([(SET_COOKIE, cookie)]), answer).into_response()
}

/// The value of a cookie; `None` if it is absent or empty.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let headers = headers.get_all(COOKIE).into_iter().filter_map(|header| header.to_str().ok());
    let mut pairs =
        headers.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, value)| *known == name && !value.is_empty()).map(|(_, value)| value)
}
