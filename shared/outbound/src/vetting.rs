//! Looks up and checks the addresses of a URL's host.
//!
//! A look-up is reused for all attempts to a host that begin within [`LOOKUP_REUSE`] after it, or within
//! [`LOOKUP_FAILED_FOR`] if it failed, and attempts that begin while it runs wait for it. Only the result of the look-up
//! is cached. The policy checks the addresses at each attempt. The resolver has a cache of its own, by TTL.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use statuspulse_core::attempt::{Class, Failure};
use statuspulse_core::limits::{LOOKUP_FAILED_FOR, LOOKUP_REUSE, LOOKUPS_KEPT};
use statuspulse_core::target::{EndpointUrl, Host, Refused, TargetPolicy};
use tokio::time::timeout_at;

use crate::clock::{self, Instant};
use crate::explain::NoReply;
use crate::resolve::{Resolve, Unresolved};

/// The addresses of a host in the resolver's order, all of them allowed by the policy.
pub(crate) type Vetted = Arc<[IpAddr]>;

/// The result of a look-up, before the policy has checked it.
#[derive(Clone)]
enum Found {
    Addresses(Arc<[IpAddr]>),
    NoSuchName,
    Silent,
    /// We could not ask.
    Ours(Arc<io::Error>),
}

impl Found {
    fn kept_for(&self) -> Duration {
        match self {
            Self::Addresses(_) => LOOKUP_REUSE,
            Self::NoSuchName | Self::Silent => LOOKUP_FAILED_FOR,
            Self::Ours(_) => Duration::ZERO,
        }
    }
}

/// The last look-up of a host. The task that holds the lock does the look-up.
#[derive(Default)]
struct Lookup {
    found: tokio::sync::Mutex<Option<(Instant, Found)>>,
}

pub(crate) struct Vetting {
    policy: TargetPolicy,
    resolver: Arc<dyn Resolve>,
    lookups: Mutex<HashMap<Box<str>, Arc<Lookup>>>,
}

impl Vetting {
    pub(crate) fn new(policy: TargetPolicy, resolver: Arc<dyn Resolve>) -> Self {
        Self { policy, resolver, lookups: Mutex::default() }
    }

    /// Returns the addresses that the URL may be called at, or fails by the deadline.
    pub(crate) async fn vet(&self, url: &EndpointUrl, deadline: Instant) -> Result<Vetted, NoReply> {
        let addresses = match url.host() {
            Host::Address(address) => Arc::from([address]),
            Host::Name(name) => match timeout_at(deadline, self.look_up(name)).await {
                Ok(Found::Addresses(addresses)) => addresses,
                Ok(Found::NoSuchName) => {
                    return Err(dns("The host name could not be resolved. Check its DNS records."));
                }
                Ok(Found::Silent) | Err(_) => {
                    return Err(dns("The host's name servers did not answer in time."));
                }
                Ok(Found::Ours(error)) => return Err(NoReply::not_made("looking up a host name", error)),
            },
        };
        match self.policy.vet(url, &addresses) {
            Ok(()) => Ok(addresses),
            Err(Refused::NoAddress) => Err(dns(&Refused::NoAddress.to_string())),
            Err(refused) => Err(Failure::new(Class::TargetNotPublic, refused.to_string()).into()),
        }
    }

    /// Looks up the host, or reuses the last look-up if it is fresh. Who waited while it ran shares its result, fresh or
    /// not: for a look-up of their own there may be no time left.
    async fn look_up(&self, host: &str) -> Found {
        let lookup = self.lookup(host);
        let asked_at = clock::now();
        let mut last = lookup.found.lock().await;
        if let Some((at, found)) = &*last
            && (*at > asked_at || at.elapsed() < found.kept_for())
        {
            return found.clone();
        }
        let found = match self.resolver.resolve(host).await {
            Ok(addresses) => Found::Addresses(addresses.into()),
            Err(Unresolved::NoSuchName) => Found::NoSuchName,
            Err(Unresolved::Silent) => Found::Silent,
            Err(Unresolved::Ours(error)) => Found::Ours(Arc::new(error)),
        };
        *last = Some((clock::now(), found.clone()));
        found
    }

    fn lookup(&self, host: &str) -> Arc<Lookup> {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = lookups.get(host) {
            return Arc::clone(lookup);
        }
        if lookups.len() >= LOOKUPS_KEPT {
            // A look-up that is running continues; its task holds the `Arc`.
            lookups.retain(|_, lookup| lookup.is_fresh());
            if lookups.len() >= LOOKUPS_KEPT {
                lookups.clear();
            }
        }
        let lookup = Arc::<Lookup>::default();
        lookups.insert(Box::from(host), Arc::clone(&lookup));
        lookup
    }
}

impl Lookup {
    fn is_fresh(&self) -> bool {
        match self.found.try_lock() {
            Ok(last) => last.as_ref().is_some_and(|(at, found)| at.elapsed() < found.kept_for()),
            Err(_) => true,
        }
    }
}

impl fmt::Debug for Vetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vetting").field("policy", &self.policy).finish_non_exhaustive()
    }
}

fn dns(reason: &str) -> NoReply {
    Failure::new(Class::Dns, reason).into()
}
