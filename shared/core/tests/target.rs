//! Which URLs are accepted (rules 9.1 and 9.2).
//!
//! Addresses are in `target_addresses.rs`, the list of domains in `target_domains.rs`. Tests that need a resolver or a
//! socket are in `shared/outbound/tests`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers may fail it")]

use std::net::IpAddr;

use proptest::prelude::*;
use statuspulse_core::target::{Cidr, EndpointUrl, Host, REFUSED_PORTS, Refused, TargetPolicy};

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

fn taken(url: &str) -> EndpointUrl {
    EndpointUrl::parse(url, &TargetPolicy::deployed()).unwrap_or_else(|refused| panic!("{url}: {refused}"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn development(cidrs: &[&str]) -> TargetPolicy {
    TargetPolicy::development(cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect())
}

// --- Accepted URLs ---------------------------------------------------------------------------------------

#[test]
fn an_ordinary_https_url_is_taken_with_its_path_and_query() {
    let url = taken("https://hooks.yourcompany.com/statuspulse?team=a%20b&x=1");
    assert_eq!(url.as_str(), "https://hooks.yourcompany.com/statuspulse?team=a%20b&x=1");
    assert_eq!((url.host(), url.port()), (Host::Name("hooks.yourcompany.com"), 443));
    assert!(url.scheme_is_https());
    assert_eq!(url.origin(), "https://hooks.yourcompany.com");
    assert_eq!(
        (url.origin(), url.path_and_query()),
        ("https://hooks.yourcompany.com", "/statuspulse?team=a%20b&x=1")
    );
    assert_eq!(taken("https://[2606:4700::1]:8443").origin(), "https://[2606:4700::1]:8443");
    assert_eq!(taken("https://[2606:4700::1]:8443?a=/").path_and_query(), "/?a=/");
}

#[test]
fn scheme_and_host_are_taken_in_any_case_and_kept_in_lower_case() {
    assert_eq!(
        taken("HTTPS://Hooks.YourCompany.COM/StatusPulse").as_str(),
        "https://hooks.yourcompany.com/StatusPulse"
    );
    assert_eq!(taken("https://example.com").as_str(), "https://example.com/");
    assert_eq!(taken("https://example.com:443/x").as_str(), "https://example.com/x");
    assert_eq!(taken("https://example.com?a=b@c").as_str(), "https://example.com/?a=b@c");
    assert_eq!(taken("https://example.com/a@b:c").port(), 443);
}

#[test]
fn a_public_literal_address_is_taken() {
    assert_eq!(taken("https://8.8.8.8/hook").host(), Host::Address(ip("8.8.8.8")));
    let v6 = taken("https://[2001:4860:4860:0::8888]:8443/hook");
    assert_eq!(v6.host(), Host::Address(ip("2001:4860:4860::8888")));
    assert_eq!(v6.host_text(), "[2001:4860:4860::8888]");
    assert_eq!(v6.origin(), "https://[2001:4860:4860::8888]:8443");
}

#[test]
fn debug_output_and_the_short_form_leave_the_path_out() {
    let url = taken("https://hooks.slack.com:8443/services/T0/B0/topsecret?key=hush");
    for shown in [format!("{url:?}"), url.origin().to_owned()] {
        assert!(shown.contains("hooks.slack.com:8443"), "{shown}");
        assert!(!shown.contains("topsecret") && !shown.contains("hush"), "{shown}");
    }
    assert_eq!(url.to_string(), "https://hooks.slack.com:8443/services/T0/B0/topsecret?key=hush");
}

#[test]
fn an_underscore_in_a_label_is_taken() {
    assert_eq!(taken("https://my_app.example.com/").host_text(), "my_app.example.com");
}

#[test]
fn what_was_registered_can_be_read_back_under_any_policy() {
    for text in ["https://hooks.example.com/a?b", "https://xn--bcher-kva.example:8443/", "https://8.8.8.8/"] {
        assert_eq!(EndpointUrl::restore(text).unwrap(), taken(text));
    }
    let dev = EndpointUrl::parse("http://localhost:9000/x", &development(&["127.0.0.0/8"])).unwrap();
    assert_eq!(EndpointUrl::restore(dev.as_str()).unwrap(), dev);
    assert_eq!(EndpointUrl::restore("https://a@b.example/").unwrap_err().code, "url_userinfo");
}

// --- Shapes of URLs ---------------------------------------------------------------------------------------

#[test]
fn other_schemes_are_refused() {
    all_refused(
        "url_scheme",
        &[
            "http://example.com/",
            "HTTP://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://example.com:6379/_x",
            "javascript:alert(1)",
            "data:text/plain,hello",
            "wss://example.com/",
            "//example.com/",
            "example.com/hook",
            "httpss://example.com/",
            "",
        ],
    );
}

#[test]
fn names_of_this_machine_are_refused() {
    all_refused(
        "target_not_public",
        &["https://127.0.0.1", "https://localhost", "https://LOCALHOST/x", "https://a.localhost"],
    );
    all_refused("url_host", &["https://localhost.", "https://loc%61lhost", "https://example.com."]);
}

#[test]
fn names_that_only_a_private_network_knows_are_refused() {
    all_refused(
        "target_not_public",
        &[
            "https://intranet/",
            "https://hooks/",
            "https://printer.local/",
            "https://metadata.google.internal/",
            "https://host.docker.internal/",
            "https://localhost.localdomain/",
            "https://nas.home.arpa/",
            "https://wiki.corp/",
            "https://wiki.lan/",
            "https://a.b.home/",
            "https://facebookwkhpilnemxj7asaniu7vnjjbiltxjqhye3mhbshg7kx5tfyd.onion/",
        ],
    );
    assert_eq!(taken("https://local.example.com/").host_text(), "local.example.com");
    assert_eq!(taken("https://notlocalhost.example/").host_text(), "notlocalhost.example");
    assert_eq!(taken("https://myinternal.com/").host_text(), "myinternal.com");
}

#[test]
fn every_spelling_of_a_loopback_address_is_refused() {
    let hosts = [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7F000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0x0",
        "0.0.0.0",
        "127.0.1",
        "0x7f.0x0.0x0.0x1",
        "127.255.255.255",
        "0177.1",
    ];
    for host in hosts {
        assert_eq!(refusal(&format!("https://{host}/")), "target_not_public", "{host}");
    }
}

#[test]
fn a_public_address_in_a_strange_spelling_is_refused_too() {
    all_refused(
        "url_host",
        &["https://134744072/", "https://0x8.8.8.8/", "https://8.8.2056/", "https://8.8.8.8./"],
    );
    all_refused(
        "url_host",
        &["https://1.2.3.4.5/", "https://256.1.1.1/", "https://1.2.3.0x/x", "https://foo.1/"],
    );
}

#[test]
fn an_address_in_letters_that_stand_for_others_is_refused() {
    all_refused(
        "target_not_public",
        &[
            "https://１２７.0.0.1/",
            "https://①②⑦.⓪.⓪.①/",
            "https://127。0。0。1/",
            "https://２１３０７０６４３３/",
        ],
    );
    all_refused(
        "url_host",
        &[
            "https://%31%32%37.0.0.1/",
            "https://127%2e0.0.1/",
            "https://８.8.8.8/",
            "https://127.0.0.1%00.example.com/",
        ],
    );
}

#[test]
fn user_info_and_backslashes_are_refused() {
    all_refused(
        "url_userinfo",
        &[
            "https://a:b@example.com/",
            "https://a@example.com/",
            "https://@example.com/",
            "https://example.com@127.0.0.1",
            "https://:@example.com",
        ],
    );
    all_refused(
        "url_shape",
        &[
            "https://example.com\\@127.0.0.1",
            "https://example.com\\.evil.example/",
            "https://example.com/a\\b",
        ],
    );
}

#[test]
fn what_a_browser_would_repair_is_refused() {
    all_refused(
        "url_shape",
        &[
            "https:127.0.0.1",
            "https:/127.0.0.1",
            "https:example.com",
            "https:\\\\127.0.0.1\\",
            " https://example.com/",
            "https://example.com/ ",
            "https://exa\tmple.com/",
            "https://exa\rmple.com/",
            "https://exa\nmple.com/",
            "https://example.com/a\r\nX-Injected: 1",
            "https://example.com/a\u{a0}b",
            "https://example.com/\u{0}",
            "https ://example.com/",
        ],
    );
    all_refused(
        "url_host",
        &["https:///path", "https://", "https://:443/", "https:////example.com/", "https://?x"],
    );
    all_refused(
        "url_host",
        &[
            "https://exa<mple.com/",
            "https://[::1/",
            "https://[example.com]/",
            "https://[::1%25eth0]/",
            "https://::1/",
        ],
    );
    all_refused(
        "url_port",
        &["https://2606:4700::1/", "https://[2606:4700::1]x/", "https://example.com:80:80/"],
    );
    all_refused(
        "url_fragment",
        &["https://example.com/a#b", "https://example.com#@127.0.0.1/", "https://example.com/#"],
    );
}

#[test]
fn ports_of_other_services_are_refused() {
    for port in [
        "0",
        "65536",
        "99999",
        "999999",
        "",
        "443x",
        "-1",
        "+443",
        "0443",
        "0x1bb",
        "４４３",
        "22",
        "25",
        "80",
        "1023",
    ] {
        assert_eq!(refusal(&format!("https://example.com:{port}/")), "url_port", "{port}");
    }
    for port in [22, 25, 2375, 2379, 3306, 5432, 6379, 6443, 9200, 10250, 11211, 27017] {
        assert_eq!(refusal(&format!("https://example.com:{port}/")), "url_port", "{port}");
    }
    for (port, service) in REFUSED_PORTS {
        let refused = EndpointUrl::parse(&format!("https://example.com:{port}/"), &TargetPolicy::deployed())
            .unwrap_err();
        assert!(*port >= 1024 && refused.detail.contains(service), "{refused}");
    }
    for port in [443, 1024, 3000, 4443, 8000, 8080, 8443, 9443, 65535] {
        assert_eq!(taken(&format!("https://example.com:{port}/")).port(), port);
    }
}

#[test]
fn wildcards_empty_labels_and_names_too_long_are_refused() {
    let label = "a".repeat(63);
    let long_name = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(long_name.len(), 253);
    assert_eq!(taken(&format!("https://{long_name}/")).host_text(), long_name);
    assert_eq!(refusal(&format!("https://{long_name}b/")), "url_host");
    assert_eq!(refusal(&format!("https://{label}a.example/")), "url_host");
    all_refused(
        "url_host",
        &["https://*.example.com/", "https://a..b.com/", "https://.example.com/", "https://example..com/"],
    );
    all_refused(
        "url_host",
        &["https://-a.example.com/", "https://a-.example.com/", "https://example.com../"],
    );

    let base = "https://example.com/";
    assert!(
        EndpointUrl::parse(&format!("{base}{}", "a".repeat(2048 - base.len())), &TargetPolicy::deployed())
            .is_ok()
    );
    assert_eq!(refusal(&format!("{base}{}", "a".repeat(2049 - base.len()))), "url_too_long");
}

#[test]
fn an_internationalised_name_is_taken_as_punycode_and_shown_in_both_forms() {
    for typed in ["https://bücher.example/", "https://BÜCHER.example/", "https://xn--bcher-kva.example/"] {
        let url = taken(typed);
        assert_eq!(url.host(), Host::Name("xn--bcher-kva.example"));
        assert_eq!(url.as_str(), "https://xn--bcher-kva.example/");
        assert_eq!(url.host_in_unicode().as_deref(), Some("bücher.example"));
    }
    assert_eq!(taken("https://example.com/").host_in_unicode(), None);
}

#[test]
fn a_name_of_mixed_scripts_is_shown_as_punycode() {
    let url = taken("https://аpple.example/"); // the first letter is Cyrillic
    assert_eq!(url.origin(), "https://xn--pple-43d.example");
}

#[test]
fn soft_hyphens_and_characters_of_no_width_are_refused() {
    all_refused(
        "url_host",
        &[
            "https://exam\u{ad}ple.com/",
            "https://exam\u{200b}ple.com/",
            "https://exam\u{200c}ple.com/",
            "https://exam\u{200d}ple.com/",
            "https://exam\u{2060}ple.com/",
            "https://\u{feff}example.com/",
            "https://exam\u{202e}ple.com/",
            "https://ｅxample.com/",
            "https://example。com/",
            "https://exampleⅰ.com/",
            "https://xn--a-ecp.example/",
        ],
    );
    // Invisible, but IDNA allows it between these letters.
    all_refused("url_host", &["https://نامه\u{200c}ای.example/", "https://xn--mgba3gch31f060k.example/"]);
}

#[test]
fn punycode_that_decodes_to_nothing_good_is_refused() {
    all_refused(
        "url_host",
        &["https://xn--/", "https://xn--.example/", "https://xn--example-.com/", "https://xn--a.example/"],
    );
}

#[test]
fn no_refusal_names_an_address() {
    for refused in [Refused::NotPublic, Refused::NoAddress, Refused::PlainHttp] {
        assert!(!refused.to_string().contains(|c: char| c.is_ascii_digit()), "{refused}");
    }
    for url in ["https://127.1/", "https://[::1]/", "https://localhost/", "https://2852039166/"] {
        let refused = EndpointUrl::parse(url, &TargetPolicy::deployed()).unwrap_err();
        assert!(!refused.detail.contains(|c: char| c.is_ascii_digit()), "{refused}");
    }
}

// --- The development policy -------------------------------------------------------------------------------

#[test]
fn a_deployment_refuses_what_development_allows() {
    for url in
        ["http://127.0.0.1:8080/", "https://127.0.0.1:8443/", "https://localhost:8443/", "http://localhost/"]
    {
        assert!(EndpointUrl::parse(url, &development(&["127.0.0.0/8", "::1/128"])).is_ok(), "{url}");
        assert!(EndpointUrl::parse(url, &TargetPolicy::deployed()).is_err(), "{url}");
        assert!(EndpointUrl::parse(url, &TargetPolicy::development(vec![])).is_err(), "{url}");
    }
    assert_eq!(TargetPolicy::default(), TargetPolicy::deployed());
    assert!(!TargetPolicy::deployed().is_development());
}

#[test]
fn development_allows_the_listed_addresses_and_no_other() {
    let policy = development(&["127.0.0.1/32"]);
    let refused = |url: &str| EndpointUrl::parse(url, &policy).unwrap_err().code;
    assert!(policy.admits(ip("127.0.0.1")) && policy.admits(ip("8.8.8.8")));
    assert!(
        !policy.admits(ip("127.0.0.2"))
            && !policy.admits(ip("::1"))
            && !policy.admits(ip("::ffff:127.0.0.1"))
    );
    assert_eq!(refused("https://127.0.0.2:8443/"), "target_not_public");
    assert_eq!(refused("https://169.254.169.254/"), "target_not_public");
    assert_eq!(refused("ftp://127.0.0.1/"), "url_scheme");
    assert_eq!(refused("http://127.0.0.1:443/"), "url_port");
    assert_eq!(refused("https://127.0.0.1:80/"), "url_port");
    assert_eq!(refused("http://127.0.0.1:6379/"), "url_port");
}

#[test]
fn plain_http_leaves_for_the_listed_addresses_alone() {
    let policy = development(&["127.0.0.0/8"]);
    let url = EndpointUrl::parse("http://hooks.example.com/", &policy).unwrap();
    assert_eq!(policy.vet(&url, &[ip("127.0.0.1")]), Ok(()));
    assert_eq!(policy.vet(&url, &[ip("8.8.8.8")]), Err(Refused::PlainHttp));
    assert_eq!(policy.vet(&url, &[ip("127.0.0.1"), ip("8.8.8.8")]), Err(Refused::PlainHttp));
    assert_eq!(policy.vet(&url, &[ip("10.0.0.1")]), Err(Refused::NotPublic));
}

#[test]
fn a_cidr_has_an_address_a_length_and_no_bits_beyond_it() {
    for good in ["127.0.0.0/8", "127.0.0.1/32", "::1/128", "fd00::/8", "10.1.0.0/16"] {
        assert_eq!(good.parse::<Cidr>().unwrap().to_string(), good);
    }
    for bad in [
        "",
        "127.0.0.1",
        "127.0.0.0/33",
        "127.0.0.1/8",
        "::1/127",
        "::/129",
        "0.0.0.0/0",
        "::/0",
        "localhost/8",
        "127.0.0.0/+8",
        "127.0.0.0/",
        "127.0.0.0/8 ",
        "/8",
    ] {
        assert!(bad.parse::<Cidr>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_reads_back_as_itself(text in "(https://)?([a-z.0-9%@:\\[\\]\\\\/?#é\u{ad} _*-]{0,40})") {
        if let Ok(url) = EndpointUrl::parse(&text, &TargetPolicy::deployed()) {
            prop_assert_eq!(EndpointUrl::parse(url.as_str(), &TargetPolicy::deployed()).unwrap(), url.clone());
            prop_assert_eq!(EndpointUrl::restore(url.as_str()).unwrap(), url);
        }
    }
}
