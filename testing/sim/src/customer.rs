//! What customers do to their webhooks.

use std::time::Duration;

use statuspulse_core::admin::commands::{NewSecret, WebhookPatch};
use statuspulse_core::admin::pause::HeldDeliveries;
use statuspulse_core::delivery::{Delivery, State};
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::rotation::RotationStyle;
use statuspulse_core::webhook;

use crate::actors::{LONG, Outside, SHORT, Work, wanting};
use crate::check::SKEW;
use crate::history::short;
use crate::receivers;
use crate::task::Who;

/// Performs random actions on its webhooks.
pub(crate) async fn customer(outside: Outside, acts: usize) {
    for _ in 0..acts {
        let pause = outside.world.with(|inner| if inner.dice.once_in(2) { LONG } else { SHORT });
        outside.rest(pause).await;
        let webhooks = wanting(&outside);
        if webhooks.is_empty() {
            return;
        }
        let (webhook, act) = outside.world.with(|inner| (inner.dice.one_of(&webhooks), inner.dice.below(20)));
        outside.world.note(&outside.name, || format!("act {act} on {}", short(webhook)));
        act_on(&outside, webhook, act).await;
    }
}

async fn act_on(outside: &Outside, webhook: WebhookId, act: usize) {
    let by = outside.manager;
    let (is_impatient, is_rotated) =
        outside.world.with(|inner| (inner.is_impatient, inner.checks_signatures));
    match act {
        0..=2 => pause(outside, webhook).await,
        3..=6 => resume(outside, webhook, HeldDeliveries::Deliver).await,
        17 if is_impatient => retry(outside, webhook).await,
        7 | 17 => {
            outside.world.with(|inner| inner.ledger.discarded.insert(webhook));
            resume(outside, webhook, HeldDeliveries::Discard).await;
        }
        // Another owner does it.
        8..=9 if is_rotated => {}
        8 => drop(
            outside
                .ask(|| {
                    Box::new(move |services| {
                        Box::pin(async move {
                            let joined =
                                NewSecret { style: Some(RotationStyle::Joined), ..NewSecret::default() };
                            services.admin.rotate_secret(by, webhook, joined).await.map(drop)
                        })
                    })
                })
                .await,
        ),
        9 => drop(
            outside
                .ask(|| {
                    Box::new(move |services| {
                        Box::pin(async move { services.admin.finish_rotation(by, webhook).await.map(drop) })
                    })
                })
                .await,
        ),
        10 => {
            let host = outside.world.with(|inner| {
                let webhook = inner.store.webhooks.get(&webhook);
                let is_channel =
                    webhook.is_some_and(|webhook| webhook.settings.destination.format().limit().is_some());
                let kind = if is_channel { receivers::CHANNEL } else { receivers::OTHER };
                format!("{kind}{}", inner.dice.below(4))
            });
            let url = Some(format!("https://{host}.example.com/in"));
            let patch = WebhookPatch { url, ..WebhookPatch::default() };
            drop(
                outside
                    .ask(|| {
                        let patch = patch.clone();
                        Box::new(move |services| {
                            Box::pin(async move { services.admin.update(by, webhook, patch).await.map(drop) })
                        })
                    })
                    .await,
            );
            // What another URL accepts is not known.
            outside.world.with(|inner| inner.ledger.signatures.changed(webhook));
        }
        11 => drop(
            outside
                .ask(|| {
                    Box::new(move |services| {
                        Box::pin(async move {
                            let since = services
                                .admin
                                .clock
                                .now()
                                .checked_sub(Duration::from_secs(7200))
                                .unwrap_or_default();
                            services.admin.redeliver_failed(by, webhook, since).await.map(drop)
                        })
                    })
                })
                .await,
        ),
        12 => drop(
            outside
                .ask_until_answered(|| {
                    Box::new(move |services| {
                        Box::pin(async move { services.admin.delete(by, webhook).await })
                    })
                })
                .await,
        ),
        // A double click.
        13..=14 => {
            let both = [(); 2].map(|()| {
                let twin = outside.twin();
                let who = Who { name: outside.name.clone(), mortal: false };
                outside.world.spawn(who, async move {
                    resume(&twin, webhook, HeldDeliveries::Deliver).await;
                })
            });
            for click in both {
                outside.world.end_of(click).await;
            }
        }
        // Paused and resumed while attempts are running, so that their ladders outlive the pause.
        15..=16 => {
            pause(outside, webhook).await;
            outside.rest(SHORT * 5).await;
            resume(outside, webhook, HeldDeliveries::Deliver).await;
        }
        18 if is_impatient => retry_one(outside, webhook).await,
        18 => redeliver(outside, webhook, |delivery| !is_on_ladder(delivery), |_| true).await,
        // Redelivers on a paused webhook during a resume: the delivery may be held after the drain has ended.
        _ => {
            pause(outside, webhook).await;
            let twin = outside.twin();
            let who = Who { name: outside.name.clone(), mortal: false };
            let resumed = outside.world.spawn(who, async move {
                resume(&twin, webhook, HeldDeliveries::Deliver).await;
            });
            redeliver(outside, webhook, |_| true, Delivery::is_finished).await;
            outside.world.end_of(resumed).await;
        }
    }
}

