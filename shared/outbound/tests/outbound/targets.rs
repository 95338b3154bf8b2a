//! Which addresses may be called (rule 9.2), and what a refusal says.

use std::sync::Arc;
use std::time::Duration;

use statuspulse_core::attempt::Class;
use statuspulse_core::ids::AccountId;
use statuspulse_core::limits::{CONNECT_TIMEOUT, LOOKUP_REUSE, LOOKUPS_AT_ONCE};
use statuspulse_core::ports::{Call, Sender};
use statuspulse_core::target::{EndpointUrl, TargetPolicy};
use statuspulse_kit::{CertificateSpec, Receiver, ReceiverOptions};
use statuspulse_outbound::{Outbound, OutboundConfig, Resolve, SystemResolver};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::stage::{
    AMPLE, Dns, ScriptedDns, Stage, WallClock, account, allowing, call, failure, found, pass, read_request,
    reply, root_of, sender, sender_at, server_at, silent_listener,
};

#[tokio::test]
async fn a_deployment_refuses_loopback_and_opens_no_socket() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    let port = receiver.addr().port();
    let dns = ScriptedDns::new(vec![found(&["127.0.0.1"])]);
    let deployed = sender(TargetPolicy::deployed(), vec![root_of(&stage.authority)], &dns);
    for host in ["127.0.0.1", "localhost", "hooks.example.com", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let sent = deployed.send(call(&format!("https://{host}:{port}/"), AMPLE)).await.unwrap();
        failure(sent, Class::TargetNotPublic);
    }
    assert_eq!(receiver.connections(), 0);
    // Another sender may call the same receiver.
    reply(stage.post(&receiver.url("/")).await);
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn the_default_configuration_is_a_deployment() {
    let plain = Receiver::start(ReceiverOptions::plain()).unwrap();
    let deployed = Outbound::new(OutboundConfig::deployed(
        Arc::new(SystemResolver::new().unwrap()),
        Arc::<WallClock>::default(),
    ))
    .unwrap();
    failure(deployed.send(call(&plain.url("/"), AMPLE)).await.unwrap(), Class::TargetNotPublic);
    let port = plain.addr().port();
    failure(
        deployed.send(call(&format!("http://localhost:{port}/"), AMPLE)).await.unwrap(),
        Class::TargetNotPublic,
    );
    assert_eq!(plain.connections(), 0);
}

#[tokio::test]
async fn a_name_with_one_address_that_is_not_public_is_refused() {
    for addresses in [
        &["10.0.0.1"][..],
        &["8.8.8.8", "10.0.0.1"],
        &["10.0.0.1", "8.8.8.8"],
        &["8.8.8.8", "fd00::1"],
        &["2606:4700::1", "::ffff:127.0.0.1"],
        &["8.8.8.8", "64:ff9b::7f00:1"],
    ] {
        let dns = ScriptedDns::new(vec![found(addresses)]);
        let deployed = sender(TargetPolicy::deployed(), vec![], &dns);
        let sent = deployed.send(call("https://hooks.example.com/", AMPLE)).await.unwrap();
        failure(sent, Class::TargetNotPublic);
        let url = EndpointUrl::restore("https://hooks.example.com/").unwrap();
        assert_eq!(deployed.vet(account(), &url).await.unwrap().unwrap_err().class, Class::TargetNotPublic);
    }
}

#[tokio::test]
async fn a_name_with_public_addresses_only_is_vetted_without_being_called() {
    let dns = ScriptedDns::new(vec![found(&["8.8.8.8", "2606:4700::1"])]);
    let deployed = sender(TargetPolicy::deployed(), vec![], &dns);
    for url in ["https://hooks.example.com/", "https://8.8.8.8/", "https://[2606:4700::1]/"] {
        assert_eq!(
            deployed.vet(account(), &EndpointUrl::restore(url).unwrap()).await.unwrap(),
            Ok(()),
            "{url}"
        );
    }
    assert_eq!(dns.asked(), 1, "a literal address is not looked up");
}

#[tokio::test]
async fn a_name_that_was_good_at_registration_is_refused_at_the_attempt() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    let dns = ScriptedDns::new(vec![found(&["127.0.0.1"]), found(&["127.0.0.2"])]);
    let outbound = sender(allowing(&["127.0.0.1/32"]), vec![root_of(&stage.authority)], &dns);
    let url = EndpointUrl::restore(&receiver.url("/")).unwrap();
    assert_eq!(outbound.vet(account(), &url).await.unwrap(), Ok(()));
    pass(LOOKUP_REUSE).await;
    failure(outbound.send(call(url.as_str(), AMPLE)).await.unwrap(), Class::TargetNotPublic);
    assert_eq!((receiver.connections(), dns.asked()), (0, 2));
}

