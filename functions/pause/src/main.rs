//! Sends notifications to Slack, and publishes domain events on the bus.

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use statuspulse_function_host::{Host, SqsQueue, work_batch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let host = Host::start(&[SqsQueue::Notification]).await?;
    let worker = host.notifying_worker().await?;
    run(service_fn(async |event: LambdaEvent<SqsEvent>| work_batch(&host, &worker, event).await)).await
}