/// Retries now what waits on the webhook's ladder.
async fn retry(outside: &Outside, webhook: WebhookId) {
    let by = outside.manager;
    outside.world.with(|inner| inner.ledger.asked_for_all.insert(webhook));
    let retry = || -> Work<()> {
        Box::new(move |services| Box::pin(async move { services.admin.retry(by, webhook).await.map(drop) }))
    };
    drop(outside.ask(retry).await);
}

/// Redelivers a random delivery of the webhook. If it is not `allowed`, only looks at it.
async fn redeliver(
    outside: &Outside,
    webhook: WebhookId,
    allowed: impl Fn(&Delivery) -> bool,
    which: impl Fn(&Delivery) -> bool,
) {
    let Some(delivery) = chosen(outside, webhook, which) else { return };
    let by = outside.manager;
    let account = by.account_id;
    let allowed = outside.world.with(|inner| allowed(&inner.store.deliveries[&delivery].delivery));
    let ask = || -> Work<()> {
        // It may be on the ladder by the time of the call.
        outside.world.with(|inner| *inner.ledger.asked.entry(delivery).or_default() += usize::from(allowed));
        Box::new(move |services| {
            Box::pin(async move {
                if allowed {
                    return services.admin.redeliver(by, webhook, delivery).await.map(drop);
                }
                services.admin.webhook(account, webhook).await?;
                services.admin.delivery(account, webhook, delivery).await.map(drop)
            })
        })
    };
    drop(outside.ask(ask).await);
}

/// Retries a random delivery now: at any time, or in the moment when a worker may take it.
async fn retry_one(outside: &Outside, webhook: WebhookId) {
    let Some(delivery) = chosen(outside, webhook, is_on_ladder) else { return };
    let wait = outside.world.with(|inner| {
        let due = inner.store.deliveries[&delivery].delivery.due_attempt().map(|(_, at)| at);
        let near = inner.dice.up_to(SKEW * 2);
        let at = due.filter(|_| inner.dice.once_in(2)).and_then(|due| due.checked_sub(near).ok());
        at.and_then(|at| Duration::try_from(at.duration_since(inner.now)).ok())
    });
    outside.world.sleep(wait.unwrap_or_default()).await;
    let by = outside.manager;
    let ask = || -> Work<()> {
        outside.world.with(|inner| *inner.ledger.asked.entry(delivery).or_default() += 1);
        Box::new(move |services| {
            Box::pin(async move { services.admin.redeliver(by, webhook, delivery).await.map(drop) })
        })
    };
    drop(outside.ask(ask).await);
}

fn is_on_ladder(delivery: &Delivery) -> bool {
    matches!(delivery.state, State::Scheduled { number: 2.., .. })
}

/// A random delivery of the webhook.
fn chosen(outside: &Outside, webhook: WebhookId, which: impl Fn(&Delivery) -> bool) -> Option<DeliveryId> {
    outside.world.with(|inner| {
        let of = inner.store.deliveries.values().filter(|kept| kept.delivery.webhook_id == webhook);
        let own: Vec<DeliveryId> =
            of.filter(|kept| which(&kept.delivery)).map(|kept| kept.delivery.id).collect();
        (!own.is_empty()).then(|| inner.dice.one_of(&own))
    })
}

async fn pause(outside: &Outside, webhook: WebhookId) {
    let by = outside.manager;
    let pause = || -> Work<()> {
        Box::new(move |services| Box::pin(async move { services.admin.pause(by, webhook).await.map(drop) }))
    };
    drop(outside.ask(pause).await);
}

async fn resume(outside: &Outside, webhook: WebhookId, held: HeldDeliveries) {
    let by = outside.manager;
    drop(
        outside
            .ask(|| {
                Box::new(move |services| {
                    Box::pin(async move { services.admin.resume(by, webhook, held).await.map(drop) })
                })
            })
            .await,
    );
}

/// Resumes every paused webhook, after the faults have stopped.
pub(crate) async fn resume_all(outside: Outside) {
    for webhook in wanting(&outside) {
        let paused = outside.world.with(|inner| {
            inner
                .store
                .webhooks
                .get(&webhook)
                .is_some_and(|webhook| matches!(webhook.state, webhook::State::Paused(_)))
        });
        if paused {
            resume(&outside, webhook, HeldDeliveries::Deliver).await;
        }
    }
}
