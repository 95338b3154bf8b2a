//! Counters in memory, served as `GET /metrics` in the Prometheus text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use statuspulse_core::attempt::Class;
use statuspulse_core::ports::Metrics;

/// Upper bounds of the lag histogram, in milliseconds. The promise is 200 (rule 4.1).
const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 10_000, 60_000];

/// The counters of this process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    first_lag: [AtomicU64; BOUNDS_MS.len() + 1],
    first_lag_sum_ms: AtomicU64,
    retries: AtomicU64,
    succeeded: AtomicU64,
    failed: Mutex<BTreeMap<&'static str, u64>>,
    paused: AtomicU64,
    stranded: AtomicU64,
}

impl Metrics for Counters {
    fn attempt_began(&self, first: bool, lag: Duration) {
        if !first {
            self.retries.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let millis = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS.iter().position(|bound| millis <= *bound).unwrap_or(BOUNDS_MS.len());
        self.first_lag[bucket].fetch_add(1, Ordering::Relaxed);
        self.first_lag_sum_ms.fetch_add(millis, Ordering::Relaxed);
    }

    fn attempt_ended(&self, failure: Option<Class>, _age: Duration) {
        match failure {
            None => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
            }
            Some(class) => {
                *self
                    .failed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .entry(class.name())
                    .or_default() += 1;
            }
        }
    }

    fn webhook_paused(&self) {
        self.paused.fetch_add(1, Ordering::Relaxed);
    }

    fn stranded(&self, count: u64) {
        self.stranded.fetch_add(count, Ordering::Relaxed);
    }
}

impl Counters {
    /// All metrics in the text format. `dead_letters` is the current number of dead letters.
    pub(crate) fn text(&self, dead_letters: u64) -> String {
        let mut out = String::new();
        self.write(&mut out, dead_letters).unwrap_or_default();
        out
    }

    fn write(&self, out: &mut String, dead_letters: u64) -> std::fmt::Result {
        writeln!(
            out,
            "# HELP statuspulse_first_attempt_lag_milliseconds From acceptance of an event to its first attempt."
        )?;
        writeln!(out, "# TYPE statuspulse_first_attempt_lag_milliseconds histogram")?;
        let mut total = 0;
        for (index, count) in self.first_lag.iter().enumerate() {
            total += count.load(Ordering::Relaxed);
            let bound = BOUNDS_MS.get(index).map_or_else(|| "+Inf".to_owned(), u64::to_string);
            writeln!(out, "statuspulse_first_attempt_lag_milliseconds_bucket{{le=\"{bound}\"}} {total}")?;
        }
        let sum = self.first_lag_sum_ms.load(Ordering::Relaxed);
        writeln!(out, "statuspulse_first_attempt_lag_milliseconds_sum {sum}")?;
        writeln!(out, "statuspulse_first_attempt_lag_milliseconds_count {total}")?;
        let counter = |out: &mut String, name: &str, help: &str, value: u64| {
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}")
        };
        counter(
            out,
            "statuspulse_retries_total",
            "Attempts that were not first attempts.",
            self.retries.load(Ordering::Relaxed),
        )?;
        counter(
            out,
            "statuspulse_deliveries_succeeded_total",
            "Successful attempts.",
            self.succeeded.load(Ordering::Relaxed),
        )?;
        writeln!(out, "# HELP statuspulse_attempts_failed_total Failed attempts, by class.")?;
        writeln!(out, "# TYPE statuspulse_attempts_failed_total counter")?;
        for (class, count) in self.failed.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            writeln!(out, "statuspulse_attempts_failed_total{{class=\"{class}\"}} {count}")?;
        }
        counter(
            out,
            "statuspulse_webhooks_paused_total",
            "Webhooks that were paused because they failed.",
            self.paused.load(Ordering::Relaxed),
        )?;
        counter(
            out,
            "statuspulse_stranded_total",
            "Messages that were lost and sent again by the check every 15 minutes; should stay 0.",
            self.stranded.load(Ordering::Relaxed),
        )?;
        writeln!(
            out,
            "# HELP statuspulse_dead_letters Messages that failed ten times; the next start tries them again."
        )?;
        writeln!(out, "# TYPE statuspulse_dead_letters gauge\nstatuspulse_dead_letters {dead_letters}")
    }
}
