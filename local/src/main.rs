//! The `statuspulse` program: the whole product in one process, on one machine.

mod api;
mod arguments;
mod backup;
mod clients;
mod demo;
mod descriptors;
mod doctor;
mod environment;
mod host;
mod keys;
mod limits;
mod listener;
mod manual;
mod metrics;
mod monitoring;
mod moving;
mod prefix;
mod probes;
mod process;
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

use arguments::{Arguments, Command, LogFormat};
use runtimes::{Management, Runtimes};

fn main() -> std::process::ExitCode {
    let arguments = arguments();
    // What the story of the demo brings about on purpose needs no warning.
    let is_demo = matches!(arguments.command, Command::Demo(_));
    log_to_stderr(arguments.log_format, if is_demo { LevelFilter::ERROR } else { LevelFilter::WARN });
    // For the clients of the API. It fails only if it was installed before.
    drop(ring::default_provider().install_default());
    let result = Runtimes::start().map_err(anyhow::Error::from).and_then(|Runtimes { main, management }| {
        let management = Management::on(management.handle());
        main.block_on(async {
            match arguments.command {
                Command::Serve(options) => serve::run(*options, management).await,
                Command::Keys(options) => or_closed(keys::run(options).await),
                Command::Completions { shell } => or_closed(manual::completions(shell)),
                Command::Man { folder } => manual::pages(&folder),
                Command::Doctor(options) => or_closed(doctor::run(*options).await),
                Command::Backup(options) => backup::backup(&options),
                Command::Restore(options) => backup::restore(&options),
                Command::Rekey(options) => backup::rekey(&options),
                Command::Export(options) => moving::export(&options),
                Command::Import(options) => moving::import(options).await,
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
fn log_to_stderr(format: LogFormat, default: LevelFilter) {
    let by_default = Targets::new().with_default(default);
    let targets = match environment::variable("STATUSPULSE_LOG") {
        None => by_default,
        Some(wanted) => match wanted.parse::<Targets>() {
            Ok(targets) if targets.default_level().is_some() => targets,
            Ok(targets) => targets.with_default(default),
            Err(error) => {
                eprintln!(
                    "statuspulse: STATUSPULSE_LOG={wanted:?}: {error}; logging warnings and errors only"
                );
                by_default
            }
        },
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_target(false).with_filter(targets).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(targets).boxed(),
    };
    tracing_subscriber::registry().with(lines).init();
}
