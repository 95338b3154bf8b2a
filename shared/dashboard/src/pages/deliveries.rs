//! A webhook's deliveries, newest first, with filters.

use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, RawQuery};
use jiff::Timestamp;
use statuspulse_core::delivery::{Delivery, DeliveryFilter, Status};
use statuspulse_core::event::EventType;
use statuspulse_core::fields::parse_utc;
use statuspulse_core::ids::{DeliveryId, WebhookId};

use crate::Answer;
use crate::flash::Flash;
use crate::forms::{Form, id};
use crate::guard::{html, see};
use crate::session::{Manager, Viewer};
use crate::show::{Frame, Markup, Pill, deliveries_are, delivery_pill, millis, name_of, next_attempt, time};

/// The choices for a period: name, label and hours.
const RANGES: [(&str, &str, u64); 4] = [
    ("1h", "last hour", 1),
    ("24h", "last 24 hours", 24),
    ("7d", "last 7 days", 24 * 7),
    ("30d", "last 30 days", 24 * 30),
];

#[derive(Template)]
#[template(path = "deliveries.html")]
struct ListPage {
    frame: Frame,
    id: String,
    name: String,
    form: Filled,
    statuses: Vec<&'static str>,
    types: Vec<&'static str>,
    ranges: Vec<(&'static str, &'static str)>,
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
    since: String,
    until: String,
    id: String,
}

/// A row of the table.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) accepted: Markup,
    pub(super) event: &'static str,
    pub(super) incident: String,
    pub(super) pill: Pill,
    pub(super) attempts: usize,
    pub(super) last: String,
    pub(super) next: Markup,
}

impl Row {
    pub(super) fn of(delivery: &Delivery) -> Self {
        let last = delivery.attempts.last().map(|last| match (&last.failure, last.status_code) {
            (Some(failure), _) => failure.reason.clone(),
            (None, Some(code)) => format!("{code} after {}", millis(last.duration)),
            (None, None) => String::new(),
        });
        Self {
            id: delivery.id.to_string(),
            accepted: time(delivery.accepted_at),
            event: delivery.event_type.name(),
            incident: delivery.incident_id.clone(),
            pill: delivery_pill(delivery.status()),
            attempts: delivery.attempts.len(),
            last: last.unwrap_or_default(),
            next: next_attempt(delivery),
        }
    }
}

pub(super) async fn list(viewer: Viewer, path: Path<String>, RawQuery(query): RawQuery) -> Answer {
    let id: WebhookId = id(&path, "webhook")?;
    let form = Form::of_query(query.as_deref());
    let webhook = viewer.admin.webhook(viewer.account, id).await?;
    if let Ok(delivery) = form.text("id").parse::<DeliveryId>() {
        return Ok(see(&format!("webhooks/{id}/deliveries/{delivery}")));
    }
    let mut wrong =
        (!form.text("id").is_empty()).then(|| format!("{} is not the id of a delivery.", form.text("id")));
    let filter = filter(&form, viewer.admin.clock.now()).unwrap_or_else(|detail| {
        wrong = Some(detail);
        DeliveryFilter::default()
    });
    let after = form.text("after").parse().ok();
    let page = viewer
        .admin
        .delivery_page(viewer.account, id, &filter, after, crate::limits::DELIVERIES_PAGE)
        .await?;
    let page = ListPage {
        frame: viewer.frame().await?,
        id: id.to_string(),
        name: name_of(&webhook),
        form: Filled::of(&form),
        statuses: Status::ALL.iter().map(|each| each.name()).collect(),
        types: EventType::ALL.iter().map(|each| each.name()).collect(),
        ranges: RANGES.map(|(name, words, _)| (name, words)).to_vec(),
        wrong,
        rows: page.items.iter().map(Row::of).collect(),
        older: page.next.map(|next| form.query_with("after", &next.to_string())),
    };
    Ok(viewer.said(html(&page)))
}

/// Redelivers all failed deliveries of a period.
pub(super) async fn redeliver_failed(Manager(viewer, _): Manager, path: Path<String>, body: Body) -> Answer {
    let id: WebhookId = id(&path, "webhook")?;
    let form = Form::read(body).await?;
    let since = since(form.text("range"), viewer.admin.clock.now());
    let flash = match since {
        None => Flash::bad("Choose a period."),
        Some(since) => {
            let count = viewer.admin.redeliver_failed(viewer.account, id, since).await?;
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
            since: text("since"),
            until: text("until"),
            id: text("id"),
        }
    }
}

fn since(range: &str, now: Timestamp) -> Option<Timestamp> {
    let (_, _, hours) = RANGES.into_iter().find(|(name, ..)| *name == range)?;
    now.checked_sub(Duration::from_secs(hours * 3600)).ok()
}

fn filter(form: &Form, now: Timestamp) -> Result<DeliveryFilter, String> {
    let moment = |name: &str| match form.text(name) {
        "" => Ok(None),
        text => parse_utc(text).map(Some).map_err(|detail| format!("{name} {detail}")),
    };
    let range = since(form.text("range"), now);
    let incident = form.text("incident");
    Ok(DeliveryFilter {
        status: Status::from_name(form.text("status")),
        event_type: EventType::from_name(form.text("event")),
        incident_id: (!incident.is_empty()).then(|| incident.to_owned()),
        since: moment("since")?.or(range),
        until: moment("until")?,
    })
}
