//! Which addresses are on the public internet.
//!
//! The standard library's `is_global` is unstable, and its `to_canonical` knows only mapped addresses. So this is the
//! whole table, with the source of every line: the IANA special-purpose registries of IPv4 and IPv6, the RFCs they
//! name, and the addresses that clouds add.
//!
//! IPv6 is decided the other way round: nothing outside of 2000::/3 is global unicast, so nothing outside is public,
//! and the table lists what is not public *inside*. That excludes most ways of writing an IPv4 address as an IPv6 one:
//! mapped `::ffff:a.b.c.d`, compatible `::a.b.c.d`, translated `::ffff:0:a.b.c.d`, and NAT64 `64:ff9b::/96` and
//! `64:ff9b:1::/48` are outside. 6to4 and Teredo are in the table, whatever address they contain: both are obsolete,
//! and no receiver needs them. ISATAP can have any prefix, and so can the translation prefix of a network's own NAT64
//! (RFC 6052): they are recognised by their form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A block of addresses, such as `127.0.0.0/8` or `::1/128`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is not a block of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} is not a block of addresses: {detail}")]
pub struct CidrRefused {
    text: String,
    detail: &'static str,
}

impl Cidr {
    const fn v4(network: [u8; 4], prefix: u8) -> Self {
        let [a, b, c, d] = network;
        Self { network: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Self {
        Self { network: IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)), prefix }
    }

    /// Whether the address is in the block. IPv4 addresses are never in IPv6 blocks, and vice versa.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let ignored = 32 - u32::from(self.prefix);
                (network.to_bits() ^ address.to_bits()).checked_shr(ignored).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let ignored = 128 - u32::from(self.prefix);
                (network.to_bits() ^ address.to_bits()).checked_shr(ignored).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// The first address of the block.
    pub fn first(&self) -> IpAddr {
        self.network
    }

    /// The last address of the block.
    pub fn last(&self) -> IpAddr {
        match self.network {
            IpAddr::V4(network) => {
                let host = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(network.to_bits() | host))
            }
            IpAddr::V6(network) => {
                let host = u128::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(network.to_bits() | host))
            }
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = CidrRefused;

    fn from_str(text: &str) -> Result<Self, CidrRefused> {
        let refuse = |detail| CidrRefused { text: text.to_owned(), detail };
        let (network, prefix) =
            text.split_once('/').ok_or_else(|| refuse("write address/length, as in 127.0.0.0/8"))?;
        let network: IpAddr = network.parse().map_err(|_| refuse("the part before / is not an address"))?;
        let digits = prefix.bytes().all(|b| b.is_ascii_digit());
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = match prefix.parse() {
            // An empty list allows nothing. A list that allows everything must not be one keystroke away from it.
            Ok(0) => return Err(refuse("a length of 0 would allow every address")),
            Ok(prefix) if digits && prefix <= longest => prefix,
            _ => return Err(refuse("the length after the / is not valid")),
        };
        let ignored = u32::from(longest - prefix);
        let beyond = match network {
            IpAddr::V4(network) => network.to_bits().trailing_zeros() < ignored,
            IpAddr::V6(network) => network.to_bits().trailing_zeros() < ignored,
        };
        if beyond {
            return Err(refuse("the address has bits set beyond the length"));
        }
        Ok(Self { network, prefix })
    }
}

/// Every block that is not public, with its source. "IANA4" and "IANA6" are the special-purpose registries.
const NOT_PUBLIC: &[(Cidr, &str)] = &[
    (Cidr::v4([0, 0, 0, 0], 8), "IANA4, RFC 791: this network; 0.0.0.0 connects to this machine"),
    (Cidr::v4([10, 0, 0, 0], 8), "IANA4, RFC 1918: private use"),
    (
        Cidr::v4([100, 64, 0, 0], 10),
        "IANA4, RFC 6598: shared by carriers; 100.100.100.200 is Alibaba's metadata",
    ),
    (Cidr::v4([127, 0, 0, 0], 8), "IANA4, RFC 1122: loopback"),
    (Cidr::v4([168, 63, 129, 16], 32), "Azure: the host's wire server, reachable from every virtual machine"),
    (
        Cidr::v4([169, 254, 0, 0], 16),
        "IANA4, RFC 3927: link-local; metadata of AWS, Azure, Google, and ECS's 170.2",
    ),
    (Cidr::v4([172, 16, 0, 0], 12), "IANA4, RFC 1918: private use"),
    (Cidr::v4([192, 0, 0, 0], 24), "IANA4, RFC 6890: protocol assignments; 192.0.0.192 is Oracle's metadata"),
    (Cidr::v4([192, 0, 2, 0], 24), "IANA4, RFC 5737: documentation"),
    (Cidr::v4([192, 31, 196, 0], 24), "IANA4, RFC 7535: AS112, answered by whoever is nearest"),
    (Cidr::v4([192, 52, 193, 0], 24), "IANA4, RFC 7450: automatic multicast tunnelling"),
    (Cidr::v4([192, 88, 99, 0], 24), "IANA4, RFC 7526: 6to4 relays, deprecated"),
    (Cidr::v4([192, 168, 0, 0], 16), "IANA4, RFC 1918: private use"),
    (Cidr::v4([192, 175, 48, 0], 24), "IANA4, RFC 7534: AS112, answered by whoever is nearest"),
    (Cidr::v4([198, 18, 0, 0], 15), "IANA4, RFC 2544: benchmarking"),
    (Cidr::v4([198, 51, 100, 0], 24), "IANA4, RFC 5737: documentation"),
    (Cidr::v4([203, 0, 113, 0], 24), "IANA4, RFC 5737: documentation"),
    (Cidr::v4([224, 0, 0, 0], 4), "RFC 5771: multicast"),
    (Cidr::v4([240, 0, 0, 0], 4), "IANA4, RFC 1112: reserved; and RFC 919: limited broadcast"),
    (Cidr::v6(0x2001, 0, 0, 23), "IANA6, RFC 2928: protocol assignments: Teredo, benchmarking, ORCHID"),
    (Cidr::v6(0x2001, 0xdb8, 0, 32), "IANA6, RFC 3849: documentation"),
    (Cidr::v6(0x2002, 0, 0, 16), "IANA6, RFC 3056: 6to4, an IPv4 address inside"),
    (Cidr::v6(0x2620, 0x4f, 0x8000, 48), "IANA6, RFC 7534: AS112, answered by whoever is nearest"),
    (Cidr::v6(0x3ffe, 0, 0, 16), "RFC 3701: the 6bone, returned"),
    (Cidr::v6(0x3fff, 0, 0, 20), "IANA6, RFC 9637: documentation"),
];

