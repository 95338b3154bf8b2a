//! `make bench`: how fast, how cheap and how fair `statuspulse serve` is, measured from outside.
//!
//! The bench starts the release binary as a child on an empty data folder, makes customers and webhooks through the
//! public API, publishes events, and receives the deliveries itself. Every event carries a number and the time it
//! was made, so each arrival yields a latency, and each missing one is a loss: a run that lost anything, or
//! received a bad signature, ends with a non-zero status whatever its speed.
//!
//! - [`program`] the child process; [`proc`] what the kernel says about its CPU time and memory;
//! - [`receiving`] our end of the deliveries, on a thread of its own;
//! - [`api`] and [`load`] the customers, and the rate at which they publish, on the main thread;
//! - [`tally`] sent against arrived; [`rig`] all of these together; [`scenarios`] what is asked of them;
//! - [`report`] the rows and the JSON files.
//!
//! Generator and receiver are one thread each, so that neither takes more than one core from what it measures;
//! every row says how much they took, and the `self` scenario what they can do without a `statuspulse` between
//! them. On a machine of two cores all three compete: trust the ratios of one run, and the CPU seconds.

mod api;
mod load;
mod proc;
mod program;
mod receiving;
mod report;
mod rig;
mod scenarios;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::scenarios::Scenario;

#[derive(Debug, Parser)]
#[command(about = "Measures a `statuspulse` program from outside, over loopback")]
pub(crate) struct Options {
    /// Run only these (several are fine)
    #[arg(long, value_enum, num_args = 1..)]
    scenario: Vec<Scenario>,
    /// Short runs: to see that everything works, not to quote
    #[arg(long)]
    quick: bool,
    /// The program to measure
    #[arg(long, default_value = "target/release/statuspulse")]
    program: PathBuf,
    /// Where the JSON files and, while running, the data folders go
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
