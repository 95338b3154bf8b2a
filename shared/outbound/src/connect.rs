//! Opens a new connection to one of the vetted addresses.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use statuspulse_core::limits::CONNECT_TRIES;
use statuspulse_core::target::{EndpointUrl, Host};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;

use crate::clock::{self, Instant};
use crate::connection::Connection;
use crate::explain::{self, NoReply};
use crate::meter::Metered;

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
    let (tcp, below) = Metered::new(tcp);
    if !url.scheme_is_https() {
        return Ok(Connection::open(tcp, below, address).await?);
    }
    let name = match url.host() {
        Host::Address(address) => ServerName::from(address),
        // A certificate cannot contain such a name.
        Host::Name(name) => ServerName::try_from(name.to_owned()).map_err(|_| explain::our_fault())?,
    };
    let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, tcp);
    match timeout_at(deadline, handshake).await {
        Ok(Ok(stream)) => Ok(Connection::open(stream, below, address).await?),
        Ok(Err(error)) => Err(explain::io(&error).into()),
        Err(_) => Err(explain::tls_timeout().into()),
    }
}

/// Connects to the first address that accepts. Each address gets an equal share of the remaining time, so that a dead
/// address does not use up the time of the others.
async fn connect_tcp(
    addresses: &[IpAddr],
    port: u16,
    deadline: Instant,
) -> Result<(TcpStream, IpAddr), NoReply> {
    let tries = to_try(addresses);
    let mut last = NoReply::from(explain::connect_timeout());
    for (at, address) in tries.iter().enumerate() {
        let share = clock::until(deadline) / u32::try_from(tries.len() - at).unwrap_or(1);
        match timeout_at(clock::now() + share, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => return Ok((stream, *address)),
            Ok(Err(error)) => last = explain::not_connected(error),
            Err(_) => last = explain::connect_timeout().into(),
        }
    }
    Err(last)
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
        assert_eq!(to_try(&many), parse(&["2600::1", "8.8.8.8", "2600::2", "2600::3"]));
        let one = parse(&["8.8.8.8"]);
        assert_eq!(to_try(&one), one);
        let v4_first = parse(&["8.8.8.8", "8.8.4.4", "2600::1"]);
        assert_eq!(to_try(&v4_first), parse(&["8.8.8.8", "2600::1", "8.8.4.4"]));
    }
}
