//! The `webhooks` section: what an endpoint receives. The guide for receivers (`docs/receiving.md`) describes the same for
//! people; a test compares both with what is sent.

use serde_json::{Map, Value, json};
use statuspulse_core::destination::Probe;
use statuspulse_core::event::EventType;
use statuspulse_core::limits;
use statuspulse_core::signature::{
    SIGNATURE, SIGNATURE_NEXT, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP,
};

use super::wire::{self, DELIVERY, EVENT, Schemas, WEBHOOK, collect, described, reference};
use crate::events::openapi::payload_name;

/// The section, and the schemas of the bodies that only it has.
pub(crate) fn webhooks() -> (Value, Schemas) {
    let mut section = Map::new();
    for event_type in EventType::ALL {
        let sample: Value = serde_json::from_str(event_type.sample()).unwrap_or_default();
        let summary = match event_type {
            EventType::IncidentOpened => "A monitor is down",
            EventType::IncidentUpdated => "An incident was updated",
            EventType::IncidentResolved => "The monitor is up again",
        };
        let schema = payload_name(*event_type);
        section.insert(event_type.name().to_owned(), sent(event_type.name(), summary, &schema, &sample));
    }
    let probes = [
        (
            Probe::Handshake,
            "HandshakeMessage",
            "The handshake of a new endpoint. It must be answered with exactly 200.",
        ),
        (Probe::Test, "TestMessage", "A test event."),
    ];
    let mut schemas = Schemas::new();
    for (probe, schema, summary) in probes {
        let sample =
            json!({ "event_type": probe.name(), "webhook_id": WEBHOOK, "sent_at": "2026-11-24T12:00:00Z" });
        section.insert(probe.name().to_owned(), sent(probe.name(), summary, schema, &sample));
        schemas.insert(schema.to_owned(), message(probe));
    }
    collect::<wire::WebhookId>(&mut schemas);
    collect::<wire::EventId>(&mut schemas);
    collect::<wire::DeliveryId>(&mut schemas);
    collect::<wire::Time>(&mut schemas);
    (section.into(), schemas)
}

fn message(probe: Probe) -> Value {
    json!({
        "type": "object",
        "required": ["event_type", "webhook_id", "sent_at"],
        "properties": {
            "event_type": { "type": "string", "const": probe.name() },
            "webhook_id": reference::<wire::WebhookId>(),
            "sent_at": reference::<wire::Time>(),
        },
    })
}

fn sent(event: &str, summary: &str, schema: &str, sample: &Value) -> Value {
    let id = event.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect::<String>();
    json!({ "post": {
        "operationId": format!("receive{id}"),
        "summary": summary,
        "security": [],
        "description": format!(
            "For the destination `json`. Any 2xx within {} seconds accepts it (a handshake: exactly 200 within {}). After 410 \
             the webhook is paused; after anything else the delivery is retried.",
            limits::ATTEMPT_TIMEOUT.as_secs(),
            limits::HANDSHAKE_TIMEOUT.as_secs()
        ),
        "parameters": headers(event),
        "requestBody": {
            "required": true,
            "content": { "application/json": {
                "schema": { "$ref": format!("#/components/schemas/{schema}") },
                "example": sample,
            } },
        },
        "responses": {
            "2XX": { "description": "Accepted. The body is not used; its first KiB is shown with the attempt." },
            "410": { "description": "The endpoint is gone: the webhook is paused." },
            "default": { "description": "The attempt has failed." },
        },
    } })
}

fn headers(event: &str) -> Vec<Value> {
    let digest = "^[0-9a-f]{64}(,[0-9a-f]{64})?$";
    let all: [(&str, bool, Value); 9] = [
        (
            "X-StatusPulse-Event",
            true,
            json!({ "type": "string", "const": event, "description": "The event's type." }),
        ),
        (
            "X-StatusPulse-Event-Id",
            true,
            described::<wire::EventId>(
                "The same in each attempt, and for each webhook that receives the event.",
            ),
        ),
        ("X-StatusPulse-Delivery-Id", true, described::<wire::DeliveryId>("The same in each attempt.")),
        (
            "X-StatusPulse-Attempt",
            true,
            json!({ "type": "integer", "minimum": 1, "maximum": 5, "description": "The step of the retry schedule." }),
        ),
        (
            SIGNATURE,
            true,
            json!({ "type": "string", "pattern": digest, "description":
                "The HMAC-SHA256 of the raw body in lowercase hex; the key is the whole secret as text. During a rotation of the \
                 style `joined` there are two: the new one first." }),
        ),
        (
            SIGNATURE_NEXT,
            false,
            json!({ "type": "string", "pattern": "^[0-9a-f]{64}$", "description":
                "Only during a rotation of the style `split`: the new secret's signature." }),
        ),
        (
            WEBHOOK_ID,
            true,
            described::<wire::EventId>("The event's id again, as Standard Webhooks names it."),
        ),
        (
            WEBHOOK_TIMESTAMP,
            true,
            json!({ "type": "integer", "description": "When this attempt was signed: seconds since 1970." }),
        ),
        (
            WEBHOOK_SIGNATURE,
            true,
            json!({ "type": "string", "description":
                "`v1,` and the base64 of the HMAC-SHA256 of id, timestamp and body, separated by dots; the key is the bytes whose \
                 base64 follows `whsec_`. During a rotation there are two, separated by a space." }),
        ),
    ];
    let example = |name: &str| match name {
        "X-StatusPulse-Event-Id" | WEBHOOK_ID => Some(EVENT),
        "X-StatusPulse-Delivery-Id" => Some(DELIVERY),
        _ => None,
    };
    let parameter = |(name, required, mut schema): (&str, bool, Value)| {
        let description = schema["description"].take();
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("description");
        }
        let mut parameter = json!({
            "name": name, "in": "header", "required": required, "schema": schema, "description": description,
        });
        if let Some(example) = example(name) {
            parameter["example"] = example.into();
        }
        parameter
    };
    all.into_iter().map(parameter).collect()
}
