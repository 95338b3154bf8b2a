//! How names, times and states are shown, and the timeline of a delivery.

use std::fmt::Write;
use std::time::Duration;

use askama::filters::HtmlSafe;
use jiff::Timestamp;
use statuspulse_core::access::Urls;
use statuspulse_core::attempt::{Attempt, Trigger};
use statuspulse_core::audit::Change;
use statuspulse_core::delivery::{Delivery, Status};
use statuspulse_core::webhook::{PauseReason, State, Webhook};

use crate::flash::Flash;
use crate::limits;

/// The header of a page, and its flash message.
pub(crate) struct Frame {
    /// The name of the account; `None` if the browser is not signed in.
    pub(crate) account: Option<String>,
    pub(crate) may_manage: bool,
    pub(crate) flash: Option<Flash>,
}

impl Frame {
    pub(crate) fn bare() -> Self {
        Self { account: None, may_manage: false, flash: None }
    }
}

/// HTML that the templates do not escape. It must contain only our own times, numbers and words, never input.
pub(crate) struct Markup(String);

impl Markup {
    /// Markup that we made, without any input in it.
    pub(crate) fn ours(markup: String) -> Self {
        Self(markup)
    }
}

impl HtmlSafe for Markup {}

impl std::fmt::Display for Markup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// After how many milliseconds an open page is refreshed.
pub(crate) fn refreshed_after(changes_soon: bool) -> u128 {
    if changes_soon { limits::REFRESH_SOON.as_millis() } else { limits::REFRESH.as_millis() }
}

/// The name of a webhook: its description, or else its URL.
pub(crate) fn name_of(webhook: &Webhook, urls: Urls) -> String {
    webhook.settings.described().map_or_else(|| webhook.settings.shown_url(urls), str::to_owned)
}

/// A time in UTC as plain text, where HTML is not possible.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// "1 webhook", "2 webhooks", "2 deliveries".
pub(crate) fn counted(count: u64, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        _ => format!("{count} {what}s"),
    }
}

/// "1 delivery is", "2 deliveries are".
pub(crate) fn deliveries_are(count: u64, kind: &str) -> String {
    if count == 1 { format!("1 {kind} delivery is") } else { format!("{count} {kind} deliveries are") }
}

/// A time in UTC as an HTML element. `app.js` replaces it with the local time.
pub(crate) fn time(at: Timestamp) -> Markup {
    let shown = at.strftime("%Y-%m-%d %H:%M:%S");
    Markup(format!(r#"<time datetime="{at}">{shown}&nbsp;UTC</time>"#))
}

pub(crate) fn maybe_time(at: Option<Timestamp>) -> Markup {
    at.map_or_else(|| Markup("&ndash;".to_owned()), time)
}

/// When the next attempt of a delivery is due.
pub(crate) fn next_attempt(delivery: &Delivery) -> Markup {
    let mut next = maybe_time(delivery.due_attempt().map(|(_, at)| at));
    if delivery.delayed {
        next.0.push_str(" (delayed on our side)");
    }
    next
}

/// A state as a word, and the CSS class of its colour.
#[derive(Clone, Copy)]
pub(crate) struct Pill {
    pub(crate) class: &'static str,
    pub(crate) word: &'static str,
}

pub(crate) fn webhook_pill(webhook: &Webhook) -> Pill {
    let failing = webhook.health.failing_since.is_some();
    let (class, word) = match &webhook.state {
        State::Pending => ("wait", "Unverified"),
        State::Active if failing => ("warn", "Active, failing"),
        State::Active => ("good", "Active"),
        State::Paused(_) => ("bad", "Paused"),
        State::Deleted => ("off", "Deleted"),
    };
    Pill { class, word }
}

pub(crate) fn delivery_pill(status: Status) -> Pill {
    let (class, word) = match status {
        Status::Waiting => ("wait", "Waiting"),
        Status::Retrying => ("warn", "Due"),
        Status::Delivered => ("good", "Delivered"),
        Status::Held => ("wait", "Held"),
        Status::Failed => ("bad", "Failed"),
        Status::Discarded => ("off", "Discarded"),
        Status::Cancelled => ("off", "Cancelled"),
    };
    Pill { class, word }
}

pub(crate) fn pause_reason(reason: PauseReason) -> &'static str {
    match reason {
        PauseReason::Failures => "four retries in a row failed, and nothing got through in between",
        PauseReason::Gone => "the endpoint answered 410 Gone",
        PauseReason::Manual => "it was paused by hand",
        PauseReason::Permanent => "the destination answered that it no longer accepts events",
        PauseReason::Unknown => "a later version of this service paused it",
    }
}

pub(crate) fn begun_by(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Event => "its event",
        Trigger::Resume => "a resume of the webhook",
        Trigger::Redelivery => "a redelivery request",
        Trigger::Unknown => "a later version of this service",
    }
}

