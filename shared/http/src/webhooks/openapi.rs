//! Webhooks, described.

use serde_json::{Value, json};
use statuspulse_core::access::Action;
use statuspulse_core::event::EventType;
use statuspulse_core::limits;

use super::{
    AuditEntryView, CreatedView, ExplanationView, PreviewView, ResumedView, RotatedView, TestedView,
    WebhookView,
};
use crate::events::openapi::payload_name;
use crate::openapi::wire::{self, KEY, WEBHOOK, closed, described, list, or_null, short_text};
use crate::openapi::{Operation, reference};

const PENDING: &str = "The webhook has not passed its handshake; verify it first.";

fn operation(method: &'static str, path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new("webhooks", method, path, id, summary)
}

pub(crate) fn operations() -> Vec<Operation> {
    [registration(), state(), secret(), trying()].concat()
}

fn registration() -> Vec<Operation> {
    let mut created = webhook();
    created["secret"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=".into();
    vec![
        operation("post", "/v1/webhooks", "createWebhook", "Register an endpoint")
            .describe(format!(
                "The handshake runs in this call: one signed POST, which must be answered with exactly 200 (PagerDuty: 202) \
                 within {} seconds. Otherwise the webhook stays `pending`, and `handshake` says what to fix.",
                limits::HANDSHAKE_TIMEOUT.as_secs()
            ))
            .by(Action::Manage)
            .body("NewWebhook", new(), limits::REQUEST_BYTES, &json!({
                "url": "https://hooks.yourcompany.com/statuspulse",
                "events": ["incident_opened", "incident_resolved"],
                "monitor_groups": ["payment-processing"],
            }))
            .answers::<CreatedView<'_>>(201, "The webhook and, only now, its secret.", &created)
            .answers_header(201, "Location", "The webhook's path.")
            .conflicts(
                &["too_many_webhooks"],
                &format!("The account has {} webhooks, the most it may have.", limits::WEBHOOKS_PER_ACCOUNT),
            ),
        operation("get", "/v1/webhooks", "listWebhooks", "List webhooks")
            .by(Action::Read)
            .paged()
            .lists::<WebhookView<'_>>("A page of webhooks.", &webhook()),
        operation("get", "/v1/webhooks/{id}", "getWebhook", "Show a webhook")
            .by(Action::Read)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .answers::<WebhookView<'_>>(200, "The webhook.", &webhook()),
        operation("patch", "/v1/webhooks/{id}", "updateWebhook", "Change a webhook")
            .describe(
                "What is not named stays; `null` clears `monitor_groups`, `description` and `headers`. A new `url` passes its \
                 handshake first: if that fails, nothing has changed.",
            )
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .body("WebhookChange", change(), limits::REQUEST_BYTES, &json!({ "description": "Pager of the payments team" }))
            .answers::<WebhookView<'_>>(200, "The changed webhook.", &webhook())
            .refused(
                422,
                &["invalid_fields", "handshake_failed"],
                "Fields are wrong, and `errors` names each; or the new URL did not pass its handshake.",
            ),
        operation("delete", "/v1/webhooks/{id}", "deleteWebhook", "Delete a webhook")
            .describe("Its deliveries are cancelled, those already scheduled included.")
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .answers_nothing("It is deleted."),
    ]
}

fn state() -> Vec<Operation> {
    let held = choice(
        "held",
        ["deliver", "discard"],
        "Whether what is held is delivered (if nothing is said) or dropped.",
    );
    vec![
        operation("post", "/v1/webhooks/{id}/verify", "verifyWebhook", "Try the handshake again")
            .describe("A `pending` webhook that passes becomes `active`. `handshake` says how it went.")
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .no_fields()
            .answers::<WebhookView<'_>>(200, "The webhook.", &webhook()),
        operation("post", "/v1/webhooks/{id}/pause", "pauseWebhook", "Pause a webhook")
            .describe("What is due or new is held; nothing is lost. A paused one stays as it is.")
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .no_fields()
            .answers::<WebhookView<'_>>(200, "The paused webhook.", &paused())
            .conflicts(&["webhook_pending"], PENDING),
        operation("post", "/v1/webhooks/{id}/resume", "resumeWebhook", "Resume a webhook")
            .describe("What is held is delivered oldest first, beginning at once, at a bounded rate. Twice delivers nothing twice.")
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .optional_body("Resume", held, &json!({ "held": "deliver" }))
            .answers::<ResumedView>(200, "It is active.", &json!({ "status": "active", "held": 42 }))
            .conflicts(&["webhook_pending"], PENDING),
    ]
}

fn secret() -> Vec<Operation> {
    let style = choice(
        "style",
        ["joined", "split"],
        "`joined`: X-StatusPulse-Signature holds both digests, the new one first. `split`: it keeps the old one alone, and \
         X-StatusPulse-Signature-Next has the new one.",
    );
    vec![
        operation("post", "/v1/webhooks/{id}/rotate-secret", "rotateSecret", "Replace the secret")
            .describe(format!(
                "For {} hours attempts are signed with both secrets.",
                limits::ROTATION_WINDOW.as_secs() / 3600
            ))
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .optional_body("RotateSecret", style, &json!({ "style": "joined" }))
            .answers::<RotatedView<'_>>(200, "The new secret.", &json!({
                "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=", "window_ends_at": "2026-11-25T12:00:00Z",
            }))
            .conflicts(&["rotation_in_progress"], "Two secrets are valid already; finish that rotation first."),
        operation("post", "/v1/webhooks/{id}/rotate-secret/finish", "finishRotation", "End the rotation now")
            .describe("The old secret signs nothing any more: for one that has leaked.")
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .no_fields()
            .answers::<WebhookView<'_>>(200, "The webhook.", &webhook())
            .conflicts(&["no_rotation"], "No rotation is in progress."),
        operation("get", "/v1/webhooks/{id}/audit-log", "auditWebhook", "Who changed it")
            .describe(format!("The latest {} changes, newest first.", limits::AUDIT_ENTRIES_KEPT))
            .by(Action::Read)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .lists::<AuditEntryView<'_>>("The log.", &json!({
                "at": "2026-11-24T13:00:00Z", "change": "paused", "by": { "key_id": KEY, "key_prefix": "spk_p3Xw9Lq0" },
            })),
    ]
}

