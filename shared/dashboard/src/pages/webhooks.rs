//! The list of the account's webhooks.

use std::sync::Arc;

use askama::Template;
use axum::extract::RawQuery;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use statuspulse_core::access::Urls;
use statuspulse_core::admin::query::{DeliverySearch, Outlook, WebhookPage};
use statuspulse_core::destination::Destination;
use statuspulse_core::ids::WebhookId;
use statuspulse_core::limits;
use statuspulse_core::retry::FAILURES_TO_PAUSE;
use statuspulse_core::webhook::{PauseReason, State, Webhook};

use crate::Answer;
use crate::day::{Day, Promise};
use crate::forms::Form;
use crate::guard::html;
use crate::session::Viewer;
use crate::show::{
    Frame, Markup, Pill, maybe_time, name_of, pause_reason, refreshed_after, time, webhook_pill,
};

#[derive(Template)]
#[template(path = "webhooks.html")]
struct ListPage {
    frame: Frame,
    every: u128,
    /// Whether the account has no webhooks yet.
    is_new: bool,
    search: String,
    status: String,
    statuses: [(&'static str, &'static str); 6],
    /// How many webhooks the account has of each kind, if any: the state to filter by, and the words.
    counts: Vec<(&'static str, String)>,
    all: usize,
    rows: Vec<Row>,
    /// The ids of webhooks that can only be deleted.
    unreadable: Vec<WebhookId>,
    found: usize,
    promise: [Promise; 2],
    older: Option<String>,
}

struct Row {
    id: String,
    name: String,
    url: String,
    destination: &'static str,
    pill: Pill,
    wrong: Option<Wrong>,
    events: Vec<&'static str>,
    /// The first groups, and how many more there are.
    groups: String,
    day: Day,
    /// When the event of its latest delivery was accepted.
    last: Markup,
}

/// What is wrong with a webhook, from the worst on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Broken,
    Failing,
    PausedByHand,
    Unverified,
    None,
}

impl Trouble {
    fn of(webhook: &Webhook) -> Self {
        match &webhook.state {
            State::Paused(pause) if pause.reason == PauseReason::Manual => Self::PausedByHand,
            State::Paused(_) => Self::Broken,
            State::Active if webhook.health.failing_since.is_some() => Self::Failing,
            State::Pending => Self::Unverified,
            State::Active | State::Deleted => Self::None,
        }
    }
}

/// What is wrong with a webhook, in words.
struct Wrong {
    since: Markup,
    what: String,
    last_error: Option<String>,
    held: u64,
    /// Whether there are failed attempts to see.
    has_failed: bool,
    next_attempt: Option<Markup>,
    pauses_at: Option<Markup>,
}

impl Wrong {
    fn of(webhook: &Webhook, held: u64, outlook: Outlook) -> Option<Self> {
        let (since, what, last_error) = match (&webhook.state, webhook.health.failing_since) {
            (State::Paused(pause), _) => {
                (pause.since, pause_reason(pause.reason).to_owned(), pause.last_error.clone())
            }
            (State::Active, Some(since)) => {
                let retries = webhook.health.consecutive_failures;
                (since, format!("{retries} of {FAILURES_TO_PAUSE} retries failed"), None)
            }
            (State::Pending, _) => {
                (webhook.handshake.at, "the handshake failed".to_owned(), webhook.handshake.reason.clone())
            }
            _ => return None,
        };
        let has_failed = matches!(Trouble::of(webhook), Trouble::Broken | Trouble::Failing);
        Some(Self {
            since: time(since),
            what,
            last_error,
            held,
            has_failed,
            next_attempt: outlook.next_attempt.map(time),
            pauses_at: outlook.pauses_at.map(time),
        })
    }
}

