//! Which addresses are public (rule 9.2): tables, and properties of arbitrary addresses.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers may fail it")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use statuspulse_core::target::{Cidr, EndpointUrl, Refused, TargetPolicy, is_public};

/// The code with which a deployment refuses this URL.
fn refusal(url: &str) -> &'static str {
    match EndpointUrl::parse(url, &TargetPolicy::deployed()) {
        Ok(taken) => panic!("{url} was taken as {taken}"),
        Err(refused) => {
            assert!(refused.detail.ends_with(['.', ')']), "a sentence: {}", refused.detail);
            refused.code
        }
    }
}

fn all_refused(code: &str, urls: &[&str]) {
    for url in urls {
        assert_eq!(refusal(url), code, "{url}");
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn addresses_of_metadata_services_are_refused() {
    all_refused(
        "target_not_public",
        &[
            "https://169.254.169.254/latest/meta-data/",
            "https://2852039166/",
            "https://0xA9FEA9FE/",
            "https://169.254.170.2/",
            "https://169.254.169.253/",
            "https://168.63.129.16/",
            "https://100.100.100.200/",
            "https://192.0.0.192/",
            "https://[fd00:ec2::254]/",
            "https://[fd20:ce::254]/",
        ],
    );
    assert!(is_public(ip("168.63.129.15")) && is_public(ip("168.63.129.17")));
}

#[test]
fn the_edges_of_the_private_ranges_are_exact() {
    let edges = [
        ("9.255.255.255", true),
        ("10.0.0.0", false),
        ("10.255.255.255", false),
        ("11.0.0.0", true),
        ("172.15.255.255", true),
        ("172.16.0.0", false),
        ("172.31.255.255", false),
        ("172.32.0.0", true),
        ("192.167.255.255", true),
        ("192.168.0.0", false),
        ("192.168.255.255", false),
        ("192.169.0.0", true),
        ("100.63.255.255", true),
        ("100.64.0.0", false),
        ("100.127.255.255", false),
        ("100.128.0.0", true),
        ("126.255.255.255", true),
        ("127.0.0.0", false),
        ("127.255.255.255", false),
        ("128.0.0.0", true),
        ("169.253.255.255", true),
        ("169.254.0.0", false),
        ("169.254.255.255", false),
        ("169.255.0.0", true),
        ("0.255.255.255", false),
        ("1.0.0.0", true),
        ("223.255.255.255", true),
        ("224.0.0.0", false),
    ];
    for (address, public) in edges {
        assert_eq!(is_public(ip(address)), public, "{address}");
    }
}

#[test]
fn special_purpose_ipv4_ranges_are_refused() {
    let refused = [
        "0.0.0.0",
        "0.1.2.3",
        "192.0.0.1",
        "192.0.0.255",
        "192.0.2.1",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "192.88.99.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.254",
        "255.255.255.255",
        "192.31.196.1",
        "192.52.193.1",
        "192.175.48.1",
        "233.252.0.1",
    ];
    for address in refused {
        assert!(!is_public(ip(address)), "{address}");
        assert_eq!(refusal(&format!("https://{address}/")), "target_not_public");
    }
    for address in ["192.0.1.0", "192.0.3.0", "198.17.255.255", "198.20.0.0", "192.88.98.255", "192.88.100.0"]
    {
        assert!(is_public(ip(address)), "{address}");
    }
}

#[test]
fn special_purpose_ipv6_ranges_are_refused() {
    let refused = [
        "::1",
        "::",
        "fe80::1",
        "febf::1",
        "fc00::1",
        "fdff::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "2001:db8::1",
        "100::1",
        "100:0:0:1::1",
        "3fff::1",
        "3fff:fff:ffff::1",
        "5f00::1",
        "4000::1",
        "1fff::1",
        "2620:4f:8000::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:30::1",
        "2001:1ff::1",
        "3ffe::1",
        "8000::1",
        "e000::1",
    ];
    for address in refused {
        assert!(!is_public(ip(address)), "{address}");
        assert_eq!(refusal(&format!("https://[{address}]/")), "target_not_public");
    }
    let public = [
        "2001:200::1",
        "2001:db7::1",
        "2001:db9::1",
        "2003::1",
        "2606:4700::6810:84e5",
        "2a00:1450:4001:80b::200e",
        "2600:1901:0:38d7::",
        "2600:1901:0:a12::",
        "2620:4f:7fff::1",
        "2620:4f:8001::1",
        "3fff:1000::1",
        "2c0f:fb50::1",
    ];
    for address in public {
        assert!(is_public(ip(address)), "{address}");
    }
}

#[test]
fn mapped_ipv4_addresses_are_refused_in_every_spelling() {
    all_refused(
        "target_not_public",
        &[
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://[0:0:0:0:0:FFFF:169.254.169.254]/",
            "https://[0000:0000:0000:0000:0000:ffff:7f00:0001]/",
            "https://[::ffff:8.8.8.8]/",
        ],
    );
}

#[test]
fn compatible_translated_and_isatap_addresses_are_refused() {
    all_refused(
        "target_not_public",
        &[
            "https://[::127.0.0.1]/",
            "https://[::7f00:1]/",
            "https://[::ffff:0:7f00:1]/",
            "https://[::5efe:7f00:1]/",
            "https://[fe80::5efe:a00:1]/",
            "https://[2606:4700::5efe:7f00:1]/",
            "https://[2606:4700::200:5efe:169.254.169.254]/",
            "https://[2606:4700::200:5efe:8.8.8.8]/",
        ],
    );
}

#[test]
fn nat64_6to4_and_teredo_addresses_are_refused() {
    all_refused(
        "target_not_public",
        &[
            "https://[64:ff9b::7f00:1]/",
            "https://[64:ff9b::8.8.8.8]/",
            "https://[64:ff9b:1::7f00:1]/",
            "https://[64:ff9b:1:ffff:ffff:ffff:7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[2002:808:808::1]/",
            "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
            "https://[2001::1]/",
        ],
    );
}

/// An IPv4 address embedded behind a prefix of each length (RFC 6052, section 2.2).
fn translated(prefix: Ipv6Addr, bits: u8, inner: Ipv4Addr) -> Ipv6Addr {
    let (p, v) = (prefix.octets(), inner.octets());
    let octets = match bits {
        32 => [p[0], p[1], p[2], p[3], v[0], v[1], v[2], v[3], 0, 0, 0, 0, 0, 0, 0, 0],
        40 => [p[0], p[1], p[2], p[3], p[4], v[0], v[1], v[2], 0, v[3], 0, 0, 0, 0, 0, 0],
        48 => [p[0], p[1], p[2], p[3], p[4], p[5], v[0], v[1], 0, v[2], v[3], 0, 0, 0, 0, 0],
        56 => [p[0], p[1], p[2], p[3], p[4], p[5], p[6], v[0], 0, v[1], v[2], v[3], 0, 0, 0, 0],
        64 => [p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], 0, v[0], v[1], v[2], v[3], 0, 0, 0],
        _ => [p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], 0, 0, 0, 0, v[0], v[1], v[2], v[3]],
    };
    Ipv6Addr::from(octets)
}

