//! The description of the API: `/openapi.json` for programs, `/docs` for people.
//!
//! The page is rendered from the document once, at the first request. It contains its style sheet and no script, so it
//! loads nothing else.

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
use crate::openapi::operation::Operation;

/// The committed document. A test compares it with the types.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");
const STYLE: &str = include_str!("../templates/docs.css");

static PAGE: LazyLock<String> = LazyLock::new(|| page::render(DOCUMENT, STYLE));

/// Allows only the page's own style sheet, by its digest: no scripts, requests, forms or frames.
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
        operation("/healthz", "getHealth", "Check liveness").answers_with(
            "text/plain",
            "The service is up.",
            &text,
            Some(&"ok\n".into()),
        ),
        operation("/openapi.json", "getOpenApi", "Get the OpenAPI document").answers_with(
            "application/json",
            "This description, in OpenAPI 3.1.",
            &document,
            Some(&example),
        ),
        operation("/docs", "getDocs", "Show the API reference").answers_with(
            "text/html",
            "This description as an HTML page, without scripts or external files.",
            &text,
            None,
        ),
    ]
}
