//! `/v1/egress-ips`: the addresses that requests come from. It needs no key, because people who configure firewalls
//! have none.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::Api;
use crate::openapi::operation::Operation;
use crate::openapi::wire;

pub(crate) fn routes() -> Router<Api> {
    Router::new().route("/v1/egress-ips", get(list))
}

/// All addresses on one page: there are only a few.
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
            "List the addresses that requests come from",
        )
        .describe("For firewall rules. All addresses are on one page.")
        .lists::<wire::Address>("The addresses.", &"104.21.45.112".into()),
    ]
}
