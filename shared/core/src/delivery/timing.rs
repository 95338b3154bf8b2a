//! Whether an attempt is made at the ladder's own time.

use jiff::Timestamp;

/// How an attempt's time relates to the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// The ladder's own time.
    OnTime,
    /// Early, because an outage has ended or because its owner asked for it. This is an additional attempt: the ladder's
    /// own stays at its time.
    Early {
        /// The time of the ladder's own attempt with this number.
        ladder_at: Timestamp,
    },
    /// The ladder's own time, after an early attempt of this number failed. There is no second early attempt, unless the
    /// owner asks for it.
    AfterEarly,
}

impl Timing {
    /// The name in a store.
    pub fn name(self) -> &'static str {
        match self {
            Timing::OnTime => "on_time",
            Timing::Early { .. } => "early",
            Timing::AfterEarly => "after_early",
        }
    }

    /// The ladder's own time, if the attempt is early.
    pub fn ladder_at(self) -> Option<Timestamp> {
        match self {
            Timing::Early { ladder_at } => Some(ladder_at),
            Timing::OnTime | Timing::AfterEarly => None,
        }
    }

    /// The timing with this name; `ladder_at` is set if it is early.
    pub fn from_parts(name: &str, ladder_at: Option<Timestamp>) -> Option<Self> {
        match (name, ladder_at) {
            ("on_time", None) => Some(Timing::OnTime),
            ("early", Some(ladder_at)) => Some(Timing::Early { ladder_at }),
            ("after_early", None) => Some(Timing::AfterEarly),
            _ => None,
        }
    }
}
