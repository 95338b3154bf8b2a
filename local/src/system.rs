//! The machine's clock and randomness.

use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use statuspulse_core::ports::{Clock, Random};

/// The system clock, in whole milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the adapter of the port")]
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}

/// The system's secure random number generator.
#[derive(Debug)]
pub(crate) struct SystemRandomness(pub(crate) SystemRandom);

impl Random for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::expect_used, reason = "without randomness no secret may be created")]
        self.0.fill(bytes).expect("the system's random number generator failed");
    }
}
