//! A webhook in the names of BEHAVIOUR section 12. No field of these types can hold a secret but
//! [`CreatedView::secret`]; of custom headers, which are often credentials, only the names are shown.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use statuspulse_core::destination::Destination;
use statuspulse_core::ids::WebhookId;
use statuspulse_core::target::HIDDEN;
use statuspulse_core::webhook::{Handshake, Pause, State, Webhook};

#[derive(Serialize)]
pub(super) struct WebhookView<'a> {
    id: WebhookId,
    url: String,
    destination: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_key: Option<&'static str>,
    events: Vec<&'static str>,
    monitor_groups: &'a [String],
    description: Option<&'a str>,
    headers: BTreeMap<&'a str, &'static str>,
    status: &'static str,
    paused: Option<PausedView<'a>>,
    consecutive_failures: u8,
    failing_since: Option<Timestamp>,
    held_deliveries: u64,
    handshake: HandshakeView<'a>,
    secret_window_ends_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A webhook at its creation.
#[derive(Serialize)]
pub(super) struct CreatedView<'a> {
    #[serde(flatten)]
    pub(super) shown: WebhookView<'a>,
    pub(super) secret: &'a str,
}

#[derive(Serialize)]
struct PausedView<'a> {
    reason: &'static str,
    since: Timestamp,
    last_error: Option<&'a str>,
}

#[derive(Serialize)]
struct HandshakeView<'a> {
    ok: bool,
    status_code: Option<u16>,
    reason: Option<&'a str>,
    at: Timestamp,
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
