//! A webhook in the names of section 12 of docs/behaviour.md. No field of these types can hold a secret but
//! [`CreatedView::secret`]; of custom headers, which are often credentials, only the names are shown.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use statuspulse_core::admin::query::Audited;
use statuspulse_core::destination::Destination;
use statuspulse_core::ids::{KeyId, WebhookId};
use statuspulse_core::target::HIDDEN;
use statuspulse_core::webhook::{Handshake, Pause, State, Webhook};
use utoipa::ToSchema;

use crate::millis;
use crate::openapi::wire;

#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct WebhookView<'a> {
    #[schema(value_type = wire::WebhookId)]
    id: WebhookId,
    /// Where it is called. Of a Slack channel's URL what makes it a secret is hidden.
    url: String,
    #[schema(value_type = wire::Destination)]
    destination: &'static str,
    /// Stands at PagerDuty webhooks alone, and is hidden.
    #[schema(value_type = String, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_key: Option<&'static str>,
    #[schema(value_type = Vec<wire::EventType>)]
    events: Vec<&'static str>,
    /// Exact names; empty for all.
    #[schema(value_type = Vec<String>)]
    monitor_groups: &'a [String],
    #[schema(required = true)]
    description: Option<&'a str>,
    /// The names of its custom headers; their values are hidden.
    #[schema(value_type = BTreeMap<String, String>)]
    headers: BTreeMap<&'a str, &'static str>,
    #[schema(value_type = wire::WebhookStatus)]
    status: &'static str,
    /// Why it is paused; null unless it is.
    #[schema(required = true)]
    paused: Option<PausedView<'a>>,
    /// 0 to 4; at the fourth it is paused.
    consecutive_failures: u8,
    /// The first failure since the last success.
    #[schema(value_type = Option<wire::Time>, required = true)]
    failing_since: Option<Timestamp>,
    /// How many deliveries wait for a resume.
    held_deliveries: u64,
    /// How its last handshake went.
    handshake: HandshakeView<'a>,
    /// Until when two secrets sign; null unless a rotation is in progress.
    #[schema(value_type = Option<wire::Time>, required = true)]
    secret_window_ends_at: Option<Timestamp>,
    #[schema(value_type = wire::Time)]
    created_at: Timestamp,
    #[schema(value_type = wire::Time)]
    updated_at: Timestamp,
}

/// A webhook at its creation.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedWebhook)]
pub(super) struct CreatedView<'a> {
    #[serde(flatten)]
    pub(super) shown: WebhookView<'a>,
    /// What its deliveries are signed with. It is shown here and at a rotation, never again.
    #[schema(value_type = wire::Secret)]
    pub(super) secret: &'a str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Pause)]
struct PausedView<'a> {
    #[schema(value_type = wire::PauseReason)]
    reason: &'static str,
    #[schema(value_type = wire::Time)]
    since: Timestamp,
    /// The failure that led to it, in words.
    #[schema(required = true)]
    last_error: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Handshake)]
struct HandshakeView<'a> {
    ok: bool,
    /// What was answered; null without an answer.
    #[schema(required = true)]
    status_code: Option<u16>,
    /// What to fix, in words.
    #[schema(required = true)]
    reason: Option<&'a str>,
    #[schema(value_type = wire::Time)]
    at: Timestamp,
    duration_ms: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(super) struct AuditEntryView<'a> {
    #[schema(value_type = wire::Time)]
    at: Timestamp,
    #[schema(value_type = wire::Change)]
    change: &'static str,
    /// With which API key; null where StatusPulse did it by itself, after failures or a 410.
    #[schema(required = true)]
    by: Option<ByView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AuditedKey)]
struct ByView<'a> {
    #[schema(value_type = wire::KeyId)]
    key_id: KeyId,
    /// How the key begins.
    key_prefix: &'a str,
}

impl<'a> AuditEntryView<'a> {
    pub(super) fn of(entry: &'a Audited) -> Self {
        let by = entry.by.as_ref().map(|(key_id, key_prefix)| ByView { key_id: *key_id, key_prefix });
        Self { at: entry.at, change: entry.change.name(), by }
    }
}

impl<'a> WebhookView<'a> {
    pub(super) fn of(webhook: &'a Webhook, held_deliveries: u64, now: Timestamp) -> Self {
        let settings = &webhook.settings;
        let pause = pause_of(webhook);
        Self {
            id: webhook.id,
            url: settings.shown_url(),
            destination: settings.destination.name(),
            routing_key: matches!(settings.destination, Destination::PagerDuty(_)).then_some(HIDDEN),
            events: settings.events.iter().map(|event| event.name()).collect(),
            monitor_groups: &settings.monitor_groups,
            description: settings.description.as_deref(),
            headers: settings.headers.0.keys().map(|name| (name.as_str(), HIDDEN)).collect(),
            status: status(&webhook.state),
            paused: pause.map(PausedView::of),
            consecutive_failures: webhook.health.consecutive_failures,
            // A pause remembers since when: the health it was taken from may have been cleared since.
            failing_since: pause.map_or(webhook.health.failing_since, |pause| pause.failing_since),
            held_deliveries,
            handshake: HandshakeView::of(&webhook.handshake),
            secret_window_ends_at: webhook.keys.outgoing(now).map(|outgoing| outgoing.until),
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
        }
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
        // Shown to nobody: its owner gets 404.
        State::Deleted => "deleted",
    }
}