fn trying() -> Vec<Operation> {
    let of_type = closed(&[], [("event", or_null(described::<wire::EventType>("A sample of this type.")))]);
    let groups = json!({ "type": "array", "items": { "type": "string" } });
    let asked = closed(
        &[],
        [
            ("event", or_null(described::<wire::EventType>("A sample of this type. Not beside a payload."))),
            (
                "payload",
                json!({
                    "anyOf": EventType::ALL.map(|kind| json!({ "$ref": format!("#/components/schemas/{}", payload_name(kind)) }))
                        .into_iter().chain([json!({ "type": "null" })]).collect::<Vec<_>>(),
                    "description": "A payload of your own.",
                }),
            ),
        ],
    );
    vec![
        operation("post", "/v1/webhooks/{id}/test", "testWebhook", "Send a test event now")
            .describe(
                "To an active or a paused webhook. It counts for nothing. Without `event` it is an event of the type `test`; a \
                 sample of another type is, to the byte, what a delivery of it would be: PagerDuty opens an incident for it.",
            )
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .optional_body("TestOf", of_type, &json!({ "event": "incident_opened" }))
            .answers::<TestedView<'_>>(200, "What came of it.", &json!({
                "ok": true, "status_code": 200, "reason": null, "duration_ms": 87, "response": "ok", "request": sent(),
            }))
            .conflicts(&["webhook_pending"], PENDING),
        operation("post", "/v1/webhooks/{id}/preview", "previewWebhook", "Show what it would be sent")
            .describe("Nothing is sent, and nothing is signed. With neither field: a sample of the first type it is bound to.")
            .by(Action::Read)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .optional_body("PreviewOf", asked, &json!({ "event": "incident_opened" }))
            .answers::<PreviewView<'_>>(200, "The request as it would be made.", &previewed()),
        operation("get", "/v1/webhooks/{id}/explain", "explainWebhook", "Would this event reach it?")
            .describe("And if not, which rule says no.")
            .by(Action::Read)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .parameter(json!({
                "name": "event", "in": "query", "required": true, "example": "incident_opened",
                "schema": { "anyOf": [reference::<wire::EventType>(), reference::<wire::EventId>()] },
                "description": "An event's type, together with `monitor_groups`, or the id of one that was published.",
            }))
            .query("monitor_groups", &groups, "Its groups: repeated, or separated by commas.", None)
            .query("monitor_group", &groups, "A group whose name contains a comma; can be repeated.", None)
            .answers::<ExplanationView<'_>>(200, "The answer.", &json!({
                "would_receive": false, "rule": "monitor_groups",
                "reason": "The event's groups are []; the webhook wants one of [\"payment-processing\"] (names are exact).",
            })),
    ]
}

