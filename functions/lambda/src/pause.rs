//! Sends notifications to Slack, and publishes domain events on the bus.

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use statuspulse_function_host::{Host, SqsQueue, work_batch};

pub(crate) async fn run() -> Result<(), Error> {
    let host = Host::start(&[SqsQueue::Notification]).await?;
    let worker = host.notifying_worker().await?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        work_batch(&host, &worker, event).await
    }))
    .await
}
