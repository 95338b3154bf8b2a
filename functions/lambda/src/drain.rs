//! Works on bulk jobs, page by page: after a pause, a resume or a delete it holds, releases, discards or cancels a
//! webhook's deliveries, and after an outage it retries them early. Every 15 minutes, `{"reconcile": {}}` sends lost
//! messages again.

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;
use serde_json::{Value, json};
use statuspulse_function_host::{Host, Payload, SqsQueue, work_batch};

/// The event of the schedule. A batch of messages has no such field.
#[derive(Deserialize)]
struct Scheduled {
    reconcile: Option<Empty>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

pub(crate) async fn run() -> Result<(), Error> {
    let host = Host::start(&SqsQueue::OF_API).await?;
    let worker = host.worker()?;
    lambda_runtime::run(service_fn(async |event: Payload| {
        let LambdaEvent { payload, context } = event;
        if let Some(Empty {}) = serde_json::from_str::<Scheduled>(payload.get())?.reconcile {
            let found = host.reconcile(&worker, context.deadline()).await?;
            return Ok::<Value, Error>(json!({"found": found}));
        }
        let batch: SqsEvent = serde_json::from_str(payload.get())?;
        Ok(serde_json::to_value(work_batch(&host, &worker, LambdaEvent { payload: batch, context }).await?)?)
    }))
    .await
}
