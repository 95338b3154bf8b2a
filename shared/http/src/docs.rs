//! The description of the API: `/openapi.json` for programs, `/docs` for people.
//!
//! The pages are made from the document and from `docs/receiving.md` once, at the first request. Each contains its style
//! sheet and a short script, so it loads nothing else. The script adds copy buttons, and forwards links from when the
//! reference was a single page. Without it, everything can still be read and found.

mod calls;
mod guide;
mod page;
mod reference;
mod site;
mod words;

use std::sync::LazyLock;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::openapi::operation::Operation;
use crate::problem::Refusal;
use crate::query::Query;
use crate::{Answer, Api};
use page::{SCRIPT, STYLE};
use site::Site;

/// The committed document. A test compares it with the types.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");
const GUIDE: &str = include_str!("../../../docs/receiving.md");

static SITE: LazyLock<Site> = LazyLock::new(|| Site::new(DOCUMENT, GUIDE));

/// Allows only the pages' own style sheet and script, by their digests, and a search: no other requests, no frames.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = |text| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'",
        digest(STYLE),
        digest(SCRIPT)
    )
});

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/openapi.json", get(document))
        .route("/docs", get(start))
        .route("/docs/search", get(search))
        .route("/docs/{page}", get(other_page))
}

async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}

async fn start() -> Response {
    html(SITE.start())
}

async fn other_page(name: Result<Path<String>, PathRejection>) -> Answer {
    let name = name.map_err(|_| Refusal::UnknownPath)?;
    SITE.page(&name).map(html).ok_or(Refusal::UnknownPath)
}

async fn search(RawQuery(query): RawQuery) -> Answer {
    let mut query = Query::of(query.as_deref());
    let wanted = query.text("q").unwrap_or_default();
    query.finish()?;
    Ok(html(SITE.search(&wanted)))
}

fn html(page: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, page).into_response()
}

pub(crate) fn operations() -> Vec<Operation> {
    let operation = |path, id, summary| Operation::new("service", "get", path, id, summary);
    let text = json!({ "type": "string" });
    let document = json!({ "type": "object", "required": ["openapi", "info", "paths", "components"] });
    let example = json!({ "openapi": "3.1.0", "info": {}, "paths": {}, "components": {} });
    let page = |operation: Operation, what| operation.answers_with("text/html", what, &text, None);
    let name =
        json!({ "name": "page", "in": "path", "required": true, "schema": text, "example": "createWebhook" });
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
        page(
            operation("/docs", "getDocs", "Show the API reference"),
            "The first page of the reference, with links to all others.",
        ),
        page(
            operation("/docs/{page}", "getDocsPage", "Show a page of the API reference")
                .parameter(name)
                .refuses("UnknownPath"),
            "A page for an operation, by its `operationId`, for a tag, for an object (`schema-Webhook`), or of the guide.",
        ),
        page(
            operation("/docs/search", "searchDocs", "Search the API reference").query(
                "q",
                &text,
                "Words that a page must contain.",
                Some("rotation"),
            ),
            "The pages that contain all of the words.",
        ),
    ]
}
