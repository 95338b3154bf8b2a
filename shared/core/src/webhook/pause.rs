//! Why a webhook is paused.

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// Why and since when a webhook is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The reason.
    pub reason: PauseReason,
    /// When it was paused.
    pub since: Timestamp,
    /// The failure that caused the pause, as a sentence.
    pub last_error: Option<String>,
    /// The first failure of the outage that was going on when it was paused.
    pub failing_since: Option<Timestamp>,
}

/// Why a webhook is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum PauseReason {
    /// Four consecutive failures.
    Failures,
    /// It answered 410 Gone.
    Gone,
    /// Its owner paused it.
    Manual,
    /// Its answer means that it will never accept another request: see
    /// [`Format::verdict`](crate::destination::Format::verdict).
    Permanent,
    /// A later version paused it, for a reason that this one does not know.
    Unknown,
}

impl PauseReason {
    /// All of them.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}
