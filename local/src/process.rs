//! What the process uses, with the names that Prometheus' own clients give it.

use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use statuspulse_core::ports::Clock;

use crate::system::SystemClock;

/// The values. On systems without `/proc` those that come from there stay 0.
#[derive(Debug)]
pub(crate) struct Gauges {
    registry: Registry,
    open_files: Gauge,
    max_files: Gauge,
    resident_bytes: Gauge,
}

impl Default for Gauges {
    fn default() -> Self {
        let mut registry = Registry::default();
        let mut add = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let open_files = add("process_open_fds", "Open files");
        let max_files = add("process_max_fds", "How many files may be open");
        let resident_bytes = add("process_resident_memory_bytes", "Memory in use");
        let started = add("process_start_time_seconds", "When the process started, in Unix seconds");
        started.set(SystemClock::start().now().as_second());
        Self { registry, open_files, max_files, resident_bytes }
    }
}

impl Gauges {
    /// Appends them, as they are now, to a text.
    pub(crate) fn append_to(&self, text: &mut String) {
        let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap_or_default();
        self.open_files.set(i64::try_from(open).unwrap_or_default());
        let limit = getrlimit(Resource::Nofile).current.unwrap_or_default();
        self.max_files.set(i64::try_from(limit).unwrap_or(i64::MAX));
        self.resident_bytes.set(resident_bytes().unwrap_or_default());
        encode(text, &self.registry).unwrap_or_default();
    }
}

fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
