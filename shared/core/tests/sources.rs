//! What alerts of Alertmanager, Grafana and CloudWatch become. The files in `sources/` have the form of the samples in their
//! documentation; beside each is what it becomes (`STATUSPULSE_WRITE_GOLDEN_FILES=1` writes it anew).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers may fail it")]

use jiff::Timestamp;
use serde_json::{Value, json};
use statuspulse_core::error::Error;
use statuspulse_core::event::Envelope;
use statuspulse_core::sources::notification::{Sender, alerts};
use statuspulse_core::sources::{Alert, Draft, cloudwatch};

fn now() -> Timestamp {
    "2024-03-15T16:00:00Z".parse().unwrap()
}

fn sample(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

fn path(name: &str) -> String {
    format!("{}/tests/sources/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

fn notified(sender: Sender, body: &Value) -> Vec<Alert> {
    alerts(sender, body.to_string().as_bytes(), now()).unwrap()
}

fn changed(event: &Value) -> Option<Draft> {
    cloudwatch::alert(event.to_string().as_bytes()).unwrap().map(|alert| alert.event)
}

fn refused(body: &Value) -> Vec<String> {
    match alerts(Sender::Alertmanager, body.to_string().as_bytes(), now()) {
        Err(Error::Invalid(fields)) => fields.into_iter().map(|field| field.pointer).collect(),
        other => panic!("not refused: {other:?}"),
    }
}

/// What a publisher would send, and the idempotency key. Publishing takes it.
fn shown(draft: &Draft) -> Value {
    let envelope = draft.envelope(None);
    let parsed = Envelope::parse(&envelope).unwrap();
    assert_eq!((parsed.event_type, &parsed.incident_id), (draft.event_type, &draft.incident_id));
    let envelope: Value = serde_json::from_slice(&envelope).unwrap();
    json!({ "idempotency_key": draft.idempotency_key, "envelope": envelope })
}

fn check(name: &str, alerts: &[Alert]) {
    let shown_alert = |alert: &Alert| json!({ "event": shown(&alert.event), "if_known": alert.if_known.as_ref().map(shown) });
    let became = format!("{:#}\n", Value::from(alerts.iter().map(shown_alert).collect::<Vec<_>>()));
    let file = path(&format!("{name}.events"));
    if std::env::var_os("STATUSPULSE_WRITE_GOLDEN_FILES").is_some() {
        std::fs::write(&file, &became).unwrap();
    }
    assert_eq!(became, std::fs::read_to_string(&file).unwrap(), "{file}");
}

#[test]
fn the_samples_become_the_events_beside_them() {
    check("alertmanager", &notified(Sender::Alertmanager, &sample("alertmanager")));
    check("grafana", &notified(Sender::Grafana, &sample("grafana")));
    for name in ["cloudwatch-alarm", "cloudwatch-composite-ok"] {
        let event = sample(name).to_string();
        check(name, &[cloudwatch::alert(event.as_bytes()).unwrap().unwrap()]);
    }
}

#[test]
fn an_alert_is_one_incident_from_its_start_to_its_end() {
    let body = sample("alertmanager");
    let mut later = body.clone();
    later["alerts"][0]["status"] = json!("resolved");
    later["alerts"][0]["endsAt"] = json!("2024-03-15T15:30:00Z");
    let mut again = body.clone();
    again["alerts"][0]["startsAt"] = json!("2024-03-16T10:00:00Z");
    let first = |body| notified(Sender::Alertmanager, body).remove(0).event;
    let (opened, resolved, reopened) = (first(&body), first(&later), first(&again));
    assert_eq!(opened.incident_id, "alertmanager-5ef77f1f8a3ecfbd-20240315T142201Z");
    assert_eq!(resolved.incident_id, opened.incident_id);
    assert_ne!(reopened.incident_id, opened.incident_id);
    assert_ne!(resolved.idempotency_key, opened.idempotency_key);
}

#[test]
fn only_other_words_make_an_update() {
    let body = sample("alertmanager");
    let mut other = body.clone();
    other["alerts"][0]["annotations"]["summary"] = json!("40 % of the requests fail");
    let first = |body| notified(Sender::Alertmanager, body).remove(0);
    assert_eq!(first(&body), first(&body));
    let (before, after) = (first(&body), first(&other));
    assert_eq!(before.event.idempotency_key, after.event.idempotency_key);
    assert_ne!(before.event.payload, after.event.payload);
    assert_ne!(before.if_known.unwrap().idempotency_key, after.if_known.unwrap().idempotency_key);
}

#[test]
fn labels_become_monitor_groups() {
    let groups = |labels: Value| {
        let mut body = sample("alertmanager");
        body["alerts"][0]["labels"] = labels;
        notified(Sender::Alertmanager, &body).remove(0).event.monitor_groups
    };
    assert_eq!(groups(json!({})), [""; 0]);
    assert_eq!(groups(json!({"team": "a, b", "service": "c"})), ["c", "a, b"]);
    assert_eq!(groups(json!({"monitor_group": "a,b, ,a", "team": "a"})), ["a", "b"]);
    assert_eq!(groups(json!({"team": "x".repeat(300), "service": "a\nb", "monitor_group": 7})), ["7"]);
    let many: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    assert_eq!(groups(json!({"monitor_group": many.join(",")})).len(), 100);
}

#[test]
fn whatever_labels_say_the_event_can_be_published() {
    let long = "\u{1F600}".repeat(3_000);
    let words = [
        json!({"alertname": "", "instance": " "}),
        json!({"alertname": long, "instance": long, "region": long}),
        json!({"alertname": "a\u{0}b", "region": 7, "severity": null, "team": [[]]}),
    ];
    for labels in words {
        let mut body = sample("alertmanager");
        body["alerts"][0]["labels"] = labels;
        for alert in notified(Sender::Alertmanager, &body) {
            shown(&alert.event);
        }
    }
    let half = sample("alertmanager").to_string().replace("12 %", "\\ud83d");
    shown(&alerts(Sender::Alertmanager, half.as_bytes(), now()).unwrap()[0].event);
}

#[test]
fn what_is_too_long_for_a_payload_is_left_out() {
    let mut body = sample("alertmanager");
    body["alerts"][0]["annotations"]["table"] = json!("x".repeat(200_000));
    let event = notified(Sender::Alertmanager, &body).remove(0).event;
    let payload = &shown(&event)["envelope"]["payload"];
    assert_eq!(payload["details"]["shortened"], true);
    assert_eq!(payload["details"]["message"], "12 % of the requests fail");
    assert_eq!(payload["details"]["labels"], Value::Null);
}

#[test]
fn an_end_before_the_start_is_none() {
    let mut body = sample("alertmanager");
    for end in [json!("0001-01-01T00:00:00Z"), json!("yesterday"), Value::Null] {
        body["alerts"][1]["endsAt"] = end;
        let event = shown(&notified(Sender::Alertmanager, &body).remove(1).event);
        assert_eq!(event["envelope"]["payload"]["resolved_at"], "2024-03-15T16:00:00Z");
    }
}

#[test]
fn names_every_field_that_is_missing_or_wrong() {
    assert_eq!(refused(&json!({})), ["/alerts"]);
    assert_eq!(refused(&json!({"alerts": {}})), ["/alerts"]);
    assert_eq!(refused(&json!({"alerts": [7]})), ["/alerts/0"]);
    let mut body = sample("alertmanager");
    body["alerts"][0] = json!({});
    body["alerts"][1]["status"] = json!("pending");
    body["alerts"][1]["fingerprint"] = json!("a/b");
    body["alerts"][1]["labels"] = json!("team");
    let expected = [
        "/alerts/0/status",
        "/alerts/0/fingerprint",
        "/alerts/0/startsAt",
        "/alerts/1/status",
        "/alerts/1/fingerprint",
        "/alerts/1/labels",
    ];
    assert_eq!(refused(&body), expected);
    body["alerts"] = vec![sample("alertmanager")["alerts"][0].clone(); 501].into();
    assert_eq!(refused(&body), ["/alerts"]);
}

#[test]
fn an_alarm_opens_and_ends_an_incident_whatever_lies_between() {
    let event = |from: &str, to: &str| {
        let mut event = sample("cloudwatch-alarm");
        event["detail"]["previousState"]["value"] = json!(from);
        event["detail"]["state"]["value"] = json!(to);
        changed(&event).map(|draft| {
            shown(&draft);
            draft.event_type.name()
        })
    };
    assert_eq!(event("OK", "ALARM"), Some("incident_opened"));
    assert_eq!(event("INSUFFICIENT_DATA", "ALARM"), Some("incident_opened"));
    assert_eq!(event("ALARM", "INSUFFICIENT_DATA"), Some("incident_updated"));
    assert_eq!(event("ALARM", "ALARM"), Some("incident_updated"));
    assert_eq!(event("ALARM", "OK"), Some("incident_resolved"));
    assert_eq!(event("INSUFFICIENT_DATA", "OK"), Some("incident_resolved"));
    assert_eq!(event("OK", "INSUFFICIENT_DATA"), None);
    assert_eq!(event("OK", "OK"), None);
    let mut new = sample("cloudwatch-alarm");
    new["detail"]["previousState"] = json!({"value": "INSUFFICIENT_DATA", "reason": "Unchecked: Initial alarm creation", "timestamp": "2019-10-02T17:00:00.000+0000"});
    new["detail"]["state"]["value"] = json!("OK");
    assert_eq!(changed(&new), None);
}

#[test]
fn alarms_with_long_names_are_different_incidents() {
    let named = |name: String| {
        let mut event = sample("cloudwatch-alarm");
        event["resources"][0] = json!(format!("arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"));
        event["detail"]["alarmName"] = json!(name);
        let draft = changed(&event).unwrap();
        shown(&draft);
        draft.incident_id
    };
    let long = "ü".repeat(250);
    assert_ne!(named(format!("{long}1")), named(format!("{long}2")));
}

#[test]
fn a_state_change_that_cannot_be_read_says_why() {
    let mut event = sample("cloudwatch-alarm");
    event["detail"]["state"]["timestamp"] = json!("soon");
    let error = cloudwatch::alert(event.to_string().as_bytes()).unwrap_err();
    assert!(matches!(error, Error::Invalid(fields) if fields[0].pointer == "/detail/state/timestamp"));
    assert!(cloudwatch::alert(b"{}").is_err());
}
