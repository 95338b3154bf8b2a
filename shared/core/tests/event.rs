//! Times, ids and envelopes (section 3 of docs/behaviour.md).
#![expect(clippy::unwrap_used, reason = "a test's own helpers may fail it")]

use bytes::Bytes;
use jiff::Timestamp;
use statuspulse_core::Error;
use statuspulse_core::event::Envelope;
use statuspulse_core::fields::{parse_time, parse_utc};
use statuspulse_core::ids::{AccountId, DeliveryId, EventId, KeyPeriod, WebhookId};

#[test]
fn a_time_is_iso_8601_utc_with_z() {
    for (text, millis) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2024-03-15T14:22:01Z", 1_710_512_521_000),
        ("2024-03-15T14:22:01.5Z", 1_710_512_521_500),
        ("2024-03-15T14:22:01.123456789Z", 1_710_512_521_123),
        ("2024-02-29T23:59:59Z", 1_709_251_199_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("2024-03-15T14:22:01.1234567890123Z", 1_710_512_521_123),
        ("9999-12-31T23:59:59Z", Timestamp::MAX.as_millisecond()),
    ] {
        assert_eq!(parse_time(text).unwrap().as_millisecond(), millis, "{text}");
        assert_eq!(parse_utc(text).unwrap().as_millisecond(), millis, "{text}");
    }
    for text in [
        "",
        "Z",
        "2024-03-15T14:22:01",
        "2024-03-15T14:22:01+00:00",
        "2024-03-15T14:22:01-00:00",
        "2024-03-15T14:22:01z",
        "2024-03-15t14:22:01Z",
        "2024-03-15 14:22:01Z",
        "2024-03-15T14:22Z",
        "2024-03-15T14:22:01.Z",
        "2024-03-15T14:22:01,5Z",
        "2024-03-15T14:22:01.5.5Z",
        "2024-3-15T14:22:01Z",
        "24-03-15T14:22:01Z",
        "+002024-03-15T14:22:01Z",
        "2024-13-15T14:22:01Z",
        "2024-02-30T14:22:01Z",
        "2023-02-29T14:22:01Z",
        "2024-03-15T25:22:01Z",
        "2024-03-15T14:61:01Z",
        "2024-03-15T23:59:60Z",
        "0000-03-15T14:22:01Z",
        "2024-03-15T14:22:01Z ",
        "2024-03-15T14:22:01ZZ",
        "２０２４-03-15T14:22:01Z",
        "2024-03-15T14:22:0１Z",
    ] {
        let refused = parse_utc(text).unwrap_err();
        assert!(refused.starts_with("must be a time in ISO 8601"), "{text}: {refused}");
    }
}

#[test]
fn filters_and_settings_take_any_offset() {
    for (text, millis) in [
        ("2024-03-15T14:22:01+00:00", 1_710_512_521_000),
        ("2024-03-15T14:22:01-00:00", 1_710_512_521_000),
        ("2024-03-15T14:22:01z", 1_710_512_521_000),
        ("2024-03-15t15:22:01+01:00", 1_710_512_521_000),
        ("2024-03-15T08:52:01.5-05:30", 1_710_512_521_500),
        ("2024-03-16T14:21:01+23:59", 1_710_512_521_000),
        ("9999-12-31T23:59:59-12:00", Timestamp::MAX.as_millisecond()),
        ("0001-01-01T00:00:00+23:59", -62_135_596_800_000 - 86_340_000),
    ] {
        assert_eq!(parse_time(text).unwrap().as_millisecond(), millis, "{text}");
        assert!(parse_utc(text).is_err(), "a payload may not have {text}");
    }
    for text in [
        "",
        "Z",
        "+01:00",
        "2024-03-15",
        "2024-03-15T14:22:01",
        "2024-03-15T14:22:01+01",
        "2024-03-15T14:22:01+0100",
        "2024-03-15T14:22:01+24:00",
        "2024-03-15T14:22:01+01:60",
        "2024-03-15T14:22:01*01:00",
        "2024-03-15 14:22:01Z",
        "2024-02-30T14:22:01+01:00",
        "2024-03-15T14:22:60+01:00",
        "0000-03-15T14:22:01+01:00",
        "2024-03-15T14:22:01+0é:0",
        "2024-03-15T14:22:01.+01:00",
    ] {
        let refused = parse_time(text).unwrap_err();
        assert!(refused.starts_with("must be a time in RFC 3339"), "{text}: {refused}");
    }
}