pub(super) async fn list(viewer: Viewer, RawQuery(query): RawQuery) -> Answer {
    let form = Form::of_query(query.as_deref());
    let WebhookPage { page, unreadable } =
        viewer.admin.webhook_page(viewer.account, None, limits::WEBHOOKS_PER_ACCOUNT).await?;
    let mut all = page.items;
    // Stable: of the same kind, the oldest comes first.
    all.sort_by_key(|webhook| Trouble::of(webhook));
    let (search, status) = (form.text("q").to_lowercase(), form.text("status").to_owned());
    let found: Vec<_> = all
        .iter()
        .filter(|webhook| is_found((webhook, viewer.urls), &search) && stands(webhook, &status))
        .collect();
    let from = form.text("from").parse().unwrap_or(0).min(found.len());
    let shown = found.iter().skip(from).take(crate::limits::WEBHOOKS_PAGE);
    let rows = try_join_all(shown.map(async |webhook| {
        let day = Day::of(&viewer.admin.hours(viewer.account, webhook.id).await?);
        let search = DeliverySearch { webhook: Some(webhook.id), ..DeliverySearch::default() };
        let latest = viewer.admin.search_deliveries(viewer.account, &search, None, 1).await?.items;
        let may_hold = matches!(webhook.state, State::Paused(_));
        let held = if may_hold { viewer.admin.held(webhook.id).await? } else { 0 };
        let outlook = viewer.admin.outlook(webhook).await?;
        let last = latest.first().map(|delivery| delivery.accepted_at);
        Ok::<_, crate::refused::Refused>(Row::of((webhook, viewer.urls), (held, outlook), day, last))
    }))
    .await?;
    let next = from + crate::limits::WEBHOOKS_PAGE;
    let page = ListPage {
        frame: viewer.frame().await?,
        every: refreshed_after(false),
        is_new: all.is_empty() && unreadable.is_empty(),
        search: form.text("q").to_owned(),
        status,
        statuses: [
            ("", "any state"),
            ("paused", "paused"),
            ("failing", "failing"),
            ("pending", "unverified"),
            ("healthy", "healthy"),
            ("active", "active, healthy or failing"),
        ],
        counts: counts(&all),
        all: all.len(),
        rows,
        unreadable,
        found: found.len(),
        promise: Promise::of(&viewer.admin.stats(viewer.account, None).await?),
        older: (next < found.len()).then(|| form.query_with("from", &next.to_string())),
    };
    Ok(viewer.said(html(&page)))
}

impl Row {
    fn of(
        (webhook, urls): (&Webhook, Urls),
        (held, outlook): (u64, Outlook),
        day: Day,
        last: Option<Timestamp>,
    ) -> Self {
        let settings = &webhook.settings;
        Self {
            id: webhook.id.to_string(),
            name: name_of(webhook, urls),
            url: settings.shown_url(urls),
            destination: settings.destination.name(),
            pill: webhook_pill(webhook),
            wrong: Wrong::of(webhook, held, outlook),
            events: settings.events.iter().map(|event| event.name()).collect(),
            groups: few(&settings.monitor_groups),
            day,
            last: maybe_time(last),
        }
    }
}

/// The first names of a list, and how many more there are.
fn few(names: &[String]) -> String {
    let shown = names.iter().take(crate::limits::GROUPS_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(crate::limits::GROUPS_SHOWN) {
        0 => shown,
        more => format!("{shown}, and {more} more"),
    }
}

/// How many webhooks there are of each kind that occurs.
fn counts(all: &[Arc<Webhook>]) -> Vec<(&'static str, String)> {
    let count = |of: &[Trouble]| all.iter().filter(|webhook| of.contains(&Trouble::of(webhook))).count();
    let kinds = [
        ("paused", "paused", count(&[Trouble::Broken, Trouble::PausedByHand])),
        ("failing", "failing", count(&[Trouble::Failing])),
        ("pending", "unverified", count(&[Trouble::Unverified])),
        ("healthy", "healthy", count(&[Trouble::None])),
    ];
    let occurring = kinds.into_iter().filter(|(_, _, count)| *count > 0);
    occurring.map(|(status, word, count)| (status, format!("{count} {word}"))).collect()
}

/// Only what the user is shown is searched.
fn is_found((webhook, urls): (&Webhook, Urls), search: &str) -> bool {
    let settings = &webhook.settings;
    let id = webhook.id.to_string();
    let texts = [&settings.shown_url(urls), settings.description.as_deref().unwrap_or_default(), &id];
    let mut texts = texts.into_iter().chain(settings.monitor_groups.iter().map(String::as_str));
    texts.any(|text| text.to_lowercase().contains(search))
}

fn stands(webhook: &Webhook, status: &str) -> bool {
    match status {
        "active" => webhook.state == State::Active,
        "failing" => Trouble::of(webhook) == Trouble::Failing,
        "healthy" => Trouble::of(webhook) == Trouble::None,
        "paused" => matches!(webhook.state, State::Paused(_)),
        "pending" => webhook.state == State::Pending,
        _ => true,
    }
}
