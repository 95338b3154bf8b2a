//! Deliveries, newest first, with filters: those of all webhooks, or of one.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::RawQuery;
use jiff::Timestamp;
use statuspulse_core::admin::query::DeliverySearch;
use statuspulse_core::attempt::Class;
use statuspulse_core::delivery::{AttemptFilter, Delivery, DeliveryFilter, Status};
use statuspulse_core::event::EventType;
use statuspulse_core::fields::parse_time;
use statuspulse_core::ids::WebhookId;
use statuspulse_core::limits;
use statuspulse_core::webhook::Webhook;

use super::delivery::again;
use crate::Answer;
use crate::flash::Flash;
use crate::forms::{Form, Path, id};
use crate::guard::{html, see};
use crate::session::{Manager, Viewer};
use crate::show::{
    Frame, Markup, Pill, deliveries_are, delivery_pill, millis, name_of, next_attempt, refreshed_after, time,
};

/// The choices for a period that ends now: name, label and hours.
const RANGES: [(&str, &str, u64); 4] = [
    ("1h", "last hour", 1),
    ("24h", "last 24 hours", 24),
    ("7d", "last 7 days", 24 * 7),
    ("30d", "last 30 days", 24 * 30),
];
const YESTERDAY: (&str, &str) = ("yesterday", "yesterday (UTC)");
/// The choice for deliveries with any failed attempt, beside the classes.
const ANY_FAILURE: &str = "any";

#[derive(Template)]
#[template(path = "deliveries.html")]
struct ListPage {
    frame: Frame,
    every: u128,
    /// Id and name of the webhook, on its own page.
    webhook: Option<(String, String)>,
    /// Id and name of each webhook to choose from, on the page of all.
    webhooks: Vec<(String, String)>,
    path: String,
    form: Filled,
    statuses: Vec<&'static str>,
    types: Vec<&'static str>,
    classes: Vec<&'static str>,
    ranges: Vec<(&'static str, &'static str)>,
    /// The periods of a redelivery.
    redelivered: Vec<(&'static str, &'static str)>,
    wrong: Option<String>,
    rows: Vec<Row>,
    older: Option<String>,
}

/// The filter as it was filled in.
struct Filled {
    status: String,
    event: String,
    incident: String,
    range: String,
    webhook: String,
    failure: String,
    code: String,
    since: String,
    until: String,
    id: String,
}

impl Filled {
    /// Whether a field is filled in that is shown only on demand.
    fn is_exact(&self) -> bool {
        [&self.since, &self.until, &self.id, &self.code].iter().any(|text| !text.is_empty())
    }
}

/// A row of the table.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) webhook: String,
    /// The webhook's name, in a list of several.
    pub(super) to: Option<String>,
    pub(super) accepted: Markup,
    pub(super) event: &'static str,
    pub(super) incident: String,
    pub(super) pill: Pill,
    pub(super) attempts: usize,
    pub(super) last: String,
    pub(super) next: Markup,
    /// Whether it can be sent again or retried now.
    pub(super) can_be_sent: bool,
}

impl Row {
    pub(super) fn of(delivery: &Delivery, now: Timestamp) -> Self {
        let last = delivery.attempts.last().map(|last| match (&last.failure, last.status_code) {
            (Some(failure), _) => failure.reason.clone(),
            (None, Some(code)) => format!("{code} after {}", millis(last.duration)),
            (None, None) => String::new(),
        });
        Self {
            id: delivery.id.to_string(),
            webhook: delivery.webhook_id.to_string(),
            to: None,
            accepted: time(delivery.accepted_at),
            event: delivery.event_type.name(),
            incident: delivery.incident_id.clone(),
            pill: delivery_pill(delivery.status()),
            attempts: delivery.attempts.len(),
            last: last.unwrap_or_default(),
            next: next_attempt(delivery),
            can_be_sent: again(delivery, now).is_some(),
        }
    }
}

pub(super) async fn of_webhook(viewer: Viewer, path: Path<String>, RawQuery(query): RawQuery) -> Answer {
    let id: WebhookId = id(&path, "webhook")?;
    let webhook = viewer.admin.webhook(viewer.account, id).await?;
    show(viewer, &[webhook], Some(id), Form::of_query(query.as_deref())).await
}

pub(super) async fn of_all(viewer: Viewer, RawQuery(query): RawQuery) -> Answer {
    let form = Form::of_query(query.as_deref());
    let all = viewer.admin.webhook_page(viewer.account, None, limits::WEBHOOKS_PER_ACCOUNT).await?;
    show(viewer, &all.page.items, None, form).await
}