/// A body whose only field is one of two names.
fn choice(name: &str, names: [&str; 2], description: &str) -> Value {
    let field =
        json!({ "type": ["string", "null"], "enum": [names[0], names[1], null], "description": description });
    closed(&[], [(name, field)])
}

fn new() -> Value {
    closed(
        &["events"],
        [
            (
                "url",
                or_null(url(
                    "Where to: https, and a public address. Required unless the destination is pagerduty.",
                )),
            ),
            ("destination", or_null(described::<wire::Destination>("`json` if nothing is said."))),
            ("routing_key", or_null(routing_key("The service's, for the destination pagerduty alone."))),
            ("events", events()),
            ("monitor_groups", or_null(groups())),
            ("description", or_null(description())),
            ("headers", or_null(headers())),
        ],
    )
}

fn change() -> Value {
    closed(
        &[],
        [
            ("url", url("A new address, which passes its handshake first.")),
            ("routing_key", routing_key("A new one, for a PagerDuty webhook alone.")),
            ("events", events()),
            ("monitor_groups", or_null(groups())),
            ("description", or_null(description())),
            ("headers", or_null(headers())),
        ],
    )
}

fn url(description: &str) -> Value {
    json!({ "type": "string", "maxLength": limits::URL_BYTES, "description": description })
}

fn routing_key(description: &str) -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9]{32}$", "description": description })
}

fn events() -> Value {
    json!({
        "type": "array", "minItems": 1, "items": reference::<wire::EventType>(),
        "description": "Which events it is told of.",
    })
}

fn groups() -> Value {
    let group = short_text(limits::MONITOR_GROUP_CHARS, "Exact and case-sensitive.");
    list(&group, limits::MONITOR_GROUPS, "Only events of these monitor groups; none for all.")
}

fn description() -> Value {
    json!({ "type": "string", "maxLength": limits::DESCRIPTION_CHARS, "description": "For people." })
}

fn headers() -> Value {
    json!({
        "type": "object", "maxProperties": limits::CUSTOM_HEADERS,
        "propertyNames": { "maxLength": limits::HEADER_NAME_BYTES },
        "additionalProperties": { "type": "string", "minLength": 1, "maxLength": limits::HEADER_VALUE_BYTES },
        "description": "Sent with every attempt. Values are never shown again. Not those that StatusPulse or the protocol sets.",
    })
}

fn webhook() -> Value {
    json!({
        "id": WEBHOOK, "url": "https://hooks.yourcompany.com/statuspulse", "destination": "json",
        "events": ["incident_opened", "incident_resolved"], "monitor_groups": ["payment-processing"],
        "description": null, "headers": {}, "status": "active", "paused": null, "consecutive_failures": 0,
        "failing_since": null, "held_deliveries": 0,
        "handshake": { "ok": true, "status_code": 200, "reason": null, "at": "2026-11-24T12:00:00Z", "duration_ms": 87 },
        "secret_window_ends_at": null, "created_at": "2026-11-24T12:00:00Z", "updated_at": "2026-11-24T12:00:00Z",
    })
}

fn paused() -> Value {
    let mut webhook = webhook();
    webhook["status"] = "paused".into();
    webhook["paused"] = json!({ "reason": "manual", "since": "2026-11-24T13:00:00Z", "last_error": null });
    webhook
}

fn sent() -> Value {
    let mut sent = previewed();
    sent["headers"]["X-StatusPulse-Signature"] =
        "7e4c9d90ee386aa74ac16e74b87b7c38786994d9c98c52545bdbfdf74f696c51".into();
    sent
}

fn previewed() -> Value {
    json!({
        "method": "POST", "url": "https://hooks.yourcompany.com/statuspulse",
        "headers": { "X-StatusPulse-Event": "incident_opened", "X-StatusPulse-Signature": "[hidden]" },
        "body": EventType::IncidentOpened.sample(),
    })
}
