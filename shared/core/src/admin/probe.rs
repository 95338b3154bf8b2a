//! Probes: calls that are not deliveries. The handshake proves an endpoint, and a test event shows its owner that
//! events arrive. They are signed like deliveries, and the result is in the answer of the API call.

use std::time::Duration;

use jiff::Timestamp;

use super::Admin;
use super::preview::{Preview, sample, shown};
use super::rotate::no_rotation;
use crate::access::{Manager, Urls};
use crate::attempt::{Class, Failure, response_text};
use crate::audit::Change;
use crate::call::{About, Answered, SignedCall};
use crate::destination::{Format, Probe, Verdict};
use crate::error::{Error, Result};
use crate::event::EventType;
use crate::ids::{AccountId, DeliveryId, EventId, WebhookId};
use crate::limits;
use crate::ports::Sent;
use crate::quota::Quota;
use crate::rotation::{Digests, Rehearsal};
use crate::webhook::{Answer, Handshake, State, Webhook};

/// Which secrets sign a test event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TestSecrets {
    /// Those that sign deliveries.
    #[default]
    AsDeliveries,
    /// During a rotation the new one alone, as after its window. This shows whether the receiver knows it.
    New,
}

/// The result of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// Whether the destination accepted it.
    pub ok: bool,
    /// The status of the answer, if there was one.
    pub status_code: Option<u16>,
    /// Why it failed; `None` if it succeeded.
    pub reason: Option<String>,
    /// The start of the answer's body, as text.
    pub response: Option<String>,
    /// Time to the last byte read.
    pub duration: Duration,
}

/// A test event that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// The request as it was sent. Custom headers and a routing key are hidden.
    pub request: Preview,
    /// The result.
    pub result: TestResult,
}

impl TestResult {
    pub(super) fn of(format: &dyn Format, sent: &Sent) -> Self {
        let failure = Verdict::of(format, &sent.result).failure();
        Self {
            ok: failure.is_none(),
            status_code: sent.result.as_ref().ok().map(|reply| reply.status),
            reason: failure.map(|failure| failure.reason),
            response: sent.result.as_ref().ok().and_then(|reply| response_text(&reply.body)),
            duration: sent.duration,
        }
    }
}

/// A handshake's outcome.
pub(super) struct HandshakeOutcome {
    pub(super) handshake: Handshake,
    /// Set if the target must not be called at all: the URL is wrong, not the endpoint.
    pub(super) refused_target: Option<String>,
    /// Set during a rotation, if the endpoint accepted only a repeat: what the header of that had.
    pub(super) repeated_with: Option<Digests>,
}

impl Admin {
    /// Sends a handshake to the webhook's endpoint, which has 5 seconds to answer. Fails if it cannot be sent for a
    /// reason on our side.
    pub(super) async fn handshake(&self, webhook: &Webhook) -> Result<HandshakeOutcome> {
        let Answered { moment, sent, repeated_with } =
            self.send_handshake(webhook, Some(Timestamp::MAX)).await?;
        let at = moment.now;
        let status_code = sent.result.as_ref().ok().map(|reply| reply.status);
        let reason = webhook.settings.destination.handshake_refusal(&sent.result);
        let refused_target = match &sent.result {
            Err(Failure { class: Class::TargetNotPublic, reason }) => Some(reason.clone()),
            _ => None,
        };
        let answer = match &sent.result {
            Ok(reply) if reason.is_some() => {
                Answer { headers: reply.headers.clone(), body: response_text(&reply.body) }
            }
            _ => Answer::default(),
        };
        let ok = reason.is_none();
        let handshake = Handshake { ok, status_code, reason, at, duration: sent.duration, answer };
        let repeated_with = repeated_with.filter(|_| ok);
        Ok(HandshakeOutcome { handshake, refused_target, repeated_with })
    }

    /// Sends a handshake that shows how the receiver takes the keys of this webhook. Fails if it cannot be sent for a reason
    /// on our side.
    pub(super) async fn rehearse(&self, webhook: &Webhook) -> Result<Rehearsal> {
        let sent = self.send_handshake(webhook, None).await?.sent;
        let refusal = webhook.settings.destination.handshake_refusal(&sent.result).map(|reason| {
            format!(
                "The endpoint did not accept a handshake that had both signatures in one header. {reason}"
            )
        });
        Ok(Rehearsal { status_code: sent.result.ok().map(|reply| reply.status), refusal })
    }

