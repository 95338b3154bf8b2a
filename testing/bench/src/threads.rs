//! Threads with a runtime each.

use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::thread::gettid;

/// The scheduling priority of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// The same as the program's.
    Usual,
    /// Runs only on an idle core. This is for attackers: in production they have machines of their own, so their work
    /// takes no CPU time from the program or its other customers.
    Lowest,
}

/// Runs `work` on a new thread.
pub(crate) fn start<F>(
    name: &str,
    priority: Priority,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<()>
where
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = move || {
        if priority == Priority::Lowest
            && let Err(error) = only_when_idle()
        {
            eprintln!("an attacker runs at the usual priority: {error:#}");
        }
        runtime.block_on(work());
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop).context("starting a thread")
}

/// Gives the calling thread the policy `SCHED_IDLE`: any other thread preempts it at once.
fn only_when_idle() -> Result<()> {
    let thread = gettid().as_raw_nonzero().to_string();
    let status = Command::new("chrt").args(["--idle", "--pid", "0", &thread]).status().context("chrt")?;
    if status.success() { Ok(()) } else { bail!("chrt: {status}") }
}
