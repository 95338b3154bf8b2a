//! Sweeps: after a pause, a resume or a delete a webhook's deliveries are held, let go, dropped or cancelled, page by page.
//! And, every quarter of an hour, `{"look_after": {}}`: a look for what no message will wake.

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::Deserialize;
use serde_json::{Value, json};
use statuspulse_function_host::{Host, Payload, work_batch};

/// What the schedule sends, told from a batch of messages, which has no such field.
#[derive(Deserialize)]
struct Scheduled {
    look_after: Option<Empty>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let host = Host::start().await?;
    run(service_fn(async |event: Payload| {
        let LambdaEvent { payload, context } = event;
        if let Some(Empty {}) = serde_json::from_str::<Scheduled>(payload.get())?.look_after {
            let found = host.look_after().await?;
            return Ok::<Value, Error>(json!({"found": found}));
        }
        let batch: SqsEvent = serde_json::from_str(payload.get())?;
        Ok(serde_json::to_value(work_batch(&host, LambdaEvent { payload: batch, context }).await?)?)
    }))
    .await
}
