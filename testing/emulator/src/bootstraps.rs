//! Builds the functions, so that tests never run old ones.

use std::path::PathBuf;
use std::process::Command;

/// The functions. One binary has all of them.
pub const FUNCTIONS: [&str; 6] = ["registration", "dashboard", "fanout", "delivery", "pause", "drain"];

/// Builds the functions and returns the folder with their binary.
///
/// # Errors
/// Fails if they do not compile. The compiler's errors are on stderr.
pub fn build() -> Result<PathBuf, String> {
    build_package("statuspulse-functions")
}

/// Builds a package and returns the folder with its binary.
///
/// # Errors
/// Fails if it does not compile. The compiler's errors are on stderr.
pub fn build_package(package: &str) -> Result<PathBuf, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(crate::root()).args(["build", "--locked", "--quiet", "--package", package]);
    match cargo.status() {
        Ok(status) if status.success() => Ok(crate::root().join("target/debug")),
        Ok(status) => Err(format!("{package} does not compile: {status}")),
        Err(error) => Err(format!("cargo cannot be started: {error}")),
    }
}
