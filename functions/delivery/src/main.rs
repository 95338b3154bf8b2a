//! Makes attempts. Handles the messages of the queue of first attempts and of all retry queues: sends the signed
//! POST, and schedules the next rung if it fails.

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use statuspulse_function_host::{Host, SqsQueue, work_batch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let host = Host::start(&SqsQueue::ALL).await?;
    let worker = host.worker()?;
    run(service_fn(async |event: LambdaEvent<SqsEvent>| work_batch(&host, &worker, event).await)).await
}
