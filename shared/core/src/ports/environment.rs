//! The ports to the machine: time and randomness.

use jiff::Timestamp;

/// Time.
pub trait Clock: Send + Sync {
    /// The current time in whole milliseconds, so that it equals the stored value.
    fn now(&self) -> Timestamp;

    /// The wall-clock time. It may jump while the program runs; [`now`](Self::now) never does.
    fn wall(&self) -> Timestamp {
        self.now()
    }

    /// The current time by both.
    fn moment(&self) -> Moment {
        Moment { now: self.now(), wall: self.wall() }
    }
}

/// A time by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time that records have, and that waits are counted with.
    pub now: Timestamp,
    /// The time that others compare a signature with.
    pub wall: Timestamp,
}

impl Moment {
    /// A time by clocks that agree.
    pub fn at(time: Timestamp) -> Self {
        Self { now: time, wall: time }
    }
}

/// Randomness.
pub trait Random: Send + Sync {
    /// Fills the buffer from a cryptographically secure source.
    fn fill(&self, bytes: &mut [u8]);
}
