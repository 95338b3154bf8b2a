//! The program behind `make sim`: runs from a random seed. `make sim SEED=7` shows one run.

#![expect(clippy::print_stdout, reason = "what it finds is its output")]

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Parser;

/// Simulates the whole system from seeds with random faults, and checks the invariants in every run.
#[derive(Parser)]
struct Arguments {
    /// The first seed. A random one by default, which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of consecutive seeds to run. A single run prints its history.
    #[arg(long, default_value_t = 1)]
    runs: u64,
}

/// The totals of all runs.
#[derive(Default)]
struct Totals {
    done: u64,
    points: BTreeSet<(&'static str, &'static str)>,
    attempts: usize,
    events: usize,
    failed: Option<u64>,
}

fn main() -> ExitCode {
    let Arguments { seed, runs } = Arguments::parse();
    let first = seed.unwrap_or_else(random_seed);
    if runs == 1 {
        return show(first);
    }
    println!("seeds {first} to {}", first.saturating_add(runs - 1));
    let totals = run_all(first, runs);
    if let Some(seed) = totals.failed {
        return show(seed);
    }
    let Totals { points, attempts, events, .. } = totals;
    println!(
        "{runs} runs: {events} events accepted, {attempts} attempts, {} fault points hit, no violations",
        points.len()
    );
    ExitCode::SUCCESS
}

/// A random seed, short enough to type. The standard library seeds its hashers from the system's randomness.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish() % 1_000_000_000_000
}

/// Runs the seeds on all cores, until one fails.
fn run_all(first: u64, runs: u64) -> Totals {
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let totals = Mutex::new(Totals::default());
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= runs {
                return;
            }
            let seed = first.saturating_add(place);
            let outcome = statuspulse_sim::run(seed, false);
            let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
            if !outcome.violations.is_empty() {
                failed.store(true, Ordering::Relaxed);
                totals.failed = Some(totals.failed.map_or(seed, |known| known.min(seed)));
            }
            totals.points.extend(outcome.points);
            totals.attempts += outcome.attempts;
            totals.events += outcome.events;
            totals.done += 1;
            if totals.done.is_multiple_of(10_000) {
                println!("{} runs, {} fault points hit", totals.done, totals.points.len());
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    totals.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one seed, and prints its history and its violations.
fn show(seed: u64) -> ExitCode {
    let outcome = statuspulse_sim::run(seed, true);
    println!("{}", outcome.history.join("\n"));
    if outcome.violations.is_empty() {
        println!("\nseed {seed}: {} attempts, no violations", outcome.attempts);
        return ExitCode::SUCCESS;
    }
    println!("\nseed {seed} (make sim SEED={seed}):\n- {}", outcome.violations.join("\n- "));
    ExitCode::FAILURE
}
