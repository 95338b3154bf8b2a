//! `/v1/keys`: the API keys of the caller's account; `/v1/accounts/{id}/keys`: those of any account, for operators. The key
//! itself is only in the answer that creates it.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use statuspulse_core::access::{ApiKey, KeyText};
use statuspulse_core::admin::commands::NewKey;
use statuspulse_core::error::Result;
use statuspulse_core::fields::Fields;
use statuspulse_core::ids::{AccountId, KeyId};
use utoipa::ToSchema;

use crate::auth::{Manages, ManagesKeys, Reads};
use crate::idempotency::once;
use crate::openapi::wire;
use crate::page::List;
use crate::path::{Id, Ids};
use crate::query::Query;
use crate::{Answer, Api, body};

pub(crate) mod openapi;

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/keys", post(create).get(list))
        .route("/v1/keys/{id}", delete(revoke))
        .route("/v1/accounts/{id}/keys", post(create_of).get(list_of))
        .route("/v1/accounts/{id}/keys/{key_id}", delete(revoke_of))
}

async fn create(State(api): State<Api>, Manages(by): Manages, headers: HeaderMap, body: Body) -> Answer {
    let body = body::read(body).await?;
    let asked = new_key(&body)?;
    let once = once(&api, by.account_id.to_bytes(), "POST /v1/keys", &headers, &body).await?;
    let asked = NewKey { once, ..asked };
    let (key, text) = api.admin.create_key(by, asked).await?;
    Ok(created(&key, &text))
}

async fn create_of(
    State(api): State<Api>,
    ManagesKeys(caller): ManagesKeys,
    Id(account): Id<AccountId>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = body::read(body).await?;
    let asked = new_key(&body)?;
    let operator = caller.key_id.map_or([0; 16], KeyId::to_bytes);
    let call = format!("POST /v1/accounts/{account}/keys");
    let once = once(&api, operator, &call, &headers, &body).await?;
    let (key, text) = api.admin.create_key_of(caller, account, NewKey { once, ..asked }).await?;
    Ok(created(&key, &text))
}

fn created(key: &ApiKey, text: &KeyText) -> Response {
    let view = CreatedView { key: text.reveal(), shown: KeyView::of(key) };
    (StatusCode::CREATED, Json(view)).into_response()
}

/// Oldest first. The list is paged, because it includes revoked keys, whose number is not limited.
async fn list(State(api): State<Api>, Reads(account, _): Reads, RawQuery(query): RawQuery) -> Answer {
    page(&api, account, query.as_deref(), api.admin.keys(account)).await
}

async fn list_of(
    State(api): State<Api>,
    ManagesKeys(caller): ManagesKeys,
    Id(account): Id<AccountId>,
    RawQuery(query): RawQuery,
) -> Answer {
    page(&api, account, query.as_deref(), api.admin.keys_of(caller, account)).await
}

async fn page(
    api: &Api,
    account: AccountId,
    query: Option<&str>,
    keys: impl Future<Output = Result<Vec<ApiKey>>>,
) -> Answer {
    let mut query = Query::of(query);
    let list = List::new(&api.cursor_key, account, "keys");
    let requested = list.page_request(&mut query);
    query.finish()?;
    let keys = keys.await?;
    let after = requested.after.map(KeyId::from_bytes);
    let mut rest = keys.iter().filter(|key| after.is_none_or(|after| key.id > after));
    let data: Vec<_> = rest.by_ref().take(requested.limit).map(KeyView::of).collect();
    let next = rest.next().and_then(|_| data.last()).map(|key| key.id.to_bytes());
    Ok(list.page(data, next))
}

async fn revoke(State(api): State<Api>, Manages(by): Manages, Id(id): Id<KeyId>) -> Answer {
    api.admin.revoke_key(by, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn revoke_of(
    State(api): State<Api>,
    ManagesKeys(caller): ManagesKeys,
    Ids(account, id): Ids<AccountId, KeyId>,
) -> Answer {
    api.admin.revoke_key_of(caller, account, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn new_key(body: &[u8]) -> Result<NewKey> {
    let mut fields = Fields::of_body(body)?;
    Ok(NewKey {
        role: fields.text("role").map(String::from),
        name: fields.text("name").map(String::from),
        expires_at: fields.timestamp("expires_at"),
        once: None,
        refused: fields.into_refused(),
    })
}

#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
struct KeyView<'a> {
    #[schema(value_type = wire::KeyId)]
    id: KeyId,
    /// What the key is for.
    #[schema(required = true)]
    name: Option<&'a str>,
    /// The first characters of the key, to identify it.
    prefix: &'a str,
    #[schema(value_type = wire::AccountRole)]
    role: &'static str,
    #[schema(value_type = wire::Time)]
    created_at: Timestamp,
    #[schema(value_type = Option<wire::Time>, required = true)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<wire::Time>, required = true)]
    revoked_at: Option<Timestamp>,
    /// When the key was used last, up to ten minutes before its latest use. Null if it was never used, or not since this is
    /// remembered.
    #[schema(value_type = Option<wire::Time>, required = true)]
    last_used_at: Option<Timestamp>,
}

impl<'a> KeyView<'a> {
    fn of(key: &'a ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name.as_deref(),
            prefix: &key.prefix,
            role: key.role.name(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// A new key. Only this answer contains the key itself.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedKey)]
struct CreatedView<'a> {
    #[serde(flatten)]
    shown: KeyView<'a>,
    /// The key itself. It is shown only here.
    key: &'a str,
}
