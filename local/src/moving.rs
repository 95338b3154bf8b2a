//! `statuspulse export` and `statuspulse import`.

mod destination;

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use statuspulse_core::moving::import::{Part, Pass, Taken};
use statuspulse_core::moving::survey::{Survey, words};

use crate::arguments::{ExportOptions, ImportOptions};
use crate::limits::{IMPORT_BYTES, IMPORT_LINES};
use crate::system::SystemClock;

use destination::Destination;

pub(crate) fn export(options: &ExportOptions) -> Result<()> {
    let ExportOptions { data, recipient, file } = options;
    let watched = std::io::stderr().is_terminal();
    let mut told = |lines: u64| {
        if watched && lines.is_multiple_of(1000) {
            // A terminal that is gone is no reason to stop.
            drop(write!(std::io::stderr(), "\r{lines} lines"));
        }
    };
    let clock = Arc::new(SystemClock::start());
    let end = statuspulse_embedded::export(data, recipient, file, clock, &mut told)?;
    say(&format!("exported {}", words(&end)))?;
    say(&format!(
        "no server starts on {} any more: import the file elsewhere, or remove the file exported in the folder",
        data.display()
    ))
}

pub(crate) async fn import(options: ImportOptions) -> Result<()> {
    let to = Destination::open(&options)?;
    let Some(file) = options.file else {
        return say(&to.recipient().await?);
    };
    let in_file = || format!("cannot import {}", file.display());
    let (lines, found) = survey(&file).with_context(in_file)?;
    go_through(&file, Pass::Check, lines, &to).await.with_context(in_file)?;
    if options.dry_run {
        return say(&format!("nothing is in the way of {found}; nothing was written"));
    }
    let new = go_through(&file, Pass::Take, lines, &to).await.with_context(|| again(&file))?;
    go_through(&file, Pass::Start, lines, &to).await.with_context(|| again(&file))?;
    say(&format!("imported {found}; {new} records were new"))
}

fn again(file: &Path) -> String {
    format!("{} is imported in part: call again, and it goes on", file.display())
}

/// Looks at the whole file. Returns the number of its lines and what is in it.
fn survey(file: &Path) -> Result<(u64, String)> {
    let mut survey = Survey::default();
    let mut count = 0;
    for line in read(file)? {
        survey.see(&line?)?;
        count += 1;
    }
    Ok((count, words(&survey.finish()?)))
}

fn read(file: &Path) -> Result<impl Iterator<Item = std::io::Result<String>> + use<>> {
    let file = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(BufReader::new(file).lines())
}

/// Sends all lines of the file in parts. Returns how many records were new.
async fn go_through(file: &Path, pass: Pass, lines: u64, to: &Destination) -> Result<u64> {
    let watched = std::io::stderr().is_terminal();
    let mut all = read(file)?;
    let header = all.next().context("the file is empty")??;
    let mut part = Part { pass, header, from: 2, lines: vec![] };
    let (mut bytes, mut new) = (0, 0);
    for line in all {
        let line = line?;
        if part.lines.len() >= IMPORT_LINES || bytes + line.len() > IMPORT_BYTES {
            new += taken(to.take(&part).await?)?;
            part.from += part.lines.len() as u64;
            part.lines.clear();
            bytes = 0;
            if watched {
                let name = name_of(pass);
                let percent = part.from.saturating_mul(100) / lines.max(1);
                drop(write!(std::io::stderr(), "\r{name}: {percent} % "));
            }
        }
        bytes += line.len();
        part.lines.push(line);
    }
    new += taken(to.take(&part).await?)?;
    if watched {
        drop(writeln!(std::io::stderr(), "\r{}: done", name_of(pass)));
    }
    Ok(new)
}

fn taken(taken: Taken) -> Result<u64> {
    match taken {
        Taken::Done { new } => Ok(new),
        Taken::Refused { line, why } => bail!("line {line}: {why}"),
    }
}

fn name_of(pass: Pass) -> &'static str {
    match pass {
        Pass::Check => "checking",
        Pass::Take => "importing",
        Pass::Start => "starting",
    }
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
