//! Deliveries with their attempts, and redelivery. A delivery has two paths: below its webhook, and by its id alone,
//! for callers who only know the `X-StatusPulse-Delivery-Id` of a request.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use statuspulse_core::admin::query::DeliverySearch;
use statuspulse_core::attempt::{Attempt, Class};
use statuspulse_core::delivery::{AttemptFilter, Delivery, DeliveryFilter, Status};
use statuspulse_core::error::Result;
use statuspulse_core::event::EventType;
use statuspulse_core::fields::Fields;
use statuspulse_core::ids::{AccountId, DeliveryId, EventId, WebhookId};
use statuspulse_core::limits;
use utoipa::ToSchema;

use crate::auth::{Manages, Reads};
use crate::header::HeaderView;
use crate::openapi::wire;
use crate::page::List;
use crate::path::{Id, Ids};
use crate::query::Query;
use crate::webhooks::known;
use crate::{Answer, Api, body, millis};

pub(crate) mod openapi;

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/webhooks/{id}/deliveries", get(list))
        .route("/v1/webhooks/{id}/deliveries/{delivery_id}", get(show))
        .route("/v1/webhooks/{id}/deliveries/{delivery_id}/redeliver", post(redeliver))
        .route("/v1/webhooks/{id}/redeliver", post(redeliver_failed))
        .route("/v1/deliveries", get(search))
        .route("/v1/deliveries/{delivery_id}", get(show_by_id))
        .route("/v1/deliveries/{delivery_id}/redeliver", post(redeliver_by_id))
}

async fn list(
    State(api): State<Api>,
    Reads(account, _): Reads,
    Id(webhook): Id<WebhookId>,
    RawQuery(query): RawQuery,
) -> Answer {
    known(&api, account, webhook).await?;
    let mut query = Query::of(query.as_deref());
    let search = DeliverySearch { webhook: Some(webhook), filter: filter(&mut query), ..Default::default() };
    page(&api, account, query, &search).await
}

async fn search(State(api): State<Api>, Reads(account, _): Reads, RawQuery(query): RawQuery) -> Answer {
    let mut query = Query::of(query.as_deref());
    let search = DeliverySearch {
        webhook: query.id("webhook_id"),
        event: query.id("event_id"),
        delivery: query.id("delivery_id"),
        filter: filter(&mut query),
    };
    page(&api, account, query, &search).await
}

async fn page(api: &Api, account: AccountId, mut query: Query<'_>, search: &DeliverySearch) -> Answer {
    let list = List::new(&api.cursor_key, account, scope(search));
    let requested = list.page_request(&mut query);
    query.finish()?;
    let after = requested.after.map(DeliveryId::from_bytes);
    let page = api.admin.search_deliveries(account, search, after, requested.limit).await?;
    let shown = &page.items[..how_many_fit(&page.items)];
    let next = if shown.len() < page.items.len() { shown.last().map(|last| last.id) } else { page.next };
    Ok(list.page(shown.iter().map(DeliveryView::of).collect(), next.map(DeliveryId::to_bytes)))
}

/// How many of these deliveries fit into one answer of [`limits::PAGE_BYTES`]; at least one. Deliveries are long if an
/// endpoint fails often and answers with long bodies.
fn how_many_fit(deliveries: &[Delivery]) -> usize {
    let mut bytes = 0;
    let fits = |delivery: &&Delivery| {
        bytes += serde_json::to_vec(&DeliveryView::of(delivery)).map_or(0, |json| json.len());
        bytes <= limits::PAGE_BYTES
    };
    deliveries.iter().take_while(fits).count().max(1).min(deliveries.len())
}

async fn show(
    State(api): State<Api>,
    Reads(account, _): Reads,
    Ids(webhook, id): Ids<WebhookId, DeliveryId>,
) -> Answer {
    let delivery = api.admin.delivery(account, webhook, id).await?;
    Ok(Json(DeliveryView::of(&delivery)).into_response())
}

async fn show_by_id(State(api): State<Api>, Reads(account, _): Reads, Id(id): Id<DeliveryId>) -> Answer {
    let delivery = api.admin.delivery_by_id(account, id).await?;
    Ok(Json(DeliveryView::of(&delivery)).into_response())
}

async fn redeliver(
    State(api): State<Api>,
    Manages(by): Manages,
    Ids(webhook, id): Ids<WebhookId, DeliveryId>,
    body: Body,
) -> Answer {
    api.admin.delivery(by.account_id, webhook, id).await?;
    body::read_nothing(body).await?;
    accepted(&api.admin.redeliver(by, webhook, id).await?)
}

async fn redeliver_by_id(
    State(api): State<Api>,
    Manages(by): Manages,
    Id(id): Id<DeliveryId>,
    body: Body,
) -> Answer {
    let delivery = api.admin.delivery_by_id(by.account_id, id).await?;
    body::read_nothing(body).await?;
    accepted(&api.admin.redeliver(by, delivery.webhook_id, id).await?)
}

