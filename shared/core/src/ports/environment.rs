//! The ports to the machine: time and randomness.

use jiff::Timestamp;

/// Time.
pub trait Clock: Send + Sync {
    /// The current time in whole milliseconds, so that it equals the stored value.
    fn now(&self) -> Timestamp;
}

/// Randomness.
pub trait Random: Send + Sync {
    /// Fills the buffer from a cryptographically secure source.
    fn fill(&self, bytes: &mut [u8]);
}
