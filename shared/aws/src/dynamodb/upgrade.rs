//! Items that another version has written: see `testing/upgrade/README.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use statuspulse_core::access::{Account, ApiKey, KeyHash, Role, SessionKind};
use statuspulse_core::attempt::{Attempt, Class, Failure, Trigger};
use statuspulse_core::delivery::{Delivery, FailedIn, State, Timing};
use statuspulse_core::event::{Event, EventType};
use statuspulse_core::ids::{AccountId, EventId, KeyId, WebhookId};
use statuspulse_core::quota::Quota;
use statuspulse_core::target::AllowedDomains;

use super::accounts::{account_item, key_item, quotas_text, read_account, read_key};
use super::deliveries::{delivery_item, read_delivery};
use super::events::{event_item, read_event};
use super::item::{Item, text};
use super::sessions::{read_session, session_item};
use super::table::all_readable;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/upgrade")
}

/// An item in DynamoDB's JSON.
fn to_json(item: &Item) -> Value {
    let attribute = |value: &AttributeValue| match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::B(bytes) => json!({"B": STANDARD.encode(bytes)}),
        AttributeValue::Bool(value) => json!({"BOOL": value}),
        other => panic!("{other:?}"),
    };
    item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect::<Map<_, _>>().into()
}

fn from_json(item: &Value) -> Item {
    let attribute = |value: &Value| {
        let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
        match (kind.as_str(), value) {
            ("S", Value::String(text)) => AttributeValue::S(text.clone()),
            ("N", Value::String(number)) => AttributeValue::N(number.clone()),
            ("B", Value::String(bytes)) => AttributeValue::B(Blob::new(STANDARD.decode(bytes).unwrap())),
            ("BOOL", Value::Bool(value)) => AttributeValue::Bool(*value),
            other => panic!("{other:?}"),
        }
    };
    item.as_object().unwrap().iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_521_600 + seconds).unwrap()
}

fn delivery() -> Delivery {
    let attempt = Attempt {
        number: 1,
        trigger: Trigger::Redelivery,
        at: at(1),
        signed_at: at(1),
        status_code: Some(503),
        failure: Some(Failure::new(Class::Http5xx, "The endpoint answered 503.")),
        duration: Duration::from_millis(20),
        response_headers: vec![],
        response: None,
    };
    Delivery {
        failed_in: Some(FailedIn { first: 2, last: 7 }),
        trigger: Trigger::Redelivery,
        delayed: true,
        attempts: vec![attempt],
        ..Delivery::new(&event(), WebhookId::from_bytes([1; 16]))
    }
    .with_state(State::Scheduled { number: 2, at: at(62), timing: Timing::Early { ladder_at: at(61) } })
}

fn event() -> Event {
    Event {
        id: EventId::from_bytes([3; 16]),
        account_id: AccountId::from_bytes([2; 16]),
        event_type: EventType::IncidentOpened,
        incident_id: "INC-1".to_owned(),
        monitor_groups: vec!["Payments, EU".to_owned()],
        body: Bytes::from_static(b"{\"event_type\":\"incident_opened\"}"),
        fingerprint: [8; 32],
        accepted_at: at(0),
    }
}

fn key() -> ApiKey {
    ApiKey {
        id: KeyId::from_bytes([5; 16]),
        account_id: Some(AccountId::from_bytes([2; 16])),
        role: Role::Admin,
        name: None,
        prefix: "sp_live_1".to_owned(),
        hash: KeyHash([6; 32]),
        created_at: at(0),
        expires_at: Some(at(600)),
        revoked_at: Some(at(60)),
        last_used_at: None,
    }
}

/// An item of each kind, as this version writes it.
fn written() -> Value {
    let mut account = Account {
        id: AccountId::from_bytes([2; 16]),
        name: "Acme".to_owned(),
        allowed_domains: AllowedDomains::parse(["example.com", "*.example.org"]).unwrap(),
        slack: None,
        quotas: Default::default(),
        created_at: at(0),
        version: 3,
    };
    account.quotas.set(Quota::EventsPerMinute, Some(77));
    let mut account_item = account_item(&account);
    account_item.insert("quotas".to_owned(), text(quotas_text(&account).unwrap()));
    let session = session_item(SessionKind::Browser, KeyHash([6; 32]), at(600));
    json!({
        "account": to_json(&account_item),
        "key": to_json(&key_item(&key())),
        "session": to_json(&session),
        "event": to_json(&event_item(&event(), &[delivery().webhook_id])),
        "delivery": to_json(&delivery_item(&delivery()).unwrap()),
    })
}

