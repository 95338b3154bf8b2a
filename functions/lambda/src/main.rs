//! The Lambda functions in one binary, so that a release has one link, one upload and one version. The function's handler
//! (`_HANDLER`) says which of them a process is. Each has a role of its own, with only the permissions that it needs.

mod dashboard;
mod delivery;
mod drain;
mod fanout;
mod pause;
mod registration;

use lambda_runtime::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let handler = std::env::var("_HANDLER").unwrap_or_default();
    match handler.as_str() {
        "registration" => registration::run().await,
        "dashboard" => dashboard::run().await,
        "fanout" => fanout::run().await,
        "delivery" => delivery::run().await,
        "pause" => pause::run().await,
        "drain" => drain::run().await,
        _ => {
            let functions = "registration, dashboard, fanout, delivery, pause or drain";
            Err(format!("_HANDLER is {handler:?}, but must be {functions}").into())
        }
    }
}
