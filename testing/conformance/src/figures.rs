//! Figures: what is counted for a webhook and its account, by the hour.

use std::time::Duration;

use statuspulse_core::admin::stats::sum;
use statuspulse_core::figures::{Counts, Fact, hour_of};
use statuspulse_core::ids::{AccountId, WebhookId};

use crate::Stage;

const HOUR: Duration = Duration::from_secs(3600);

async fn shown(stage: &Stage, account: AccountId, webhook: Option<WebhookId>) -> Counts {
    let since = stage.now().checked_sub(HOUR * 2).unwrap();
    let found = stage.store.figures(account, webhook, since).await.unwrap();
    sum(found.iter().map(|(_, counts)| counts))
}

pub(crate) async fn counts_add_up_for_a_webhook_and_its_account_by_the_hour(stage: Stage) {
    let (account, other) = (stage.account_id(), stage.account_id());
    let [first, second] = [stage.webhook_id(), stage.webhook_id()];
    let millis = Duration::from_millis;
    for round in 1..=2 {
        for webhook in [first, first, second] {
            stage.store.count(account, webhook, stage.now(), Fact::FirstAttempt(millis(3)));
        }
        stage.store.count(account, second, stage.now(), Fact::FailedAttempt);
        // What is counted is shown before and after it is flushed.
        for _ in 0..2 {
            let counts = shown(&stage, account, Some(first)).await;
            assert_eq!((counts.first_attempts().total(), counts.failed_attempts()), (2 * round, 0));
            let counts = shown(&stage, account, None).await;
            assert_eq!((counts.first_attempts().total(), counts.failed_attempts()), (3 * round, round));
            stage.store.flush().await.unwrap();
        }
        stage.pass(HOUR);
    }
    assert_eq!(shown(&stage, other, None).await, Counts::default());
    // Only from the hour on that is asked for.
    let since = stage.now().checked_sub(HOUR).unwrap();
    let mut hours: Vec<_> = stage.store.figures(account, Some(second), since).await.unwrap();
    assert_eq!(hours.len(), 1);
    let (hour, counts) = hours.remove(0);
    assert_eq!((hour, counts.first_attempts().percentile(99)), (hour_of(since), Some(millis(5))));
}

pub(crate) async fn what_was_flushed_is_there_after_a_restart(stage: Stage) {
    let (account, webhook) = (stage.account_id(), stage.webhook_id());
    stage.store.count(account, webhook, stage.now(), Fact::GivenUp);
    stage.store.flush().await.unwrap();
    let stage = stage.reopened().await;
    stage.store.count(account, webhook, stage.now(), Fact::GivenUp);
    stage.store.flush().await.unwrap();
    assert_eq!(shown(&stage, account, None).await.given_up(), 2);
    assert_eq!(shown(&stage, account, Some(webhook)).await.given_up(), 2);
}

pub(crate) async fn many_are_flushed_together(stage: Stage) {
    let account = stage.account_id();
    let webhooks: Vec<_> = (0..450).map(|_| stage.webhook_id()).collect();
    for webhook in &webhooks {
        stage.store.count(account, *webhook, stage.now(), Fact::GivenUp);
    }
    stage.store.flush().await.unwrap();
    let stage = stage.reopened().await;
    assert_eq!(shown(&stage, account, None).await.given_up(), 450);
    assert_eq!(shown(&stage, account, webhooks.last().copied()).await.given_up(), 1);
}
