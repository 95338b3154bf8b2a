//! The clock and the randomness of an execution environment.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use ring::rand::{SecureRandom, SystemRandom};
use statuspulse_core::ports::{Clock, Random};

/// The system's clock, in whole milliseconds. In debug builds, tests in the emulator move it with an offset
/// in a file.
#[derive(Debug)]
pub(crate) struct SystemClock {
    pub(crate) offset: Option<PathBuf>,
}

impl SystemClock {
    fn offset(&self) -> SignedDuration {
        let text = self.offset.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let millis = text.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        SignedDuration::from_millis(millis)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the adapter")]
        let now = Timestamp::now();
        let now = now.checked_add(self.offset()).unwrap_or(now);
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}

/// The operating system's randomness.
#[derive(Debug)]
pub(crate) struct SystemRandomness(pub(crate) SystemRandom);

impl Random for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::expect_used, reason = "a machine without randomness must make no secrets at all")]
        self.0.fill(bytes).expect("the operating system provides no randomness");
    }
}
