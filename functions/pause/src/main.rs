//! What a pause calls for: notices to Slack, and announcements on the bus.

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use statuspulse_function_host::{Host, work_batch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let host = Host::start().await?;
    run(service_fn(async |event: LambdaEvent<SqsEvent>| work_batch(&host, event).await)).await
}
