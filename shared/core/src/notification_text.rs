//! The texts of notifications on Slack. They show a URL without its path, because the paths of webhooks are often
//! secrets.

use std::fmt::Write;

use crate::deployment::Deployment;
use crate::destination::shortened;
use crate::destination::slack::escaped;
use crate::limits;
use crate::notification::{Notification, NotificationKind};
use crate::webhook::{PauseReason, Webhook};

/// The text of one notification: which webhook, since when, the last error, how many deliveries are held, what to do.
pub(crate) fn of_one(
    webhook: &Webhook,
    notification: &Notification,
    account: &str,
    held: u64,
    deployment: &Deployment,
) -> String {
    let id = webhook.id;
    let endpoint = escaped(webhook.settings.url.origin());
    let mut text = format!(
        "{} Webhook {id} of {} {}.\nEndpoint: {endpoint}",
        sign(&notification.kind),
        escaped(account),
        happened(&notification.kind)
    );
    if let NotificationKind::Paused { .. } = notification.kind {
        _ = write!(text, "\nPaused since: {}", notification.at);
    }
    if let Some(since) = webhook.health.failing_since {
        _ = write!(text, "\nFailing since: {since}");
    }
    if let Some(error) = last_error(&notification.kind) {
        _ = write!(text, "\nLast error: {}", escaped(error));
    }
    match notification.kind {
        NotificationKind::Failing { .. } => text.push_str("\nIt is paused after four failed retries."),
        NotificationKind::Paused { .. } => {
            let noun = if held == 1 { "delivery is" } else { "deliveries are" };
            let (page, url) = (deployment.page_of(id), &deployment.public_url);
            _ = write!(
                text,
                "\n{held} {noun} held. Resume it at <{page}>, or with POST <{url}/v1/webhooks/{id}/resume>"
            );
        }
        NotificationKind::Recovered { .. } => {}
    }
    text
}

/// The text of several notifications: how many of each kind, and a line each for the first ones, the most severe first.
pub(crate) fn of_several(mut notifications: Vec<(&Webhook, &Notification)>, account: &str) -> String {
    notifications.sort_by_key(|(_, notification)| rank(&notification.kind));
    let mut counts = vec![];
    for (kind, name) in ["paused", "failing", "answering again"].into_iter().enumerate() {
        match notifications.iter().filter(|(_, notification)| rank(&notification.kind) == kind).count() {
            0 => {}
            count => counts.push(format!("{count} {name}")),
        }
    }
    let mut text = format!("{} webhooks of {}: {}", notifications.len(), escaped(account), counts.join(", "));
    for (webhook, notification) in notifications.iter().take(limits::NOTICE_LINES) {
        let endpoint = escaped(&shortened(webhook.settings.url.origin(), limits::NOTIFICATION_LINE_CHARS));
        let (sign, happened) = (sign(&notification.kind), happened(&notification.kind));
        _ = write!(text, "\n{sign} Webhook {} ({endpoint}) {happened}", webhook.id);
        if let Some(error) = last_error(&notification.kind) {
            _ = write!(text, ": {}", escaped(&shortened(error, limits::NOTIFICATION_LINE_CHARS)));
        }
    }
    if let Some(more) = notifications.len().checked_sub(limits::NOTICE_LINES).filter(|more| *more > 0) {
        _ = write!(text, "\nand {more} more");
    }
    text
}

/// Severity: 0 is the most severe.
fn rank(kind: &NotificationKind) -> usize {
    match kind {
        NotificationKind::Paused { .. } => 0,
        NotificationKind::Failing { .. } => 1,
        NotificationKind::Recovered { .. } => 2,
    }
}

fn sign(kind: &NotificationKind) -> &'static str {
    match kind {
        NotificationKind::Paused { .. } => ":octagonal_sign:",
        NotificationKind::Failing { .. } => ":warning:",
        NotificationKind::Recovered { .. } => ":large_green_circle:",
    }
}

fn happened(kind: &NotificationKind) -> String {
    match kind {
        NotificationKind::Paused { reason, .. } => {
            let why = match reason {
                PauseReason::Failures => "after four consecutive failures",
                PauseReason::Gone => "because its endpoint answered 410 Gone",
                PauseReason::Manual => "by hand",
                PauseReason::Permanent => "because its destination permanently refuses requests",
                PauseReason::Unknown => "for a reason that is not known",
            };
            format!("was paused {why}")
        }
        NotificationKind::Failing { .. } => "is failing: two retries in a row have failed".to_owned(),
        NotificationKind::Recovered { drained: 0 } => "is answering again".to_owned(),
        NotificationKind::Recovered { drained: 1 } => "is answering again, 1 delivery drained".to_owned(),
        NotificationKind::Recovered { drained } => {
            format!("is answering again, {drained} deliveries drained")
        }
    }
}

fn last_error(kind: &NotificationKind) -> Option<&str> {
    match kind {
        NotificationKind::Paused { last_error, .. } | NotificationKind::Failing { last_error } => {
            Some(last_error)
        }
        NotificationKind::Recovered { .. } => None,
    }
}
