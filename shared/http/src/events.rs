//! `POST /v1/events`: publishes an event. This call can be made thousands of times per second, so the body is collected
//! once, and the payload to deliver is a slice of it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use statuspulse_core::ids::EventId;
use statuspulse_core::{Publisher, limits};
use utoipa::ToSchema;

use crate::auth::Publishes;
use crate::idempotency::idempotency_key;
use crate::openapi::wire;
use crate::{Answer, body};

pub(crate) mod openapi;

/// Where events are published.
pub const PUBLISH_PATH: &str = "/v1/events";

pub(crate) fn routes() -> Router<Arc<Publisher>> {
    Router::new().route(PUBLISH_PATH, post(publish))
}

async fn publish(
    State(publisher): State<Arc<Publisher>>,
    Publishes(caller): Publishes,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let idempotency_key = idempotency_key(&headers)?;
    let envelope = body::read_up_to(limits::ENVELOPE_BYTES, body).await?;
    let published = publisher.publish(caller, &envelope, idempotency_key).await?;
    let view = PublishedView { event_id: published.event_id, deliveries: published.deliveries };
    Ok((StatusCode::ACCEPTED, Json(view)).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = Published)]
struct PublishedView {
    #[schema(value_type = wire::EventId)]
    event_id: EventId,
    /// The number of webhooks that the event is delivered to.
    deliveries: usize,
}
