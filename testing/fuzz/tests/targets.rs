//! Fuzz targets for everything in the core that parses what others send or have stored. `cargo test` runs some thousand
//! inputs of each, and `make fuzz` many more. Cursors, headers and forms are read by the routers:
//! `local/tests/spec/almost_right.rs` has their targets.

#![expect(clippy::unwrap_used, reason = "a test's own helpers may fail it")]

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::IgnoredAny;
use statuspulse_core::deployment::Deployment;
use statuspulse_core::destination::Destination;
use statuspulse_core::event::Envelope;
use statuspulse_core::fields::{Fields, parse_time, parse_utc};
use statuspulse_core::ids::{AccountId, AuditId, WebhookId};
use statuspulse_core::message::Message;
use statuspulse_core::moving::Opener;
use statuspulse_core::moving::lines;
use statuspulse_core::record::{
    WebhookParts, read_attempts, read_audit_entry, read_webhook, write_attempts, write_audit_entry,
    write_webhook,
};
use statuspulse_core::retry::{Ladder, retry_after};
use statuspulse_core::sealing::{SealedFormat, Sealer, SealingKey};
use statuspulse_core::secret::Secret;
use statuspulse_core::sources::cloudwatch;
use statuspulse_core::sources::notification::{self, Sender};
use statuspulse_core::target::{AllowedDomains, EndpointUrl, Host, TargetPolicy};
use statuspulse_core::webhook::{Headers, Settings};
use statuspulse_fuzz::{Edited, INPUTS, each};

/// The seeds of a target: the files in its folder.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn deployment() -> Deployment {
    let url = |text: &str| EndpointUrl::parse(text, &TargetPolicy::deployed()).unwrap();
    Deployment {
        ladder: Ladder::default(),
        policy: TargetPolicy::deployed(),
        slack: None,
        retry_early: true,
        pagerduty: url("https://events.pagerduty.com/v2/enqueue"),
        public_url: "https://webhooks.statuspulse.io".to_owned(),
        egress_ips: vec![],
    }
}

/// Each line of the seeds is a URL.
#[test]
fn fuzz_url() {
    let lines: Vec<Vec<u8>> =
        seeds("url").concat().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let policy = TargetPolicy::deployed();
    each(INPUTS, |input: &Edited| {
        let text = input.text_of(&lines);
        let Ok(url) = EndpointUrl::parse(&text, &policy) else { return };
        assert!(url.scheme_is_https());
        let again = EndpointUrl::parse(url.as_str(), &policy).unwrap();
        assert_eq!(again.as_str(), url.as_str(), "what was taken is taken as it is");
        assert_eq!(EndpointUrl::restore(url.as_str()).unwrap().as_str(), url.as_str());
        assert!(url.as_str().starts_with(url.origin()) && !url.as_str().contains('#'));
        assert!(!url.as_str().chars().any(|c| c.is_control() || c.is_whitespace()), "{url}");
        assert!(!url.origin().contains('@'), "{url}");
        if let Host::Address(address) = url.host() {
            assert!(policy.vet(&url, &[address]).is_ok(), "{url} is not public");
        }
    });
}

#[test]
fn fuzz_addresses() {
    let policy = TargetPolicy::deployed();
    each(INPUTS, |bytes: &[u8; 16]| {
        let url = EndpointUrl::parse("https://hooks.example.com/", &policy).unwrap();
        let v6 = std::net::Ipv6Addr::from(*bytes);
        let v4 = std::net::Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]);
        let admits = |address: IpAddr| policy.vet(&url, &[address]).is_ok();
        // An address inside another form is at most as public as by itself.
        let mapped = IpAddr::V6(v4.to_ipv6_mapped());
        assert!(!admits(mapped) || admits(v4.into()));
        if let Some(inside) = v6.to_ipv4_mapped() {
            assert!(!admits(v6.into()) || admits(inside.into()));
        }
        assert!(!(v4.is_loopback() || v4.is_private() || v4.is_link_local()) || !admits(v4.into()));
        assert!(!(v6.is_loopback() || v6.is_unspecified() || v6.is_multicast()) || !admits(v6.into()));
    });
}

#[test]
fn fuzz_domains() {
    let seeds = seeds("domains");
    each(INPUTS, |input: &Edited| {
        let text = input.text_of(&seeds);
        let Ok(domains) = AllowedDomains::parse(text.lines()) else { return };
        for host in ["statuspulse.io.evil.example", "evil-example.net", "hooks.example.com", "a.example.net"]
        {
            let is_below = |entry: &String| {
                host == entry || entry.strip_prefix('*').is_some_and(|domain| host.ends_with(domain))
            };
            assert_eq!(
                domains.admits(host),
                domains.is_empty() || domains.as_strings().iter().any(is_below),
                "{host}"
            );
        }
    });
}

#[test]
fn fuzz_envelope() {
    let (seeds, deployment) = (seeds("envelope"), deployment());
    each(INPUTS, |input: &Edited| {
        let bytes = Bytes::from(input.of(&seeds));
        let Ok(envelope) = Envelope::parse(&bytes) else { return };
        assert!(bytes.windows(envelope.body.len()).any(|part| part == envelope.body), "byte for byte");
        assert_eq!(Envelope::parse(&bytes).unwrap().fingerprint(), envelope.fingerprint());
        assert!(!envelope.incident_id.is_empty());
        // Every destination renders it, as JSON.
        for destination in Destination::samples() {
            let settings = Settings {
                url: EndpointUrl::restore("https://hooks.example.com/in").unwrap(),
                destination,
                events: vec![envelope.event_type],
                monitor_groups: envelope.monitor_groups.clone(),
                description: None,
                headers: Headers::default(),
            };
            let webhook = WebhookId::from_bytes([1; 16]);
            let body = settings.render(envelope.event_type, &envelope.body, webhook, &deployment);
            let is_json = serde_json::from_slice::<IgnoredAny>(&body).is_ok();
            // A payload is passed on as it is, also with half of a surrogate pair.
            assert!(is_json || settings.destination.name() == "json", "{}", settings.destination.name());
        }
    });
}

