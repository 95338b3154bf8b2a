//! `make sim SEED=7 RUNS=100000`: makes runs, and says which seed failed and what happened in it.

#![expect(clippy::print_stdout, reason = "what it finds is its output")]

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Parser;

/// Simulates the whole system from seeds, with faults everywhere, and checks the invariants after every run.
#[derive(Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after the other. One alone prints its history.
    #[arg(long, default_value_t = 1)]
    runs: u64,
}

fn main() -> ExitCode {
    let Arguments { seed, runs } = Arguments::parse();
    let mut points = BTreeSet::new();
    let (mut attempts, mut events) = (0, 0);
    for (done, seed) in (seed..seed.saturating_add(runs)).enumerate() {
        let outcome = statuspulse_sim::run(seed, runs == 1);
        if runs == 1 {
            println!("{}", outcome.history.join("\n"));
        }
        if !outcome.violations.is_empty() {
            if runs > 1 {
                println!("{}", statuspulse_sim::run(seed, true).history.join("\n"));
            }
            println!("\nseed {seed} after {done} good runs:\n- {}", outcome.violations.join("\n- "));
            return ExitCode::FAILURE;
        }
        points.extend(outcome.points);
        attempts += outcome.attempts;
        events += outcome.events;
        if (done + 1) % 10_000 == 0 {
            println!("{} runs, {} fault points hit", done + 1, points.len());
        }
    }
    println!(
        "{runs} runs: {events} events accepted, {attempts} attempts, {} fault points hit, every invariant held",
        points.len()
    );
    ExitCode::SUCCESS
}
