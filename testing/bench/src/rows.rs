//! What the scenarios have in common: how long they run, and the figures of their rows.

use std::time::Duration;

use anyhow::Result;

use crate::Options;
use crate::report::Row;
use crate::rig::{Measured, Rig, Scheme};

/// The duration of a load in seconds. With `--quick` a fifth of it, but at least two.
pub(crate) fn seconds(options: &Options, full: u64) -> Duration {
    Duration::from_secs(if options.quick { (full / 5).max(2) } else { full })
}

pub(crate) fn rig(options: &Options, name: &str, scheme: Scheme) -> Result<Rig> {
    Rig::start(&options.program, &options.out, name, scheme)
}

/// The figure of how much slower the slowest hundredth of arrivals is with a disturbance than without it.
pub(crate) const RATIO: &str = "p99 with / without";

pub(crate) fn compared(row: Row, without: &Measured, with: &Measured) -> Row {
    let p99 = |measured: &Measured| measured.tally.event_to_arrival.at(990);
    let row = latencies(latencies(row, "without: ", without), "with: ", with);
    let row = row.figure(RATIO, p99(with) / p99(without).max(f64::MIN_POSITIVE), "×");
    own_share(cost(row, with), with).faults(without.tally.faults())
}

pub(crate) fn latencies(row: Row, prefix: &str, measured: &Measured) -> Row {
    let tally = &measured.tally;
    let points = [("p50", 500), ("p95", 950), ("p99", 990), ("max", 1000)];
    row.spread(&format!("{prefix}event → arrival"), &tally.event_to_arrival, &points)
        .spread(&format!("{prefix}accepted → arrival"), &tally.accepted_to_arrival, &points)
        .figure(&format!("{prefix}arrived before the 202"), share(tally.early, tally.delivered), "%")
        .spread(&format!("{prefix}publish"), &tally.publish, &[("p50", 500), ("p99", 990)])
}

pub(crate) fn throughput(row: Row, measured: &Measured) -> Row {
    let tally = &measured.tally;
    row.figure("accepted", size(tally.accepted) / measured.seconds, "per s").figure(
        "delivered",
        size(tally.delivered) / tally.span_seconds,
        "per s",
    )
}

pub(crate) fn cost(row: Row, measured: &Measured) -> Row {
    let per_thousand = measured.cpu_seconds * 1e3 / size(measured.tally.delivered.max(1));
    row.figure("CPU per thousand deliveries", per_thousand, "s")
        .figure("RSS", measured.memory.rss, "MB")
        .figure("PSS", measured.memory.pss, "MB")
        .figure("RSS peak", measured.memory.rss_peak, "MB")
}

/// Adds the CPU that the bench itself used. If it is close to one core, the bench was the limit and not the program.
pub(crate) fn own_share(row: Row, measured: &Measured) -> Row {
    let row = row.figure("generator", measured.generator_core, "cores");
    let row = row.figure("receiver", measured.receiver_core, "cores");
    // A closed loop has no planned times.
    if measured.late.is_empty() { row } else { row.spread("generator late", &measured.late, &[("p99", 990)]) }
}

/// Adds the counts of deliveries to the row, and stops the program.
pub(crate) fn finish(row: Row, rig: Rig, measured: &Measured) -> Result<Row> {
    let tally = &measured.tally;
    let row = row
        .figure("delivered", size(tally.delivered), "")
        .figure("lost", size(tally.lost()), "")
        .figure("duplicates", count(tally.duplicates), "")
        .figure("good signatures", count(tally.good_signatures), "")
        .faults(tally.faults());
    let stopped = rig.stop(!row.passed()).err().map(|error| format!("{error:#}"));
    Ok(row.faults(stopped.into_iter().collect()))
}

pub(crate) fn share(part: usize, whole: usize) -> f64 {
    size(part) * 100.0 / size(whole.max(1))
}

pub(crate) fn size(n: usize) -> f64 {
    count(u64::try_from(n).unwrap_or(u64::MAX))
}

/// Exact up to 4,294,967,295, which no run reaches.
pub(crate) fn count(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