/// RFC 4291: global unicast. (RFC 4291 leaves room for more outside of it, but IANA has not allocated any.)
const GLOBAL_UNICAST: Cidr = Cidr::v6(0x2000, 0, 0, 3);

/// Whether the address is on the public internet. An address that is not known to be public is not.
pub fn is_public(address: IpAddr) -> bool {
    let listed = NOT_PUBLIC.iter().any(|(cidr, _)| cidr.contains(address));
    match address {
        IpAddr::V4(_) => !listed,
        IpAddr::V6(v6) => GLOBAL_UNICAST.contains(address) && !listed && !is_isatap(v6) && !is_translated(v6),
    }
}

/// RFC 5214: the interface identifier `0:5efe` or `200:5efe` and an IPv4 address, with any prefix. (The bits in which
/// the two differ, "universal" and "group", are ignored.)
fn is_isatap(address: Ipv6Addr) -> bool {
    let [.., high, low, _, _] = address.segments();
    high & !0x0300 == 0 && low == 0x5efe
}

/// RFC 6052: an IPv4 address that is not public, embedded behind a network's own translation prefix of 32, 40, 48, 56,
/// 64 or 96 bits. Such a prefix looks like any other, so the form decides: octet 8 and everything behind the IPv4
/// address are zero; for 96 bits, octets 8 to 11 are zero.
///
/// Real hosts have such addresses too: `2001:4860:4860::8888` (0.0.136.136), and Google's load balancers are
/// `2600:1901:0:xxxx::` (x.x.0.0). So the IPv4 address must be one that a single host can have: not in 0.0.0.0/8, not
/// multicast or reserved, and not ending in 0. A host numbered `...::a00:1` (10.0.0.1) may still be refused.
fn is_translated(address: Ipv6Addr) -> bool {
    let o = address.octets();
    let [_, _, _, _, a, b, c, d, u, e, f, g, h, ..] = o;
    let zero_from = |octet: usize| o[octet..].iter().all(|o| *o == 0);
    let forms = [
        ([a, b, c, d], u == 0 && zero_from(9)),
        ([b, c, d, e], u == 0 && zero_from(10)),
        ([c, d, e, f], u == 0 && zero_from(11)),
        ([d, e, f, g], u == 0 && zero_from(12)),
        ([e, f, g, h], u == 0 && zero_from(13)),
        ([o[12], o[13], o[14], o[15]], o[8..12] == [0; 4]),
    ];
    let is_host = |inner: [u8; 4]| (1..224).contains(&inner[0]) && inner[3] != 0;
    forms.into_iter().any(|(inner, is_form)| is_form && is_host(inner) && !is_public(IpAddr::from(inner)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address next to the edge of a block; `step` is 1 or -1.
    fn neighbour(edge: IpAddr, step: i8) -> Option<IpAddr> {
        match edge {
            IpAddr::V4(v4) => {
                v4.to_bits().checked_add_signed(step.into()).map(|bits| Ipv4Addr::from_bits(bits).into())
            }
            IpAddr::V6(v6) => {
                v6.to_bits().checked_add_signed(step.into()).map(|bits| Ipv6Addr::from_bits(bits).into())
            }
        }
    }

    #[test]
    fn both_edges_of_every_listed_block_are_refused() {
        for (cidr, why) in NOT_PUBLIC {
            assert!(!is_public(cidr.first()), "{cidr} {why}");
            assert!(!is_public(cidr.last()), "{cidr} {why}");
            assert_eq!(
                cidr.to_string().parse::<Cidr>().as_ref(),
                Ok(cidr),
                "a block has no bits beyond its length"
            );
        }
    }

    #[test]
    fn the_addresses_beside_a_listed_ipv4_block_are_public_unless_another_block_has_them() {
        for (cidr, why) in NOT_PUBLIC.iter().filter(|(cidr, _)| cidr.first().is_ipv4()) {
            let beside = [neighbour(cidr.first(), -1), neighbour(cidr.last(), 1)];
            for address in beside.into_iter().flatten() {
                let listed = NOT_PUBLIC.iter().any(|(other, _)| other.contains(address));
                assert_eq!(is_public(address), !listed, "{address} beside {cidr} {why}");
            }
        }
    }

    #[test]
    fn no_block_is_listed_twice_or_inside_another() {
        for (at, (cidr, _)) in NOT_PUBLIC.iter().enumerate() {
            let inside =
                NOT_PUBLIC.iter().enumerate().any(|(other, (o, _))| other != at && o.contains(cidr.first()));
            assert!(!inside, "{cidr}");
        }
    }
}
