//! `/v1/accounts`, where an operator creates accounts, and `/v1/account`, the account of the caller.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use statuspulse_core::access::Account;
use statuspulse_core::admin::commands::{AccountPatch, NewAccount};
use statuspulse_core::error::Result;
use statuspulse_core::fields::Fields;
use statuspulse_core::ids::{AccountId, KeyId};
use statuspulse_core::target::EndpointUrl;
use utoipa::ToSchema;

use crate::auth::{CreatesAccounts, Manages, Reads};
use crate::idempotency::once;
use crate::openapi::wire;
use crate::test_result::TestView;
use crate::{Answer, Api, body, quotas};

pub(crate) mod openapi;

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/accounts", post(create))
        .route("/v1/account", get(show).patch(update))
        .route("/v1/account/slack/test", post(test_slack))
}

async fn create(
    State(api): State<Api>,
    CreatesAccounts(caller): CreatesAccounts,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = body::read(body).await?;
    let asked = new_account(&body)?;
    let operator = caller.key_id.map_or([0; 16], KeyId::to_bytes);
    let once = once(&api, operator, "POST /v1/accounts", &headers, &body).await?;
    let asked = NewAccount { once, ..asked };
    let (account, key) = api.admin.create_account(caller, asked).await?;
    let view = CreatedView { account: AccountView::of(&account), key: key.reveal() };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

async fn show(State(api): State<Api>, Reads(account, _): Reads) -> Answer {
    let account = api.admin.account(account).await?;
    Ok(Json(AccountView::of(&account)).into_response())
}

async fn update(State(api): State<Api>, Manages(by): Manages, body: Body) -> Answer {
    let patch = patch(&body::read(body).await?)?;
    let account = api.admin.update_account(by, patch).await?;
    Ok(Json(AccountView::of(&account)).into_response())
}

async fn test_slack(State(api): State<Api>, Manages(by): Manages, body: Body) -> Answer {
    body::read_nothing(body).await?;
    let result = api.admin.test_slack(by.account_id).await?;
    Ok(Json(TestView::of(&result)).into_response())
}

fn new_account(body: &[u8]) -> Result<NewAccount> {
    let mut fields = Fields::of_body(body)?;
    Ok(NewAccount {
        name: fields.text("name").map(String::from),
        allowed_domains: fields.texts("allowed_domains").unwrap_or_default(),
        once: None,
        refused: fields.into_refused(),
    })
}

/// A `null` removes the restriction to domains, or the Slack channel.
fn patch(body: &[u8]) -> Result<AccountPatch> {
    let mut fields = Fields::of_body(body)?;
    Ok(AccountPatch {
        allowed_domains: fields
            .has("allowed_domains")
            .then(|| fields.texts("allowed_domains").unwrap_or_default()),
        slack_url: fields.has("slack_url").then(|| fields.text("slack_url").map(String::from)),
        refused: fields.into_refused(),
    })
}

#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
struct AccountView<'a> {
    #[schema(value_type = wire::AccountId)]
    id: AccountId,
    name: &'a str,
    /// The domains that webhooks are restricted to; empty means no restriction. `*.statuspulse.io` is always allowed.
    #[schema(value_type = Vec<String>)]
    allowed_domains: &'a [String],
    /// The Slack channel of the account's engineers. The secret part of the URL is hidden.
    #[schema(required = true)]
    slack_url: Option<String>,
    /// What the account may use, by the name of the quota.
    #[schema(value_type = BTreeMap<String, u64>)]
    quotas: BTreeMap<&'static str, u64>,
    #[schema(value_type = wire::Time)]
    created_at: Timestamp,
}

impl<'a> AccountView<'a> {
    fn of(account: &'a Account) -> Self {
        Self {
            id: account.id,
            name: &account.name,
            allowed_domains: account.allowed_domains.as_strings(),
            slack_url: account.slack.as_ref().map(EndpointUrl::redacted),
            quotas: quotas::view(&account.quotas),
            created_at: account.created_at,
        }
    }
}

/// A new account. Only this answer contains its first key.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedAccount)]
struct CreatedView<'a> {
    #[serde(flatten)]
    account: AccountView<'a>,
    /// The first admin key of the account. It is shown only here.
    key: &'a str,
}