    async fn send_handshake(&self, webhook: &Webhook, repeats_until: Option<Timestamp>) -> Result<Answered> {
        let now = self.clock.now();
        self.limiter.take(webhook.account_id, Quota::ProbesPerMinute, 1, now).await?;
        let body = webhook.settings.destination.render_probe(Probe::Handshake, webhook.id, now);
        let about = self.about_now(webhook, Probe::Handshake.name(), now);
        let timeout = limits::HANDSHAKE_TIMEOUT;
        let call = SignedCall { webhook, about, body, timeout, repeats_until };
        Ok(call.send(&*self.sender, &*self.clock).await?)
    }

    /// Tries the handshake again. A pending webhook that passes it becomes active.
    pub async fn verify(&self, by: Manager, id: WebhookId) -> Result<std::sync::Arc<Webhook>> {
        let webhook = self.webhook(by.account_id, id).await?;
        if webhook.state == State::Pending {
            self.check_endpoint(&webhook, &webhook.settings).await?;
        }
        let shake = self.handshake(&webhook).await?;
        let now = self.clock.now();
        self.change_webhook(by.account_id, id, |latest| {
            // The endpoint has changed in the meantime: this handshake says nothing about the new one.
            if !latest.settings.same_endpoint(&webhook.settings) {
                return Ok(None);
            }
            latest.handshake = shake.handshake.clone();
            if let Some(digests) = shake.repeated_with {
                latest.remember(&webhook.keys, digests, shake.handshake.at);
            }
            if shake.handshake.ok && latest.verified(now) {
                latest.audit.add(Change::Verified, by.actor(), now);
            }
            Ok(Some(()))
        })
        .await
    }

    /// Sends a test event now, to an active or paused webhook. Its result does not affect the webhook's health. For an
    /// event type this is a sample, byte for byte like a delivery of it. A payload from the caller is never signed.
    pub async fn send_test(
        &self,
        account: AccountId,
        id: WebhookId,
        event_type: Option<EventType>,
        secrets: TestSecrets,
    ) -> Result<Tested> {
        let mut webhook = Webhook::clone(&*self.webhook(account, id).await?);
        if webhook.state == State::Pending {
            return Err(not_verified());
        }
        let now = self.clock.now();
        if secrets == TestSecrets::New {
            webhook.keys = webhook.keys.after_window(now).ok_or_else(no_rotation)?;
        }
        let settings = &webhook.settings;
        let (event, body) = match event_type {
            None => (Probe::Test.name(), settings.destination.render_probe(Probe::Test, id, now)),
            Some(kind) => (kind.name(), settings.render(kind, &sample(kind), id, &self.deployment)),
        };
        self.limiter.take(webhook.account_id, Quota::ProbesPerMinute, 1, now).await?;
        let about = self.about_now(&webhook, event, now);
        let (timeout, repeats_until) = (limits::ATTEMPT_TIMEOUT, Some(Timestamp::MAX));
        let call = SignedCall { webhook: &webhook, about, body, timeout, repeats_until };
        let Answered { moment, sent, repeated_with } = call.send(&*self.sender, &*self.clock).await?;
        let SignedCall { about, body, .. } = call;
        let keys = repeated_with.map(|digests| webhook.keys.clone().showing(digests));
        let keys = keys.as_ref().unwrap_or(&webhook.keys);
        let signatures = keys.headers(&about.event_id.to_string(), &body, moment);
        let request = shown((&webhook, Urls::Whole), &about, signatures.into_iter(), &body);
        Ok(Tested { request, result: TestResult::of(settings.destination.format(), &sent) })
    }

    /// New ids for a call that is not a delivery.
    pub(super) fn about_now(&self, webhook: &Webhook, event: &'static str, now: Timestamp) -> About {
        let event_id = EventId::new(now, &*self.random);
        About { event, event_id, delivery_id: DeliveryId::derive(event_id, now, webhook.id), number: 1 }
    }
}

/// The error for an operation on a webhook that has not passed its handshake.
pub(super) fn not_verified() -> Error {
    Error::Conflict {
        code: "webhook_pending",
        detail: "the webhook has not passed its handshake; POST to its /verify first".to_owned(),
    }
}
