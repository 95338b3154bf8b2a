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
use crate::secret::Secret;
use crate::signature::{SigningKeys, WindowOpen};
use crate::webhook::Webhook;

impl Admin {
    /// Makes a new secret, or takes the one that the owner brings. For 24 hours the old one signs too. Returns the new
    /// secret and the end of the window.
    pub async fn rotate_secret(
        &self,
        by: Manager,
        id: WebhookId,
        asked: NewSecret,
    ) -> Result<(Secret, Timestamp)> {
        let now = self.clock.now();
        let NewSecret { style, secret, once, mut refused } = asked;
        let drawn = self.drawn(once);
        let brought = secret.and_then(|text| refused.check("/secret", Secret::parse(&text)));
        refused.accept(Some(()), &["/style", "/secret"])?;
        let secret = brought.unwrap_or_else(|| Secret::generate(&*drawn.random));
        let webhook = self
            .change_webhook(by.account_id, id, |webhook| {
                let is_done = webhook.keys.rotated_at().is_some_and(|at| at >= drawn.at);
                if drawn.is_repeated && is_done {
                    return if *webhook.keys.current() == secret { Ok(None) } else { Err(replaced()) };
                }
                if *webhook.keys.current() == secret {
                    return Err(Error::invalid("/secret", "is the current secret"));
                }
                if let Err(WindowOpen { until }) = webhook.keys.rotate(secret.clone(), style, now) {
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
        let until = webhook.keys.outgoing(now).map_or(now, |outgoing| outgoing.until);
        Ok((secret, until))
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