#[test]
fn private_addresses_behind_a_networks_own_nat64_prefix_are_refused() {
    let prefix = "2606:4700:1234:5678::".parse().unwrap();
    for bits in [32, 40, 48, 56, 64, 96] {
        for inner in
            ["127.0.0.1", "10.0.0.1", "169.254.169.254", "172.16.5.4", "192.168.1.1", "100.100.100.200"]
        {
            let address = translated(prefix, bits, inner.parse().unwrap());
            assert!(!is_public(address.into()), "/{bits} {inner} {address}");
        }
        let address = translated(prefix, bits, "8.8.8.8".parse().unwrap());
        assert!(is_public(address.into()), "/{bits} {address}");
    }
}

#[test]
fn one_address_that_is_not_public_refuses_the_name() {
    let (policy, url) = (TargetPolicy::deployed(), EndpointUrl::restore("https://example.com/").unwrap());
    assert_eq!(policy.vet(&url, &[ip("8.8.8.8"), ip("2606:4700::1")]), Ok(()));
    assert_eq!(policy.vet(&url, &[ip("8.8.8.8"), ip("10.0.0.1")]), Err(Refused::NotPublic));
    assert_eq!(policy.vet(&url, &[ip("fd00::1"), ip("8.8.8.8")]), Err(Refused::NotPublic));
    assert_eq!(policy.vet(&url, &[ip("10.0.0.1")]), Err(Refused::NotPublic));
    assert_eq!(policy.vet(&url, &[]), Err(Refused::NoAddress));
}