#[tokio::test]
async fn a_kept_connection_does_not_outlive_the_vetting_of_its_name() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    let dns = ScriptedDns::new(vec![found(&["127.0.0.1"]), found(&["10.0.0.1"])]);
    let outbound = sender(allowing(&["127.0.0.1/32"]), vec![root_of(&stage.authority)], &dns);
    reply(outbound.send(call(&receiver.url("/"), AMPLE)).await.unwrap());
    pass(LOOKUP_REUSE).await;
    failure(outbound.send(call(&receiver.url("/"), AMPLE)).await.unwrap(), Class::TargetNotPublic);
    assert_eq!(receiver.count("/"), 1);
}

#[tokio::test]
async fn the_connection_goes_to_the_vetted_address_after_one_look_up() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    // A second look-up, between the check and the connect or later, would lead to another address.
    let dns = ScriptedDns::new(vec![found(&["127.0.0.1"]), found(&["127.0.0.2"])]);
    let outbound = sender(allowing(&["127.0.0.1/32"]), vec![root_of(&stage.authority)], &dns);
    assert_eq!(reply(outbound.send(call(&receiver.url("/"), AMPLE)).await.unwrap()).status, 200);
    assert_eq!((receiver.connections(), dns.asked()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_never_answers_fails_within_the_connect_timeout() {
    let dns = ScriptedDns::new(vec![Dns::Never]);
    let outbound = sender(TargetPolicy::deployed(), vec![], &dns);
    let started = Instant::now();
    let sent = outbound.send(call("https://hooks.example.com/", AMPLE)).await.unwrap();
    assert_eq!(started.elapsed().as_secs(), CONNECT_TIMEOUT.as_secs());
    assert!(sent.began_after >= CONNECT_TIMEOUT && sent.duration < Duration::from_millis(10), "{sent:?}");
    failure(sent, Class::Dns);
}

#[tokio::test(start_paused = true)]
async fn a_short_call_does_not_wait_for_the_name_server_longer_than_it_may() {
    let outbound = sender(TargetPolicy::deployed(), vec![], &ScriptedDns::new(vec![Dns::Never]));
    let started = Instant::now();
    failure(
        outbound.send(call("https://hooks.example.com/", Duration::from_millis(200))).await.unwrap(),
        Class::Dns,
    );
    assert_eq!(started.elapsed().as_millis() / 10, 20);
}

#[tokio::test]
async fn no_such_name_a_broken_name_server_and_no_address_fail_as_dns() {
    for answer in [Dns::Fails, found(&[])] {
        let outbound = sender(TargetPolicy::deployed(), vec![], &ScriptedDns::new(vec![answer]));
        failure(outbound.send(call("https://hooks.example.com/", AMPLE)).await.unwrap(), Class::Dns);
    }
}

#[tokio::test]
async fn where_a_chain_of_aliases_ends_is_what_is_vetted() {
    // CNAMEs are transparent: the resolver returns the addresses at the end of the chain.
    let outbound = sender(TargetPolicy::deployed(), vec![], &ScriptedDns::new(vec![found(&["192.168.1.1"])]));
    failure(outbound.send(call("https://alias.example.com/", AMPLE)).await.unwrap(), Class::TargetNotPublic);
}

#[tokio::test]
async fn our_own_subdomain_is_refused_by_its_address() {
    let outbound = sender(TargetPolicy::deployed(), vec![], &ScriptedDns::new(vec![found(&["10.0.0.1"])]));
    failure(outbound.send(call("https://x.statuspulse.io/", AMPLE)).await.unwrap(), Class::TargetNotPublic);
}

#[tokio::test]
async fn the_refusal_is_the_same_whether_the_port_is_open_or_closed() {
    let open = Receiver::silent().unwrap();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let outbound = sender(TargetPolicy::deployed(), vec![], &ScriptedDns::new(vec![found(&["127.0.0.1"])]));
    let mut refusals = Vec::new();
    for port in [open.addr().port(), closed] {
        let sent = outbound.send(call(&format!("https://hooks.example.com:{port}/"), AMPLE)).await.unwrap();
        assert!(sent.duration < Duration::from_millis(100), "the refusal did not wait");
        refusals.push(failure(sent, Class::TargetNotPublic));
    }
    assert_eq!(refusals[0], refusals[1]);
    assert_eq!(open.connections(), 0);
}

#[tokio::test]
async fn attempts_at_the_same_time_share_one_look_up() {
    let dns = ScriptedDns::new(vec![found(&["10.0.0.1"])]);
    let outbound = Arc::new(sender(TargetPolicy::deployed(), vec![], &dns));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let outbound = Arc::clone(&outbound);
        calls.spawn(async move { outbound.send(call("https://hooks.example.com/", AMPLE)).await.unwrap() });
    }
    for sent in calls.join_all().await {
        failure(sent, Class::TargetNotPublic);
    }
    assert_eq!(dns.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_is_used_again_for_a_second_and_no_longer() {
    let dns = ScriptedDns::new(vec![found(&["8.8.8.8"])]);
    let outbound = sender(TargetPolicy::deployed(), vec![], &dns);
    let url = EndpointUrl::restore("https://hooks.example.com/").unwrap();
    for (pass, asked) in [(0, 1), (999, 1), (1, 2), (999, 2), (1, 3)] {
        tokio::time::advance(Duration::from_millis(pass)).await;
        outbound.vet(account(), &url).await.unwrap().unwrap();
        assert_eq!(dns.asked(), asked, "after {pass} ms more");
    }
}

/// A Lambda environment is frozen between invocations: its monotonic clock stops, while DNS records may change.
#[tokio::test(start_paused = true)]
async fn answers_from_before_a_freeze_are_not_used() {
    let (dns, clock) = (ScriptedDns::new(vec![found(&["8.8.8.8"])]), Arc::<WallClock>::default());
    let outbound = sender_at(&clock, TargetPolicy::deployed(), vec![], &dns);
    let url = EndpointUrl::restore("https://hooks.example.com/").unwrap();
    for (frozen, asked, forgot) in [(0, 1, 0), (0, 1, 0), (600, 2, 1), (0, 2, 1), (3, 3, 2)] {
        clock.pass(frozen);
        outbound.vet(account(), &url).await.unwrap().unwrap();
        assert_eq!((dns.asked(), dns.forgot()), (asked, forgot), "after {frozen} seconds");
    }
}

#[tokio::test]
async fn any_number_of_hosts_can_be_looked_up() {
    let dns = ScriptedDns::new(vec![found(&["8.8.8.8"])]);
    let outbound = sender(TargetPolicy::deployed(), vec![], &dns);
    for host in 0..3000 {
        let url = EndpointUrl::restore(&format!("https://h{host}.example.com/")).unwrap();
        outbound.vet(account(), &url).await.unwrap().unwrap();
    }
    assert_eq!(dns.asked(), 3000);
}

#[tokio::test]
async fn the_systems_resolver_knows_this_machine() {
    let addresses = SystemResolver::new().unwrap().resolve("localhost").await.unwrap();
    assert!(!addresses.is_empty() && addresses.iter().all(std::net::IpAddr::is_loopback));
}

#[tokio::test]
async fn of_several_addresses_the_first_that_takes_the_connection_is_used() {
    let stage = Stage::with_dns(vec![found(&["127.0.0.3", "127.0.0.2", "127.0.0.1"])]);
    let receiver = stage.receiver();
    assert_eq!(reply(stage.post(&receiver.url("/")).await).status, 200);
}

#[tokio::test]
async fn plain_http_leaves_for_development_addresses_alone() {
    let stage = Stage::new();
    let plain = Receiver::start(ReceiverOptions::plain()).unwrap();
    assert_eq!(reply(stage.post(&plain.url("/")).await).status, 200);
    let outbound = sender(allowing(&["127.0.0.0/8"]), vec![], &ScriptedDns::new(vec![found(&["8.8.8.8"])]));
    failure(outbound.send(call("http://hooks.example.com/", AMPLE)).await.unwrap(), Class::TargetNotPublic);
}

/// The environment belongs to the whole process. So this runs another test of this program in a separate process, whose
/// environment names a proxy that does not exist.
#[test]
fn a_proxy_in_the_environment_is_ignored() {
    let mut scene = std::process::Command::new(std::env::current_exe().unwrap());
    scene.args(["--exact", "connections::one_connection_serves_many_requests"]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        scene.env(name, "http://127.0.0.1:9");
    }
    let played = scene.output().unwrap();
    assert!(played.status.success());
    assert!(String::from_utf8_lossy(&played.stdout).contains("1 passed"), "the other test was renamed");
}

#[test]
fn an_extra_root_that_is_none_is_an_error_when_starting() {
    let stage = Stage::new();
    let resolver: Arc<dyn Resolve> = Arc::<ScriptedDns>::clone(&stage.dns);
    let garbage = vec![statuspulse_outbound::CertificateDer::from(b"garbage".to_vec())];
    let config = OutboundConfig {
        extra_roots: garbage,
        ..OutboundConfig::deployed(resolver, Arc::<WallClock>::default())
    };
    assert!(Outbound::new(config).is_err());
    assert!(stage.authority.issue(CertificateSpec::Good).is_ok());
}

/// A look-up that we could not make says nothing about the host, and is not remembered.
#[tokio::test]
async fn a_look_up_without_an_open_file_is_our_trouble_and_is_tried_again() {
    let stage = Stage::with_dns(vec![Dns::OutOfFiles, found(&["127.0.0.1"])]);
    let receiver = stage.receiver();
    let error = stage.outbound.send(call(&receiver.url("/"), AMPLE)).await.unwrap_err();
    assert_eq!(error.doing, "looking up a host name");
    assert_eq!(stage.post(&receiver.url("/")).await.result.unwrap().status, 200);
}

/// Attempts that waited for a look-up that we could not make have no time for another: they share its result.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_look_up_that_is_our_trouble_is_not_blamed_on_the_name() {
    let stage = Stage::with_dns(vec![Dns::OutOfFilesAfter(CONNECT_TIMEOUT - Duration::from_millis(100))]);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let outbound = stage.outbound.clone();
        calls.spawn(async move { outbound.send(call("https://hooks.example.com/", AMPLE)).await });
    }
    while let Some(sent) = calls.join_next().await {
        assert_eq!(sent.unwrap().unwrap_err().doing, "looking up a host name");
    }
}

/// Addresses that drop all packets, as behind some firewalls, are not waited for.
#[tokio::test]
async fn silent_addresses_do_not_use_up_the_time_of_one_that_answers() {
    let stage = Stage::new();
    let receiver = stage.receiver();
    let port = receiver.addr().port();
    let silent: Vec<String> = (2..9).map(|n| format!("127.0.0.{n}")).collect();
    let _listeners: Vec<_> = silent.iter().map(|address| silent_listener(address, port)).collect();
    let all: Vec<&str> = silent.iter().map(String::as_str).chain(["127.0.0.1"]).collect();
    let dns = ScriptedDns::new(vec![found(&all)]);
    let outbound = sender(allowing(&["127.0.0.0/8"]), vec![root_of(&stage.authority)], &dns);
    assert_eq!(reply(outbound.send(call(&receiver.url("/"), AMPLE)).await.unwrap()).status, 200);
}

/// The first address takes connections and never answers. Once the second has answered it is tried first, until it
/// fails to answer, too.
#[tokio::test]
async fn the_address_that_answered_last_is_tried_first() {
    let answer = |all: &'static [bool]| {
        move |number: usize, mut socket: TcpStream| async move {
            read_request(&mut socket).await;
            if all.get(number).copied().unwrap_or(true) {
                socket
                    .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                    .await
                    .unwrap();
            }
        }
    };
    let second = server_at("127.0.0.1:0".parse().unwrap(), answer(&[true, true, false])).await;
    let first = std::net::SocketAddr::new("127.0.0.2".parse().unwrap(), second.port());
    let dns = ScriptedDns::new(vec![found(&["127.0.0.2", "127.0.0.1"])]);
    let outbound = sender(allowing(&["127.0.0.0/8"]), vec![], &dns);
    let url = format!("http://two.example.com:{}/", second.port());
    let status =
        async || outbound.send(call(&url, AMPLE)).await.unwrap().result.map(|reply| reply.status).ok();

    assert_eq!(status().await, Some(200), "the first address refuses the connection");
    server_at(first, answer(&[false])).await;
    assert_eq!(status().await, Some(200), "the first address accepts now, but the second answered last");
    assert_eq!(status().await, None, "the second does not answer");
    assert_eq!(status().await, None, "the first is tried again, and does not answer");
    assert_eq!(status().await, Some(200));
}

