//! Logs: a line of JSON each on standard output, with the ids of the message that is worked on.

use tracing_subscriber::EnvFilter;

/// Begins to log. The level is the one that the function's logging configuration sets.
pub(crate) fn start() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(level.to_ascii_lowercase()).unwrap_or_else(|_| EnvFilter::new("info"));
    let begun = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter)
        .try_init();
    if let Err(error) = begun {
        tracing::debug!(%error, "logging was begun before");
    }
}
