//! The ladder, the streak and `Retry-After`, as tables (rules 5.1, 5.2, 6.1 and 6.2).

use std::time::Duration;

use jiff::Timestamp;
use statuspulse_core::attempt::{Class, judge};
use statuspulse_core::retry::{ATTEMPTS, FAILURES_TO_PAUSE, Ladder, retry_after, rung};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_waits_are_1m_5m_15m_and_60m_and_there_is_none_after_the_fifth_attempt() {
    let ladder = Ladder::default();
    let waits: Vec<_> = (0..=6).map(|number| ladder.wait_after(number, None)).collect();
    let expected = [None, Some(60), Some(300), Some(900), Some(3600), None, None];
    assert_eq!(waits, expected.map(|wait| wait.map(seconds)));
    assert_eq!(ladder.wait_after(u8::MAX, Some(seconds(1))), None);
    assert_eq!((ATTEMPTS, FAILURES_TO_PAUSE), (5, 4));
}

#[test]
fn a_streak_is_the_number_of_failed_retries() {
    let rungs: Vec<_> = (0..=7).map(rung).collect();
    assert_eq!(rungs, [0, 0, 1, 2, 3, 4, 4, 4]);
}

#[test]
fn retry_after_lengthens_a_wait_and_never_shortens_it() {
    let ladder = Ladder::default();
    for (number, asked, waited) in [
        (1, 0, 60),
        (1, 59, 60),
        (1, 61, 61),
        (1, 3599, 3599),
        (2, 60, 300),
        (3, 3600, 3600),
        (4, 60, 3600),
        (4, 3601, 3601),
    ] {
        assert_eq!(
            ladder.wait_after(number, Some(seconds(asked))),
            Some(seconds(waited)),
            "{number} {asked}"
        );
    }
}

#[test]
fn a_deployments_own_waits_are_kept() {
    let ladder = Ladder::new([1, 2, 3, 7200].map(seconds));
    let waits: Vec<_> = (1..=4).map(|number| ladder.wait_after(number, None).unwrap().as_secs()).collect();
    assert_eq!(waits, [1, 2, 3, 7200]);
    assert_eq!(ladder.wait_after(4, Some(seconds(3600))), Some(seconds(7200)));
}

#[test]
fn retry_after_is_seconds_or_a_date_up_to_an_hour_and_nonsense_is_nothing() {
    let now: Timestamp = "2024-03-15T14:22:01Z".parse().unwrap();
    for (header, expected) in [
        ("0", Some(0)),
        ("120", Some(120)),
        (" 120 ", Some(120)),
        ("00120", Some(120)),
        ("18446744073709551615", Some(3600)),
        ("18446744073709551616", Some(3600)),
        ("999999999999999999999999999999", Some(3600)),
        ("Fri, 15 Mar 2024 14:22:01 GMT", Some(0)),
        ("Fri, 15 Mar 2024 14:24:01 GMT", Some(120)),
        // Two forms that are obsolete, and that every recipient must still accept.
        ("Friday, 15-Mar-24 14:24:01 GMT", Some(120)),
        ("Fri Mar 15 14:24:01 2024", Some(120)),
        ("3601", Some(3600)),
        ("Fri, 31 Dec 2100 23:59:59 GMT", Some(3600)),
        ("Fri, 15 Mar 2024 14:22:00 GMT", None),
        ("", None),
        (" ", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1e3", None),
        ("0x10", None),
        ("١٢٠", None),
        ("120, 240", None),
        ("soon", None),
        ("2024-03-15T14:24:01Z", None),
        ("Fri, 99 Mar 2024 14:24:01 GMT", None),
    ] {
        assert_eq!(retry_after(header, now), expected.map(seconds), "{header:?}");
    }
}

#[test]
fn every_status_is_a_success_or_has_a_class_and_a_sentence() {
    for status in 0..=u16::MAX {
        match judge(status) {
            None => assert!((200..300).contains(&status), "{status}"),
            Some(failure) => {
                let expected = match status {
                    300..=399 => Class::Redirect,
                    400..=499 => Class::Http4xx,
                    500..=599 => Class::Http5xx,
                    _ => Class::BadResponse,
                };
                assert_eq!(failure.class, expected, "{status}");
                assert!(failure.reason.contains(&status.to_string()) && failure.reason.ends_with('.'));
            }
        }
    }
}

#[test]
fn every_class_is_found_by_its_name() {
    let names = [
        "dns",
        "connect",
        "tls",
        "timeout",
        "redirect",
        "http_4xx",
        "refused_together",
        "http_5xx",
        "target_not_public",
        "bad_response",
        "unknown",
    ];
    assert_eq!(Class::ALL.iter().map(|each| each.name()).collect::<Vec<_>>(), names);
    for class in Class::ALL.iter().copied() {
        assert_eq!(Class::from_name(class.name()), Some(class));
    }
    assert_eq!(Class::from_name("HTTP_5xx"), None);
}

#[test]
fn a_ladder_is_four_waits_with_units() {
    let waits = [1, 300, 900, 3600].map(Duration::from_secs);
    assert_eq!("1000ms,5m, 900s,1h".parse(), Ok(Ladder::new(waits)));
    for wrong in
        ["", "60s", "60s,300s,900s", "60,300,900,3600", "60s,300s,900s,0s", "1s,1s,1s,25h", "1s,1s,1s,-1s"]
    {
        let refused = wrong.parse::<Ladder>().unwrap_err().to_string();
        assert!(!refused.is_empty(), "{wrong:?} was accepted");
    }
}
