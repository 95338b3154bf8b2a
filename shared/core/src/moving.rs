//! Moves accounts to another deployment by a file of JSON lines.
//!
//! [`lines`] is the file, line by line. [`import`] takes lines over the ports of the new deployment, in three passes:
//! check everything, take the records, and start what they call for. Each pass can be repeated, so an import that was
//! interrupted goes on. What is written where is in `docs/moving.md`.

pub mod import;
pub mod lines;
mod sealed;
pub mod survey;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ports::Random;

pub use sealed::{DoesNotSeal, NotARecipient, Opener, Recipient};

/// The id of an export, which tells an import that goes on from a second one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ExportId([u8; 16]);

impl ExportId {
    /// A new one.
    pub fn new(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Debug for ExportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ExportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "export_{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// The text is not an export's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an export's id is export_ and 22 characters")]
pub struct NotAnExport;

impl FromStr for ExportId {
    type Err = NotAnExport;

    fn from_str(text: &str) -> Result<Self, NotAnExport> {
        let id = text.strip_prefix("export_").ok_or(NotAnExport)?;
        let id = URL_SAFE_NO_PAD.decode(id).map_err(|_| NotAnExport)?;
        id.try_into().map(Self).map_err(|_| NotAnExport)
    }
}
