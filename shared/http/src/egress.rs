//! `/v1/egress-ips`: the addresses deliveries come from. Public: it goes into firewalls, whose keepers have
//! no key.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::Api;
use crate::openapi::{Operation, wire};

pub(crate) fn routes() -> Router<Api> {
    Router::new().route("/v1/egress-ips", get(list))
}

/// All of them: a handful, in the form of a list with one page.
async fn list(State(api): State<Api>) -> Json<Value> {
    Json(json!({ "data": api.admin.deployment.egress_ips, "next_cursor": null }))
}

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            "service",
            "get",
            "/v1/egress-ips",
            "listEgressIps",
            "List the addresses attempts leave from",
        )
        .describe(
            "For firewalls, whose keepers have no key. All of them, in the form of a list with one page.",
        )
        .lists::<wire::Address>("The addresses.", &"104.21.45.112".into()),
    ]
}
