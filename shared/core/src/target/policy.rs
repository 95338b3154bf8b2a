//! Which targets a deployment allows.

use std::net::IpAddr;

use super::address::{self, Cidr};
use super::host::{self, Host};
use super::refused::UrlRefused;

/// Ports from 1024 up that belong to services other than a webhook receiver. TLS alone would stop most attacks on them;
/// not connecting at all is a second line of defence. Sources: IANA's service registry, the "bad ports" of the WHATWG
/// Fetch standard, and the ports that scanners of cloud networks look for. Below 1024 only the scheme's own port is
/// allowed.
pub const REFUSED_PORTS: &[(u16, &str)] = &[
    (1080, "SOCKS"),
    (1433, "SQL Server"),
    (1434, "SQL Server browser"),
    (1521, "Oracle"),
    (1719, "H.323 (Fetch)"),
    (1720, "H.323 (Fetch)"),
    (1723, "PPTP (Fetch)"),
    (1883, "MQTT"),
    (2049, "NFS (Fetch)"),
    (2181, "ZooKeeper"),
    (2375, "Docker"),
    (2376, "Docker over TLS"),
    (2379, "etcd clients"),
    (2380, "etcd peers"),
    (3128, "Squid"),
    (3260, "iSCSI"),
    (3306, "MySQL"),
    (3389, "Remote Desktop"),
    (3659, "Apple SASL (Fetch)"),
    (4045, "NFS locks (Fetch)"),
    (4190, "ManageSieve (Fetch)"),
    (4222, "NATS"),
    (4369, "Erlang port mapper"),
    (5060, "SIP (Fetch)"),
    (5061, "SIP over TLS (Fetch)"),
    (5432, "PostgreSQL"),
    (5671, "AMQP over TLS"),
    (5672, "AMQP"),
    (5900, "VNC"),
    (5984, "CouchDB"),
    (5985, "WinRM"),
    (5986, "WinRM over TLS"),
    (6000, "X11 (Fetch)"),
    (6379, "Redis"),
    (6443, "Kubernetes API"),
    (6566, "SANE (Fetch)"),
    (6665, "IRC (Fetch)"),
    (6666, "IRC (Fetch)"),
    (6667, "IRC (Fetch)"),
    (6668, "IRC (Fetch)"),
    (6669, "IRC (Fetch)"),
    (6679, "IRC over TLS (Fetch)"),
    (6697, "IRC over TLS (Fetch)"),
    (7000, "Cassandra peers"),
    (7001, "Cassandra peers over TLS"),
    (9042, "Cassandra"),
    (9092, "Kafka"),
    (9200, "Elasticsearch"),
    (9300, "Elasticsearch peers"),
    (10080, "Amanda (Fetch)"),
    (10250, "kubelet"),
    (10255, "kubelet, read only"),
    (11211, "memcached"),
    (15672, "RabbitMQ management"),
    (26379, "Redis Sentinel"),
    (27017, "MongoDB"),
    (27018, "MongoDB shard"),
    (27019, "MongoDB config server"),
];

/// Why the addresses of a host may not be called. The texts contain no address, because that could reveal what a name
/// resolves to inside a private network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An address is not public.
    #[error("The host does not resolve to public addresses only. Use a host that the internet can reach.")]
    NotPublic,
    /// There is no address.
    #[error("The host's name has no address.")]
    NoAddress,
    /// Plain http to an address outside of the development CIDRs.
    #[error("Plain http is only possible to the addresses allowed for development. Use https.")]
    PlainHttp,
}

/// Which targets may be called. The default is the policy of a deployment: public addresses over https only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetPolicy {
    development: Vec<Cidr>,
}

impl TargetPolicy {
    /// The policy of every deployment: public addresses over https.
    pub fn deployed() -> Self {
        Self::default()
    }

    /// A policy for development and tests: these addresses may be called too, even over plain http and by names such as
    /// localhost. With an empty list this is [`deployed`](Self::deployed).
    pub fn development(cidrs: Vec<Cidr>) -> Self {
        Self { development: cidrs }
    }

    /// Whether it allows more than a deployment does.
    pub fn is_development(&self) -> bool {
        !self.development.is_empty()
    }

    /// Whether this address may be called over https.
    pub fn admits(&self, address: IpAddr) -> bool {
        address::is_public(address) || self.is_for_development(address)
    }

    pub(super) fn is_for_development(&self, address: IpAddr) -> bool {
        self.development.iter().any(|cidr| cidr.contains(address))
    }

    pub(super) fn check_scheme(&self, https: bool) -> Result<(), UrlRefused> {
        if https || self.is_development() {
            return Ok(());
        }
        Err(UrlRefused::new("url_scheme", "The URL must begin with https://; plain http is not allowed."))
    }

    /// Checks what is known about the host before it is looked up.
    pub(super) fn check_host(&self, host: Host<'_>) -> Result<(), UrlRefused> {
        let public = match host {
            Host::Address(address) => self.admits(address),
            Host::Name(name) => self.is_development() || !host::is_private_name(name),
        };
        if public {
            return Ok(());
        }
        Err(UrlRefused::new(
            "target_not_public",
            "The host is not on the public internet. Use a host that the internet can reach.",
        ))
    }

    pub(super) fn check_port(https: bool, port: u16) -> Result<(), UrlRefused> {
        let own = if https { 443 } else { 80 };
        if port != own && port < 1024 {
            return Err(UrlRefused::new(
                "url_port",
                format!("Port {port} is not allowed. Use {own}, or a port from 1024 up."),
            ));
        }
        match REFUSED_PORTS.iter().find(|(refused, _)| *refused == port) {
            None => Ok(()),
            Some((_, service)) => Err(UrlRefused::new(
                "url_port",
                format!("Port {port} is not allowed, because another service usually has it ({service})."),
            )),
        }
    }
}
