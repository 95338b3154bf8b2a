//! The list of the account's webhooks.

use askama::Template;
use axum::extract::RawQuery;
use futures_util::future::try_join_all;
use statuspulse_core::admin::query::WebhookPage;
use statuspulse_core::destination::Destination;
use statuspulse_core::ids::WebhookId;
use statuspulse_core::limits;
use statuspulse_core::webhook::{State, Webhook};

use super::day::day_of;
use crate::Answer;
use crate::forms::Form;
use crate::guard::html;
use crate::session::Viewer;
use crate::show::{Day, Frame, Pill, name_of, webhook_pill};

#[derive(Template)]
#[template(path = "webhooks.html")]
struct ListPage {
    frame: Frame,
    /// Whether the account has no webhooks yet.
    is_new: bool,
    search: String,
    status: String,
    statuses: [(&'static str, &'static str); 4],
    rows: Vec<Row>,
    /// The ids of webhooks that can only be deleted.
    unreadable: Vec<WebhookId>,
    found: usize,
    older: Option<String>,
}

struct Row {
    id: String,
    name: String,
    url: String,
    destination: &'static str,
    pill: Pill,
    events: Vec<&'static str>,
    groups: Vec<String>,
    day: Day,
}

pub(super) async fn list(viewer: Viewer, RawQuery(query): RawQuery) -> Answer {
    let form = Form::of_query(query.as_deref());
    let WebhookPage { page, unreadable } =
        viewer.admin.webhook_page(viewer.account, None, limits::WEBHOOKS_PER_ACCOUNT).await?;
    let all = page.items;
    let (search, status) = (form.text("q").to_lowercase(), form.text("status").to_owned());
    let found: Vec<_> =
        all.iter().filter(|webhook| is_found(webhook, &search) && stands(webhook, &status)).collect();
    let from = form.text("from").parse().unwrap_or(0).min(found.len());
    let now = viewer.admin.clock.now();
    let shown = found.iter().skip(from).take(crate::limits::WEBHOOKS_PAGE);
    let rows = try_join_all(shown.map(async |webhook| {
        let (day, _) = day_of(&viewer.admin, viewer.account, webhook.id, now).await?;
        Ok::<_, crate::refused::Refused>(Row::of(webhook, day))
    }))
    .await?;
    let next = from + crate::limits::WEBHOOKS_PAGE;
    let page = ListPage {
        frame: viewer.frame().await?,
        is_new: all.is_empty() && unreadable.is_empty(),
        search: form.text("q").to_owned(),
        status,
        statuses: [("", "any state"), ("active", "active"), ("paused", "paused"), ("pending", "unverified")],
        rows,
        unreadable,
        found: found.len(),
        older: (next < found.len()).then(|| form.query_with("from", &next.to_string())),
    };
    Ok(viewer.said(html(&page)))
}

impl Row {
    fn of(webhook: &Webhook, day: Day) -> Self {
        let settings = &webhook.settings;
        Self {
            id: webhook.id.to_string(),
            name: name_of(webhook),
            url: settings.shown_url(),
            destination: settings.destination.name(),
            pill: webhook_pill(webhook),
            events: settings.events.iter().map(|event| event.name()).collect(),
            groups: settings.monitor_groups.clone(),
            day,
        }
    }
}

fn is_found(webhook: &Webhook, search: &str) -> bool {
    let settings = &webhook.settings;
    let id = webhook.id.to_string();
    let texts = [&settings.shown_url(), settings.description.as_deref().unwrap_or_default(), &id];
    let mut texts = texts.into_iter().chain(settings.monitor_groups.iter().map(String::as_str));
    texts.any(|text| text.to_lowercase().contains(search))
}

fn stands(webhook: &Webhook, status: &str) -> bool {
    match status {
        "active" => webhook.state == State::Active,
        "paused" => matches!(webhook.state, State::Paused(_)),
        "pending" => webhook.state == State::Pending,
        _ => true,
    }
}
