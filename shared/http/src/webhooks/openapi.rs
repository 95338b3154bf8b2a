//! The OpenAPI description of `/v1/webhooks`.

use serde_json::{Value, json};
use statuspulse_core::access::Action;
use statuspulse_core::destination::{self, Address, Destination};
use statuspulse_core::event::EventType;
use statuspulse_core::limits;

use super::{
    AuditEntryView, CreatedView, ExplanationView, PreviewView, ResumedView, RetriedView, RotatedView,
    TestedView, WebhookView,
};
use crate::events::openapi::PAYLOAD;
use crate::idempotency::parameter;
use crate::openapi::operation::Operation;
use crate::openapi::wire::{self, KEY, WEBHOOK, closed, described, list, or_null, reference, short_text};

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
                "The call runs the handshake: one signed POST, which the endpoint must answer with exactly \
                 {} within {} seconds. Otherwise the webhook is `pending`, and `handshake` says what to fix.",
                destination::handshake_statuses(),
                limits::HANDSHAKE_TIMEOUT.as_secs()
            ))
            .by(Action::Manage)
            .parameter(parameter())
            .body(
                "NewWebhook",
                new(),
                limits::REQUEST_BYTES,
                &json!({
                    "url": "https://hooks.yourcompany.com/statuspulse",
                    "events": ["incident_opened", "incident_resolved"],
                    "monitor_groups": ["payment-processing"],
                }),
            )
            .answers::<CreatedView<'_>>(201, "The webhook and its secret, which is shown once.", &created)
            .answers_header(201, "Location", "The webhook's path.")
            .conflicts(
                &["too_many_webhooks", "quota_exceeded", "idempotency_key_reused"],
                &format!(
                    "The account has {} webhooks, which is the maximum, or too many with this URL or host. Or the \
                     Idempotency-Key was used before with a different body.",
                    limits::WEBHOOKS_PER_ACCOUNT
                ),
            ),
        operation("get", "/v1/webhooks", "listWebhooks", "List webhooks")
            .by(Action::Read)
            .paged()
            .lists::<WebhookView<'_>>("A page of webhooks.", &webhook())
            .lists_also::<WebhookView<'_>, wire::WebhookId>(
                "unreadable",
                "Webhooks of the account whose records cannot be read. They receive no events, and can only be \
                 deleted. Left out if there are none; otherwise the same on every page.",
            ),
        operation("get", "/v1/webhooks/{id}", "getWebhook", "Show a webhook")
            .by(Action::Read)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .answers::<WebhookView<'_>>(200, "The webhook.", &webhook()),
        operation("patch", "/v1/webhooks/{id}", "updateWebhook", "Change a webhook")
            .describe(
                "Fields that are left out keep their values. `null` clears `monitor_groups`, `description` \
                 and `headers`, and is refused for the other fields. A new `url` or `routing_key` must pass \
                 a handshake; if it fails, nothing changes.",
            )
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .body(
                "WebhookChange",
                change(),
                limits::REQUEST_BYTES,
                &json!({ "description": "Pager of the payments team" }),
            )
            .answers::<WebhookView<'_>>(200, "The changed webhook.", &webhook())
            .conflicts(&["quota_exceeded"], "The account has too many webhooks with the new URL or host.")
            .refused(
                422,
                &["invalid_fields", "handshake_failed"],
                "Fields are invalid, or the new `url` or `routing_key` did not pass its handshake.",
            ),
        operation("delete", "/v1/webhooks/{id}", "deleteWebhook", "Delete a webhook")
            .describe("Its unfinished deliveries are cancelled, scheduled retries included.")
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .answers_nothing("The webhook was deleted."),
    ]
}

fn state() -> Vec<Operation> {
    let held = or_null(described::<wire::HeldDeliveries>(
        "Whether held deliveries are sent (the default) or discarded.",
    ));
    let held = closed(&[], [("held", held)]);
    vec![
        operation("post", "/v1/webhooks/{id}/verify", "verifyWebhook", "Try the handshake again")
            .describe(
                "If the handshake passes, a `pending` webhook becomes `active`. `handshake` has the result.",
            )
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .no_fields()
            .answers::<WebhookView<'_>>(200, "The webhook.", &webhook()),
        operation("post", "/v1/webhooks/{id}/pause", "pauseWebhook", "Pause a webhook")
            .describe("New and scheduled deliveries are held. Pausing a paused webhook changes nothing.")
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .no_fields()
            .answers::<WebhookView<'_>>(200, "The paused webhook.", &paused())
            .conflicts(&["webhook_pending"], PENDING),
        operation("post", "/v1/webhooks/{id}/resume", "resumeWebhook", "Resume a webhook")
            .describe(
                "Held deliveries are sent immediately, oldest first, at a bounded rate. A second resume \
                 delivers nothing twice.",
            )
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .optional_body("Resume", held, &json!({ "held": "deliver" }))
            .answers::<ResumedView>(200, "The webhook is active.", &json!({ "status": "active", "held": 42 }))
            .conflicts(&["webhook_pending"], PENDING),
        operation("post", "/v1/webhooks/{id}/retry", "retryWebhook", "Retry all waiting deliveries now")
            .describe(
                "Deliveries that wait for a retry are attempted now, at a bounded rate. These attempts are \
                 additional: the scheduled ones keep their times. While the endpoint fails, deliveries are tried one \
                 at a time, and after four failures the others keep waiting. A second call while this goes on \
                 changes nothing.",
            )
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .no_fields()
            .answers::<RetriedView>(202, "The retries have begun.", &json!({ "retried": 12 }))
            .conflicts(
                &["webhook_pending", "webhook_paused", "job_in_progress"],
                "The webhook is not verified yet, or is paused, or its held deliveries are being released.",
            ),
    ]
}

