//! Records that another version has written: see `testing/upgrade/README.md`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers may fail it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use statuspulse_core::attempt::{Attempt, Class, Failure, Trigger};
use statuspulse_core::audit::{Actor, Change};
use statuspulse_core::destination::Destination;
use statuspulse_core::event::EventType;
use statuspulse_core::ids::{AccountId, DeliveryId, EventId, KeyId, WebhookId};
use statuspulse_core::message::{
    AttemptKey, AttemptMessage, DomainEventKind, EventMessage, JobMessage, Message, NotifyMessage,
    ScheduledMessage,
};
use statuspulse_core::notification::{Notification, NotificationKind, NotificationState};
use statuspulse_core::ports::Random;
use statuspulse_core::record::{WebhookParts, read_attempts, read_webhook, write_attempts, write_webhook};
use statuspulse_core::rotation::{RotationStyle, StyleChoice};
use statuspulse_core::secret::Secret;
use statuspulse_core::signature::SigningKeys;
use statuspulse_core::target::EndpointUrl;
use statuspulse_core::webhook::{
    BulkJob, Headers, Health, JobKind, Pause, PauseReason, Settings, State, Webhook,
};

fn folder(version: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testing/upgrade")).join(version)
}

/// The folders of the releases.
fn releases() -> Vec<PathBuf> {
    let all = fs::read_dir(folder("")).unwrap().map(|entry| entry.unwrap().path());
    let is_release = |path: &PathBuf| path.is_dir() && !path.ends_with("later");
    let found: Vec<_> = all.filter(is_release).collect();
    assert!(!found.is_empty(), "no release has files");
    found
}

/// The file's content. `make upgrade-files` first writes the current version's.
fn file(release: &Path, name: &str, written_now: &Value) -> Value {
    let path = release.join(name);
    let is_current = release.ends_with(env!("CARGO_PKG_VERSION"));
    if std::env::var_os("STATUSPULSE_WRITE_UPGRADE_FILES").is_some() && is_current {
        fs::write(&path, format!("{written_now:#}\n")).unwrap();
    }
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A reader that knows only what `old` has finds all of it in `new`, with the same types.
fn assert_readable_by_the_version_of(old: &Value, new: &Value, at: &str) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old {
                let new = new.get(name).unwrap_or_else(|| panic!("{at}.{name} is no longer written"));
                assert_readable_by_the_version_of(value, new, &format!("{at}.{name}"));
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for (n, (old, new)) in old.iter().zip(new).enumerate() {
                assert_readable_by_the_version_of(old, new, &format!("{at}[{n}]"));
            }
        }
        _ => {
            let same = std::mem::discriminant(old) == std::mem::discriminant(new);
            assert!(same, "{at} was {old} and is {new}");
        }
    }
}

struct Sevens;

impl Random for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_521_600 + seconds).unwrap()
}

fn ids() -> (AccountId, WebhookId, EventId, DeliveryId) {
    (
        AccountId::from_bytes([2; 16]),
        WebhookId::from_bytes([1; 16]),
        EventId::from_bytes([3; 16]),
        DeliveryId::from_bytes([4; 16]),
    )
}

/// A webhook in which every optional field has a value.
fn webhook() -> Webhook {
    let (account, id, ..) = ids();
    let settings = Settings {
        url: EndpointUrl::restore("https://hooks.example.com/in").unwrap(),
        destination: Destination::default(),
        events: vec![EventType::IncidentResolved, EventType::IncidentOpened],
        monitor_groups: vec!["Payments, EU".to_owned()],
        description: Some("On-call".to_owned()),
        headers: Headers([("X-Api-Key".to_owned(), "k1".to_owned())].into()),
    };
    let mut keys = SigningKeys::new(Secret::generate(&Sevens));
    keys.rotate(Secret::generate(&Sevens), StyleChoice::Asked(RotationStyle::Split), at(1)).unwrap();
    let mut webhook = Webhook::new(id, account, settings, keys, at(0));
    webhook.state = State::Paused(Pause {
        reason: PauseReason::Failures,
        since: at(60),
        last_error: Some("The endpoint answered 503.".to_owned()),
        failing_since: Some(at(30)),
    });
    webhook.health = Health { outage: 3, failing_since: Some(at(30)), consecutive_failures: 4 };
    webhook.handshake.reason = Some("The endpoint answered 404.".to_owned());
    webhook.handshake.status_code = Some(404);
    webhook.handshake.duration = Duration::from_micros(87_654);
    webhook.resumed_in = 2;
    webhook.job = Some(BulkJob {
        kind: JobKind::Hold,
        page: 3,
        due: at(61),
        leased_until: Some(at(90)),
        outage: 2,
        ramp: 2,
        setbacks: 1,
        drained: 17,
    });
    webhook.notification = Some(Notification {
        id: 12,
        kind: NotificationKind::Paused {
            reason: PauseReason::Failures,
            last_error: "The endpoint answered 503.".to_owned(),
        },
        at: at(60),
        state: NotificationState::Sending { tries: 2, until: at(65) },
        answered: true,
    });
    webhook.outbox =
        messages().into_iter().map(|message| ScheduledMessage { message, due: at(70) }).collect();
    let key = Actor { key_id: Some(KeyId::from_bytes([5; 16])), ..Actor::OWNER };
    for (n, change) in (0..).zip(Change::ALL.iter().copied()) {
        webhook.audit.add(change, if n % 2 == 0 { key } else { Actor::STATUSPULSE }, at(n));
    }
    let audit = webhook.audit.clone().saved();
    Webhook { generation: 9, version: 10, audit, ..webhook }
}

