//! Opens a new connection to one of the vetted addresses.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use statuspulse_core::limits::{CONNECT_DELAY, CONNECT_TRIES, CONNECTS_AT_ONCE};
use statuspulse_core::target::{EndpointUrl, Host};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;

use crate::clock::{self, Instant};
use crate::connection::Connection;
use crate::explain::{self, NoReply};
use crate::meter::Metered;
use crate::socket::Socket;

/// Connects, with TLS if the URL is https. Returns or fails by the deadline.
pub(crate) async fn connect(
    url: &EndpointUrl,
    addresses: &[IpAddr],
    tls: &Arc<ClientConfig>,
    deadline: Instant,
) -> Result<Connection, NoReply> {
    let (tcp, address) = connect_tcp(addresses, url.port(), deadline).await?;
    // A POST is written at once. Nagle's algorithm would only delay it.
    tcp.set_nodelay(true).map_err(|error| explain::connect(&error))?;
    let (tcp, reuse) = Socket::new(tcp);
    let (tcp, below) = Metered::new(tcp);
    if !url.scheme_is_https() {
        return Ok(Connection::open(tcp, below, reuse, address).await?);
    }
    let name = match url.host() {
        Host::Address(address) => ServerName::from(address),
        // A certificate cannot contain such a name.
        Host::Name(name) => ServerName::try_from(name.to_owned()).map_err(|_| explain::our_fault())?,
    };
    let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, tcp);
    match timeout_at(deadline, handshake).await {
        Ok(Ok(stream)) => Ok(Connection::open(stream, below, reuse, address).await?),
        Ok(Err(error)) => Err(explain::io(&error).into()),
        Err(_) => Err(explain::tls_timeout().into()),
    }
}

/// Connects to the first address that accepts. An address that is silent is not waited for: the next one is tried
/// beside it, at most [`CONNECTS_AT_ONCE`] at a time. So all are tried, and one that is dead costs little time.
async fn connect_tcp(
    addresses: &[IpAddr],
    port: u16,
    deadline: Instant,
) -> Result<(TcpStream, IpAddr), NoReply> {
    let mut left: VecDeque<IpAddr> = to_try(addresses).into();
    let mut trying = FuturesUnordered::new();
    let mut last = NoReply::from(explain::connect_timeout());
    loop {
        if let Some(address) = left.pop_front() {
            let others_need_its_place = left.len() >= CONNECTS_AT_ONCE as usize;
            let patience = clock::now() + CONNECT_DELAY * CONNECTS_AT_ONCE;
            let until = if others_need_its_place { patience.min(deadline) } else { deadline };
            trying.push(try_one(address, port, until));
        }
        let until = if left.is_empty() { deadline } else { deadline.min(clock::now() + CONNECT_DELAY) };
        match timeout_at(until, trying.next()).await {
            Ok(Some(Ok(connected))) => return Ok(connected),
            Ok(Some(Err(error))) => last = error,
            Ok(None) | Err(_) => {}
        }
        if left.is_empty() && (trying.is_empty() || clock::now() >= deadline) {
            return Err(last);
        }
    }
}

async fn try_one(address: IpAddr, port: u16, until: Instant) -> Result<(TcpStream, IpAddr), NoReply> {
    match timeout_at(until, TcpStream::connect(SocketAddr::new(address, port))).await {
        Ok(Ok(stream)) => Ok((stream, address)),
        Ok(Err(error)) => Err(explain::not_connected(error)),
        Err(_) => Err(explain::connect_timeout().into()),
    }
}

/// The addresses to try, at most [`CONNECT_TRIES`]: in the resolver's order, but IPv4 and IPv6 alternate, so that both
/// are tried if one of them has no route.
fn to_try(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let preferred = addresses.first().is_some_and(IpAddr::is_ipv6);
    let mut first = addresses.iter().filter(|address| address.is_ipv6() == preferred);
    let mut second = addresses.iter().filter(|address| address.is_ipv6() != preferred);
    let mut tries = Vec::with_capacity(CONNECT_TRIES);
    while tries.len() < CONNECT_TRIES {
        let before = tries.len();
        tries.extend(first.next());
        tries.extend(second.next());
        if tries.len() == before {
            break;
        }
    }
    tries.truncate(CONNECT_TRIES);
    tries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_have_their_chance_within_the_few_tries() {
        let parse = |all: &[&str]| all.iter().map(|a| a.parse().unwrap()).collect::<Vec<IpAddr>>();
        let many = parse(&["2600::1", "2600::2", "2600::3", "2600::4", "2600::5", "8.8.8.8"]);
        assert_eq!(to_try(&many), parse(&["2600::1", "8.8.8.8", "2600::2", "2600::3", "2600::4", "2600::5"]));
        let names: Vec<String> = (1..30).map(|n| format!("2600::{n}")).collect();
        let more = parse(&names.iter().map(String::as_str).chain(["8.8.8.8"]).collect::<Vec<_>>());
        assert_eq!(to_try(&more).len(), CONNECT_TRIES);
        assert!(to_try(&more).contains(&"8.8.8.8".parse().unwrap()));
        let one = parse(&["8.8.8.8"]);
        assert_eq!(to_try(&one), one);
        let v4_first = parse(&["8.8.8.8", "8.8.4.4", "2600::1"]);
        assert_eq!(to_try(&v4_first), parse(&["8.8.8.8", "2600::1", "8.8.4.4"]));
    }
}
