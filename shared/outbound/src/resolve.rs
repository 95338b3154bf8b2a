//! Looks up host names.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use async_trait::async_trait;
use statuspulse_core::limits::LOOKUPS_AT_ONCE;
use tokio::sync::Semaphore;

/// Looks up host names. Tests replace the DNS with it.
#[async_trait]
pub trait Resolve: Send + Sync + fmt::Debug {
    /// Returns all addresses of the host, IPv4 and IPv6. CNAMEs are followed.
    ///
    /// # Errors
    /// Fails if there is no answer, or if the name does not exist. The text is not shown to customers.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
///
/// A look-up blocks a thread of tokio's blocking pool until the name servers answer. Other code uses that pool too, so
/// look-ups use at most [`LOOKUPS_AT_ONCE`] of its threads. The thread holds the permit, even if its caller has timed
/// out.
#[derive(Debug, Clone)]
pub struct SystemResolver {
    permits: Arc<Semaphore>,
}

impl SystemResolver {
    /// Creates a resolver with its own [`LOOKUPS_AT_ONCE`] permits.
    pub fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)) }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
        let host = host.to_owned();
        let lookup = tokio::task::spawn_blocking(move || {
            let found = (host.as_str(), 0).to_socket_addrs();
            drop(permit);
            found.map(|addresses| addresses.map(|address| address.ip()).collect())
        });
        lookup.await.map_err(io::Error::other)?
    }
}
