//! What notifications on Slack say. They show a URL without its path, because the paths of webhooks are often secrets.

use crate::deployment::Deployment;
use crate::destination::shortened;
use crate::destination::slack::{Line, Notice};
use crate::limits;
use crate::notification::{Notification, NotificationKind};
use crate::webhook::{PauseReason, Webhook};

/// One notification: which webhook, since when, the last error, how many deliveries are held, what to do.
pub(crate) fn of_one(
    webhook: &Webhook,
    notification: &Notification,
    account: &str,
    held: u64,
    deployment: &Deployment,
) -> Notice {
    let sign = sign(&notification.kind);
    let headline = format!("{} of {account} {}.", name_of(webhook), happened(&notification.kind));
    let mut lines = vec![Line::Words(format!("Endpoint: {}", webhook.settings.url.origin()))];
    if let NotificationKind::Paused { .. } = notification.kind {
        lines.push(Line::Time("Paused since", notification.at));
    }
    lines.extend(webhook.health.failing_since.map(|since| Line::Time("Failing since", since)));
    lines.extend(last_error(&notification.kind).map(|error| Line::Words(format!("Last error: {error}"))));
    let link = match notification.kind {
        NotificationKind::Failing { .. } => {
            lines.push(Line::Words("It is paused after four failed retries.".to_owned()));
            "See what failed"
        }
        NotificationKind::Paused { .. } => {
            let noun = if held == 1 { "delivery is" } else { "deliveries are" };
            lines.push(Line::Words(format!("{held} {noun} held.")));
            "Open it, and resume it when it is repaired"
        }
        NotificationKind::Recovered { .. } => "Open it",
    };
    Notice { sign, headline, lines, link: (deployment.page_of(webhook.id), link) }
}

/// Several notifications: how many of each kind, and a line each for the first ones, the most severe first.
pub(crate) fn of_several(
    mut notifications: Vec<(&Webhook, &Notification)>,
    account: &str,
    deployment: &Deployment,
) -> Notice {
    notifications.sort_by_key(|(_, notification)| rank(&notification.kind));
    let mut counts = vec![];
    for (kind, name) in ["paused", "failing", "answering again"].into_iter().enumerate() {
        match notifications.iter().filter(|(_, notification)| rank(&notification.kind) == kind).count() {
            0 => {}
            count => counts.push(format!("{count} {name}")),
        }
    }
    let headline = format!("{} webhooks of {account}: {}", notifications.len(), counts.join(", "));
    let short = |text: &str| shortened(text, limits::NOTIFICATION_LINE_CHARS);
    let mut lines = vec![];
    for (webhook, notification) in notifications.iter().take(limits::NOTICE_LINES) {
        let (sign, happened) = (sign(&notification.kind), happened(&notification.kind));
        let (name, endpoint) = (short(&name_of(webhook)), short(webhook.settings.url.origin()));
        let error = last_error(&notification.kind).map(|error| format!(": {}", short(error)));
        lines
            .push(Line::Words(format!("{sign} {name} ({endpoint}) {happened}{}", error.unwrap_or_default())));
    }
    if let Some(more) = notifications.len().checked_sub(limits::NOTICE_LINES).filter(|more| *more > 0) {
        lines.push(Line::Words(format!("and {more} more")));
    }
    let worst = notifications.first().map_or(":warning:", |(_, notification)| sign(&notification.kind));
    Notice { sign: worst, headline, lines, link: (deployment.dashboard("webhooks"), "Open the list") }
}

/// The webhook as its owner calls it: its description, or else its host.
fn name_of(webhook: &Webhook) -> String {
    let origin = webhook.settings.url.origin();
    let host = origin.strip_prefix("https://").unwrap_or(origin);
    shortened(webhook.settings.described().unwrap_or(host), limits::SLACK_NAME_CHARS)
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
