//! `make bench`: measures the latency, throughput, cost and isolation of `statuspulse serve` from outside.
//!
//! The bench starts the release binary as a child process on an empty data folder, creates customers and webhooks
//! through the public API, publishes events, and receives the deliveries. Each event carries a number and its creation
//! time, so each arrival gives a latency and each missing arrival is a loss. A run that lost a delivery or received an
//! invalid signature exits with a non-zero status, however fast it was.
//!
//! - [`program`]: the child process; [`proc`]: its CPU time and memory, from the kernel;
//! - [`receiving`]: the endpoints, on their own [threads];
//! - [`api`] and [`load`]: the customers, and how fast they publish, on the main thread;
//! - [`tally`]: compares what was sent with what arrived; [`rig`]: puts these together;
//! - [`scenarios`]: the measurements; [`attacks`]: those of isolation;
//! - [`rows`]: the figures of a scenario; [`report`]: the rows and the JSON files.
//!
//! Generator and receiver have one thread each, so that neither takes more than one core from the program. Each row
//! shows how much they used, and the scenario `self` shows what they can do without the program. On a machine with
//! two cores all three compete: trust the ratios within one run, and the CPU seconds.

mod api;
mod attacks;
mod load;
mod proc;
mod program;
mod receiving;
mod report;
mod rig;
mod rows;
mod scenarios;
mod tally;
mod threads;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::scenarios::Scenario;

#[derive(Debug, Parser)]
#[command(about = "Measures a `statuspulse` program from outside, over loopback")]
pub(crate) struct Options {
    /// Run only these scenarios; several can be given
    #[arg(long, value_enum, num_args = 1..)]
    scenario: Vec<Scenario>,
    /// Short runs, to check that everything works; do not quote the figures
    #[arg(long)]
    quick: bool,
    /// The program to measure
    #[arg(long, default_value = "target/release/statuspulse")]
    program: PathBuf,
    /// The folder for the JSON files and, while running, the data folders
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    match scenarios::run_all(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::say(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
