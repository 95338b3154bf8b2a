//! Divides the process's file descriptors between clients, attempts, look-ups and idle connections. Without limits, one
//! of them could use them all up, and attempts would fail for lack of a socket.

use rustix::process::{Resource, getrlimit, setrlimit};
use statuspulse_core::limits::{IDLE_CONNECTIONS, LOOKUPS_AT_ONCE};
use statuspulse_core::message::QueueName;

use crate::limits;

/// The shares of the open files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Connections of clients.
    pub(crate) connections: usize,
    /// Messages of each queue that are handled at the same time, each with one connection to a receiver.
    pub(crate) slots: [(QueueName, usize); 3],
    /// Handshakes and tests at the same time.
    pub(crate) probes: usize,
    /// Look-ups of names at the same time.
    pub(crate) lookups: usize,
    /// Idle connections to receivers.
    pub(crate) idle: usize,
}

impl Descriptors {
    /// Raises the soft limit of open files as far as needed and allowed, and shares out what there is.
    pub(crate) fn available() -> Self {
        let shares = Self::of(raised());
        if shares != Self::of(u64::MAX) {
            tracing::warn!(?shares, "fewer files may be open than needed; raise the hard limit (ulimit -Hn)");
        }
        shares
    }

    fn of(files: u64) -> Self {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let slots = statuspulse_embedded::queues().map(|queue| (queue, statuspulse_embedded::slots(queue)));
        let in_use: usize = slots.iter().map(|(_, count)| count).sum();
        let wanted = limits::CONNECTIONS
            + in_use
            + limits::PROBES_AT_ONCE
            + IDLE_CONNECTIONS
            + limits::FILES_PER_LOOKUP * LOOKUPS_AT_ONCE;
        let others = (files / 4).clamp(limits::OTHER_FILES_MIN, limits::OTHER_FILES);
        let left = files.saturating_sub(others).min(wanted);
        let share = |count: usize| (count * left / wanted).max(limits::SHARE_MIN.min(count));
        Self {
            connections: share(limits::CONNECTIONS),
            slots: slots.map(|(queue, count)| (queue, share(count))),
            probes: share(limits::PROBES_AT_ONCE),
            lookups: share(LOOKUPS_AT_ONCE),
            idle: share(IDLE_CONNECTIONS),
        }
    }
}

/// Raises the soft limit to [`limits::OPEN_FILES`], or to the hard limit if that is lower. Returns the limit.
fn raised() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let Some(now) = limit.current else { return u64::MAX };
    let allowed = limit.maximum.unwrap_or(u64::MAX).min(limits::OPEN_FILES);
    if now >= allowed {
        return now;
    }
    limit.current = Some(allowed);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => allowed,
        Err(error) => {
            tracing::warn!(%error, now, allowed, "the limit of open files cannot be raised");
            now
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(shares: &Descriptors) -> usize {
        let slots: usize = shares.slots.iter().map(|(_, count)| count).sum();
        shares.connections + shares.idle + shares.probes + slots + limits::FILES_PER_LOOKUP * shares.lookups
    }

    #[test]
    fn enough_files_are_shared_out_in_full() {
        let shares = Descriptors::of(limits::OPEN_FILES);
        assert_eq!(shares, Descriptors::of(u64::MAX));
        assert_eq!((shares.connections, shares.idle), (limits::CONNECTIONS, IDLE_CONNECTIONS));
    }

    #[test]
    fn fewer_files_leave_something_for_everybody_and_for_the_database() {
        for files in [128, 256, 1024, 4096] {
            let shares = Descriptors::of(files);
            let left = usize::try_from(files).unwrap() - total(&shares);
            assert!(left >= 24, "{files}: {left} files are left for the database: {shares:?}");
            assert!(shares.slots.iter().all(|(_, count)| *count >= limits::SHARE_MIN), "{shares:?}");
            assert!(shares.connections >= limits::SHARE_MIN, "{shares:?}");
        }
    }
}
