//! `/v1/webhooks`: registered endpoints and the actions on them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use statuspulse_core::access::Urls;
use statuspulse_core::admin::commands::{NewSecret, NewWebhook};
use statuspulse_core::admin::preview::Preview;
use statuspulse_core::admin::query::WebhookPage;
use statuspulse_core::admin::rotate::Rotated;
use statuspulse_core::error::Result;
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::surrogates::Readable;
use statuspulse_core::webhook::Webhook;
use utoipa::ToSchema;

use crate::auth::{Manages, Reads};
use crate::idempotency::once;
use crate::openapi::wire;
use crate::page::{List, PageView};
use crate::path::Id;
use crate::query::Query;
use crate::test_result::TestView;
use crate::{Answer, Api, body};

mod fields;
pub(crate) mod openapi;
mod view;

use view::{AuditEntryView, CreatedView, WebhookView};

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/webhooks", post(create).get(list))
        .route("/v1/webhooks/{id}", get(show).patch(update).delete(remove))
        .route("/v1/webhooks/{id}/verify", post(verify))
        .route("/v1/webhooks/{id}/pause", post(pause))
        .route("/v1/webhooks/{id}/resume", post(resume))
        .route("/v1/webhooks/{id}/retry", post(retry))
        .route("/v1/webhooks/{id}/rotate-secret", post(rotate_secret))
        .route("/v1/webhooks/{id}/rotate-secret/finish", post(finish_rotation))
        .route("/v1/webhooks/{id}/rotate-secret/cancel", post(cancel_rotation))
        .route("/v1/webhooks/{id}/audit-log", get(audit_log))
        .route("/v1/webhooks/{id}/test", post(send_test))
        .route("/v1/webhooks/{id}/preview", post(preview))
        .route("/v1/webhooks/{id}/explain", get(explain))
}

async fn create(State(api): State<Api>, Manages(by): Manages, headers: HeaderMap, body: Body) -> Answer {
    let body = body::read(body).await?;
    let asked = fields::new_webhook(&body)?;
    let once = once(&api, by.account_id.to_bytes(), "POST /v1/webhooks", &headers, &body).await?;
    let asked = NewWebhook { once, ..asked };
    let webhook = api.admin.register(by, asked).await?;
    let location = [(LOCATION, format!("/v1/webhooks/{}", webhook.id))];
    let view = CreatedView {
        shown: view(&api, &webhook, Urls::Whole).await?,
        secret: webhook.keys.current().reveal(),
    };
    Ok((StatusCode::CREATED, location, Json(view)).into_response())
}

async fn list(State(api): State<Api>, Reads(account, urls): Reads, RawQuery(query): RawQuery) -> Answer {
    let mut query = Query::of(query.as_deref());
    let list = List::new(&api.cursor_key, account, "webhooks");
    let requested = list.page_request(&mut query);
    query.finish()?;
    let WebhookPage { page, unreadable } =
        api.admin.webhook_page(account, requested.after.map(WebhookId::from_bytes), requested.limit).await?;
    let mut data = Vec::with_capacity(page.items.len());
    for webhook in &page.items {
        data.push(view(&api, webhook, urls).await?);
    }
    let page = list.view(data, page.next.map(WebhookId::to_bytes));
    Ok(Json(ListView { page, unreadable }).into_response())
}

/// A page of webhooks.
#[derive(Serialize)]
struct ListView<'a> {
    #[serde(flatten)]
    page: PageView<WebhookView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<WebhookId>,
}

async fn show(State(api): State<Api>, Reads(account, urls): Reads, Id(id): Id<WebhookId>) -> Answer {
    let webhook = api.admin.webhook(account, id).await?;
    shown(&api, &webhook, urls).await
}

async fn update(State(api): State<Api>, Manages(by): Manages, Id(id): Id<WebhookId>, body: Body) -> Answer {
    known(&api, by.account_id, id).await?;
    let patch = fields::patch(&body::read(body).await?)?;
    let webhook = api.admin.update(by, id, patch).await?;
    shown(&api, &webhook, Urls::Whole).await
}

