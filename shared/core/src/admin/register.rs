//! Registers and changes webhooks. An endpoint must pass a handshake before it receives events.

use std::sync::Arc;

use super::Admin;
use super::commands::{NewWebhook, WebhookPatch};
use super::settings::{self, Patch, TargetRules};
use crate::access::{Account, Manager};
use crate::audit::Change;
use crate::destination::Address;
use crate::error::{Error, Result};
use crate::ids::WebhookId;
use crate::limits;
use crate::once;
use crate::quota::Quota;
use crate::rotation::Digests;
use crate::secret::Secret;
use crate::signature::SigningKeys;
use crate::webhook::{Handshake, Settings, State, Webhook};

impl Admin {
    /// Registers a webhook. The handshake runs in this call, and the webhook is stored after it, so that an interrupted
    /// call leaves nothing behind. A repeated call returns the webhook of the first. If the handshake fails, the webhook is pending, with the reason.
    pub async fn register(&self, by: Manager, asked: NewWebhook) -> Result<Arc<Webhook>> {
        let account = self.account(by.account_id).await?;
        let drawn = self.drawn(asked.once.clone());
        let id = WebhookId::new(drawn.at, &*drawn.random);
        if drawn.is_repeated
            && let Some(known) = self.webhooks.webhook(id).await?
        {
            let gone = "the webhook that the first call with this Idempotency-Key made was deleted since";
            return if known.is_deleted() { Err(once::reused(gone)) } else { Ok(known) };
        }
        let (settings, secret) = settings::new(asked, self.target_rules(&account))?;
        let own = self.webhooks.subscriptions(account.id).await?;
        if own.readable.len() + own.unreadable.len() >= limits::WEBHOOKS_PER_ACCOUNT {
            return Err(Error::Conflict {
                code: "too_many_webhooks",
                detail: format!("an account can have {} webhooks", limits::WEBHOOKS_PER_ACCOUNT),
            });
        }
        let now = self.clock.now();
        let keys = SigningKeys::new(secret.unwrap_or_else(|| Secret::generate(&*drawn.random)));
        let mut webhook = Webhook::new(id, account.id, settings, keys, now);
        let fields = webhook.settings.changes_from(None);
        webhook.audit.add_change(Change::Created, by.actor(), now, fields);
        self.check_endpoint(&webhook, &webhook.settings).await?;
        let shake = self.handshake(&webhook).await?;
        if let Some(reason) = shake.refused_target {
            return Err(Error::invalid("/url", reason));
        }
        webhook.handshake = shake.handshake;
        if webhook.handshake.ok {
            webhook.verified(now);
        }
        let entries = webhook.audit_entries();
        let created = self.outbox.create_webhook(webhook).await?;
        self.publish(&entries).await;
        Ok(created)
    }

    /// Changes a webhook's settings. A new URL or routing key must pass a handshake first. If it fails, nothing is
    /// changed.
    pub async fn update(&self, by: Manager, id: WebhookId, patch: WebhookPatch) -> Result<Arc<Webhook>> {
        let webhook = self.webhook(by.account_id, id).await?;
        let account = self.account(by.account_id).await?;
        let patch = Patch::of(patch, &webhook.settings.destination, self.target_rules(&account))?;
        let mut asked = Webhook::clone(&webhook);
        patch.apply(&mut asked.settings);
        let handshake = if asked.settings.same_endpoint(&webhook.settings) {
            None
        } else {
            self.check_endpoint(&webhook, &asked.settings).await?;
            Some(self.require_handshake(&asked).await?)
        };
        let now = self.clock.now();
        self.change_webhook(account.id, id, |latest| {
            let before = latest.settings.clone();
            patch.apply(&mut latest.settings);
            latest.updated_at = now;
            latest.requests_since = now;
            let fields = latest.settings.changes_from(Some(&before));
            latest.audit.add_change(Change::Updated, by.actor(), now, fields);
            if let Some((handshake, repeated_with)) = &handshake {
                // Failures of the old endpoint do not count for the new one, and what it accepted is not known of it.
                latest.handshake = handshake.clone();
                latest.keys = latest.keys.clone().for_another_receiver(&asked.keys, *repeated_with);
                latest.health = latest.health.recovered();
                latest.verified(now);
            }
            Ok(Some(()))
        })
        .await
    }

    /// Refuses a webhook at an endpoint, or at its host, if the account has too many others there. A receiver gets every
    /// event once for each of them.
    pub(super) async fn check_endpoint(&self, webhook: &Webhook, settings: &Settings) -> Result<()> {
        let account = webhook.account_id;
        let (all, now) = (self.webhooks.subscriptions(account).await?, self.clock.now());
        let others = || {
            let readable = all.readable.iter();
            readable.filter(|other| other.id != webhook.id && other.state != State::Pending)
        };
        let same_url = others().filter(|other| other.settings.same_endpoint(settings)).count();
        self.limiter.check_count(account, Quota::WebhooksPerUrl, same_url, now).await?;
        // The hosts of Slack and others are those of all their customers.
        if settings.destination.format().address() != Address::Url {
            return Ok(());
        }
        let same_host = others().filter(|other| other.settings.url.has_host_of(&settings.url)).count();
        self.limiter.check_count(account, Quota::WebhooksPerHost, same_host, now).await
    }

    async fn require_handshake(&self, changed: &Webhook) -> Result<(Handshake, Option<Digests>)> {
        let shake = self.handshake(changed).await?;
        let repeated_with = shake.repeated_with;
        match (shake.refused_target, shake.handshake) {
            (Some(reason), _) => Err(Error::invalid("/url", reason)),
            (None, handshake) if handshake.ok => Ok((handshake, repeated_with)),
            (None, handshake) => Err(Error::HandshakeFailed {
                reason: handshake.reason.unwrap_or_default(),
                after: handshake.duration,
            }),
        }
    }

    fn target_rules<'a>(&'a self, account: &'a Account) -> TargetRules<'a> {
        TargetRules {
            policy: &self.deployment.policy,
            domains: &account.allowed_domains,
            pagerduty: &self.deployment.pagerduty,
            public_url: &self.deployment.public_url,
        }
    }
}
