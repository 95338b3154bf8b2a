//! What the machine gives the process: open files, and the time.

use anyhow::Result;
use jiff::Timestamp;
use rustix::process::{Resource, getrlimit};
use statuspulse_core::ports::Clock;
use tokio::process::Command;

use super::findings::Findings;
use crate::limits;
use crate::system::SystemClock;

pub(super) fn examine_descriptors(findings: &mut Findings) -> Result<()> {
    let (subject, wanted) = ("open files", limits::OPEN_FILES);
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most < wanted => {
            let words = format!(
                "{most} may be open, and {wanted} are needed to serve everybody at once: raise the hard limit \
                 (LimitNOFILE of the systemd unit, ulimit -Hn)"
            );
            findings.warning(subject, &words)
        }
        Some(most) => findings.ok(subject, &format!("{most} may be open")),
        None => findings.ok(subject, "any number may be open"),
    }
}

/// Compares the clock with what is known: when the newest event was accepted, and whether the machine keeps its clock
/// right.
pub(super) async fn examine_clock(findings: &mut Findings, newest: Option<Timestamp>) -> Result<()> {
    let (subject, now) = ("clock", SystemClock::start().now());
    if let Some(newest) =
        newest.filter(|newest| newest.as_second() > now.as_second() + limits::CLOCK_WRONG_BY)
    {
        let words = format!("it shows {now:.0}, and the newest event in the folder is from {newest:.0}");
        return findings.problem(subject, &words);
    }
    match is_synchronised().await {
        Some(true) => findings.ok(subject, &format!("{now:.0}, kept right by the machine")),
        Some(false) => findings.warning(
            subject,
            &format!(
                "{now:.0}, but nothing keeps it right: receivers refuse signatures of a clock that is wrong"
            ),
        ),
        None => {
            findings.ok(subject, &format!("{now:.0}; whether it is kept right is not known (no timedatectl)"))
        }
    }
}

async fn is_synchronised() -> Option<bool> {
    let mut command = Command::new("timedatectl");
    let asked = command.args(["show", "--property=NTPSynchronized", "--value"]).output().await.ok()?;
    match str::from_utf8(&asked.stdout).ok()?.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}