fn secret() -> Vec<Operation> {
    let asked = closed(
        &[],
        [
            (
                "style",
                or_null(described::<wire::AskedStyle>("How both signatures are sent; `auto` by default.")),
            ),
            ("secret", or_null(own_secret("Your own new secret. Without it one is made."))),
        ],
    );
    vec![
        operation("post", "/v1/webhooks/{id}/rotate-secret", "rotateSecret", "Rotate the secret")
            .describe(format!(
                "For {} hours, attempts are signed with both the old and the new secret. The owner can install the new one at any \
                 time: an attempt that is answered 400, 401 or 403, or as the handshake of the style `auto` was, is repeated at \
                 once with another signature in X-StatusPulse-Signature, and only the last answer counts.",
                limits::ROTATION_WINDOW.as_secs() / 3600
            ))
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .parameter(parameter())
            .optional_body("RotateSecret", asked, &json!({ "style": "auto" }))
            .answers::<RotatedView<'_>>(200, "The new secret.", &json!({
                "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=", "window_ends_at": "2026-11-25T12:00:00Z",
                "style": "joined",
                "reason": "The endpoint accepted a handshake that had both signatures in one header.",
            }))
            .conflicts(
                &["rotation_in_progress", "idempotency_key_reused"],
                "A rotation is in progress; finish it first. Or the Idempotency-Key was used before with a different body, or \
                 its secret has been replaced since.",
            ),
        operation("post", "/v1/webhooks/{id}/rotate-secret/finish", "finishRotation", "End the rotation now")
            .describe("The old secret stops signing immediately. Use this if it has leaked.")
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .no_fields()
            .answers::<WebhookView<'_>>(200, "The webhook.", &webhook())
            .conflicts(&["no_rotation"], "No rotation is in progress."),
        operation("post", "/v1/webhooks/{id}/rotate-secret/cancel", "cancelRotation", "Undo the rotation")
            .describe("The new secret stops signing immediately, and only the old one is left.")
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .no_fields()
            .answers::<WebhookView<'_>>(200, "The webhook.", &webhook())
            .conflicts(&["no_rotation"], "No rotation is in progress."),
        operation("get", "/v1/webhooks/{id}/audit-log", "auditWebhook", "Show the audit log")
            .describe(format!("The latest {} changes, newest first.", limits::AUDIT_ENTRIES_KEPT))
            .by(Action::Read)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .lists::<AuditEntryView<'_>>("The audit log.", &json!({
                "at": "2026-11-24T13:00:00Z", "change": "paused", "by": { "key_id": KEY, "key_prefix": "spk_p3Xw9Lq0", "key_name": "deploy job" },
            })),
    ]
}

