//! The data folder: its database, its key, who can read them, and the room on its disk.

use std::path::Path;

use anyhow::Result;
use statuspulse_embedded::{Inspection, database_in, inspect, is_open_to_others, key_file_in};

use super::findings::Findings;
use crate::limits;

const SUBJECT: &str = "folder";

pub(super) fn examine(findings: &mut Findings, data: &Path) -> Result<Option<Inspection>> {
    let at = data.display();
    let found = match inspect(data) {
        Ok(found) => found,
        Err(error) => {
            findings.problem(SUBJECT, &format!("{:#}", anyhow::Error::from(error)))?;
            None
        }
    };
    match &found {
        Some(Inspection { exported: true, .. }) => findings.problem(
            SUBJECT,
            &format!(
                "{at} was exported, and is delivered elsewhere: no server starts on it (docs/moving.md)"
            ),
        )?,
        Some(folder) => {
            let Inspection { in_use, bytes, log_bytes, .. } = folder;
            let use_now = if *in_use { "a server uses it" } else { "no server uses it" };
            let size = format!("{} MB, log {} MB", bytes / 1_000_000, log_bytes / 1_000_000);
            findings.ok(SUBJECT, &format!("{at} is whole, and its key fits; {size}; {use_now}"))?;
        }
        None if !database_in(data).exists() => {
            findings.warning(SUBJECT, &format!("{at} has no database yet: `serve` makes one"))?;
        }
        None => {}
    }
    if let Some(Inspection { rekeying: true, .. }) = &found {
        findings.warning(
            SUBJECT,
            "the replacement of its key was interrupted or goes on: run `statuspulse rekey`",
        )?;
    }
    examine_modes(findings, data)?;
    examine_room(findings, data)?;
    Ok(found)
}

#[cfg(unix)]
fn examine_modes(findings: &mut Findings, data: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;

    for path in [key_file_in(data), database_in(data)] {
        let Ok(about) = std::fs::metadata(&path) else { continue };
        let at = path.display();
        if is_open_to_others(&path) {
            findings.problem(SUBJECT, &format!("others can read {at}: chmod 600 {at}"))?;
        }
        let own = rustix::process::geteuid().as_raw();
        if about.uid() != own {
            let words = format!(
                "{at} belongs to user {}, and you are {own}: run this as the server's user",
                about.uid()
            );
            findings.warning(SUBJECT, &words)?;
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn examine_modes(_: &mut Findings, _: &Path) -> Result<()> {
    Ok(())
}

fn examine_room(findings: &mut Findings, data: &Path) -> Result<()> {
    // The folder may be missing yet.
    let Some(there) = data.ancestors().find(|path| path.exists()) else { return Ok(()) };
    let Ok(disk) = rustix::fs::statvfs(there) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let words = format!("{} MB are free where {} is", free / 1_000_000, data.display());
    match free {
        0..limits::FREE_BYTES_MIN => findings.problem("disk", &format!("{words}: events will be refused")),
        limits::FREE_BYTES_MIN..limits::FREE_BYTES => findings.warning("disk", &words),
        _ => findings.ok("disk", &words),
    }
}
