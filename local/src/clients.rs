//! What each client address has open, so that no single one can take everything.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The open connections of each address, or its calls in progress if it is behind a trusted proxy.
#[derive(Debug)]
pub(crate) struct Clients {
    open: Mutex<HashMap<IpAddr, usize>>,
    most: usize,
}

/// One of an address's places. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    client: IpAddr,
    clients: Arc<Clients>,
}

impl Clients {
    /// Each address has at most this many places.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), most })
    }

    /// Takes a place for this address; `None` if it has taken all of its own.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let client = client_of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = open.entry(client).or_default();
        if *taken >= self.most {
            return None;
        }
        *taken += 1;
        Some(Place { client, clients: Arc::clone(self) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.clients.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = open.get_mut(&self.client) {
            *taken -= 1;
            if *taken == 0 {
                open.remove(&self.client);
            }
        }
    }
}

/// An IPv6 client usually has a whole /64, so that is what counts.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_own_places_and_gets_them_back() {
        let clients = Clients::new(2);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let first = clients.enter(one).unwrap();
        let _second = clients.enter(one).unwrap();
        assert!(clients.enter(one).is_none());
        assert!(clients.enter("192.0.2.2".parse().unwrap()).is_some());
        drop(first);
        assert!(clients.enter(one).is_some());
    }

    #[test]
    fn a_network_of_ipv6_and_a_mapped_address_are_one_client() {
        let same =
            |one: &str, other: &str| client_of(one.parse().unwrap()) == client_of(other.parse().unwrap());
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
    }

    #[test]
    fn nothing_is_kept_of_a_client_that_has_left() {
        let clients = Clients::new(2);
        drop(clients.enter("192.0.2.1".parse().unwrap()));
        assert!(clients.open.lock().unwrap().is_empty());
    }
}
