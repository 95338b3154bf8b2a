//! `statuspulse backup`, `statuspulse restore` and `statuspulse rekey`.

use std::io::{IsTerminal, Write};

use anyhow::Result;
use statuspulse_core::ports::Clock;
use statuspulse_embedded::Contents;

use crate::arguments::{BackupOptions, RekeyOptions, RestoreOptions};
use crate::system::SystemClock;

pub(crate) fn backup(options: &BackupOptions) -> Result<()> {
    let BackupOptions { data, without_key, file } = options;
    let now = SystemClock::start().now();
    let made = statuspulse_embedded::backup(data, file, !without_key, now, &mut progress())?;
    say(&format!("backed up {}", words(&made)))?;
    if *without_key {
        say(&format!("the key is not in it: keep {} in another place", data.join("secret.key").display()))?;
    }
    Ok(())
}

pub(crate) fn restore(options: &RestoreOptions) -> Result<()> {
    let RestoreOptions { data, key, file } = options;
    let found = statuspulse_embedded::restore(file, data, key.as_deref(), &mut progress())?;
    say(&format!("restored {}, as they were at {:.0}", words(&found), found.at))
}

pub(crate) fn rekey(options: &RekeyOptions) -> Result<()> {
    let secrets = statuspulse_embedded::rekey(&options.data, &mut progress())?;
    let key = options.data.join("secret.key");
    say(&format!("{secrets} secrets are sealed with a new key, which is in {}", key.display()))?;
    say(
        "the old key opens nothing in the folder; backups from before open with it, so make a new one and delete those",
    )
}

fn words(found: &Contents) -> String {
    let Contents { accounts, webhooks, events, unfinished, .. } = found;
    format!("{accounts} accounts, {webhooks} webhooks, {events} events, {unfinished} unfinished deliveries")
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Shows on a terminal how far the work is.
fn progress() -> impl FnMut(u64, u64) {
    let mut shown = None;
    let watched = std::io::stderr().is_terminal();
    move |done, of| {
        let percent = done.saturating_mul(100).checked_div(of);
        if watched && percent != shown {
            shown = percent;
            let end = if percent == Some(100) { "\n" } else { "" };
            // A terminal that is gone is no reason to stop.
            drop(write!(std::io::stderr(), "\r{} %{end}", percent.unwrap_or(100)));
        }
    }
}