/// Computed with Python: the time of acceptance, then the SHA-256 of both ids.
#[test]
fn a_deliverys_id_is_derived_from_its_event_and_its_webhook() {
    let event: EventId = "evt_01HS17VFS8FD7MSPZHG9F9601K".parse().unwrap();
    let webhook: WebhookId = "whe_01HS17VFS8E8W4T3VT3N9EWKT5".parse().unwrap();
    let accepted_at: Timestamp = "2024-03-15T14:22:01Z".parse().unwrap();
    assert_eq!(DeliveryId::derive(event, accepted_at, webhook).to_string(), "dlv_01HS17VFS8BC4C6R3Z9GQ94A01");
    let later = accepted_at + std::time::Duration::from_millis(1);
    assert!(DeliveryId::derive(event, later, webhook) > DeliveryId::derive(event, accepted_at, webhook));
    assert!(DeliveryId::lowest_at(accepted_at) <= DeliveryId::derive(event, accepted_at, webhook));
    assert!(DeliveryId::lowest_at(later) > DeliveryId::derive(event, accepted_at, webhook));
    let other: WebhookId = "whe_01HS17VFS8E8W4T3VT3N9EWKT6".parse().unwrap();
    assert_ne!(
        DeliveryId::derive(event, accepted_at, other),
        DeliveryId::derive(event, accepted_at, webhook)
    );
}

/// Computed with Python: the SHA-256 of the account's id and the key.
#[test]
fn an_events_id_is_derived_from_its_account_and_its_idempotency_key() {
    let account: AccountId = "acc_01HS17VFS8FD7MSPZHG9F9601K".parse().unwrap();
    let first = KeyPeriod::at("2026-12-01T00:00:00Z".parse().unwrap());
    let event = EventId::from_idempotency_key(account, "run-1", first);
    assert_eq!(event.to_string(), "evt_27N9MTF777R2MCVH340M6YSXQ8");
    assert_eq!(event.to_string().parse(), Ok(event));
}

#[test]
fn a_key_that_is_used_again_after_30_days_has_another_id() {
    let account: AccountId = "acc_01HS17VFS8FD7MSPZHG9F9601K".parse().unwrap();
    let id = |at: &str| {
        let period = KeyPeriod::at(at.parse().unwrap());
        let own = EventId::from_idempotency_key(account, "run-1", period);
        (own, EventId::from_operators_idempotency_key(account, "run-1", period), period)
    };
    // A time, and 30 days later.
    let table = [
        ("1969-12-31T12:00:00Z", "1970-01-30T12:00:00Z"),
        ("2026-10-30T00:00:00Z", "2026-11-29T00:00:00Z"),
        ("2026-11-15T00:00:00Z", "2026-12-15T00:00:00Z"),
        ("2031-05-05T05:05:05Z", "2031-06-04T05:05:05Z"),
    ];
    for (at, later) in table {
        let ((own, operators, period), (own_later, operators_later, period_later)) = (id(at), id(later));
        assert_ne!(own, own_later);
        assert_ne!(operators, operators_later);
        assert_ne!(own, operators);
        assert_eq!(period_later.before(), period, "the earlier event is found until its 30 days are over");
    }
}

#[test]
fn an_id_of_one_kind_or_in_another_spelling_is_not_an_id_of_another() {
    for text in [
        "",
        "01HS17VFS8FD7MSPZHG9F9601K",
        "whe_01HS17VFS8FD7MSPZHG9F9601K",
        "evt_01HS17VFS8FD7MSPZHG9F9601",
        "evt_01HS17VFS8FD7MSPZHG9F9601KK",
        "evt_01hs17vfs8fd7mspzhg9f9601k",
        "EVT_01HS17VFS8FD7MSPZHG9F9601K",
        "evt_81HS17VFS8FD7MSPZHG9F9601K",
        "evt_01HS17VFS8FD7MSPZHG9F9601U",
        "evt_01HS17VFS8FD7MSPZHG9F9601O",
        "evt_01HS17VFS8FD7MSPZHG9F9601I",
        "evt_01HS17VFS8FD7MSPZHG9F9601L",
        " evt_01HS17VFS8FD7MSPZHG9F9601K",
    ] {
        assert!(text.parse::<EventId>().is_err(), "{text}");
    }
}

