//! `statuspulse completions` and `statuspulse man`: made from the command line's own description.

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;

/// Prints the completions for a shell.
pub(crate) fn completions(shell: Shell) -> Result<()> {
    let mut text = vec![];
    clap_complete::generate(shell, &mut Arguments::command(), "statuspulse", &mut text);
    Ok(std::io::Write::write_all(&mut std::io::stdout(), &text)?)
}

/// Writes a manual page for each command: `statuspulse.1`, `statuspulse-serve.1` and so on.
pub(crate) fn pages(folder: &Path) -> Result<()> {
    let in_folder = || folder.display().to_string();
    std::fs::create_dir_all(folder).with_context(in_folder)?;
    clap_mangen::generate_to(Arguments::command(), folder).with_context(in_folder)
}
