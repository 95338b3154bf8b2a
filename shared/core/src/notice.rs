//! What engineers read on Slack of their account's webhooks. Of a URL the path is left out, as paths of webhooks are often
//! secrets.

use std::fmt::Write;

use crate::alert::{Alert, AlertKind};
use crate::destination::{escaped, shortened};
use crate::limits;
use crate::usecase::Deployment;
use crate::webhook::{PauseReason, Webhook};

/// A webhook's alert: which webhook, since when, the last error, how much is held, what to do.
pub(crate) fn of_one(
    webhook: &Webhook,
    alert: &Alert,
    account: &str,
    held: u64,
    deployment: &Deployment,
) -> String {
    let id = webhook.id;
    let endpoint = escaped(&webhook.settings.url.without_path());
    let mut text = format!(
        "{} Webhook {id} of {} {}.\nEndpoint: {endpoint}",
        sign(&alert.kind),
        escaped(account),
        happened(&alert.kind)
    );
    if let AlertKind::Paused { .. } = alert.kind {
        _ = write!(text, "\nPaused since: {}", alert.at);
    }
    if let Some(since) = webhook.health.failing_since {
        _ = write!(text, "\nFailing since: {since}");
    }
    if let Some(error) = last_error(&alert.kind) {
        _ = write!(text, "\nLast error: {}", escaped(error));
    }
    match alert.kind {
        AlertKind::Failing { .. } => text.push_str("\nAfter four it is paused."),
        AlertKind::Paused { .. } => {
            let noun = if held == 1 { "delivery is" } else { "deliveries are" };
            let (page, url) = (deployment.page_of(id), &deployment.public_url);
            _ = write!(
                text,
                "\n{held} {noun} held. To resume: <{page}>, or POST <{url}/v1/webhooks/{id}/resume>"
            );
        }
        AlertKind::Well { .. } => {}
    }
    text
}

/// Several webhooks' alerts: how many of which kind, and a line each for the first of them, the worst first.
pub(crate) fn of_several(mut alerts: Vec<(&Webhook, &Alert)>, account: &str) -> String {
    alerts.sort_by_key(|(_, alert)| rank(&alert.kind));
    let mut counts = vec![];
    for (kind, name) in ["paused", "failing", "answering again"].into_iter().enumerate() {
        match alerts.iter().filter(|(_, alert)| rank(&alert.kind) == kind).count() {
            0 => {}
            count => counts.push(format!("{count} {name}")),
        }
    }
    let mut text = format!("{} webhooks of {}: {}", alerts.len(), escaped(account), counts.join(", "));
    for (webhook, alert) in alerts.iter().take(limits::NOTICE_LINES) {
        let endpoint = escaped(&shortened(&webhook.settings.url.without_path(), limits::NOTICE_LINE_CHARS));
        let (sign, happened) = (sign(&alert.kind), happened(&alert.kind));
        _ = write!(text, "\n{sign} Webhook {} ({endpoint}) {happened}", webhook.id);
        if let Some(error) = last_error(&alert.kind) {
            _ = write!(text, ": {}", escaped(&shortened(error, limits::NOTICE_LINE_CHARS)));
        }
    }
    if let Some(more) = alerts.len().checked_sub(limits::NOTICE_LINES).filter(|more| *more > 0) {
        _ = write!(text, "\nand {more} more");
    }
    text
}

/// The worst is 0.
fn rank(kind: &AlertKind) -> usize {
    match kind {
        AlertKind::Paused { .. } => 0,
        AlertKind::Failing { .. } => 1,
        AlertKind::Well { .. } => 2,
    }
}

fn sign(kind: &AlertKind) -> &'static str {
    match kind {
        AlertKind::Paused { .. } => ":octagonal_sign:",
        AlertKind::Failing { .. } => ":warning:",
        AlertKind::Well { .. } => ":large_green_circle:",
    }
}

fn happened(kind: &AlertKind) -> String {
    match kind {
        AlertKind::Paused { reason, .. } => {
            let why = match reason {
                PauseReason::Failures => "after four consecutive failures",
                PauseReason::Gone => "because its endpoint answered 410 Gone",
                PauseReason::Manual => "by hand",
                PauseReason::Permanent => "because its destination will take nothing any more",
            };
            format!("was paused {why}")
        }
        AlertKind::Failing { .. } => "is failing: two retries in a row".to_owned(),
        AlertKind::Well { drained: 0 } => "is answering again".to_owned(),
        AlertKind::Well { drained: 1 } => "is answering again, 1 delivery drained".to_owned(),
        AlertKind::Well { drained } => format!("is answering again, {drained} deliveries drained"),
    }
}

fn last_error(kind: &AlertKind) -> Option<&str> {
    match kind {
        AlertKind::Paused { last_error, .. } | AlertKind::Failing { last_error } => Some(last_error),
        AlertKind::Well { .. } => None,
    }
}
