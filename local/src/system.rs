//! The machine's clock and randomness.

use std::time::Duration;

use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::time::{ClockId, clock_gettime};
use statuspulse_core::ports::{Clock, Random};

/// The system clock, in whole milliseconds.
///
/// The wall clock is read once, at the start. From then on a monotonic clock counts: it cannot be set, and it keeps running
/// while the machine is suspended. So changing the wall clock makes no wait longer or shorter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock {
    began: Timestamp,
    /// What the monotonic clock showed then.
    began_steady: Duration,
}

impl SystemClock {
    pub(crate) fn start() -> Self {
        Self { began: wall(), began_steady: steady() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = self.began + steady().saturating_sub(self.began_steady);
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    fn wall(&self) -> Timestamp {
        wall()
    }
}

fn wall() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter of the port")]
    Timestamp::now()
}

fn steady() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// By how many milliseconds the wall clock was changed since it was `known` milliseconds ahead of the steady one; `None` if
/// it was not changed, but only drifts.
pub(crate) fn clock_was_set(clock: &dyn Clock, known: i64) -> Option<i64> {
    let moment = clock.moment();
    let by = moment.wall.as_millisecond() - moment.now.as_millisecond() - known;
    (by.unsigned_abs() >= crate::limits::CLOCK_SET_BY).then_some(by)
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

#[cfg(test)]
mod tests {
    use statuspulse_core::ports::Moment;

    use super::*;

    /// Shows these milliseconds.
    struct Shows(i64, i64);

    impl Clock for Shows {
        fn now(&self) -> Timestamp {
            Timestamp::from_millisecond(self.0).unwrap()
        }

        fn wall(&self) -> Timestamp {
            Timestamp::from_millisecond(self.1).unwrap()
        }
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_and_one_that_drifts_is_not() {
        assert_eq!(clock_was_set(&Shows(5_000, 5_900), 0), None);
        assert_eq!(clock_was_set(&Shows(5_000, 5_900), 500), None);
        assert_eq!(clock_was_set(&Shows(7_200_000, 0), 0), Some(-7_200_000));
        assert_eq!(clock_was_set(&Shows(7_200_000, 0), -7_200_000), None);
        assert_eq!(clock_was_set(&Shows(0, 60_000), 10_000), Some(50_000));
    }

    #[test]
    fn both_clocks_agree_at_the_start() {
        let Moment { now, wall } = SystemClock::start().moment();
        assert!(wall.duration_since(now).unsigned_abs() < Duration::from_secs(10));
    }
}
