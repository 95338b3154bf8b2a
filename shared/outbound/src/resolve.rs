//! Looking up names.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use async_trait::async_trait;
use statuspulse_core::limits::LOOKUPS_AT_ONCE;
use tokio::sync::Semaphore;

/// Looks up a name. A trait so that a test can be the DNS.
#[async_trait]
pub trait Resolve: Send + Sync + fmt::Debug {
    /// Every address of the host, IPv4 and IPv6, at the end of whatever chain of CNAMEs.
    ///
    /// # Errors
    /// If there is no answer, or one that says there is no such name. The text is for logs, not for customers.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
///
/// It is a blocking call that takes a thread of tokio's blocking pool for as long as the name servers like. The
/// pool belongs to others too, so at most [`LOOKUPS_AT_ONCE`] threads of it are ever used: the permit stays
/// with the thread, even when nobody waits for its answer any more.
#[derive(Debug, Clone)]
pub struct SystemResolver {
    permits: Arc<Semaphore>,
}

impl SystemResolver {
    /// A resolver with its own share of threads.
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
