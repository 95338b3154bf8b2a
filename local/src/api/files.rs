//! Reads JSON from a file or from standard input.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::value::RawValue;

/// The JSON document in the file, with its spaces and numbers as they are. `-` is standard input.
///
/// # Errors
/// Fails if the file cannot be read, or is not one JSON document.
pub(super) fn json(file: &Path) -> Result<Box<RawValue>> {
    let is_input = file == Path::new("-");
    let name = if is_input { "standard input".to_owned() } else { file.display().to_string() };
    let text = match is_input {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => std::fs::read_to_string(file),
    };
    let text = text.with_context(|| format!("reading {name}"))?;
    serde_json::from_str(&text).with_context(|| format!("{name} is not a JSON document"))
}