fn messages() -> Vec<Message> {
    let (account_id, webhook_id, event_id, delivery_id) = ids();
    let event = |event| Message::Event(EventMessage { account_id, webhook_id, at: at(60), event });
    let last_error = Some("The endpoint answered 503.".to_owned());
    vec![
        Message::Attempt(AttemptMessage {
            delivery_id,
            account_id,
            webhook_id,
            event_id,
            key: AttemptKey { round: 2, number: 3 },
            slow: true,
            body: Bytes::from_static(b"{\"event_type\":\"incident_opened\"}"),
        }),
        Message::Job(JobMessage { account_id, webhook_id, generation: 9, page: 3 }),
        Message::Notify(NotifyMessage { account_id, webhook_id, notification: 12 }),
        event(DomainEventKind::Paused { reason: "failures".to_owned(), last_error: last_error.clone() }),
        event(DomainEventKind::Resumed),
        event(DomainEventKind::DeliveryFailed {
            delivery_id,
            event_id,
            incident_id: "INC-1".to_owned(),
            last_error,
        }),
    ]
}

fn attempts() -> Vec<Attempt> {
    let attempt = |(number, class): (u8, Class)| Attempt {
        number: number % 5 + 1,
        trigger: Trigger::ALL[usize::from(number) % 3],
        at: at(i64::from(number)),
        signed_at: at(0),
        status_code: (number % 2 == 0).then_some(503),
        failure: Some(Failure::new(class, "The endpoint failed.")),
        duration: Duration::from_micros(1_234_567),
        response_headers: vec![("x-n".to_owned(), "1".to_owned())],
        response: Some("<h1>".to_owned()),
    };
    (0..).zip(Class::ALL.iter().copied()).map(attempt).collect()
}

/// Both parts of a webhook's record as JSON.
fn written(webhook: &Webhook) -> Value {
    let parts = write_webhook(webhook).unwrap();
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    json!({"record": parse(&parts.record), "sealed": parse(&parts.secrets)})
}

fn read(parts: &Value) -> Webhook {
    let (account_id, id, ..) = ids();
    let (record, secrets) = (parts["record"].to_string(), parts["sealed"].to_string());
    read_webhook(&WebhookParts { id, account_id, record, secrets, version: 10 }).unwrap()
}

/// The record as it is written now: the URL is sealed. Each release reads it there if it is.
fn with_sealed_url(mut parts: Value) -> Value {
    if parts["sealed"]["url"].is_null() {
        parts["sealed"]["url"] = std::mem::replace(&mut parts["record"]["url"], "".into());
    }
    parts
}

#[test]
fn upgrade_webhooks_of_all_releases_are_read_and_written_so_that_they_read_them() {
    for release in releases() {
        let old = file(&release, "webhook.json", &written(&webhook()));
        let webhook = read(&old);
        assert_eq!(webhook.later, Default::default(), "{}", release.display());
        assert_eq!(written(&webhook), with_sealed_url(old.clone()), "{}", release.display());
        assert_readable_by_the_version_of(&old, &written(&self::webhook()), "webhook");
    }
}

#[test]
fn upgrade_attempts_of_all_releases_are_read_and_written_so_that_they_read_them() {
    let written: Value = serde_json::from_str(&write_attempts(&attempts()).unwrap()).unwrap();
    for release in releases() {
        let old = file(&release, "attempts.json", &written);
        let attempts = read_attempts(&old.to_string()).unwrap();
        assert_eq!(attempts.len(), old.as_array().unwrap().len());
        assert_readable_by_the_version_of(&old, &written, "attempts");
    }
}

#[test]
fn upgrade_messages_of_all_releases_are_read_and_written_so_that_they_read_them() {
    let written = serde_json::to_value(messages()).unwrap();
    for release in releases() {
        let old = file(&release, "messages.json", &written);
        let read: Vec<Message> = serde_json::from_value(old.clone()).unwrap();
        assert_eq!(read.len(), old.as_array().unwrap().len());
        assert_readable_by_the_version_of(&old, &written, "messages");
    }
}

/// What a later version wrote. Nothing of it is lost by a change that this version makes.
#[test]
fn upgrade_what_only_a_later_version_knows_is_kept() {
    let text = fs::read_to_string(folder("later").join("webhook.json")).unwrap();
    let later: Value = serde_json::from_str(&text).unwrap();
    let mut webhook = read(&later);
    assert_eq!(webhook.settings.events, [EventType::IncidentOpened]);
    assert_eq!(webhook.audit.entries().len(), 1);
    assert_eq!((webhook.job, &webhook.notification, webhook.outbox.len()), (None, &None, 1));
    let State::Paused(pause) = &webhook.state else { panic!("it is paused") };
    assert_eq!(pause.reason, PauseReason::Unknown);
    let later = with_sealed_url(later);
    assert_eq!(written(&webhook), later);

    webhook.settings.description = Some("Changed after the rollback".to_owned());
    let mut expected = later;
    expected["record"]["description"] = "Changed after the rollback".into();
    assert_eq!(written(&webhook), expected);
}

#[test]
fn upgrade_attempts_of_a_later_version_are_shown_without_what_is_not_known() {
    let text = fs::read_to_string(folder("later").join("attempts.json")).unwrap();
    let attempts = read_attempts(&text).unwrap();
    let [first, second] = &attempts[..] else { panic!("{attempts:?}") };
    assert_eq!(first.failure.as_ref().unwrap().class, Class::Unknown);
    assert_eq!((first.trigger, second.trigger), (Trigger::Unknown, Trigger::Event));
    assert_eq!(second.failure.as_ref().unwrap().class, Class::Http5xx);
}