async fn remove(State(api): State<Api>, Manages(by): Manages, Id(id): Id<WebhookId>) -> Answer {
    api.admin.delete(by, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn verify(State(api): State<Api>, Manages(by): Manages, Id(id): Id<WebhookId>, body: Body) -> Answer {
    known(&api, by.account_id, id).await?;
    body::read_nothing(body).await?;
    let webhook = api.admin.verify(by, id).await?;
    shown(&api, &webhook, Urls::Whole).await
}

async fn pause(State(api): State<Api>, Manages(by): Manages, Id(id): Id<WebhookId>, body: Body) -> Answer {
    known(&api, by.account_id, id).await?;
    body::read_nothing(body).await?;
    let webhook = api.admin.pause(by, id).await?;
    shown(&api, &webhook, Urls::Whole).await
}

async fn retry(State(api): State<Api>, Manages(by): Manages, Id(id): Id<WebhookId>, body: Body) -> Answer {
    known(&api, by.account_id, id).await?;
    body::read_nothing(body).await?;
    let retried = api.admin.retry(by, id).await?;
    Ok((StatusCode::ACCEPTED, Json(RetriedView { retried })).into_response())
}

async fn resume(State(api): State<Api>, Manages(by): Manages, Id(id): Id<WebhookId>, body: Body) -> Answer {
    known(&api, by.account_id, id).await?;
    let held = fields::held(&body::read_optional(body).await?)?;
    let held = api.admin.resume(by, id, held).await?;
    Ok(Json(ResumedView { status: "active", held }).into_response())
}

async fn rotate_secret(
    State(api): State<Api>,
    Manages(by): Manages,
    Id(id): Id<WebhookId>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    known(&api, by.account_id, id).await?;
    let body = body::read_optional(body).await?;
    let asked = fields::new_secret(&body)?;
    let call = format!("POST /v1/webhooks/{id}/rotate-secret");
    let once = once(&api, by.account_id.to_bytes(), &call, &headers, &body).await?;
    let asked = NewSecret { once, ..asked };
    let Rotated { secret, until, choice } = api.admin.rotate_secret(by, id, asked).await?;
    let view = RotatedView {
        secret: secret.reveal(),
        window_ends_at: until,
        style: choice.style().name(),
        reason: choice.reason(),
    };
    Ok(Json(view).into_response())
}

async fn finish_rotation(
    State(api): State<Api>,
    Manages(by): Manages,
    Id(id): Id<WebhookId>,
    body: Body,
) -> Answer {
    known(&api, by.account_id, id).await?;
    body::read_nothing(body).await?;
    let webhook = api.admin.finish_rotation(by, id).await?;
    shown(&api, &webhook, Urls::Whole).await
}

async fn cancel_rotation(
    State(api): State<Api>,
    Manages(by): Manages,
    Id(id): Id<WebhookId>,
    body: Body,
) -> Answer {
    known(&api, by.account_id, id).await?;
    body::read_nothing(body).await?;
    let webhook = api.admin.cancel_rotation(by, id).await?;
    shown(&api, &webhook, Urls::Whole).await
}

/// The latest entries. There are few, so all are on one page, in the same form as other lists.
async fn audit_log(State(api): State<Api>, Reads(account, _): Reads, Id(id): Id<WebhookId>) -> Answer {
    let webhook = api.admin.webhook(account, id).await?;
    let log = api.admin.audit_log(&webhook).await?;
    let list = List::new(&api.cursor_key, account, "audit-log");
    Ok(list.page(log.iter().map(AuditEntryView::of).collect(), None))
}

async fn send_test(
    State(api): State<Api>,
    Manages(by): Manages,
    Id(id): Id<WebhookId>,
    body: Body,
) -> Answer {
    known(&api, by.account_id, id).await?;
    let (event_type, secrets) = fields::test(&body::read_optional(body).await?)?;
    let tested = api.admin.send_test(by.account_id, id, event_type, secrets).await?;
    let view = TestedView { result: TestView::of(&tested.result), request: PreviewView::of(&tested.request) };
    Ok(Json(view).into_response())
}

async fn preview(
    State(api): State<Api>,
    Reads(account, urls): Reads,
    Id(id): Id<WebhookId>,
    body: Body,
) -> Answer {
    known(&api, account, id).await?;
    let body = body::read_optional_up_to(limits::ENVELOPE_BYTES, body).await?;
    let readable = Readable::of(&body);
    let preview = api.admin.preview((account, urls), id, fields::preview(&readable)?).await?;
    Ok(Json(PreviewView::of(&preview)).into_response())
}

/// `monitor_groups` is split at commas; `monitor_group` is a single name that may contain commas.
async fn explain(
    State(api): State<Api>,
    Reads(account, _): Reads,
    Id(id): Id<WebhookId>,
    RawQuery(query): RawQuery,
) -> Answer {
    known(&api, account, id).await?;
    let mut query = Query::of(query.as_deref());
    let lists = query.texts("monitor_groups");
    let listed = lists.iter().flat_map(|list| list.split(',')).filter(|name| !name.is_empty());
    let named = query.texts("monitor_group").into_iter().map(Cow::into_owned);
    let groups = listed.map(str::to_owned).chain(named).collect();
    let event = query.text("event").unwrap_or_else(|| {
        query.refuse("event", "is required: an event type or an event id");
        "".into()
    });
    query.finish()?;
    let explanation = api.admin.explain(account, id, &event, groups).await?;
    let view = ExplanationView {
        would_receive: explanation.rule.is_none(),
        rule: explanation.rule,
        reason: &explanation.reason,
    };
    Ok(Json(view).into_response())
}

/// Fails with 404 if the account has no such webhook. Handlers call it before they read the body or the parameters, so
/// that an unknown webhook is a 404 whatever these contain. The use case checks again.
pub(crate) async fn known(api: &Api, account: AccountId, id: WebhookId) -> Result<()> {
    api.admin.webhook(account, id).await.map(drop)
}

async fn shown(api: &Api, webhook: &Webhook, urls: Urls) -> Answer {
    Ok(Json(view(api, webhook, urls).await?).into_response())
}

/// Reads the number of held deliveries only if there can be any: the webhook is paused or has a job. This saves a
/// list one query per active webhook.
async fn view<'a>(api: &Api, webhook: &'a Webhook, urls: Urls) -> Result<WebhookView<'a>> {
    let may_hold = webhook.job.is_some() || view::pause_of(webhook).is_some();
    let held = if may_hold { api.admin.held(webhook.id).await? } else { 0 };
    Ok(WebhookView::of((webhook, urls), held, api.admin.clock.now()))
}