fn releases() -> Vec<PathBuf> {
    let all = fs::read_dir(files()).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> =
        all.filter(|path| path.join("items.json").exists() && !path.ends_with("later")).collect();
    assert!(!found.is_empty(), "no release has items");
    found
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path.join("items.json")).unwrap()).unwrap()
}

#[test]
fn upgrade_items_of_all_releases_are_read_and_written_so_that_they_read_them() {
    let written = written();
    if std::env::var_os("STATUSPULSE_WRITE_UPGRADE_FILES").is_some() {
        let current = files().join(env!("CARGO_PKG_VERSION")).join("items.json");
        fs::write(current, format!("{written:#}\n")).unwrap();
    }
    for release in releases() {
        let old = read(&release);
        let account = read_account(AccountId::from_bytes([2; 16]), &from_json(&old["account"])).unwrap();
        assert_eq!(account.quotas.of(Quota::EventsPerMinute), 77);
        assert_eq!(account.allowed_domains.as_strings(), ["example.com", "*.example.org"]);
        assert_eq!(read_key(&from_json(&old["key"])).unwrap(), key());
        let session = read_session(KeyHash([7; 32]), &from_json(&old["session"])).unwrap().unwrap();
        assert_eq!((session.kind, session.key), (SessionKind::Browser, KeyHash([6; 32])));
        let kept = read_event(&from_json(&old["event"])).unwrap();
        assert_eq!((kept.event, kept.webhooks), (event(), vec![WebhookId::from_bytes([1; 16])]));
        assert_eq!(read_delivery(&from_json(&old["delivery"])).unwrap(), delivery());

        // A reader of that release finds every attribute that it knows, with its type.
        for (kind, item) in old.as_object().unwrap() {
            for (name, value) in item.as_object().unwrap() {
                let type_of = |value: &Value| value.as_object().unwrap().keys().next().cloned();
                let now =
                    written[kind].get(name).unwrap_or_else(|| panic!("{kind}.{name} is no longer written"));
                assert_eq!(type_of(now), type_of(value), "{kind}.{name}");
            }
        }
    }
}

/// An item with one attribute that only a later version knows.
fn with(item: &Value, name: &str, value: &Value) -> Item {
    let mut item = item.clone();
    item[name] = value.clone();
    from_json(&item)
}

#[test]
fn upgrade_what_only_a_later_version_knows_costs_the_rest_nothing() {
    for release in releases() {
        let old = read(&release);
        // Unknown attributes, quotas and domains take no account down.
        let quotas = json!({"S": "{\"replays_per_minute\":5,\"events_per_minute\":77}"});
        let domains = json!({"S": "example.com region:eu"});
        let mut item = with(&old["account"], "quotas", &quotas);
        item.extend(with(&json!({}), "allowed_domains", &domains));
        item.extend(with(&json!({}), "plan", &json!({"S": "large"})));
        let account = read_account(AccountId::from_bytes([2; 16]), &item).unwrap();
        assert_eq!(account.quotas.of(Quota::EventsPerMinute), 77);
        assert!(
            account.allowed_domains.admits("example.com") && !account.allowed_domains.admits("other.com")
        );
        assert!(quotas_text(&account).unwrap().contains("\"replays_per_minute\":5"), "it is kept");
        assert_eq!(account.allowed_domains.as_strings(), ["example.com", "region:eu"], "it is kept");

        // Keys, deliveries: those that can be read.
        let keys = [from_json(&old["key"]), with(&old["key"], "role", &json!({"S": "auditor"}))];
        assert_eq!(all_readable(&keys, read_key, "listing keys"), [key()]);
        let deliveries = [
            with(&old["delivery"], "state", &json!({"S": "archived"})),
            with(&old["delivery"], "event_type", &json!({"S": "maintenance_started"})),
            with(&old["delivery"], "timing", &json!({"S": "at_night"})),
            with(&old["delivery"], "shelf", &json!({"S": "cold"})),
        ];
        assert_eq!(all_readable(&deliveries, read_delivery, "listing deliveries"), [delivery()]);
        let replayed = with(&old["delivery"], "trigger", &json!({"S": "replay"}));
        assert_eq!(read_delivery(&replayed).unwrap().trigger, Trigger::Unknown);

        // A session of an unknown kind does not count.
        let session = with(&old["session"], "kind", &json!({"S": "device"}));
        assert_eq!(read_session(KeyHash([7; 32]), &session).unwrap(), None);
    }
}
