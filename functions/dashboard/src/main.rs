//! Serves the dashboard's pages.

use lambda_runtime::{Error, run, service_fn};
use statuspulse_function_host::{Host, Payload, SqsQueue, answer_http};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let host = Host::start(&SqsQueue::OF_API).await?;
    let router = statuspulse_dashboard::pages(host.admin()?);
    run(service_fn(async |event: Payload| answer_http(&host, router.clone(), event).await)).await
}
