//! Answers calls of the HTTP API, with the same routers as on one machine.

use axum::Router;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, LambdaEvent, Service};
use lambda_runtime::Error;
use serde_json::Value;

use crate::{Host, Payload};

/// Answers a call from API Gateway.
///
/// # Errors
/// Fails if the payload is not such a call.
pub async fn answer_http(host: &Host, router: Router, event: Payload) -> Result<Value, Error> {
    let LambdaEvent { payload, context } = event;
    let request: LambdaRequest = serde_json::from_str(payload.get())?;
    let mut adapter = Adapter::from(router);
    let answer = adapter.call(LambdaEvent::new(request, context)).await?;
    host.emf.flush(host.clock.now());
    Ok(serde_json::to_value(answer)?)
}