async fn redeliver_failed(
    State(api): State<Api>,
    Manages(by): Manages,
    Id(webhook): Id<WebhookId>,
    body: Body,
) -> Answer {
    known(&api, by.account_id, webhook).await?;
    let since = since_field(&body::read(body).await?)?;
    let deliveries = api.admin.redeliver_failed(by, webhook, since).await?;
    Ok((StatusCode::ACCEPTED, Json(RedeliveredView { deliveries })).into_response())
}

fn accepted(delivery: &Delivery) -> Answer {
    Ok((StatusCode::ACCEPTED, Json(DeliveryView::of(delivery))).into_response())
}

fn filter(query: &mut Query<'_>) -> DeliveryFilter {
    DeliveryFilter {
        status: query.one_of("status", Status::from_name, || {
            Status::ALL.iter().map(|each| each.name()).collect::<Vec<_>>().join(", ")
        }),
        event_type: query.one_of("event_type", EventType::from_name, EventType::names),
        incident_id: query.text("incident_id").map(String::from),
        since: query.timestamp("since"),
        until: query.timestamp("until"),
        attempts: AttemptFilter {
            failed: query.boolean("has_failed_attempt"),
            class: query.one_of("class", Class::from_name, || {
                Class::ALL.iter().map(|each| each.name()).collect::<Vec<_>>().join(", ")
            }),
            status_code: query.status_code("status_code"),
        },
    }
}

/// The search as one string, unique for each. `{:?}` quotes the incident id, so that it cannot imitate another search.
fn scope(search: &DeliverySearch) -> String {
    format!("deliveries\n{search:?}")
}

fn since_field(body: &[u8]) -> Result<Timestamp> {
    let mut fields = Fields::of_body(body)?;
    let since = fields.timestamp("since");
    let since = fields.require("since", since);
    fields.into_refused().accept(since, &[])
}

#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
struct DeliveryView<'a> {
    #[schema(value_type = wire::DeliveryId)]
    id: DeliveryId,
    #[schema(value_type = wire::EventId)]
    event_id: EventId,
    #[schema(value_type = wire::EventType)]
    event_type: &'static str,
    incident_id: &'a str,
    #[schema(value_type = wire::WebhookId)]
    webhook_id: WebhookId,
    #[schema(value_type = wire::DeliveryStatus)]
    status: &'static str,
    /// When the event was accepted.
    #[schema(value_type = wire::Time)]
    accepted_at: Timestamp,
    /// Why the latest round of attempts was started or, for a held delivery, will be.
    #[schema(value_type = wire::Trigger)]
    trigger: &'static str,
    /// When the next attempt is due; null if none is scheduled.
    #[schema(value_type = Option<wire::Time>, required = true)]
    next_attempt_at: Option<Timestamp>,
    /// Whether the next attempt is late because we could not make it in time. This says nothing about the endpoint.
    delayed: bool,
    /// Oldest first.
    attempts: Vec<AttemptView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
struct AttemptView<'a> {
    /// The position in the retry schedule, 1 to 5.
    number: u8,
    /// Why this round of attempts was started.
    #[schema(value_type = wire::Trigger)]
    trigger: &'static str,
    #[schema(value_type = wire::Time)]
    at: Timestamp,
    /// The status of the response; null if there was none.
    #[schema(required = true)]
    status_code: Option<u16>,
    /// The class of the failure; null for a success.
    #[schema(value_type = Option<wire::FailureClass>, required = true)]
    class: Option<&'static str>,
    /// Why it failed, as a sentence; null for a success.
    #[schema(required = true)]
    reason: Option<&'a str>,
    duration_ms: u64,
    /// The headers of the response: names and values, at most 1 KiB together.
    response_headers: Vec<HeaderView<'a>>,
    /// The start of the response body, as text. The oldest are dropped when a delivery has more than 16 KiB of answers.
    #[schema(required = true)]
    response: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Redelivered)]
struct RedeliveredView {
    /// The number of deliveries that are sent again.
    deliveries: u64,
}

impl<'a> DeliveryView<'a> {
    fn of(delivery: &'a Delivery) -> Self {
        Self {
            id: delivery.id,
            event_id: delivery.event_id,
            event_type: delivery.event_type.name(),
            incident_id: &delivery.incident_id,
            webhook_id: delivery.webhook_id,
            status: delivery.status().name(),
            accepted_at: delivery.accepted_at,
            trigger: delivery.trigger.name(),
            next_attempt_at: delivery.due_attempt().map(|(_, at)| at),
            delayed: delivery.delayed,
            attempts: delivery.attempts.iter().map(AttemptView::of).collect(),
        }
    }
}

impl<'a> AttemptView<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        let failure = attempt.failure.as_ref();
        Self {
            number: attempt.number,
            trigger: attempt.trigger.name(),
            at: attempt.at,
            status_code: attempt.status_code,
            class: failure.map(|failure| failure.class.name()),
            reason: failure.map(|failure| failure.reason.as_str()),
            duration_ms: millis(attempt.duration),
            response_headers: attempt.response_headers.iter().map(HeaderView::of).collect(),
            response: attempt.response.as_deref(),
        }
    }
}