fn trying() -> Vec<Operation> {
    let of_type = closed(
        &[],
        [
            ("event", or_null(described::<wire::EventType>("Send a sample of this type."))),
            ("secrets", or_null(described::<wire::TestSecrets>("Which secrets sign; `valid` by default."))),
        ],
    );
    let groups = json!({ "type": "array", "items": { "type": "string" } });
    let asked = closed(
        &[],
        [
            (
                "event",
                or_null(described::<wire::EventType>(
                    "Preview a sample of this type. Cannot be combined with `payload`.",
                )),
            ),
            ("payload", or_null(json!({ "$ref": PAYLOAD, "description": "Preview this payload." }))),
        ],
    );
    vec![
        operation("post", "/v1/webhooks/{id}/test", "testWebhook", "Send a test event now")
            .describe(
                "The webhook must be active or paused. The result does not affect its state or its failure \
                 count. Without `event`, an event of type `test` is sent. A sample of another type is byte \
                 for byte like a delivery: PagerDuty opens an incident for it. During a rotation, a test that is \
                 signed with the new secret alone shows whether the receiver knows it.",
            )
            .by(Action::Manage)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .optional_body("TestOf", of_type, &json!({ "event": "incident_opened" }))
            .answers::<TestedView<'_>>(200, "The result.", &json!({
                "ok": true, "status_code": 200, "reason": null, "duration_ms": 87, "response": "ok", "request": sent(),
            }))
            .conflicts(
                &["webhook_pending", "no_rotation"],
                "The webhook is not verified yet, or no rotation is in progress and so there is no new secret.",
            ),
        operation("post", "/v1/webhooks/{id}/preview", "previewWebhook", "Preview a request")
            .describe("Nothing is sent or signed. Without fields, a sample of the first event type is shown.")
            .by(Action::Read)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .takes("PreviewOf", asked, false, limits::ENVELOPE_BYTES, &json!({ "event": "incident_opened" }))
            .answers::<PreviewView<'_>>(200, "The request that would be sent.", &previewed()),
        operation("get", "/v1/webhooks/{id}/explain", "explainWebhook", "Explain whether an event matches")
            .describe("Says whether the webhook would receive an event, and if not, which rule excludes it.")
            .by(Action::Read)
            .id::<wire::WebhookId>("id", WEBHOOK)
            .parameter(json!({
                "name": "event", "in": "query", "required": true, "example": "incident_opened",
                "schema": { "anyOf": [reference::<wire::EventType>(), reference::<wire::EventId>()] },
                "description": "An event type, together with `monitor_groups`, or the id of a published event.",
            }))
            .query("monitor_groups", &groups, "Its groups, separated by commas; can be repeated.", None)
            .query("monitor_group", &groups, "A group whose name contains commas; can be repeated.", None)
            .answers::<ExplanationView<'_>>(200, "The explanation.", &json!({
                "would_receive": false, "rule": "monitor_groups",
                "reason": "The event's groups are []; the webhook wants one of [\"payment-processing\"] (names are exact).",
            })),
    ]
}

/// The destinations that need a routing key.
fn keyed() -> String {
    destination::names_with(Address::RoutingKey)
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(" or ")
}

fn new() -> Value {
    let keyed = keyed();
    closed(
        &["events"],
        [
            (
                "url",
                or_null(url(&format!(
                    "An https URL with a public address. Required unless the destination is {keyed}."
                ))),
            ),
            (
                "destination",
                or_null(described::<wire::Destination>(&format!(
                    "The default is `{}`.",
                    Destination::default().name()
                ))),
            ),
            (
                "routing_key",
                or_null(routing_key(&format!(
                    "The key of the PagerDuty integration. Only for the destination {keyed}."
                ))),
            ),
            (
                "secret",
                or_null(own_secret(
                    "Your own secret, so that the endpoint can check the signature of the handshake. Without it a new one \
                     is made.",
                )),
            ),
            ("events", events()),
            ("monitor_groups", or_null(groups())),
            ("description", or_null(description())),
            ("headers", or_null(headers())),
        ],
    )
}

fn own_secret(description: &str) -> Value {
    json!({ "type": "string", "pattern": wire::SECRET, "description": format!(
        "{description} `whsec_` and the base64 of {} to {} bytes.",
        limits::SECRET_KEY_BYTES.start(),
        limits::SECRET_KEY_BYTES.end()
    ) })
}

fn change() -> Value {
    let keyed = keyed();
    closed(
        &[],
        [
            ("url", url("A new URL, which must pass a handshake.")),
            (
                "routing_key",
                routing_key(&format!(
                    "A new key, which must pass a handshake. Only for the destination {keyed}."
                )),
            ),
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
        "description": "The event types that the webhook receives.",
    })
}

fn groups() -> Value {
    let group = short_text(limits::MONITOR_GROUP_CHARS, "An exact name; case-sensitive.");
    list(
        &group,
        limits::MONITOR_GROUPS,
        "The webhook receives only events of these monitor groups; if empty, of all.",
    )
}

fn description() -> Value {
    json!({ "type": "string", "maxLength": limits::DESCRIPTION_CHARS, "description": "A name for people." })
}

fn headers() -> Value {
    json!({
        "type": "object", "maxProperties": limits::CUSTOM_HEADERS,
        "propertyNames": { "maxLength": limits::HEADER_NAME_BYTES },
        "additionalProperties": { "type": "string", "minLength": 1, "maxLength": limits::HEADER_VALUE_BYTES },
        "description": "Sent with every attempt. The values are not shown again. Headers that StatusPulse or \
                        HTTP sets are refused.",
    })
}

fn webhook() -> Value {
    json!({
        "id": WEBHOOK, "url": "https://hooks.yourcompany.com/statuspulse", "destination": Destination::default().name(),
        "events": ["incident_opened", "incident_resolved"], "monitor_groups": ["payment-processing"],
        "description": null, "headers": {}, "status": "active", "paused": null, "consecutive_failures": 0,
        "failing_since": null, "held_deliveries": 0,
        "handshake": { "ok": true, "status_code": 200, "reason": null, "at": "2026-11-24T12:00:00Z", "duration_ms": 87 },
        "secret_window_ends_at": null, "rotation": null, "created_at": "2026-11-24T12:00:00Z", "updated_at": "2026-11-24T12:00:00Z",
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
