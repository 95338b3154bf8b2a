//! `/v1/accounts/{id}/quotas`, where an operator sets what an account may use.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use statuspulse_core::access::Action;
use statuspulse_core::admin::quotas::QuotaPatch;
use statuspulse_core::error::Result;
use statuspulse_core::fields::Fields;
use statuspulse_core::ids::AccountId;
use statuspulse_core::limits;
use statuspulse_core::quota::{Quota, Quotas};

use crate::auth::SetsQuotas;
use crate::openapi::operation::Operation;
use crate::openapi::wire::{self, ACCOUNT, closed, or_null};
use crate::path::Id;
use crate::{Answer, Api, body};

pub(crate) fn routes() -> Router<Api> {
    Router::new().route("/v1/accounts/{id}/quotas", get(show).patch(change))
}

async fn show(State(api): State<Api>, SetsQuotas(caller): SetsQuotas, Id(account): Id<AccountId>) -> Answer {
    let quotas = api.admin.quotas(caller, account).await?;
    Ok(Json(view(&quotas)).into_response())
}

async fn change(
    State(api): State<Api>,
    SetsQuotas(caller): SetsQuotas,
    Id(account): Id<AccountId>,
    body: Body,
) -> Answer {
    let patch = patch(&body::read(body).await?)?;
    let quotas = api.admin.set_quotas(caller, account, patch).await?;
    Ok(Json(view(&quotas)).into_response())
}

/// The quotas by name.
pub(crate) fn view(quotas: &Quotas) -> BTreeMap<&'static str, u64> {
    Quota::ALL.iter().map(|quota| (quota.name(), quotas.of(*quota))).collect()
}

/// A `null` returns a quota to its default.
fn patch(body: &[u8]) -> Result<QuotaPatch> {
    let mut fields = Fields::of_body(body)?;
    let mut quotas = vec![];
    for quota in Quota::ALL.iter().copied().filter(|quota| fields.has(quota.name())).collect::<Vec<_>>() {
        if fields.is_null(quota.name()) {
            fields.raw(quota.name());
            quotas.push((quota, None));
        } else {
            quotas
                .extend(fields.get(quota.name(), "a whole number from 0").map(|value| (quota, Some(value))));
        }
    }
    Ok(QuotaPatch { quotas, refused: fields.into_refused() })
}

pub(crate) fn operations() -> Vec<Operation> {
    let operation = |method, id, summary| {
        Operation::new("account", method, "/v1/accounts/{id}/quotas", id, summary)
            .by(Action::SetQuotas)
            .id::<wire::AccountId>("id", ACCOUNT)
    };
    let nullable = Quota::ALL.iter().map(|quota| (quota.name(), or_null(schema_of(*quota))));
    let change = closed(&[], nullable);
    let shown = json!(view(&Quotas::default()));
    let answers = |operation: Operation, description| {
        operation.answers_with("application/json", description, &schema(), Some(&shown))
    };
    vec![
        answers(operation("get", "getQuotas", "Show the quotas of an account"), "The quotas."),
        answers(
            operation("patch", "setQuotas", "Set quotas of an account")
                .describe("Quotas that are left out keep their values. `null` returns one to its default.")
                .body("QuotaChange", change, limits::REQUEST_BYTES, &json!({ "webhooks_per_host": 50 })),
            "The changed quotas.",
        ),
    ]
}

/// The schema of all quotas.
pub(crate) fn schema() -> Value {
    let names: Vec<&str> = Quota::ALL.iter().map(|quota| quota.name()).collect();
    closed(&names, Quota::ALL.iter().map(|quota| (quota.name(), schema_of(*quota))))
}

fn schema_of(quota: Quota) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": quota.meaning() })
}
