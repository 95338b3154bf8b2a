//! The functions' binaries, as they are now: a test never runs yesterday's.

use std::path::PathBuf;
use std::process::Command;

/// The functions; each is a binary of this name, in the package `statuspulse-function-<name>`.
pub const FUNCTIONS: [&str; 6] = ["registration", "dashboard", "fanout", "delivery", "pause", "drain"];

/// Builds the functions and answers with the folder that they are in.
///
/// # Errors
/// If they do not build; the compiler has said why.
pub fn build() -> Result<PathBuf, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(crate::root()).args(["build", "--locked", "--quiet", "--bins"]);
    for function in FUNCTIONS {
        cargo.arg("--package").arg(format!("statuspulse-function-{function}"));
    }
    match cargo.status() {
        Ok(status) if status.success() => Ok(crate::root().join("target/debug")),
        Ok(status) => Err(format!("the functions do not build: {status}")),
        Err(error) => Err(format!("cargo does not start: {error}")),
    }
}
