//! The `statuspulse` program: the whole product in one process, on one machine.

mod arguments;
mod backup;
mod clients;
mod demo;
mod descriptors;
mod host;
mod keys;
mod limits;
mod listener;
mod metrics;
mod monitoring;
mod probes;
mod process;
mod receive;
mod rest;
mod runtimes;
mod serve;
mod system;

use clap::Parser;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use arguments::{Arguments, Command, LogFormat};
use runtimes::{Management, Runtimes};

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr(arguments.log_format);
    let result = Runtimes::start().map_err(anyhow::Error::from).and_then(|Runtimes { main, management }| {
        let management = Management::on(management.handle());
        main.block_on(async {
            match arguments.command {
                Command::Serve(options) => serve::run(*options, management).await,
                Command::Keys(command) => keys::run(command).await,
                Command::Backup(options) => backup::backup(&options),
                Command::Restore(options) => backup::restore(&options),
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

/// Logs to standard error. `STATUSPULSE_LOG` selects levels and targets (`info`, `statuspulse_core=trace`, ...). The
/// default is `warn`.
fn log_to_stderr(format: LogFormat) {
    let warnings = Targets::new().with_default(LevelFilter::WARN);
    let targets = match std::env::var("STATUSPULSE_LOG").ok().filter(|wanted| !wanted.trim().is_empty()) {
        None => warnings,
        Some(wanted) => match wanted.parse::<Targets>() {
            Ok(targets) if targets.default_level().is_some() => targets,
            Ok(targets) => targets.with_default(LevelFilter::WARN),
            Err(error) => {
                eprintln!(
                    "statuspulse: STATUSPULSE_LOG={wanted:?}: {error}; logging warnings and errors only"
                );
                warnings
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
