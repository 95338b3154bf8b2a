//! `statuspulse webhooks`, `deliveries`, `events` and `keys` over the API.
//!
//! There are no types of what the API takes and answers: bodies are JSON, and what is shown of an answer is a list of
//! JSON pointers ([`views`]), which a test compares with `docs/openapi.json`. Only [`terminal`] writes.

pub(crate) mod arguments;
mod client;
mod deliveries;
mod events;
mod files;
mod filter;
mod follow;
pub(crate) mod keys;
mod operations;
mod pages;
mod problem;
mod release;
mod session;
mod table;
mod terminal;
mod views;
mod watch;
mod webhooks;

use anyhow::Result;

use arguments::ApiCommand;

/// Runs a command that calls the API.
///
/// # Errors
/// Fails if the server or the key is missing, if a call fails, or if a test or handshake does.
pub(crate) async fn run(command: ApiCommand) -> Result<()> {
    match command {
        ApiCommand::Webhooks(options) => webhooks::run(options).await,
        ApiCommand::Deliveries(options) => deliveries::run(options).await,
        ApiCommand::Events(options) => events::run(options).await,
    }
}
