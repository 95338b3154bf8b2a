//! The clock and the randomness of a real machine.

use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use statuspulse_core::ports::{Clock, Random};

/// The machine's clock, in whole milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the adapter")]
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}

/// The machine's randomness.
#[derive(Debug)]
pub(crate) struct SystemRandomness(pub(crate) SystemRandom);

impl Random for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::expect_used, reason = "a machine without randomness must make no secrets at all")]
        self.0.fill(bytes).expect("the machine gives no randomness");
    }
}
