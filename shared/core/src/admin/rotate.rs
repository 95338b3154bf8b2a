//! Rotates a webhook's secret, with a window in which both secrets sign.

use std::sync::Arc;

use jiff::Timestamp;

use super::Admin;
use super::commands::NewSecret;
use crate::access::Manager;
use crate::audit::Change;
use crate::error::{Error, Result};
use crate::ids::WebhookId;
use crate::once;
use crate::rotation::{Rehearsal, RotationStyle, StyleChoice};
use crate::secret::Secret;
use crate::signature::{SigningKeys, WindowOpen};
use crate::webhook::Webhook;

/// A rotation that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The new secret.
    pub secret: Secret,
    /// When the old one stops signing.
    pub until: Timestamp,
    /// How both sign until then, and why so.
    pub choice: StyleChoice,
}

impl Admin {
    /// Makes a new secret, or takes the one that the owner brings. For 24 hours the old one signs too. If no style is asked
    /// for, the receiver gets a handshake before anything changes, which has up to 5 seconds. If that cannot be sent for a
    /// reason on our side, nothing changes.
    pub async fn rotate_secret(&self, by: Manager, id: WebhookId, asked: NewSecret) -> Result<Rotated> {
        let now = self.clock.now();
        let NewSecret { style, secret, once, mut refused } = asked;
        let drawn = self.drawn(once);
        let brought = secret.and_then(|text| refused.check("/secret", Secret::parse(&text)));
        refused.accept(Some(()), &["/style", "/secret"])?;
        let secret = brought.unwrap_or_else(|| Secret::generate(&*drawn.random));
        let rehearsed = self.webhook(by.account_id, id).await?;
        let choice = match style {
            Some(style) => StyleChoice::Asked(style),
            None => self.suitable_style(&rehearsed, &secret, now).await?,
        };
        let webhook = self
            .change_webhook(by.account_id, id, |webhook| {
                let is_done = webhook.keys.rotated_at().is_some_and(|at| at >= drawn.at);
                if drawn.is_repeated && is_done {
                    return if *webhook.keys.current() == secret { Ok(None) } else { Err(replaced()) };
                }
                if *webhook.keys.current() == secret {
                    return Err(Error::invalid("/secret", "is the current secret"));
                }
                let is_as_rehearsed = webhook.settings.same_endpoint(&rehearsed.settings);
                let choice = if style.is_some() || is_as_rehearsed { choice.clone() } else { unknown() };
                let now = self.clock.now();
                if let Err(WindowOpen { until }) = webhook.keys.rotate(secret.clone(), choice, now) {
                    let detail = format!(
                        "a rotation is in progress, and both secrets are valid until {until}; \
                         POST to /rotate-secret/finish to end the old one now, or to /rotate-secret/cancel to end the new one"
                    );
                    return Err(Error::Conflict { code: "rotation_in_progress", detail });
                }
                (webhook.updated_at, webhook.requests_since) = (now, now);
                webhook.audit.add(Change::SecretRotated, by.actor(), now);
                Ok(Some(()))
            })
            .await?;
        // A repeated call may come when the window has ended.
        let outgoing = webhook.keys.outgoing(now);
        let until = outgoing.map_or(now, |outgoing| outgoing.until);
        let choice = outgoing.map_or_else(unknown, |outgoing| outgoing.choice.clone());
        Ok(Rotated { secret, until, choice })
    }

    /// The style that suits the webhook's receiver.
    async fn suitable_style(
        &self,
        webhook: &Webhook,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<StyleChoice> {
        if !webhook.checks_signatures() {
            return Ok(StyleChoice::Unchecked);
        }
        let mut rehearsed = webhook.clone();
        let joined = StyleChoice::Asked(RotationStyle::Joined);
        // The rotation will be refused, or this call has made it before.
        if rehearsed.keys.current() == secret || rehearsed.keys.rotate(secret.clone(), joined, now).is_err() {
            return Ok(unknown());
        }
        Ok(StyleChoice::Rehearsed(self.rehearse(&rehearsed).await?))
    }

    /// Ends the window now. The old secret no longer signs.
    pub async fn finish_rotation(&self, by: Manager, id: WebhookId) -> Result<Arc<Webhook>> {
        self.end_rotation(by, id, SigningKeys::finish, Change::RotationFinished).await
    }

    /// Undoes the rotation whose window is open. The new secret no longer signs.
    pub async fn cancel_rotation(&self, by: Manager, id: WebhookId) -> Result<Arc<Webhook>> {
        self.end_rotation(by, id, SigningKeys::cancel, Change::RotationCancelled).await
    }

    /// Ends the window with `end`, which returns whether one was open.
    async fn end_rotation(
        &self,
        by: Manager,
        id: WebhookId,
        end: fn(&mut SigningKeys, Timestamp) -> bool,
        change: Change,
    ) -> Result<Arc<Webhook>> {
        let now = self.clock.now();
        self.change_webhook(by.account_id, id, |webhook| {
            if !end(&mut webhook.keys, now) {
                return Err(no_rotation());
            }
            (webhook.updated_at, webhook.requests_since) = (now, now);
            webhook.audit.add(change, by.actor(), now);
            Ok(Some(()))
        })
        .await
    }
}

/// The style for a receiver that no rehearsal says anything about.
fn unknown() -> StyleChoice {
    let refusal =
        Some("It is not known whether the endpoint accepts both signatures in one header.".to_owned());
    StyleChoice::Rehearsed(Rehearsal { status_code: None, refusal })
}

/// The error for a repeated rotation whose secret is no longer the current one.
fn replaced() -> Error {
    once::reused("the secret that the first call with this Idempotency-Key made has been replaced since")
}

/// The error for an operation that needs an open window.
pub(super) fn no_rotation() -> Error {
    Error::Conflict {
        code: "no_rotation",
        detail: "no rotation is in progress: there is only one secret".to_owned(),
    }
}