fn envelope(payload: &str) -> Bytes {
    Bytes::from(format!(r#"{{ "monitor_groups" : ["a"] , "payload" : {payload} }}"#))
}

const PAYLOAD: &str = include_str!("../../../events/incident_opened.json");

#[test]
fn the_payload_is_a_slice_of_what_came_and_not_a_copy() {
    let input = envelope(PAYLOAD);
    let parsed = Envelope::parse(&input).unwrap();
    assert_eq!(parsed.body, PAYLOAD.as_bytes());
    let inside = input.as_ptr_range();
    assert!(inside.contains(&parsed.body.as_ptr()));
}

#[test]
fn the_fingerprint_tells_every_other_content_apart_and_no_other_spelling_of_the_envelope() {
    let of = |input: &str| Envelope::parse(&Bytes::from(input.to_owned())).unwrap().fingerprint();
    let first = of(&format!(r#"{{"monitor_groups":["a","b"],"payload":{PAYLOAD}}}"#));
    assert_eq!(first, of(&format!(r#"{{"payload":{PAYLOAD} ,"monitor_groups":[ "a","b"]}}"#)));
    for other in [
        format!(r#"{{"monitor_groups":["ab"],"payload":{PAYLOAD}}}"#),
        format!(r#"{{"monitor_groups":["b","a"],"payload":{PAYLOAD}}}"#),
        format!(r#"{{"payload":{PAYLOAD}}}"#),
        format!(r#"{{"monitor_groups":["a","b"],"payload":{}}}"#, PAYLOAD.replace("1240", "1240.0")),
        format!(r#"{{"monitor_groups":["a","b"],"payload":{}}}"#, PAYLOAD.replace('\n', "")),
    ] {
        assert_ne!(first, of(&other), "{other}");
    }
}

#[test]
fn a_payload_of_exactly_128_kib_is_taken_and_one_byte_more_is_not() {
    let padded = |bytes: usize| {
        let short = PAYLOAD.replacen('{', r#"{"padding":"","#, 1);
        let payload = short.replacen("\"\"", &format!("{:?}", "x".repeat(bytes - short.len())), 1);
        assert_eq!(payload.len(), bytes);
        Envelope::parse(&envelope(&payload))
    };
    assert_eq!(padded(131_072).unwrap().body.len(), 131_072);
    let refused = padded(131_073).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { bytes: 131_073, limit: 131_072, .. }), "{refused:?}");
}

#[test]
fn a_payload_over_the_limit_is_too_large_whatever_else_is_wrong_with_it() {
    let refused = Envelope::parse(&envelope(&format!(r#"{{"z":"{}"}}"#, "x".repeat(140_000)))).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { pointer: "/payload", .. }), "{refused:?}");
}

/// All events without an incident would share one lane, and hold each other up.
#[test]
fn an_incident_or_a_monitor_without_a_name_is_refused() {
    for (field, value) in [("incident_id", "INC-8842-ALPHA"), ("monitor_name", "checkout-api-prod")] {
        for empty in ["", "  "] {
            let payload = PAYLOAD.replace(&format!("\"{value}\""), &format!("\"{empty}\""));
            assert_ne!(payload, PAYLOAD);
            let Error::Invalid(errors) = Envelope::parse(&envelope(&payload)).unwrap_err() else {
                panic!("{field} {empty:?} is no field's error")
            };
            assert_eq!(
                errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(),
                [format!("/payload/{field}")]
            );
        }
    }
}

fn refusal_of(payload: &str) -> Vec<(String, String)> {
    let Error::Invalid(errors) = Envelope::parse(&envelope(payload)).unwrap_err() else { return vec![] };
    errors.into_iter().map(|error| (error.pointer, error.detail)).collect()
}

/// Rule 3.5.
#[test]
fn a_payload_of_more_than_64_levels_is_refused_at_the_level_that_is_too_deep() {
    let nested = |levels: usize| {
        let deep = "[".repeat(levels - 1) + &"]".repeat(levels - 1);
        PAYLOAD.replacen('{', &format!(r#"{{"deep":{deep},"#), 1)
    };
    assert_eq!(Envelope::parse(&envelope(&nested(64))).unwrap().body, nested(64).as_bytes());
    for levels in [65, 60_000] {
        let (pointer, detail) = refusal_of(&nested(levels)).remove(0);
        assert_eq!(
            (pointer, &*detail),
            (format!("/payload/deep{}", "/0".repeat(63)), "is nested more than 64 levels deep")
        );
    }
    let in_details = |levels: usize| {
        let deep = "[".repeat(levels - 2) + &"]".repeat(levels - 2);
        PAYLOAD.replacen(r#""details": {"#, &format!(r#""details": {{"deep":{deep},"#), 1)
    };
    assert_eq!(Envelope::parse(&envelope(&in_details(64))).unwrap().body, in_details(64).as_bytes());
    assert_eq!(refusal_of(&in_details(65)).len(), 1);
    let objects = r#"{"a":"#.repeat(64) + "1" + &"}".repeat(64);
    assert_eq!(refusal_of(&PAYLOAD.replacen('{', &format!(r#"{{"deep":{objects},"#), 1)).len(), 1);
}

/// Some parsers use the first value, some the last, and some refuse both.
#[test]
fn a_key_that_appears_more_than_once_is_refused_at_any_depth() {
    for (inserted, pointer) in [
        (r#""x":1,"x":1,"#, "/payload/x"),
        (r#""x":{"y":1,"y":2},"#, "/payload/x/y"),
        (r#""x":[0,{"y":1,"\u0079":2}],"#, "/payload/x/1/y"),
        (r#""x":{"a/b":{"~":1,"~":1}},"#, "/payload/x/a~1b/~0"),
    ] {
        let payload = PAYLOAD.replacen('{', &format!("{{{inserted}"), 1);
        let expected = (pointer.to_owned(), "appears more than once".to_owned());
        assert_eq!(refusal_of(&payload), [expected], "{inserted}");
    }
    let in_details = PAYLOAD.replacen(r#""details": {"#, r#""details": {"x":{"y":1,"y":1},"#, 1);
    assert_eq!(refusal_of(&in_details)[0].0, "/payload/details/x/y");
}
