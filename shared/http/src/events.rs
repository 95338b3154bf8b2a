//! `POST /v1/events`: publishes an event. This call can be made thousands of times per second, so the body is collected
//! once, and the payload to deliver is a slice of it. Alertmanager and Grafana have a path each, for their own format.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use statuspulse_core::access::Action;
use statuspulse_core::ids::EventId;
use statuspulse_core::publisher::Published;
use statuspulse_core::sources::notification::Sender;
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
    Router::new()
        .route(PUBLISH_PATH, post(publish))
        .route("/v1/events/alertmanager", post(alertmanager))
        .route("/v1/events/grafana", post(grafana))
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
    Ok((StatusCode::ACCEPTED, Json(PublishedView::of(published))).into_response())
}

async fn alertmanager(publisher: State<Arc<Publisher>>, caller: Publishes, body: Body) -> Answer {
    publish_notification(Sender::Alertmanager, publisher, caller, body).await
}

async fn grafana(publisher: State<Arc<Publisher>>, caller: Publishes, body: Body) -> Answer {
    publish_notification(Sender::Grafana, publisher, caller, body).await
}

async fn publish_notification(
    sender: Sender,
    State(publisher): State<Arc<Publisher>>,
    Publishes(caller): Publishes,
    body: Body,
) -> Answer {
    caller.may(Action::PublishAlerts)?;
    let body = body::read_up_to(limits::NOTIFICATION_BYTES, body).await?;
    let published = publisher.publish_notification(caller, sender, &body).await?;
    let view = PublishedAlerts { events: published.into_iter().map(PublishedView::of).collect() };
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

impl PublishedView {
    fn of(published: Published) -> Self {
        Self { event_id: published.event_id, deliveries: published.deliveries }
    }
}

#[derive(Serialize, ToSchema)]
struct PublishedAlerts {
    /// The event of each alert. An alert that came before, and says nothing new, has the event of then, or none.
    events: Vec<PublishedView>,
}