/// Names of one account that never answer take its own share of the look-ups, not another's.
#[tokio::test(start_paused = true)]
async fn names_that_never_answer_hold_up_no_other_account() {
    let dns = ScriptedDns::new(vec![Dns::Never; 1_000]);
    let outbound = Arc::new(sender(TargetPolicy::deployed(), vec![], &dns));
    let dark = |n: u32| call(&format!("https://x{n}.dark.example.com/"), AMPLE);
    let mut all = JoinSet::new();
    for n in 0..600 {
        let outbound = Arc::clone(&outbound);
        all.spawn(async move { outbound.send(dark(n)).await });
    }
    let asked_after = async |wait: u64| {
        tokio::time::advance(Duration::from_millis(wait)).await;
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
        dns.asked()
    };
    assert_eq!(asked_after(1).await, LOOKUPS_AT_ONCE / 2, "the rest waits for its turn");
    let other = Call { account_id: AccountId::from_bytes([2; 16]), ..dark(1_000) };
    let outbound_of_other = Arc::clone(&outbound);
    all.spawn(async move { outbound_of_other.send(other).await });
    assert_eq!(asked_after(1).await, LOOKUPS_AT_ONCE / 2 + 1, "another account does not wait");
    while let Some(sent) = all.join_next().await {
        match sent.unwrap() {
            Ok(sent) => drop(failure(sent, Class::Dns)),
            // Those that never had a turn count as not made.
            Err(error) => assert!(error.to_string().contains("look"), "{error}"),
        }
    }
}
