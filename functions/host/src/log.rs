//! Logs lines of JSON to standard output, with the ids of the message that is being handled.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// Starts logging. The level comes from the function's logging configuration. Libraries log only warnings and errors,
/// because the SDK's other log lines contain customers' data.
pub(crate) fn start() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default();
    let level: LevelFilter = level.to_ascii_lowercase().parse().unwrap_or(LevelFilter::INFO);
    let ours = Targets::new().with_target("statuspulse", level).with_default(level.min(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false);
    let begun = tracing_subscriber::registry().with(lines.with_filter(ours)).try_init();
    if let Err(error) = begun {
        tracing::debug!(%error, "logging has already been started");
    }
}
