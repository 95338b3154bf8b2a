//! Looks up and checks the addresses of a URL's host.
//!
//! A look-up is reused for all attempts to a host that begin within [`LOOKUP_REUSE`] after it, or within
//! [`LOOKUP_FAILED_FOR`] if it failed, and attempts that begin while it runs wait for it. Only the result of the look-up
//! is cached. The policy checks the addresses at each attempt. The resolver has a cache of its own, by TTL. Both forget
//! everything after the process was frozen.
//!
//! Look-ups are shared by account. A call whose name needs one takes its account's turn before it waits for others that
//! look up the same name.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use statuspulse_core::attempt::{Class, Failure};
use statuspulse_core::ids::AccountId;
use statuspulse_core::limits::{LOOKUP_FAILED_FOR, LOOKUP_REUSE, LOOKUP_TURN_WITHIN, LOOKUPS_KEPT};
use statuspulse_core::ports::{Clock, PortResult, Unavailable};
use statuspulse_core::target::{EndpointUrl, Host, Refused, TargetPolicy};
use statuspulse_shares::{Share, Shares};
use tokio::time::{timeout, timeout_at};

use crate::clock::{self, Freezes, Instant};
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
    shares: Arc<Shares>,
    freezes: Freezes,
    lookups: Mutex<HashMap<Box<str>, Arc<Lookup>>>,
}

impl Vetting {
    /// At most `at_once` look-ups run at the same time.
    pub(crate) fn new(
        policy: TargetPolicy,
        resolver: Arc<dyn Resolve>,
        clock: Arc<dyn Clock>,
        at_once: usize,
    ) -> Self {
        let (shares, freezes) = (Shares::new(at_once), Freezes::new(clock));
        Self { policy, resolver, shares, freezes, lookups: Mutex::default() }
    }

    /// Waits for the account's turn to look up the URL's host; `None` if that is not needed. Keep it until the URL is
    /// [vetted](Self::vet).
    pub(crate) async fn turn(&self, account: AccountId, url: &EndpointUrl) -> PortResult<Option<Share>> {
        if self.freezes.was_frozen(LOOKUP_REUSE) {
            self.resolver.forget();
            self.lookups.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        match url.host() {
            Host::Name(name) if !self.lookup(name).is_fresh() => {
                match timeout(LOOKUP_TURN_WITHIN, self.shares.take(account)).await {
                    Ok(share) => Ok(Some(share)),
                    Err(_) => Err(Unavailable {
                        doing: "looking up a host name",
                        source: "its account has too many look-ups at the same time".into(),
                    }),
                }
            }
            Host::Name(_) | Host::Address(_) => Ok(None),
        }
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
            lookups.retain(|_, lookup| lookup.is_fresh() || lookup.is_running());
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
    fn is_running(&self) -> bool {
        self.found.try_lock().is_err()
    }

    fn is_fresh(&self) -> bool {
        let last = self.found.try_lock();
        last.is_ok_and(|last| last.as_ref().is_some_and(|(at, found)| at.elapsed() < found.kept_for()))
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
