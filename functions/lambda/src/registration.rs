//! The HTTP API except publishing: webhooks, handshakes, secrets, pause and resume, deliveries, accounts and keys.
//!
//! The owner of the deployment invokes the function directly: `{"operator_key": {}}` creates an operator key, such as the
//! first key of a deployment. `{"recipient": {}}` and `{"import": …}` are what `statuspulse import` calls.
//! `{"rekey": {}}` does the next step of the replacement of the data key.

use lambda_runtime::{Error, service_fn};
use serde::Deserialize;
use serde_json::{Value, json};
use statuspulse_core::access::{ApiKey, Role};
use statuspulse_core::moving::import::Part;
use statuspulse_core::ports::Accounts;
use statuspulse_function_host::{Host, Payload, SqsQueue, answer_http};
use statuspulse_http::CursorKey;

/// A direct invocation by the deployment's owner. Calls of API Gateway have no such field.
#[derive(Deserialize)]
struct OwnersCall {
    operator_key: Option<Empty>,
    recipient: Option<Empty>,
    import: Option<Part>,
    rekey: Option<Empty>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

pub(crate) async fn run() -> Result<(), Error> {
    let host = Host::start(&SqsQueue::OF_API).await?;
    host.data_key.open_or_make().await?;
    let cursor_key = CursorKey::new(host.data_key.cursor_key().await?);
    let router = statuspulse_http::registration(host.admin()?, cursor_key);
    lambda_runtime::run(service_fn(async |event: Payload| {
        match serde_json::from_str::<OwnersCall>(event.payload.get())? {
            OwnersCall { operator_key: Some(Empty {}), .. } => make_operator_key(&host).await,
            OwnersCall { recipient: Some(Empty {}), .. } => {
                Ok(json!({"recipient": host.data_key.opener().await?.recipient().to_string()}))
            }
            OwnersCall { rekey: Some(Empty {}), .. } => {
                let done = host.data_key.rekey(&*host.random).await?;
                let again = done.again_in_seconds;
                Ok(json!({"step": done.step.name(), "sealed": done.sealed, "again_in_seconds": again}))
            }
            OwnersCall { import: Some(part), .. } => {
                Ok(serde_json::to_value(host.importer().await?.take(&part).await?)?)
            }
            OwnersCall { .. } => answer_http(&host, router.clone(), event).await,
        }
    }))
    .await
}

async fn make_operator_key(host: &Host) -> Result<Value, Error> {
    let (key, text) = ApiKey::generate(None, Role::Operator, None, host.clock.now(), &*host.random);
    host.store.create_key(&key, None).await?;
    Ok(json!({"id": key.id.to_string(), "role": key.role.name(), "key": text.reveal()}))
}
