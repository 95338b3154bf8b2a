//! What is being done to a webhook's deliveries since its state last changed.

use jiff::Timestamp;

/// What is being done to a webhook's deliveries, page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// What.
    pub mode: SweepMode,
    /// Since when.
    pub begun: Timestamp,
    /// Of a recovery: the outage that ended. What fails in a later one is not brought forward.
    pub outage: u32,
    /// The step that is next: counts up.
    pub step: u32,
    /// Not before this time.
    pub due: Timestamp,
    /// For a release: pages let go on end while the webhook was well; the page's size doubles with it.
    pub ramp: u32,
    /// For a release: looks taken on end while the webhook was failing; the wait doubles with it.
    pub setbacks: u32,
    /// How many deliveries it lets go to their receiver, as engineers are told: of a resume's all that were held then, as a
    /// page on which two workers were at work is counted by one; otherwise those let go so far.
    pub let_go: u64,
}

/// What a sweep does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepMode {
    /// Holds what is scheduled or waiting, after a pause.
    Hold,
    /// Lets go what is held, after a resume, at a bounded rate.
    Release,
    /// Drops what is held, after a resume that says so.
    Discard,
    /// Cancels all that is unfinished, after a delete.
    Cancel,
    /// Brings forward what waits on the ladder, when a webhook that was failing answers again.
    Recover,
}

impl SweepMode {
    /// All of them.
    pub const ALL: [SweepMode; 5] =
        [SweepMode::Hold, SweepMode::Release, SweepMode::Discard, SweepMode::Cancel, SweepMode::Recover];

    /// The name in a store.
    pub fn name(self) -> &'static str {
        match self {
            SweepMode::Hold => "hold",
            SweepMode::Release => "release",
            SweepMode::Discard => "discard",
            SweepMode::Cancel => "cancel",
            SweepMode::Recover => "recover",
        }
    }

    /// The mode of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}
