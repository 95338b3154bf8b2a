//! `/v1/dashboard-sessions`: creates a sign-in link for the dashboard.

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use statuspulse_core::access::Action;
use utoipa::ToSchema;

use crate::auth::{KeyOf, Reads};
use crate::idempotency::{once, parameter};
use crate::openapi::operation::Operation;
use crate::openapi::wire;
use crate::{Answer, Api, body};

pub(crate) fn routes() -> Router<Api> {
    Router::new().route("/v1/dashboard-sessions", post(create))
}

async fn create(
    State(api): State<Api>,
    Reads(account, _): Reads,
    KeyOf(key): KeyOf,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    body::read_nothing(body).await?;
    let call = "POST /v1/dashboard-sessions";
    let once = once(&api, account.to_bytes(), call, &headers, key.as_bytes()).await?;
    let link = api.admin.buy_link(&key, once).await?;
    let view = LinkView { url: &link.url, expires_at: link.expires_at };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

pub(crate) fn operations() -> Vec<Operation> {
    let summary = "Create a sign-in link for the dashboard";
    let example = json!({
        "url": "https://webhooks.example.com/dashboard/sign-in?link=spd_p3Xw9Lq0Vb2HsyQe6mJ8cX1rTfLwKd4nPgUaZi7oBx3",
        "expires_at": "2026-11-24T12:05:00Z",
    });
    vec![
        Operation::new("keys", "post", "/v1/dashboard-sessions", "createDashboardSession", summary)
            .describe(
                "The link works once. It signs in a browser with the rights of the key, for ten hours or \
                 until the key is no longer valid.",
            )
            .by(Action::Read)
            .parameter(parameter())
            .conflicts(&["idempotency_key_reused"], "The Idempotency-Key was used before with another key.")
            .no_fields()
            .answers::<LinkView<'_>>(201, "The link.", &example),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = DashboardSession)]
struct LinkView<'a> {
    /// The link. It works once.
    url: &'a str,
    /// When the link expires, five minutes after its creation.
    #[schema(value_type = wire::Time)]
    expires_at: Timestamp,
}
