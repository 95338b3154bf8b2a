//! A webhook with the names of section 12 of docs/behaviour.md. Only [`CreatedView::secret`] contains a secret. Custom
//! headers are often credentials, so only their names are shown.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use statuspulse_core::access::Urls;
use statuspulse_core::admin::query::Audited;
use statuspulse_core::ids::{KeyId, WebhookId};
use statuspulse_core::rotation::Outgoing;
use statuspulse_core::target::HIDDEN;
use statuspulse_core::webhook::{Handshake, Pause, Settings, State, Webhook};
use utoipa::ToSchema;

use crate::header::HeaderView;
use crate::millis;
use crate::openapi::wire;

#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct WebhookView<'a> {
    #[schema(value_type = wire::WebhookId)]
    id: WebhookId,
    /// The URL of the endpoint. Only admins see its path; nobody does if it is a secret, as with Slack.
    url: String,
    #[schema(value_type = wire::Destination)]
    destination: &'static str,
    /// Only for PagerDuty webhooks; the value is hidden.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_key: Option<&'static str>,
    #[schema(value_type = Vec<wire::EventType>)]
    events: Vec<&'static str>,
    /// Exact names; empty means all.
    #[schema(value_type = Vec<String>)]
    monitor_groups: &'a [String],
    #[schema(required = true)]
    description: Option<&'a str>,
    /// Custom headers; the values are hidden.
    #[schema(value_type = BTreeMap<String, String>)]
    headers: BTreeMap<&'a str, &'static str>,
    #[schema(value_type = wire::WebhookStatus)]
    status: &'static str,
    /// Details of the pause; null unless the webhook is paused.
    #[schema(required = true)]
    paused: Option<PausedView<'a>>,
    /// Failed retries in a row, 0 to 4. At 4 the webhook is paused.
    consecutive_failures: u8,
    /// When the current outage started; null if there is none.
    #[schema(value_type = Option<wire::Time>, required = true)]
    failing_since: Option<Timestamp>,
    /// The number of held deliveries.
    held_deliveries: u64,
    /// The result of the latest handshake.
    handshake: HandshakeView<'a>,
    /// When the old secret stops signing; null unless a rotation is in progress.
    #[schema(value_type = Option<wire::Time>, required = true)]
    secret_window_ends_at: Option<Timestamp>,
    /// How both secrets sign; null unless a rotation is in progress.
    #[schema(required = true)]
    rotation: Option<RotationView>,
    #[schema(value_type = wire::Time)]
    created_at: Timestamp,
    #[schema(value_type = wire::Time)]
    updated_at: Timestamp,
}

/// A new webhook, with its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedWebhook)]
pub(super) struct CreatedView<'a> {
    #[serde(flatten)]
    pub(super) shown: WebhookView<'a>,
    /// The secret that requests are signed with. It is shown only here.
    #[schema(value_type = wire::Secret)]
    pub(super) secret: &'a str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Rotation)]
struct RotationView {
    #[schema(value_type = wire::RotationStyle)]
    style: &'static str,
    /// Why it is this style, as sentences.
    reason: String,
    /// What `X-StatusPulse-Signature` has in the first call of an attempt.
    #[schema(value_type = wire::Digests)]
    header: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Pause)]
struct PausedView<'a> {
    #[schema(value_type = wire::PauseReason)]
    reason: &'static str,
    #[schema(value_type = wire::Time)]
    since: Timestamp,
    /// The failure that caused the pause, as a sentence.
    #[schema(required = true)]
    last_error: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Handshake)]
struct HandshakeView<'a> {
    ok: bool,
    /// The status of the response; null if there was none.
    #[schema(required = true)]
    status_code: Option<u16>,
    /// What to fix, as a sentence; null if the handshake passed.
    #[schema(required = true)]
    reason: Option<&'a str>,
    #[schema(value_type = wire::Time)]
    at: Timestamp,
    duration_ms: u64,
    /// Only if the handshake failed: the headers of the response, at most 1 KiB together.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    response_headers: Vec<HeaderView<'a>>,
    /// Only if the handshake failed: the start of the response body, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(super) struct AuditEntryView<'a> {
    #[schema(value_type = wire::Time)]
    at: Timestamp,
    #[schema(value_type = wire::Change)]
    change: &'static str,
    /// The API key that made the change; null if StatusPulse paused the webhook.
    #[schema(required = true)]
    by: Option<ByView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AuditedKey)]
struct ByView<'a> {
    #[schema(value_type = wire::KeyId)]
    key_id: KeyId,
    /// The first characters of the key.
    key_prefix: &'a str,
    /// What the key is for.
    #[schema(required = true)]
    key_name: Option<&'a str>,
}

impl<'a> AuditEntryView<'a> {
    pub(super) fn of(entry: &'a Audited) -> Self {
        let by = entry.by.as_ref().map(|key| ByView {
            key_id: key.id,
            key_prefix: &key.prefix,
            key_name: key.name.as_deref(),
        });
        Self { at: entry.at, change: entry.change.name(), by }
    }
}

impl<'a> WebhookView<'a> {
    pub(super) fn of((webhook, urls): (&'a Webhook, Urls), held_deliveries: u64, now: Timestamp) -> Self {
        let settings = &webhook.settings;
        // `shown_url` shows the URL.
        let Settings { url: _, destination, events, monitor_groups, description, headers } = settings;
        let pause = pause_of(webhook);
        let outgoing = webhook.keys.outgoing(now);
        Self {
            id: webhook.id,
            url: settings.shown_url(urls),
            destination: destination.name(),
            routing_key: destination.routing_key().map(|_| HIDDEN),
            events: events.iter().map(|event| event.name()).collect(),
            monitor_groups,
            description: description.as_deref(),
            headers: headers.0.keys().map(|name| (name.as_str(), HIDDEN)).collect(),
            status: status(&webhook.state),
            paused: pause.map(PausedView::of),
            consecutive_failures: webhook.health.consecutive_failures,
            // A pause keeps its own copy, because the health may have been reset since.
            failing_since: pause.map_or(webhook.health.failing_since, |pause| pause.failing_since),
            held_deliveries,
            handshake: HandshakeView::of(&webhook.handshake),
            secret_window_ends_at: outgoing.map(|outgoing| outgoing.until),
            rotation: outgoing.map(RotationView::of),
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
        }
    }
}

impl RotationView {
    fn of(outgoing: &Outgoing) -> Self {
        let choice = &outgoing.choice;
        Self { style: choice.style().name(), reason: choice.reason(), header: outgoing.digests().name() }
    }
}

impl<'a> PausedView<'a> {
    fn of(pause: &'a Pause) -> Self {
        Self { reason: pause.reason.name(), since: pause.since, last_error: pause.last_error.as_deref() }
    }
}

impl<'a> HandshakeView<'a> {
    fn of(handshake: &'a Handshake) -> Self {
        Self {
            ok: handshake.ok,
            status_code: handshake.status_code,
            reason: handshake.reason.as_deref(),
            at: handshake.at,
            duration_ms: millis(handshake.duration),
            response_headers: handshake.answer.headers.iter().map(HeaderView::of).collect(),
            response: handshake.answer.body.as_deref(),
        }
    }
}

pub(super) fn pause_of(webhook: &Webhook) -> Option<&Pause> {
    match &webhook.state {
        State::Paused(pause) => Some(pause),
        State::Pending | State::Active | State::Deleted => None,
    }
}

fn status(state: &State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Active => "active",
        State::Paused(_) => "paused",
        // Never shown: a deleted webhook is a 404.
        State::Deleted => "deleted",
    }
}
