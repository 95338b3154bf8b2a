//! `/v1/dashboard-sessions`: a key buys a link that opens the dashboard, once.

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use crate::auth::{KeyOf, Reads};
use crate::{Answer, Api, body};

pub(crate) fn routes() -> Router<Api> {
    Router::new().route("/v1/dashboard-sessions", post(create))
}

async fn create(State(api): State<Api>, Reads(_): Reads, KeyOf(key): KeyOf, body: Body) -> Answer {
    body::read_nothing(body).await?;
    let link = api.engine.buy_link(&key).await?;
    let view = LinkView { url: &link.url, expires_at: link.expires_at };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

#[derive(Serialize)]
struct LinkView<'a> {
    url: &'a str,
    expires_at: Timestamp,
}
