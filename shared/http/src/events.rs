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
use statuspulse_core::error::{Error, Result};
use statuspulse_core::ids::EventId;
use statuspulse_core::{Publisher, limits};
use utoipa::ToSchema;

use crate::auth::Publishes;
use crate::openapi::wire;
use crate::{Answer, body};

pub(crate) mod openapi;

/// Where events are published.
pub const PUBLISH_PATH: &str = "/v1/events";

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

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

/// The value of the header; the core checks its length. More than one header is refused, because it would be unclear
/// which key identifies the event.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::invalid(IDEMPOTENCY_KEY, "appears more than once"));
    }
    value.to_str().map(Some).map_err(|_| Error::invalid(IDEMPOTENCY_KEY, "must be visible ASCII characters"))
}

#[derive(Serialize, ToSchema)]
#[schema(as = Published)]
struct PublishedView {
    #[schema(value_type = wire::EventId)]
    event_id: EventId,
    /// The number of webhooks that the event is delivered to.
    deliveries: usize,
}
