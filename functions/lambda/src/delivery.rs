//! Makes attempts. Handles the messages of the queue of first attempts and of all retry queues: sends the signed
//! POST, and schedules the next rung if it fails.

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use statuspulse_function_host::{Host, SqsQueue, work_batch};

pub(crate) async fn run() -> Result<(), Error> {
    let host = Host::start(&SqsQueue::ALL).await?;
    let worker = host.worker()?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        work_batch(&host, &worker, event).await
    }))
    .await
}
