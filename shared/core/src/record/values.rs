//! How single values are stored, and the error if one cannot be read.

use std::time::Duration;

use jiff::Timestamp;

/// A record cannot be read: it is damaged, or another version wrote it.
#[derive(Debug, thiserror::Error)]
#[error("unreadable record: {0}")]
pub struct Unreadable(String);

impl Unreadable {
    /// A field has an unknown value.
    pub fn unknown(field: &str, value: &str) -> Self {
        Self(format!("unknown {field}: {value}"))
    }

    /// The record does not parse.
    pub fn because(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Converts a time to its stored form.
pub fn millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// Converts a time from its stored form.
pub fn from_millis(millis: i64) -> Result<Timestamp, Unreadable> {
    Timestamp::from_millisecond(millis).map_err(Unreadable::because)
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn optional_time(millis: Option<i64>) -> Result<Option<Timestamp>, Unreadable> {
    millis.map(from_millis).transpose()
}

#[cfg(test)]
mod tests {
    use crate::delivery::{Status, Timing};
    use crate::fixtures::at;
    use crate::webhook::{JobKind, PauseReason};

    /// A store keeps these names. A changed name would make the records of an earlier version unreadable.
    #[test]
    fn stored_names_stay_as_they_are() {
        let statuses = ["waiting", "retrying", "delivered", "held", "failed", "discarded", "cancelled"];
        assert_eq!(Status::ALL.iter().map(|status| status.name()).collect::<Vec<_>>(), statuses);
        for status in Status::ALL {
            assert_eq!(Status::from_name(status.name()), Some(*status));
        }

        let kinds = ["hold", "release", "discard", "cancel", "recover"];
        assert_eq!(JobKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>(), kinds);
        for kind in JobKind::ALL {
            assert_eq!(JobKind::from_name(kind.name()), Some(*kind));
        }

        let reasons = ["failures", "gone", "manual", "permanent", "unknown"];
        assert_eq!(PauseReason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>(), reasons);
        for reason in PauseReason::ALL {
            assert_eq!(PauseReason::from_name(reason.name()), Some(*reason));
        }
    }

    #[test]
    fn a_timing_is_read_as_it_was_stored() {
        let table = [
            (Timing::OnTime, "on_time"),
            (Timing::Early { ladder_at: at(60) }, "early"),
            (Timing::AfterEarly, "after_early"),
        ];
        for (timing, name) in table {
            assert_eq!(timing.name(), name);
            assert_eq!(Timing::from_parts(name, timing.ladder_at()), Some(timing));
        }
        assert_eq!(Timing::from_parts("early", None), None, "an early attempt has a time on the ladder");
        assert_eq!(Timing::from_parts("on_time", Some(at(60))), None);
    }
}