// --- Arbitrary addresses and texts ------------------------------------------------------------------------

/// Blocks that are not public, written independently of the table under test.
const PRIVATE_V4: [&str; 19] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

fn private_v4() -> impl Strategy<Value = Ipv4Addr> {
    (0..PRIVATE_V4.len(), any::<u32>()).prop_map(|(block, bits)| {
        let (network, length) = PRIVATE_V4[block].split_once('/').unwrap();
        let host = u32::MAX.checked_shr(length.parse().unwrap()).unwrap_or(0);
        Ipv4Addr::from_bits(network.parse::<Ipv4Addr>().unwrap().to_bits() | (bits & host))
    })
}

proptest! {
    #[test]
    fn any_address_inside_a_private_block_is_not_public(address in private_v4()) {
        prop_assert!(!is_public(address.into()));
    }

    #[test]
    fn an_ipv4_address_is_public_exactly_outside_the_blocks(bits: u32) {
        let address = IpAddr::V4(Ipv4Addr::from_bits(bits));
        let private = PRIVATE_V4.iter().any(|block| block.parse::<Cidr>().unwrap().contains(address));
        prop_assert_eq!(is_public(address), !private);
    }

    #[test]
    fn nothing_outside_global_unicast_is_public(bits: u128) {
        let address = Ipv6Addr::from_bits(bits);
        prop_assert!(address.segments()[0] & 0xe000 == 0x2000 || !is_public(address.into()));
    }

    #[test]
    fn any_private_ipv4_address_is_refused_in_every_fixed_embedding(v4 in private_v4(), subnet: u64, high: u16) {
        let inner = u128::from(v4.to_bits());
        let high = u128::from(high);
        let subnet = u128::from(subnet) | (0x2600 << 48); // somewhere in 2600::/8
        let forms = [
            inner,                                            // compatible
            0xffff << 32 | inner,                             // mapped
            0xffff << 48 | inner,                             // translated
            0x64_ff9b << 96 | inner,                          // NAT64
            0x64_ff9b_0001 << 80 | high << 64 | inner,        // NAT64, local use
            0x2002 << 112 | inner << 80 | high << 64 | high,  // 6to4
            0x2001 << 112 | inner << 64 | high << 32,         // Teredo, its server
            0x2001 << 112 | (high << 48) | (!inner & 0xffff_ffff), // Teredo, its client
            subnet << 64 | 0x5efe << 32 | inner,              // ISATAP
            subnet << 64 | 0x0200_5efe << 32 | inner,         // ISATAP, universal
        ];
        for bits in forms {
            let address = Ipv6Addr::from_bits(bits);
            prop_assert!(!is_public(address.into()), "{} holds {}", address, v4);
        }
    }

    #[test]
    fn any_private_host_behind_any_translation_prefix_is_refused(v4 in private_v4(), prefix: u64, kind in 0..6usize) {
        prop_assume!((1..224).contains(&v4.octets()[0]) && v4.octets()[3] != 0);
        let prefix = Ipv6Addr::from_bits(u128::from(prefix) << 64);
        let address = translated(prefix, [32, 40, 48, 56, 64, 96][kind], v4);
        prop_assert!(!is_public(address.into()), "{} holds {}", address, v4);
    }

    #[test]
    fn no_spelling_of_a_private_ipv4_address_gets_past(v4 in private_v4(), spelling in 0..6usize) {
        let [a, b, c, d] = v4.octets();
        let host = match spelling {
            0 => v4.to_string(),
            1 => v4.to_bits().to_string(),
            2 => format!("{:#x}", v4.to_bits()),
            3 => format!("{a:#o}.{b}.{c:#x}.{d}").replace("0o", "0"),
            4 => format!("{a}.{}", v4.to_bits() & 0xff_ffff),
            _ => format!("[::ffff:{v4}]"),
        };
        prop_assert!(EndpointUrl::parse(&format!("https://{host}/"), &TargetPolicy::deployed()).is_err(), "{}", host);
    }
}
