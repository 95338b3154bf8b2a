//! Looks up host names.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use statuspulse_core::limits::{
    LOOKUP_FAILED_FOR, LOOKUP_TTL_MAX, LOOKUP_TTL_MIN, LOOKUP_WITHIN, RESOLVER_ALIVE_FOR,
    RESOLVER_CHECK_WITHIN,
};
use tokio::time::timeout;

use crate::clock::{self, Instant};

/// Looks up host names. Tests replace the DNS with it.
#[async_trait]
pub trait Resolve: Send + Sync + fmt::Debug {
    /// Returns all addresses of the host, IPv4 and IPv6. CNAMEs are followed.
    ///
    /// # Errors
    /// Fails if the host has no address. See [`Unresolved`].
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved>;

    /// Forgets the answers it remembers.
    fn forget(&self) {}
}

/// Why a look-up found no address.
#[derive(Debug)]
pub enum Unresolved {
    /// The name does not exist, or its name servers failed.
    NoSuchName,
    /// Its name servers did not answer in time.
    Silent,
    /// We could not ask: our resolver does not answer, or something of ours ran out.
    Ours(io::Error),
}

/// The resolver of the operating system's configuration (`/etc/resolv.conf` and the hosts file), without its library:
/// that blocks a thread for each look-up, and names that never answer would take them all.
pub struct SystemResolver {
    /// The hosts file. A name in it has only the addresses in it, as with the system's own resolver.
    hosts: Hosts,
    resolver: TokioResolver,
    /// The same without a cache, to check whether the resolver answers at all.
    check: TokioResolver,
    /// When the resolver last answered a check. Other answers may come from the cache.
    answered_at: Mutex<Option<Instant>>,
}

impl SystemResolver {
    /// Reads the system's configuration.
    ///
    /// # Errors
    /// Fails if it cannot be read.
    pub fn new() -> io::Result<Self> {
        let (config, options) = read_system_conf().map_err(io::Error::other)?;
        let hosts = Hosts::from_system().unwrap_or_default();
        Self::with(&config, options, hosts)
    }

    /// A resolver that asks these servers, for tests.
    ///
    /// # Errors
    /// Fails if it cannot be set up.
    pub fn with_servers(servers: &[SocketAddr]) -> io::Result<Self> {
        let server = |address: &SocketAddr| {
            let mut connection = ConnectionConfig::udp();
            connection.port = address.port();
            NameServerConfig::new(address.ip(), true, vec![connection])
        };
        let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
        Self::with(&config, ResolverOpts::default(), Hosts::default())
    }

    fn with(config: &ResolverConfig, mut options: ResolverOpts, hosts: Hosts) -> io::Result<Self> {
        options.use_hosts_file = ResolveHosts::Never;
        options.positive_min_ttl = Some(LOOKUP_TTL_MIN);
        options.positive_max_ttl = Some(LOOKUP_TTL_MAX);
        options.negative_min_ttl = Some(LOOKUP_TTL_MIN);
        options.negative_max_ttl = Some(LOOKUP_FAILED_FOR);
        options.timeout = LOOKUP_WITHIN / 3;
        let build = |options: ResolverOpts| {
            TokioResolver::builder_with_config(config.clone(), TokioRuntimeProvider::default())
                .with_options(options)
                .build()
                .map_err(io::Error::other)
        };
        let resolver = build(options.clone())?;
        options.cache_size = 0;
        let check = build(options)?;
        Ok(Self { hosts, resolver, check, answered_at: Mutex::default() })
    }

    fn in_hosts_file(&self, name: &Name) -> Vec<IpAddr> {
        let of_type = |kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let found = [RecordType::A, RecordType::AAAA].into_iter().filter_map(of_type).map(LookupIp::from);
        found.flat_map(|found| found.iter().collect::<Vec<_>>()).collect()
    }

    /// The name servers of the system's configuration.
    ///
    /// # Errors
    /// Fails if it cannot be read.
    pub fn configured_servers() -> io::Result<Vec<SocketAddr>> {
        let (config, _) = read_system_conf().map_err(io::Error::other)?;
        let address = |server: &NameServerConfig| {
            server.connections.first().map(|connection| SocketAddr::new(server.ip, connection.port))
        };
        Ok(config.name_servers().iter().filter_map(address).collect())
    }

    /// Whether the resolver answers at all: it is asked for the root, unless it has just answered that.
    pub async fn is_alive(&self) -> bool {
        let answered_at = *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner);
        if answered_at.is_some_and(|at| at.elapsed() < RESOLVER_ALIVE_FOR) {
            return true;
        }
        let root = self.check.lookup(Name::root(), RecordType::NS);
        let answers = matches!(timeout(RESOLVER_CHECK_WITHIN, root).await, Ok(Ok(_) | Err(NetError::Dns(_))));
        if answers {
            *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock::now());
        }
        answers
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let Ok(mut name) = Name::from_utf8(host) else { return Err(Unresolved::NoSuchName) };
        // So the search domains of the configuration do not apply.
        name.set_fqdn(true);
        let listed = self.in_hosts_file(&name);
        if !listed.is_empty() {
            return Ok(listed);
        }
        let why = match timeout(LOOKUP_WITHIN, self.resolver.lookup_ip(name)).await {
            Ok(Ok(found)) => return Ok(found.iter().collect()),
            Ok(Err(NetError::Dns(_))) => return Err(Unresolved::NoSuchName),
            Ok(Err(error)) => io::Error::other(error),
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        // Either its name servers are silent, or our resolver is.
        Err(if self.is_alive().await { Unresolved::Silent } else { Unresolved::Ours(why) })
    }

    fn forget(&self) {
        self.resolver.clear_cache();
        *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemResolver").finish_non_exhaustive()
    }
}
