//! Serves the dashboard's pages.

use lambda_runtime::{Error, service_fn};
use statuspulse_function_host::{Host, Payload, SqsQueue, answer_http};

pub(crate) async fn run() -> Result<(), Error> {
    let host = Host::start(&SqsQueue::OF_API).await?;
    let router = statuspulse_dashboard::pages(host.admin()?);
    lambda_runtime::run(service_fn(async |event: Payload| answer_http(&host, router.clone(), event).await))
        .await
}
