//! The OpenAPI description of publishing.

use serde_json::{Map, Value, json};
use statuspulse_core::access::Action;
use statuspulse_core::event::{EventType, Kind};
use statuspulse_core::limits;
use statuspulse_core::sources::notification::{GROUP_LABELS, Sender};

use super::{PublishedAlerts, PublishedView};
use crate::idempotency::IDEMPOTENCY_KEY;
use crate::openapi::operation::Operation;
use crate::openapi::wire::{self, EVENT, closed, list, or_null, reference, short_text};

pub(crate) fn operations() -> Vec<Operation> {
    let key = json!({
        "name": IDEMPOTENCY_KEY, "in": "header", "example": "INC-8842-opened",
        "schema": { "type": "string", "minLength": 1, "maxLength": limits::IDEMPOTENCY_KEY_CHARS },
        "description": format!(
            "Visible ASCII characters. A call with a key that was used in the last {} days does not create a \
             second event. If the first call was interrupted, its missing deliveries are created.",
            limits::RETENTION.as_secs() / 86_400,
        ),
    });
    let example = json!({
        "monitor_groups": ["payment-processing"],
        "payload": serde_json::from_str::<Value>(EventType::IncidentOpened.sample()).unwrap_or_default(),
    });
    let mut operation = Operation::new("events", "post", "/v1/events", "publishEvent", "Publish an event")
        .describe(
            "The answer is 202 only when the event can no longer be lost. Each matching webhook receives the \
             payload byte for byte, including fields that are not described here.",
        )
        .by(Action::Publish)
        .parameter(key)
        .body("Envelope", envelope(), limits::ENVELOPE_BYTES, &example)
        .answers::<PublishedView>(
            202,
            "The event id and the number of deliveries.",
            &json!({
                "event_id": EVENT, "deliveries": 2,
            }),
        )
        .refuses("NotFound")
        .conflicts(
            &["idempotency_key_reused", "quota_exceeded"],
            "The Idempotency-Key was used before with a different body, or the account keeps as much as it may.",
        );
    operation.add::<wire::AccountId>();
    for event_type in EventType::ALL.iter().copied() {
        operation.schemas.insert(payload_name(event_type), payload(event_type));
    }
    operation.schemas.insert("Payload".to_owned(), any_payload());
    operation.add::<wire::PayloadTime>();
    vec![operation, notification(Sender::Alertmanager), notification(Sender::Grafana)]
}

fn notification(sender: Sender) -> Operation {
    let (path, id, name) = match sender {
        Sender::Alertmanager => ("/v1/events/alertmanager", "publishAlertmanager", "Alertmanager"),
        Sender::Grafana => ("/v1/events/grafana", "publishGrafana", "Grafana"),
    };
    let example = json!({ "alerts": [{
        "status": "firing", "fingerprint": "c6eadffa33fcdf37", "startsAt": "2024-03-15T14:22:01Z",
        "labels": { "alertname": "HighErrorRate", "instance": "checkout-1:9090", "team": "payments" },
        "annotations": { "summary": "12 % of the requests fail" },
    }] });
    Operation::new("events", "post", path, id, &format!("Publish the alerts of a notification of {name}"))
        .describe(format!(
            "{name} calls this by itself; `docs/alert-sources.md` has the lines to paste. Each alert \
             becomes an event: `incident_opened` when it fires, `incident_updated` if it fires still and says something \
             else, `incident_resolved` at its end. Its monitor groups are the values of its labels {}. A notification \
             that comes again makes nothing twice. Other fields than these are left out.",
            GROUP_LABELS.map(|label| format!("`{label}`")).join(", "),
        ))
        .by(Action::PublishAlerts)
        .body("Notification", notification_body(), limits::NOTIFICATION_BYTES, &example)
        .answers::<PublishedAlerts>(202, "The events.", &json!({ "events": [{ "event_id": EVENT, "deliveries": 2 }] }))
        .conflicts(&["quota_exceeded"], "The account keeps as much as it may.")
}

