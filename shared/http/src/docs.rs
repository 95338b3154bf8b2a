//! What describes the API: `/openapi.json` for programs, `/docs` for people.
//!
//! The page is rendered from the document, once, when it is first asked for. It needs nothing from any host, this one
//! included: its style is in it, and it has no script.

mod page;
mod words;

use std::sync::LazyLock;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::Api;
use crate::openapi::Operation;

/// As it is committed: a test holds it against the types.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");
const STYLE: &str = include_str!("../templates/docs.css");

static PAGE: LazyLock<String> = LazyLock::new(|| page::render(DOCUMENT, STYLE));

/// Nothing is loaded, run, sent or framed; the one style sheet is known by its digest.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

pub(crate) fn routes() -> Router<Api> {
    Router::new().route("/openapi.json", get(document)).route("/docs", get(page))
}

async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}

async fn page() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, PAGE.as_str())
}

pub(crate) fn operations() -> Vec<Operation> {
    let operation = |path, id, summary| Operation::new("service", "get", path, id, summary);
    let text = json!({ "type": "string" });
    let document = json!({ "type": "object", "required": ["openapi", "info", "paths", "components"] });
    let example = json!({ "openapi": "3.1.0", "info": {}, "paths": {}, "components": {} });
    vec![
        operation("/healthz", "getHealth", "Liveness").answers_with(
            "text/plain",
            "It is up.",
            &text,
            Some(&"ok\n".into()),
        ),
        operation("/openapi.json", "getOpenApi", "Show this description, for programs").answers_with(
            "application/json",
            "OpenAPI 3.1.",
            &document,
            Some(&example),
        ),
        operation("/docs", "getDocs", "Show this description, for people").answers_with(
            "text/html",
            "A page that loads nothing and runs nothing.",
            &text,
            None,
        ),
    ]
}
