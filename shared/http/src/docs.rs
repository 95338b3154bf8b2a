//! `/openapi.json`, the API described for programs.

use serde_json::json;

use crate::openapi::Operation;

pub(crate) fn operations() -> Vec<Operation> {
    vec![Operation::new("service", "get", "/healthz", "getHealth", "Liveness").answers_text(
        "text/plain",
        "It is up.",
        &json!({ "type": "string" }),
    )]
}
