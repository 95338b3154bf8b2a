//! An account's list of allowed domains (rule 9.3).

use statuspulse_core::target::{ALWAYS_ALLOWED, AllowedDomains, EndpointUrl, Refused, TargetPolicy};

#[test]
fn our_own_subdomains_are_always_on_the_list_by_whole_labels() {
    let list = AllowedDomains::parse(["example.com"]).unwrap();
    assert!(list.admits("x.statuspulse.io") && list.admits("a.b.statuspulse.io"));
    for host in [
        "statuspulse.io",
        "evilstatuspulse.io",
        "statuspulse.io.evil.com",
        "x.statuspulse.io.evil.com",
        ".statuspulse.io.",
        "",
    ] {
        assert!(!list.admits(host), "{host}");
    }
    assert!(AllowedDomains::parse([ALWAYS_ALLOWED]).unwrap().admits("x.statuspulse.io"));
}

#[test]
fn being_on_the_list_does_not_exempt_from_the_check_of_addresses() {
    let url = EndpointUrl::restore("https://x.statuspulse.io/").unwrap();
    assert!(AllowedDomains::parse(["example.com"]).unwrap().admits(url.host_text()));
    assert_eq!(TargetPolicy::deployed().vet(&url, &["10.0.0.1".parse().unwrap()]), Err(Refused::NotPublic));
}

// --- The list of domains ----------------------------------------------------------------------------------

#[test]
fn an_empty_list_restricts_nothing() {
    let list = AllowedDomains::default();
    assert!(list.is_empty() && list.admits("anything.example") && list.admits("8.8.8.8"));
    assert_eq!(AllowedDomains::parse(Vec::<String>::new()).unwrap(), list);
}

#[test]
fn a_domain_is_itself_and_a_wildcard_is_all_below_it() {
    let list = AllowedDomains::parse(["Example.com", "*.hooks.example.org", "bücher.example"]).unwrap();
    for host in ["example.com", "a.hooks.example.org", "a.b.hooks.example.org", "xn--bcher-kva.example"] {
        assert!(list.admits(host), "{host}");
    }
    for host in [
        "www.example.com",
        "evilexample.com",
        "hooks.example.org",
        "evilhooks.example.org",
        "example.org",
        "8.8.8.8",
        "[2606:4700::1]",
    ] {
        assert!(!list.admits(host), "{host}");
    }
}

#[test]
fn a_list_reads_back_as_it_was_written_without_repeats() {
    let list = AllowedDomains::parse(["b.example", "*.A.example", "B.example"]).unwrap();
    assert_eq!(list.as_strings(), ["b.example", "*.a.example"]);
    assert_eq!(AllowedDomains::parse(list.as_strings()).unwrap(), list);
}

#[test]
fn an_entry_that_is_no_domain_is_refused_by_its_place() {
    let bad = [
        "",
        "*",
        "*.",
        "*.com",
        "com",
        "*.*.example.com",
        "a.*.example.com",
        "foo*.example.com",
        "https://example.com",
        "example.com/",
        "example.com:443",
        "127.0.0.1",
        "0x7f.1",
        "[::1]",
        "a..b",
        "exam ple.com",
        "example.com.",
        "exam\u{ad}ple.com",
        "-a.example.com",
        "a@example.com",
    ];
    for entry in bad {
        let refused = AllowedDomains::parse(["example.com", entry]).unwrap_err();
        assert_eq!(refused.index, 1, "{entry}");
    }
    let many: Vec<String> = (0..101).map(|n| format!("h{n}.example.com")).collect();
    assert_eq!(AllowedDomains::parse(&many).unwrap_err().index, 100);
    assert!(AllowedDomains::parse(&many[..100]).is_ok());
}
