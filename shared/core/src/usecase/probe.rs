//! Calls that are not deliveries: the handshake that proves an endpoint, and the test event its owner asks for.
//! Signed like a delivery, made in the call that asks for them, answered with what came of it.

use std::time::Duration;

use super::Engine;
use super::attempt::{About, signed_call};
use crate::access::Manager;
use crate::attempt::{Class, Failure};
use crate::audit::Change;
use crate::destination::{Destination, Probe};
use crate::error::{Error, Result};
use crate::ids::{AccountId, DeliveryId, EventId, WebhookId};
use crate::limits;
use crate::ports::Sent;
use crate::webhook::{Handshake, State, Webhook};

/// What came of a test event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// Whether it was answered with a 2xx.
    pub ok: bool,
    /// What was answered, if anything was.
    pub status_code: Option<u16>,
    /// Why it failed, if it did.
    pub reason: Option<String>,
    /// How long it took.
    pub duration: Duration,
}

impl TestResult {
    pub(super) fn of(destination: &Destination, sent: &Sent) -> Self {
        let failure = destination.verdict(&sent.result).failure();
        Self {
            ok: failure.is_none(),
            status_code: sent.result.as_ref().ok().map(|reply| reply.status),
            reason: failure.map(|failure| failure.reason),
            duration: sent.duration,
        }
    }
}

/// A handshake's outcome.
pub(super) struct Shake {
    pub(super) handshake: Handshake,
    /// The target may not be called at all: the URL is at fault, not the endpoint.
    pub(super) refused_target: Option<String>,
}

impl Engine {
    /// Calls the webhook's endpoint once; it has five seconds.
    pub(super) async fn shake_hands(&self, webhook: &Webhook) -> Shake {
        let at = self.clock.now();
        let sent = self.probe(webhook, Probe::Handshake, limits::HANDSHAKE_TIMEOUT).await;
        let status_code = sent.result.as_ref().ok().map(|reply| reply.status);
        let reason = webhook.settings.destination.handshake_refusal(&sent.result);
        let refused_target = match &sent.result {
            Err(Failure { class: Class::TargetNotPublic, reason }) => Some(reason.clone()),
            _ => None,
        };
        Shake { handshake: Handshake { ok: reason.is_none(), status_code, reason, at }, refused_target }
    }

    /// Tries the handshake again; a pending webhook that passes it becomes active.
    pub async fn verify(&self, by: Manager, id: WebhookId) -> Result<std::sync::Arc<Webhook>> {
        let webhook = self.webhook(by.account_id, id).await?;
        let shake = self.shake_hands(&webhook).await;
        let now = self.clock.now();
        self.change_webhook(by.account_id, id, |latest| {
            // It is somewhere else by now: this handshake says nothing of the new one.
            if !latest.settings.same_endpoint(&webhook.settings) {
                return Ok(None);
            }
            latest.handshake = shake.handshake.clone();
            if shake.handshake.ok && latest.verified(now) {
                latest.audit.add(Change::Verified, Some(by.key_id), now);
            }
            Ok(Some(()))
        })
        .await
    }

    /// Sends a test event now, to an active or paused webhook. It counts for nothing.
    pub async fn send_test(&self, account: AccountId, id: WebhookId) -> Result<TestResult> {
        let webhook = self.webhook(account, id).await?;
        if webhook.state == State::Pending {
            return Err(not_verified());
        }
        let sent = self.probe(&webhook, Probe::Test, limits::ATTEMPT_TIMEOUT).await;
        Ok(TestResult::of(&webhook.settings.destination, &sent))
    }

    async fn probe(&self, webhook: &Webhook, probe: Probe, timeout: Duration) -> Sent {
        let now = self.clock.now();
        let event_id = EventId::new(now, &*self.random);
        let delivery_id = DeliveryId::derive(event_id, now, webhook.id);
        let about = About { event: probe.name(), event_id, delivery_id, number: 1 };
        let body = webhook.settings.render_probe(probe, webhook.id, now);
        self.sender.send(signed_call(webhook, &about, body, timeout, now)).await
    }
}

/// What cannot be done before a handshake was passed.
pub(super) fn not_verified() -> Error {
    Error::Conflict {
        code: "webhook_pending",
        detail: "the webhook has not passed its handshake; POST to its /verify first".to_owned(),
    }
}
