//! `/v1/egress-ips`: the addresses deliveries come from. Public: it goes into firewalls, whose keepers have
//! no key.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::Api;

pub(crate) fn routes() -> Router<Api> {
    Router::new().route("/v1/egress-ips", get(list))
}

/// All of them: a handful, in the form of a list with one page.
async fn list(State(api): State<Api>) -> Json<Value> {
    Json(json!({ "data": api.engine.deployment.egress_ips, "next_cursor": null }))
}
