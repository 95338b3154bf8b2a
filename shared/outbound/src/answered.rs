//! Which address of an origin answered last: a new connection tries it first, so that an address that is dead or broken
//! costs time once and not at every attempt.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use statuspulse_core::limits::ANSWERED_KEPT;

/// The last address of each origin that has several.
#[derive(Default)]
pub(crate) struct Answered(Mutex<HashMap<Box<str>, IpAddr>>);

impl Answered {
    /// The addresses in the order in which to try them.
    pub(crate) fn in_order(&self, origin: &str, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let mut ordered = addresses.to_vec();
        if let Some(last) = self.lock().get(origin)
            && let Some(at) = ordered.iter().position(|address| address == last)
        {
            ordered[..=at].rotate_right(1);
        }
        ordered
    }

    /// Remembers whether this one of the addresses answered a request.
    pub(crate) fn record(&self, origin: &str, addresses: &[IpAddr], address: IpAddr, answered: bool) {
        if addresses.len() < 2 {
            return;
        }
        let mut last = self.lock();
        if answered {
            if last.len() >= ANSWERED_KEPT && !last.contains_key(origin) {
                last.clear();
            }
            last.insert(Box::from(origin), address);
        } else if last.get(origin) == Some(&address) {
            last.remove(origin);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, IpAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