#[derive(Serialize, ToSchema)]
#[schema(as = Preview)]
struct PreviewView<'a> {
    method: &'static str,
    url: &'a str,
    /// The values of custom headers are hidden. A preview also hides the signatures.
    #[schema(value_type = BTreeMap<String, String>)]
    headers: BTreeMap<&'a str, &'a str>,
    /// As text. A routing key is hidden.
    body: &'a str,
}

impl<'a> PreviewView<'a> {
    fn of(preview: &'a Preview) -> Self {
        let headers = preview.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self { method: "POST", url: &preview.url, headers, body: &preview.body }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Tested)]
struct TestedView<'a> {
    #[serde(flatten)]
    result: TestView<'a>,
    /// The request that was sent.
    request: PreviewView<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Resumed)]
struct ResumedView {
    #[schema(value_type = wire::WebhookStatus)]
    status: &'static str,
    /// How many deliveries were held.
    held: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Retried)]
struct RetriedView {
    /// How many deliveries waited for a retry; at most 1,000 are counted.
    retried: u64,
}

/// Contains the new secret. Only this answer and the one of a creation show a secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Rotated)]
struct RotatedView<'a> {
    /// The new secret. It is shown only here.
    #[schema(value_type = wire::Secret)]
    secret: &'a str,
    /// When the old secret stops signing.
    #[schema(value_type = wire::Time)]
    window_ends_at: Timestamp,
    /// How both secrets sign until then.
    #[schema(value_type = wire::RotationStyle)]
    style: &'static str,
    /// Why it is this style, as sentences.
    reason: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Explanation)]
struct ExplanationView<'a> {
    would_receive: bool,
    /// The rule that excludes the event; null if the webhook would receive it.
    #[schema(value_type = Option<wire::Rule>, required = true)]
    rule: Option<&'static str>,
    /// A sentence that explains the result.
    reason: &'a str,
}
