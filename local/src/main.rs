//! The `statuspulse` program: the whole product in one process, on one machine.

mod api;
mod arguments;
mod clients;
mod demo;
mod descriptors;
mod environment;
mod host;
mod keys;
mod limits;
mod listener;
mod metrics;
mod probes;
mod receive;
mod rest;
mod runtimes;
mod serve;
mod system;

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches};
use rustls::crypto::ring;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use arguments::{Arguments, Command};
use runtimes::{Management, Runtimes};

fn main() -> std::process::ExitCode {
    let arguments = arguments();
    log_to_stderr();
    // For the clients of the API. It fails only if it was installed before.
    drop(ring::default_provider().install_default());
    let result = Runtimes::start().map_err(anyhow::Error::from).and_then(|Runtimes { main, management }| {
        let management = Management::on(management.handle());
        main.block_on(async {
            match arguments.command {
                Command::Serve(options) => serve::run(*options, management).await,
                Command::Keys(options) => or_closed(keys::run(options).await),
                Command::Api(command) => or_closed(api::run(command).await),
                Command::Demo(options) => demo::run(options, management).await,
                Command::Receive(options) => receive::run(options).await,
            }
        })
    });
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("statuspulse: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Reads the command line and the environment. Exits if they are wrong, or to print the help.
fn arguments() -> Arguments {
    let mut command = environment::without_blank_variables(Arguments::command());
    let parsed = Arguments::from_arg_matches(&command.get_matches_mut());
    parsed.unwrap_or_else(|error| error.format(&mut command).exit())
}

/// Success if the reader of standard output, such as `head`, has what it wants and has closed it.
fn or_closed(result: Result<()>) -> Result<()> {
    let is_closed = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    result.or_else(|error| if error.downcast_ref().is_some_and(is_closed) { Ok(()) } else { Err(error) })
}

/// Logs to standard error. `STATUSPULSE_LOG` selects levels and targets (`info`, `statuspulse_core=trace`, ...). The
/// default is `warn`.
fn log_to_stderr() {
    let wanted = std::env::var("STATUSPULSE_LOG").unwrap_or_default();
    let targets = wanted.parse::<Targets>().unwrap_or_else(|error| {
        eprintln!("statuspulse: STATUSPULSE_LOG={wanted:?}: {error}; logging warnings and errors only");
        Targets::new()
    });
    let targets = match targets.default_level() {
        None => targets.with_default(LevelFilter::WARN),
        Some(_) => targets,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(targets)).init();
}