/// The page of these webhooks; of `one`, its own page.
async fn show(viewer: Viewer, webhooks: &[Arc<Webhook>], one: Option<WebhookId>, form: Form) -> Answer {
    let now = viewer.admin.clock.now();
    let (search, wrong) = match search(&form, one, now) {
        Ok(search) => (search, None),
        Err(detail) => (DeliverySearch { webhook: one, ..DeliverySearch::default() }, Some(detail)),
    };
    let after = form.text("after").parse().ok();
    let page = viewer
        .admin
        .search_deliveries(viewer.account, &search, after, crate::limits::DELIVERIES_PAGE)
        .await?;
    let name =
        |id| webhooks.iter().find(|webhook| webhook.id == id).map(|webhook| name_of(webhook, viewer.urls));
    let to = |delivery: &Delivery| if one.is_some() { None } else { name(delivery.webhook_id) };
    let periods: Vec<_> = RANGES.iter().map(|(name, words, _)| (*name, *words)).collect();
    let page = ListPage {
        frame: viewer.frame().await?,
        every: refreshed_after(false),
        webhook: one.and_then(|id| Some((id.to_string(), name(id)?))),
        webhooks: webhooks
            .iter()
            .map(|webhook| (webhook.id.to_string(), name_of(webhook, viewer.urls)))
            .collect(),
        path: one.map_or_else(
            || "/dashboard/deliveries".to_owned(),
            |id| format!("/dashboard/webhooks/{id}/deliveries"),
        ),
        form: Filled::of(&form),
        statuses: Status::ALL.iter().map(|each| each.name()).collect(),
        types: EventType::ALL.iter().map(|each| each.name()).collect(),
        classes: Class::ALL.iter().map(|each| each.name()).collect(),
        ranges: [periods.as_slice(), &[YESTERDAY]].concat(),
        redelivered: periods,
        wrong,
        rows: page.items.iter().map(|delivery| Row { to: to(delivery), ..Row::of(delivery, now) }).collect(),
        older: page.next.map(|next| form.query_with("after", &next.to_string())),
    };
    Ok(viewer.said(html(&page)))
}

/// Redelivers all failed deliveries of a period.
pub(super) async fn redeliver(Manager(viewer, by): Manager, path: Path<String>, body: Body) -> Answer {
    let id: WebhookId = id(&path, "webhook")?;
    let form = Form::read(body).await?;
    let flash = match period(form.text("range"), viewer.admin.clock.now()) {
        None => Flash::bad("Choose a period."),
        Some((_, since)) => {
            let count = viewer.admin.redeliver_failed(by, id, since).await?;
            Flash::good(format!("{} being sent again.", deliveries_are(count, "failed")))
        }
    };
    Ok(flash.on(see(&format!("webhooks/{id}/deliveries"))))
}

impl Filled {
    fn of(form: &Form) -> Self {
        let text = |name| form.text(name).to_owned();
        Self {
            status: text("status"),
            event: text("event"),
            incident: text("incident"),
            range: text("range"),
            webhook: text("webhook"),
            failure: text("failure"),
            code: text("code"),
            since: text("since"),
            until: text("until"),
            id: text("id"),
        }
    }
}

/// A period that ends now: its words and its begin.
pub(super) fn period(range: &str, now: Timestamp) -> Option<(&'static str, Timestamp)> {
    let (_, words, hours) = RANGES.into_iter().find(|(name, ..)| *name == range)?;
    Some((words, now.checked_sub(Duration::from_secs(hours * 3600)).ok()?))
}

/// The whole day before today, in UTC: its begin and its end.
fn yesterday(now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
    let day = 24 * 3600;
    let midnight = now.as_second() - now.as_second().rem_euclid(day);
    let at = |second| Timestamp::from_second(second).ok();
    (at(midnight - day), at(midnight))
}

/// Reads the filter. The error is a sentence for the page.
fn search(form: &Form, one: Option<WebhookId>, now: Timestamp) -> Result<DeliverySearch, String> {
    let moment = |name: &str| match form.text(name) {
        "" => Ok(None),
        text => parse_time(text).map(Some).map_err(|detail| format!("{name} {detail}")),
    };
    let (from, to) = match form.text("range") {
        range if range == YESTERDAY.0 => yesterday(now),
        range => (period(range, now).map(|(_, since)| since), None),
    };
    let incident = form.text("incident");
    let failure = form.text("failure");
    let mut search = DeliverySearch {
        webhook: one.or_else(|| form.text("webhook").parse().ok()),
        filter: DeliveryFilter {
            status: Status::from_name(form.text("status")),
            event_type: EventType::from_name(form.text("event")),
            incident_id: (!incident.is_empty()).then(|| incident.to_owned()),
            since: moment("since")?.or(from),
            until: moment("until")?.or(to),
            attempts: AttemptFilter {
                failed: (failure == ANY_FAILURE).then_some(true),
                class: Class::from_name(failure),
                status_code: match form.text("code") {
                    "" => None,
                    text => Some(text.parse().map_err(|_| format!("{text} is not a status code."))?),
                },
            },
        },
        ..DeliverySearch::default()
    };
    match form.text("id") {
        "" => {}
        text => match (text.parse(), text.parse()) {
            (Ok(delivery), _) => search.delivery = Some(delivery),
            (_, Ok(event)) => search.event = Some(event),
            _ => return Err(format!("{text} is not the id of a delivery or an event.")),
        },
    }
    Ok(search)
}
