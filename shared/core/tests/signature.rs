//! Checks the two signatures against vectors that openssl and Python computed (`events/signature_vectors.json`), and
//! the window of a rotation to the millisecond (rules 4.3, 4.4, 8.1 and 8.2).
#![expect(clippy::unwrap_used, reason = "a test's own helpers may fail it")]

use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::Value;
use statuspulse_core::ports::{Moment, Random};
use statuspulse_core::rotation::{Digests, Outgoing, Rehearsal, RotationStyle, StyleChoice};
use statuspulse_core::secret::Secret;
use statuspulse_core::signature::{SigningKeys, WindowOpen, body_digest};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// The header of this name, or nothing.
fn header<'a>(headers: &'a [(&'static str, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

struct Same(u8);

impl Random for Same {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

#[test]
fn both_signatures_are_those_that_openssl_and_python_computed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events");
    let text = std::fs::read_to_string(format!("{folder}/signature_vectors.json")).unwrap();
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap().to_owned();
        let body = match vector["body_file"].as_str() {
            Some(file) => std::fs::read(format!("{folder}/{file}")).unwrap(),
            None => text("body").into_bytes(),
        };
        let keys = SigningKeys::new(Secret::parse(&text("secret")).unwrap());
        let timestamp = vector["timestamp"].as_i64().unwrap();
        let headers = keys.headers(&text("id"), &body, Moment::at(at(timestamp)));
        let name = text("name");
        for header_name in ["X-StatusPulse-Signature", "webhook-signature"] {
            assert_eq!(header(&headers, header_name), Some(&*text(header_name)), "{name}");
        }
        assert_eq!(header(&headers, "webhook-id"), Some(&*text("id")));
        assert_eq!(header(&headers, "webhook-timestamp"), Some(&*timestamp.to_string()));
        assert_eq!(header(&headers, "X-StatusPulse-Signature-Next"), None);
    }
}

#[test]
fn a_secret_is_whsec_and_the_base64_of_24_to_64_bytes_and_nothing_else_is_one() {
    let secret = Secret::generate(&Same(0));
    assert_eq!(secret.reveal(), "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_eq!(Secret::parse(secret.reveal()).unwrap(), secret);
    for text in
        ["", "whsec_", "AAAA", "whsec_AAAA", "WHSEC_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "whsec_!"]
    {
        assert!(Secret::parse(text).is_err(), "{text}");
    }
    for (bytes, is_one) in [(23, false), (24, true), (25, true), (32, true), (64, true), (65, false)] {
        let text = format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(vec![7; bytes]));
        assert_eq!(Secret::parse(&text).is_ok(), is_one, "{bytes} bytes");
        assert!(Secret::parse(&format!("{text} ")).is_err());
    }
}

#[test]
fn a_secrets_debug_output_says_nothing() {
    let secret = Secret::generate(&Same(7));
    let mut keys = SigningKeys::new(secret.clone());
    keys.rotate(Secret::generate(&Same(8)), StyleChoice::Asked(RotationStyle::Split), at(0)).unwrap();
    for shown in [format!("{secret:?}"), format!("{keys:?}"), format!("{keys:#?}")] {
        assert!(!shown.contains("whsec") && !shown.contains("BwcH") && !shown.contains("CAgI"), "{shown}");
    }
}

#[test]
fn both_secrets_sign_until_the_window_ends_and_the_new_one_alone_from_that_moment() {
    let (old, new) = (Secret::generate(&Same(1)), Secret::generate(&Same(2)));
    for style in [RotationStyle::Joined, RotationStyle::Split] {
        let mut keys = SigningKeys::new(old.clone());
        let rotated_at = at(1_710_512_521);
        let until = keys.rotate(new.clone(), StyleChoice::Asked(style), rotated_at).unwrap();
        assert_eq!(until, rotated_at.checked_add(DAY).unwrap());
        let (old_digest, new_digest) = (body_digest(&old, b"{}"), body_digest(&new, b"{}"));
        let during = match style {
            RotationStyle::Joined => (format!("{new_digest},{old_digest}"), None),
            RotationStyle::Split => (old_digest, Some(new_digest.clone())),
        };
        let second = Duration::from_secs(1);
        for (now, expected, signatures) in [
            (rotated_at, &during, 2),
            (until.checked_sub(second).unwrap(), &during, 2),
            (until.checked_sub(Duration::from_millis(1)).unwrap(), &during, 2),
            (until, &(new_digest.clone(), None), 1),
            (until.checked_add(second).unwrap(), &(new_digest.clone(), None), 1),
        ] {
            let headers = keys.headers("evt_1", b"{}", Moment::at(now));
            assert_eq!(header(&headers, "X-StatusPulse-Signature"), Some(&*expected.0), "{style:?} {now}");
            assert_eq!(header(&headers, "X-StatusPulse-Signature-Next"), expected.1.as_deref());
            let standard = header(&headers, "webhook-signature").unwrap();
            assert_eq!(standard.split(' ').count(), signatures);
            assert!(standard.split(' ').all(|signature| signature.starts_with("v1,")));
        }
    }
}

#[test]
fn a_second_rotation_has_to_wait_for_the_windows_end() {
    let mut keys = SigningKeys::new(Secret::generate(&Same(1)));
    let until =
        keys.rotate(Secret::generate(&Same(2)), StyleChoice::Asked(RotationStyle::Joined), at(0)).unwrap();
    let third = Secret::generate(&Same(3));
    let early = keys.rotate(third.clone(), StyleChoice::Asked(RotationStyle::Joined), at(24 * 3600 - 1));
    assert_eq!(early, Err(WindowOpen { until }));
    assert_eq!(keys.current(), &Secret::generate(&Same(2)), "nothing was rotated");
    keys.rotate(third.clone(), StyleChoice::Asked(RotationStyle::Joined), until).unwrap();
    assert_eq!(
        (keys.current(), &keys.outgoing(until).unwrap().secret),
        (&third, &Secret::generate(&Same(2)))
    );
}

#[test]
fn finishing_ends_the_window_and_says_whether_there_was_one() {
    let mut keys = SigningKeys::new(Secret::generate(&Same(1)));
    assert!(!keys.finish(at(0)));
    keys.rotate(Secret::generate(&Same(2)), StyleChoice::Asked(RotationStyle::Joined), at(0)).unwrap();
    assert!(keys.finish(at(1)));
    assert_eq!(keys.outgoing(at(1)), None);
    keys.rotate(Secret::generate(&Same(3)), StyleChoice::Asked(RotationStyle::Joined), at(2)).unwrap();
    assert!(!keys.finish(at(2 + 24 * 3600)), "it was over by itself");
}

#[test]
fn what_a_receiver_accepted_comes_first_and_only_goes_forward() {
    let (old, new) = (Secret::generate(&Same(1)), Secret::generate(&Same(2)));
    let mut keys = SigningKeys::new(old.clone());
    keys.rotate(new.clone(), StyleChoice::Asked(RotationStyle::Split), at(0)).unwrap();
    let first = |keys: &SigningKeys| {
        let headers = keys.headers("evt_1", b"{}", Moment::at(at(1)));
        assert_eq!(header(&headers, "X-StatusPulse-Signature-Next"), Some(&*body_digest(&new, b"{}")));
        header(&headers, "X-StatusPulse-Signature").unwrap().to_owned()
    };
    assert_eq!(first(&keys), body_digest(&old, b"{}"));
    let moved_on = keys.remembering(&keys, Digests::New).unwrap();
    assert_eq!(first(&moved_on), body_digest(&new, b"{}"));
    // Some of its servers have the old secret still.
    assert_eq!(moved_on.remembering(&keys, Digests::Old), None);
    // What a call of an earlier rotation has shown says nothing about this one.
    let mut later = keys.clone();
    later.finish(at(2));
    later.rotate(Secret::generate(&Same(3)), StyleChoice::Asked(RotationStyle::Split), at(3)).unwrap();
    assert_eq!(later.remembering(&keys, Digests::New), None);
    // Nothing is remembered of another receiver.
    let other = moved_on.clone().for_another_receiver(&keys, None);
    assert_eq!(first(&other), body_digest(&old, b"{}"));
}

#[test]
fn the_answer_decides_which_digests_are_tried_next() {
    let rehearsed = |status_code, refused: bool| {
        let refusal = refused.then(|| "It refused.".to_owned());
        StyleChoice::Rehearsed(Rehearsal { status_code, refusal })
    };
    let (both, old, new) = (Digests::Both, Digests::Old, Digests::New);
    // The style, what was accepted, the status of the answer, and the tries.
    let table = [
        (StyleChoice::Asked(RotationStyle::Split), None, 401, &[new][..]),
        (StyleChoice::Asked(RotationStyle::Split), None, 400, &[new]),
        (StyleChoice::Asked(RotationStyle::Split), None, 403, &[new]),
        (StyleChoice::Asked(RotationStyle::Split), Some(new), 401, &[old]),
        (StyleChoice::Asked(RotationStyle::Split), None, 500, &[]),
        (StyleChoice::Asked(RotationStyle::Joined), None, 401, &[old, new]),
        (StyleChoice::Asked(RotationStyle::Joined), None, 404, &[]),
        (StyleChoice::Unchecked, None, 401, &[]),
        (rehearsed(Some(200), false), None, 401, &[old, new]),
        (rehearsed(Some(200), false), None, 500, &[]),
        (rehearsed(Some(401), true), None, 500, &[]),
        (rehearsed(Some(422), true), None, 422, &[new]),
        (rehearsed(Some(422), true), None, 404, &[]),
        (rehearsed(Some(500), true), None, 500, &[new]),
        (rehearsed(Some(502), true), None, 500, &[new]),
        (rehearsed(None, true), None, 500, &[new]),
        (rehearsed(None, true), None, 404, &[]),
    ];
    for (choice, accepted, status, tries) in table {
        let what = format!("{choice:?} {accepted:?} {status}");
        let outgoing = Outgoing { secret: Secret::generate(&Same(1)), until: at(9), choice, accepted };
        assert_eq!(outgoing.next_tries(status), tries, "{what}");
        assert!(both < old && old < new);
    }
}
