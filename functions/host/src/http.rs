//! Answers calls of the HTTP API, with the same routers as on one machine.

use axum::Router;
use axum::extract::Request;
use axum::middleware::map_request;
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Adapter, LambdaEvent, Service};
use lambda_runtime::Error;
use serde_json::Value;
use statuspulse_core::access::ClientAddress;

use crate::{Host, Payload};

/// Tells the router the address of the client, which API Gateway knows.
async fn with_address(mut request: Request) -> Request {
    let context = request.extensions().get::<RequestContext>();
    let address = match context {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref(),
        _ => None,
    };
    if let Some(address) = address.and_then(|address| address.parse().ok()) {
        request.extensions_mut().insert(ClientAddress(address));
    }
    request
}

/// Answers a call from API Gateway.
///
/// # Errors
/// Fails if the payload is not such a call.
pub async fn answer_http(host: &Host, router: Router, event: Payload) -> Result<Value, Error> {
    let LambdaEvent { payload, context } = event;
    let request: LambdaRequest = serde_json::from_str(payload.get())?;
    let mut adapter = Adapter::from(router.layer(map_request(with_address)));
    let answer = adapter.call(LambdaEvent::new(request, context)).await?;
    host.emf.flush(host.clock.now());
    Ok(serde_json::to_value(answer)?)
}