fn notification_body() -> Value {
    let texts = json!({ "type": ["object", "null"], "description": "Texts by name." });
    let link = json!({ "type": ["string", "null"] });
    let alert = json!({
        "type": "object",
        "required": ["status", "fingerprint", "startsAt"],
        "properties": {
            "status": { "type": "string", "enum": ["firing", "resolved"] },
            "fingerprint": { "type": "string", "pattern": "^[0-9A-Za-z]+$", "minLength": 1, "maxLength": limits::FINGERPRINT_CHARS },
            "startsAt": reference::<wire::AnyTime>(),
            "endsAt": { "type": ["string", "null"], "description": "When it was resolved." },
            "labels": texts, "annotations": texts,
            "generatorURL": link, "dashboardURL": link, "panelURL": link, "silenceURL": link,
        },
    });
    json!({
        "type": "object",
        "required": ["alerts"],
        "additionalProperties": true,
        "properties": { "alerts": { "type": "array", "items": alert, "maxItems": limits::ALERTS } },
    })
}

fn envelope() -> Value {
    let payload = json!({
        "$ref": PAYLOAD,
        "description": format!("What webhooks receive, at most {} KiB.", limits::PAYLOAD_BYTES / 1024),
    });
    let account = json!({
        "anyOf": [reference::<wire::AccountId>(), { "type": "null" }],
        "description": "The account of the event. Required with an operator key, otherwise optional.",
    });
    closed(&["payload"], [("payload", payload), ("monitor_groups", groups()), ("account_id", account)])
}

/// The schema of a payload of any type.
pub(crate) const PAYLOAD: &str = "#/components/schemas/Payload";

fn any_payload() -> Value {
    let schema = |event_type: &EventType| format!("#/components/schemas/{}", payload_name(*event_type));
    let references: Vec<_> = EventType::ALL.iter().map(|each| json!({ "$ref": schema(each) })).collect();
    let by_name: Map<_, _> =
        EventType::ALL.iter().map(|each| (each.name().to_owned(), schema(each).into())).collect();
    json!({ "oneOf": references, "discriminator": { "propertyName": "event_type", "mapping": by_name } })
}

fn groups() -> Value {
    let group = short_text(limits::MONITOR_GROUP_CHARS, "An exact name; case-sensitive.");
    or_null(list(&group, limits::MONITOR_GROUPS, "The monitor groups of the event."))
}

/// The schema name of a type's payload: `IncidentOpened` for `incident_opened`.
pub(crate) fn payload_name(event_type: EventType) -> String {
    let words = event_type.name().split('_');
    words
        .flat_map(|word| word[..1].to_uppercase().chars().chain(word[1..].chars()).collect::<Vec<_>>())
        .collect()
}

/// The schema of a payload of this type. It is open: additional fields are kept and delivered.
pub(crate) fn payload(event_type: EventType) -> Value {
    let details: Map<_, _> = event_type
        .details()
        .iter()
        .map(|(name, kind)| {
            let kind = match kind {
                Kind::Text => "string",
                Kind::Number => "number",
                Kind::Truth => "boolean",
            };
            ((*name).to_owned(), json!({ "type": [kind, "null"] }))
        })
        .collect();
    json!({
        "type": "object",
        "required": ["event_type", "incident_id", "monitor_name", "status", event_type.time_field(), "details"],
        "properties": {
            "event_type": { "type": "string", "const": event_type.name() },
            "incident_id": short_text(limits::INCIDENT_ID_CHARS, "Events of one incident are delivered in the order of acceptance."),
            "monitor_name": { "type": "string", "minLength": 1 },
            "status": { "type": "string", "enum": event_type.statuses() },
            event_type.time_field(): reference::<wire::PayloadTime>(),
            "details": { "type": "object", "properties": details },
        },
    })
}
