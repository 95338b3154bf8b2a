//! Builds the functions' binaries, so that tests never run old ones.

use std::path::PathBuf;
use std::process::Command;

/// The functions. Each is a binary with this name in the package `statuspulse-function-<name>`.
pub const FUNCTIONS: [&str; 6] = ["registration", "dashboard", "fanout", "delivery", "pause", "drain"];

/// Builds the functions and returns the folder with their binaries.
///
/// # Errors
/// Fails if they do not compile. The compiler's errors are on stderr.
pub fn build() -> Result<PathBuf, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(crate::root()).args(["build", "--locked", "--quiet", "--bins"]);
    for function in FUNCTIONS {
        cargo.arg("--package").arg(format!("statuspulse-function-{function}"));
    }
    match cargo.status() {
        Ok(status) if status.success() => Ok(crate::root().join("target/debug")),
        Ok(status) => Err(format!("the functions do not compile: {status}")),
        Err(error) => Err(format!("cargo cannot be started: {error}")),
    }
}
