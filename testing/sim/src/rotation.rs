//! An owner who rotates secrets, and installs the new ones at any time.

use std::time::Duration;

use statuspulse_core::admin::commands::NewSecret;
use statuspulse_core::ids::WebhookId;

use crate::actors::{LONG, Outside, SHORT, wanting};
use crate::history::short;

/// An owner installs a secret this long after it was made at the earliest, so that no call is on its way that was signed
/// before.
const INSTALLED_AFTER: Duration = Duration::from_secs(120);
/// And sometimes this long.
const INSTALLED_LATE: Duration = Duration::from_secs(6 * 3600);

/// Rotates secrets a few times. Each rotation is undone before the new secret is installed, or ended after it.
pub(crate) async fn owner(outside: Outside, rotations: usize) {
    for _ in 0..rotations {
        outside.rest(LONG).await;
        let webhooks = wanting(&outside);
        if webhooks.is_empty() {
            return;
        }
        let webhook = outside.world.with(|inner| inner.dice.one_of(&webhooks));
        rotate(&outside, webhook).await;
        outside.world.sleep(INSTALLED_AFTER).await;
        let (late, is_undone) = outside.world.with(|inner| (inner.dice.once_in(3), inner.dice.once_in(4)));
        outside.rest(if late { INSTALLED_LATE } else { SHORT * 10 }).await;
        if is_undone {
            cancel(&outside, webhook).await;
            continue;
        }
        install(&outside, webhook);
        outside.rest(LONG).await;
        finish(&outside, webhook).await;
    }
}

/// The answer may be lost, but not for good: the call is repeated with its idempotency key.
fn install(outside: &Outside, webhook: WebhookId) {
    outside.world.with(|inner| {
        let current = inner.store.webhooks.get(&webhook).map(|webhook| webhook.keys.current().clone());
        inner.ledger.signatures.changed(webhook);
        if let (Some(verifier), Some(secret)) = (inner.receivers.verifiers.get_mut(&webhook), current) {
            verifier.secret = secret;
        }
    });
    outside.world.note(&outside.name, || format!("installs the new secret of {}", short(webhook)));
}

async fn rotate(outside: &Outside, webhook: WebhookId) {
    outside.world.with(|inner| inner.ledger.signatures.changed(webhook));
    let by = outside.manager;
    outside.world.note(&outside.name, || format!("rotates the secret of {}", short(webhook)));
    let answered = outside.ask_until_answered(|| {
        Box::new(move |services| {
            Box::pin(async move {
                services.admin.rotate_secret(by, webhook, NewSecret::default()).await.map(drop)
            })
        })
    });
    drop(answered.await);
}

async fn cancel(outside: &Outside, webhook: WebhookId) {
    outside.world.with(|inner| inner.ledger.signatures.changed(webhook));
    let by = outside.manager;
    let answered = outside.ask_until_answered(|| {
        Box::new(move |services| {
            Box::pin(async move { services.admin.cancel_rotation(by, webhook).await.map(drop) })
        })
    });
    drop(answered.await);
}

async fn finish(outside: &Outside, webhook: WebhookId) {
    let by = outside.manager;
    let answered = outside.ask_until_answered(|| {
        Box::new(move |services| {
            Box::pin(async move { services.admin.finish_rotation(by, webhook).await.map(drop) })
        })
    });
    drop(answered.await);
}
