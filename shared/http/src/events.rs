//! `POST /v1/events`: the monitoring side publishes. The one call that is made a thousand times a second: the
//! body is collected once, and the payload delivered is a slice of it.

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

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

pub(crate) fn routes() -> Router<Arc<Publisher>> {
    Router::new().route("/v1/events", post(publish))
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

/// The header's value, which the core then bounds. Two keys would be two answers to "was it seen before?".
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::invalid(IDEMPOTENCY_KEY, "stands more than once"));
    }
    value.to_str().map(Some).map_err(|_| Error::invalid(IDEMPOTENCY_KEY, "must be visible ASCII characters"))
}

#[derive(Serialize, ToSchema)]
#[schema(as = Published)]
struct PublishedView {
    #[schema(value_type = wire::EventId)]
    event_id: EventId,
    /// How many webhooks it goes to.
    deliveries: usize,
}