pub(crate) fn changed(change: Change) -> &'static str {
    match change {
        Change::Created => "Created",
        Change::Verified => "Handshake passed",
        Change::Updated => "Settings changed",
        Change::Paused => "Paused",
        Change::Resumed => "Resumed",
        Change::ResumedDiscarding => "Resumed, held deliveries discarded",
        Change::Retried => "Retried now",
        Change::SecretRotated => "Secret rotated",
        Change::RotationFinished => "Old secret ended early",
        Change::RotationCancelled => "Rotation undone",
        Change::Deleted => "Deleted",
    }
}

/// "12 ms", "0.3 ms".
pub(crate) fn millis(duration: Duration) -> String {
    match duration.as_millis() {
        0 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        whole => format!("{whole} ms"),
    }
}

/// A delivery's attempts with their durations, and when the next one is due. Waits last minutes and attempts
/// milliseconds, so the timeline is not to scale: each attempt has the same width, and the wait before it is written
/// out.
pub(crate) fn timeline(delivery: &Delivery) -> Markup {
    const STEP: usize = 128;
    let next = delivery.due_attempt().map(|(_, at)| at);
    let stops = delivery.attempts.len() + 1 + usize::from(next.is_some());
    let width = stops * STEP;
    let mut svg = format!(
        r#"<svg class="timeline" viewBox="0 0 {width} 76" width="{width}" height="76" role="img" aria-label="{}"><line x1="64" y1="34" x2="{}" y2="34"/>"#,
        timeline_words(delivery),
        width - 64
    );
    let mut stop = |place: usize, class: &str, above: &str, below: &str| {
        let x = place * STEP + STEP / 2;
        _ = write!(
            svg,
            r#"<circle class="{class}" cx="{x}" cy="34" r="7"/><text x="{x}" y="16">{above}</text><text x="{x}" y="60">{below}</text>"#
        );
    };
    stop(0, "open", "accepted", &clock(delivery.accepted_at));
    let mut before = delivery.accepted_at;
    for (place, attempt) in (1..).zip(&delivery.attempts) {
        let class = if attempt.succeeded() { "good" } else { "bad" };
        let after = format!("+{}", length(since(before, attempt.at)));
        stop(place, class, &after, &format!("{}, {}", code(attempt), length(attempt.duration)));
        before = attempt.at;
    }
    if let Some(next) = next {
        stop(
            stops - 1,
            "next",
            &format!("+{}", length(since(before, next))),
            &format!("due {}", clock(next)),
        );
    }
    svg.push_str("</svg>");
    Markup(svg)
}

fn timeline_words(delivery: &Delivery) -> String {
    let attempts: Vec<String> = (1..)
        .zip(&delivery.attempts)
        .map(|(place, attempt)| {
            format!("attempt {place}: {} after {}", code(attempt), length(attempt.duration))
        })
        .collect();
    let next = delivery.due_attempt().map(|(_, at)| format!("; next at {}", moment(at))).unwrap_or_default();
    if attempts.is_empty() {
        format!("No attempt yet{next}")
    } else {
        format!("{}{next}", attempts.join(", "))
    }
}

fn code(attempt: &Attempt) -> String {
    match (attempt.status_code, &attempt.failure) {
        (Some(code), _) => code.to_string(),
        (None, Some(failure)) => failure.class.name().to_owned(),
        (None, None) => "no answer".to_owned(),
    }
}

/// The time of day as a part of the diagram. `app.js` replaces it with the local time.
fn clock(at: Timestamp) -> String {
    format!(r#"<tspan data-at="{at}">{}</tspan>"#, at.strftime("%H:%M:%S"))
}

pub(crate) fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// "1 h 2 min", "43 s", "120 ms".
pub(crate) fn length(time: Duration) -> String {
    let (hours, minutes, seconds) = (time.as_secs() / 3600, time.as_secs() / 60 % 60, time.as_secs() % 60);
    match (hours, minutes, seconds) {
        (0, 0, 0) => millis(time),
        (0, 0, _) => format!("{seconds} s"),
        (0, _, 0) => format!("{minutes} min"),
        (0, _, _) => format!("{minutes} min {seconds} s"),
        (_, 0, _) => format!("{hours} h"),
        _ => format!("{hours} h {minutes} min"),
    }
}