/// Whatever an alert says, what is made of it can be published.
#[test]
fn fuzz_sources() {
    let (notifications, alarms) = (seeds("notification"), seeds("cloudwatch"));
    each(INPUTS, |(kind, input): &(u8, Edited)| {
        let alerts = match kind % 3 {
            0 => notification::alerts(Sender::Alertmanager, &input.of(&notifications), now())
                .unwrap_or_default(),
            1 => notification::alerts(Sender::Grafana, &input.of(&notifications), now()).unwrap_or_default(),
            _ => cloudwatch::alert(&input.of(&alarms)).ok().flatten().into_iter().collect(),
        };
        for alert in alerts {
            for draft in [Some(alert.event), alert.if_known].into_iter().flatten() {
                let envelope = draft.envelope(Some(AccountId::from_bytes([1; 16])));
                if let Err(error) = Envelope::parse(&envelope) {
                    panic!("{error}: {}", String::from_utf8_lossy(&envelope));
                }
            }
        }
    });
}

/// Records that were read are written back so that they are read as the same.
#[test]
fn fuzz_records() {
    let (webhooks, attempts, messages, entries) =
        (seeds("webhook"), seeds("attempts"), seeds("messages"), seeds("audit"));
    let of = |text: &str| {
        let parts: serde_json::Value = serde_json::from_str(text).ok()?;
        let part = |name: &str| parts.get(name).map(ToString::to_string);
        Some(WebhookParts {
            id: WebhookId::from_bytes([1; 16]),
            account_id: AccountId::from_bytes([2; 16]),
            record: part("record")?,
            secrets: part("sealed")?,
            version: 3,
        })
    };
    each(INPUTS, |(kind, input): &(u8, Edited)| match kind % 4 {
        0 => {
            let Some(Ok(webhook)) = of(&input.text_of(&webhooks)).map(|parts| read_webhook(&parts)) else {
                return;
            };
            // The first writing puts its audit log in order.
            let again = read_webhook(&write_webhook(&webhook).unwrap()).unwrap();
            assert_eq!(read_webhook(&write_webhook(&again).unwrap()).unwrap(), again);
            assert_eq!(
                (&again.settings, &again.state, &again.keys),
                (&webhook.settings, &webhook.state, &webhook.keys)
            );
        }
        1 => {
            let Ok(read) = read_attempts(&input.text_of(&attempts)) else { return };
            assert_eq!(read_attempts(&write_attempts(&read).unwrap()).unwrap(), read);
        }
        2 => {
            let Ok(read) = serde_json::from_str::<Vec<Message>>(&input.text_of(&messages)) else {
                return;
            };
            let written = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<Vec<Message>>(&written).unwrap(), read);
        }
        _ => {
            let ids = (AuditId::from_bytes([1; 16]), AccountId::from_bytes([2; 16]));
            let Ok(read) = read_audit_entry(ids.0, ids.1, &input.text_of(&entries)) else { return };
            let written = write_audit_entry(&read).unwrap();
            assert_eq!(read_audit_entry(ids.0, ids.1, &written).unwrap(), read);
        }
    });
}

#[test]
fn fuzz_words() {
    let seeds = seeds("words");
    let lines: Vec<Vec<u8>> = seeds.concat().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    each(INPUTS, |input: &Edited| {
        let text = input.text_of(&lines);
        if let Some(wait) = retry_after(&text, now()) {
            assert!(wait.as_secs() < u64::from(u32::MAX), "{text}: {wait:?}");
        }
        for time in [parse_time(&text), parse_utc(&text)].into_iter().flatten() {
            assert!(time.to_string().ends_with('Z'));
        }
        if let Ok(secret) = Secret::parse(&text) {
            assert_eq!(secret.reveal(), text);
            assert!(!format!("{secret:?}").contains(&text[6..]));
        }
        for id in [
            text.parse::<WebhookId>().map(|id| id.to_string()),
            text.parse::<AccountId>().map(|id| id.to_string()),
        ] {
            assert!(id.is_err() || id.unwrap() == text, "one id has one form");
        }
    });
}

#[test]
fn fuzz_fields() {
    let seeds = seeds("envelope");
    each(INPUTS, |input: &Edited| {
        let bytes = input.of(&seeds);
        let Ok(mut fields) = Fields::of_body(&bytes) else { return };
        let _read = (fields.text("payload"), fields.texts("monitor_groups"), fields.timestamp("at"));
        if let Err(error) = fields.finish() {
            assert!(!error.to_string().is_empty());
        }
    });
}

/// The lines of an export, and sealed texts: only who has the key opens them.
#[test]
fn fuzz_moving_and_sealing() {
    let (seeds, opener) = (seeds("moving"), Opener::of_key(&[1; 32]));
    let sealer = Sealer::new(SealingKey::new(&[1; 32]).unwrap(), SealedFormat::DerivedKeys);
    each(INPUTS, |input: &Edited| {
        let text = input.text_of(&seeds);
        let _read = (lines::read(&text, &opener), lines::read_header(&text, opener.recipient()));
        assert!(sealer.unseal([1; 16], &input.of(&seeds)).is_err());
    });
}
