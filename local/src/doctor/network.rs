//! The network: the port to listen on, name servers, the addresses that requests come from, and endpoints.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::{Context, Result};
use statuspulse_core::deployment::Deployment;
use statuspulse_core::ids::AccountId;
use statuspulse_core::target::EndpointUrl;
use statuspulse_outbound::SystemResolver;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::findings::Findings;
use crate::arguments::ServeOptions;
use crate::descriptors::Descriptors;
use crate::limits;
use crate::serve;
use crate::system::SystemClock;

pub(super) async fn examine_listener(
    findings: &mut Findings,
    listen: SocketAddr,
    served: bool,
) -> Result<()> {
    match TcpListener::bind(listen).await {
        Ok(_) => findings.ok("listen", &format!("{listen} is free")),
        Err(_) if served => findings.ok("listen", &format!("{listen} is taken, as a server uses the folder")),
        Err(error) => findings.problem("listen", &format!("{listen}: {error}")),
    }
}

pub(super) async fn examine_name_servers(findings: &mut Findings) -> Result<()> {
    let subject = "name server";
    let servers = match SystemResolver::configured_servers() {
        Ok(servers) => servers,
        Err(error) => return findings.problem(subject, &format!("the system's configuration: {error}")),
    };
    if servers.is_empty() {
        return findings.problem(subject, "the system's configuration has none: no endpoint is found");
    }
    for server in servers {
        let resolver = SystemResolver::with_servers(&[server])?;
        let asked = Instant::now();
        if resolver.is_alive().await {
            findings.ok(subject, &format!("{server} answered in {} ms", asked.elapsed().as_millis()))?;
        } else {
            let words = format!("{server} does not answer: attempts wait, and are made when it does");
            findings.problem(subject, &words)?;
        }
    }
    Ok(())
}

/// Compares the address that requests come from with those that receivers were told.
pub(super) async fn examine_egress(
    findings: &mut Findings,
    promised: &[IpAddr],
    echo_url: Option<&str>,
) -> Result<()> {
    let subject = "egress";
    let promise = promised.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if let Some(url) = echo_url {
        return match echoed(url).await {
            Ok(address) if promised.is_empty() => findings
                .warning(subject, &format!("requests come from {address}; --egress-ips promises nothing")),
            Ok(address) if promised.contains(&address) => {
                findings.ok(subject, &format!("requests come from {address}, as promised"))
            }
            Ok(address) => {
                let words = format!("requests come from {address}, and receivers were told {promise}");
                findings.problem(subject, &words)
            }
            Err(error) => findings.problem(subject, &format!("--echo-url: {error:#}")),
        };
    }
    if promised.is_empty() {
        let words = "no --egress-ips: receivers with a firewall are told no addresses";
        return findings.warning(subject, words);
    }
    // The address of this machine on the way out. If it is not public, a router changes it.
    for address in own_addresses().into_iter().filter(|own| statuspulse_core::target::is_public(*own)) {
        if !promised.contains(&address) {
            let words = format!("requests may come from {address}, and receivers were told {promise}");
            return findings.problem(subject, &words);
        }
    }
    findings.ok(subject, &format!("receivers are told {promise}; give --echo-url to compare"))
}

/// The addresses that a call to a public address would have. Nothing is sent.
fn own_addresses() -> Vec<IpAddr> {
    // Addresses for documentation: they are routed like any other.
    let ways = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let own = |(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    ways.into_iter().filter_map(own).collect()
}

async fn echoed(url: &str) -> Result<IpAddr> {
    let client = reqwest::Client::builder().timeout(limits::ECHO_WITHIN).build()?;
    let answer = client.get(url).send().await?.error_for_status()?.text().await?;
    let text: String = answer.trim().chars().take(60).collect();
    text.parse().with_context(|| format!("{url} answered {text:?}, which is no address"))
}

/// Connects to endpoints as an attempt would.
pub(super) async fn examine_urls(
    findings: &mut Findings,
    options: &ServeOptions,
    deployment: &Deployment,
    urls: &[String],
) -> Result<()> {
    if urls.is_empty() {
        return Ok(());
    }
    let clock = Arc::new(SystemClock::start());
    let outbound = match serve::outbound(options, &deployment.policy, &Descriptors::available(), clock) {
        Ok(outbound) => outbound,
        Err(error) => return findings.problem("options", &format!("{error:#}")),
    };
    for text in urls {
        let subject = "endpoint";
        let url = match EndpointUrl::parse(text, &deployment.policy) {
            Ok(url) => url,
            Err(refused) => {
                findings.problem(subject, &format!("{text}: {refused}"))?;
                continue;
            }
        };
        match outbound.reach(AccountId::from_bytes([0; 16]), &url).await {
            Ok(Ok(reached)) => {
                let (looked_up, connected) = (reached.looked_up.as_millis(), reached.connected.as_millis());
                let words = format!(
                    "{text}: {} answers; looked up in {looked_up} ms, connected in {connected} ms",
                    reached.address
                );
                findings.ok(subject, &words)?;
            }
            Ok(Err(failure)) => findings.problem(subject, &format!("{text}: {}", failure.reason))?,
            Err(error) => findings.problem(subject, &format!("{text}: {:#}", anyhow::Error::from(error)))?,
        }
    }
    Ok(())
}
