//! CPU time and memory of processes and threads, from /proc.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The unit of `/proc/PID/stat` (USER_HZ): 100 on every architecture we use.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system CPU seconds of a process, including threads that have ended, in steps of 10 ms.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = read(&PathBuf::from(format!("/proc/{pid}/stat")))?;
    parse_stat(&stat).with_context(|| format!("/proc/{pid}/stat has an unexpected format"))
}

fn parse_stat(stat: &str) -> Option<f64> {
    // The second field, the name in parentheses, may contain spaces and parentheses. Start after its end.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// CPU seconds of a process's running threads, to the nanosecond, for times shorter than a tick.
pub(crate) fn exact_cpu_seconds(pid: u32) -> Result<f64> {
    let folder = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&folder).with_context(|| folder.clone())?;
    // A thread may end after it was listed.
    let living =
        threads.filter_map(|thread| Thread(thread.ok()?.path().join("schedstat")).cpu_seconds().ok());
    Ok(living.sum())
}

/// A thread of the bench.
#[derive(Debug, Clone)]
pub(crate) struct Thread(PathBuf);

impl Thread {
    pub(crate) fn current() -> Result<Self> {
        let link = fs::read_link("/proc/thread-self").context("/proc/thread-self")?;
        Ok(Self(PathBuf::from("/proc").join(link).join("schedstat")))
    }

    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let text = read(&self.0)?;
        let nanos = text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok());
        Ok(nanos.with_context(|| format!("{} has an unexpected format", self.0.display()))? / 1e9)
    }
}

/// Memory of a process, in megabytes of 10^6 bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) rss: f64,
    /// Shared pages are divided by the number of processes that share them.
    pub(crate) pss: f64,
    pub(crate) rss_peak: f64,
}

pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let status = read(&PathBuf::from(format!("/proc/{pid}/status")))?;
    let rollup = read(&PathBuf::from(format!("/proc/{pid}/smaps_rollup")))?;
    let missing = || format!("reading the memory of process {pid}");
    Ok(Memory {
        rss: megabytes(&status, "VmRSS:").with_context(missing)?,
        pss: megabytes(&rollup, "Pss:").with_context(missing)?,
        rss_peak: megabytes(&status, "VmHWM:").with_context(missing)?,
    })
}

fn megabytes(text: &str, name: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: f64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

/// The number of open files of a process.
pub(crate) fn open_files(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// The load average of the last minute. Check it first when a figure is unexpected.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn read(path: &PathBuf) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 1 1 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 100 1000 10";
        assert_eq!(parse_stat(stat), Some(3.0));
        assert_eq!(parse_stat("42 nothing"), None);
    }

    #[test]
    fn memory_is_read_by_its_whole_name() {
        let text = "Pss_Dirty:   5000 kB\nPss:   1000 kB\n";
        assert_eq!(megabytes(text, "Pss:"), Some(1.024));
        assert_eq!(megabytes(text, "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_figures() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).is_ok() && exact_cpu_seconds(pid).is_ok());
        assert!(memory(pid).unwrap().rss > 0.0);
        assert!(Thread::current().unwrap().cpu_seconds().is_ok());
    }
}
