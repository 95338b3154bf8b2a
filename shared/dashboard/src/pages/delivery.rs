//! A delivery: its attempts, the request, and the responses.

use askama::Template;
use jiff::Timestamp;
use statuspulse_core::admin::preview::{Preview, Rebuilt};
use statuspulse_core::attempt::Attempt;
use statuspulse_core::delivery::{Delivery, Status};
use statuspulse_core::error::Error;
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::retry::FAILURES_TO_PAUSE;

use crate::Answer;
use crate::flash::Flash;
use crate::forms::{Path, id};
use crate::guard::{html, see};
use crate::refused::{Refused, in_words};
use crate::session::{Manager, Viewer};
use crate::show::{
    Frame, Markup, Pill, begun_by, delivery_pill, millis, name_of, next_attempt, refreshed_after, time,
    timeline,
};

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    frame: Frame,
    every: u128,
    webhook: String,
    name: String,
    id: String,
    event_id: String,
    event: &'static str,
    incident: String,
    pill: Pill,
    accepted: Markup,
    next: Markup,
    begun_by: &'static str,
    /// The words of the button that sends it again, if there is one.
    again: Option<&'static str>,
    timeline: Markup,
    attempts: Vec<AttemptRow>,
    request: Option<Request>,
}

struct AttemptRow {
    /// Its place among all attempts, from 1.
    place: usize,
    key: String,
    rung: String,
    begun_by: &'static str,
    at: Markup,
    pill: Pill,
    code: Option<u16>,
    class: Option<&'static str>,
    reason: Option<String>,
    took: String,
    /// One per line.
    response_headers: String,
    response: Option<String>,
}

struct Request {
    url: String,
    headers: String,
    body: String,
    curl: String,
    is_exact: bool,
}

pub(super) async fn show(viewer: Viewer, Path((webhook, delivery)): Path<(String, String)>) -> Answer {
    let (webhook_id, delivery_id) = ids(&webhook, &delivery)?;
    let webhook = viewer.admin.webhook(viewer.account, webhook_id).await?;
    let delivery = viewer.admin.delivery(viewer.account, webhook_id, delivery_id).await?;
    let request = match delivery.attempts.last() {
        Some(last) => {
            viewer.admin.request_of((viewer.account, viewer.urls), &delivery, last).await?.map(Request::of)
        }
        None => None,
    };
    let page = DeliveryPage {
        frame: viewer.frame().await?,
        every: refreshed_after(!delivery.is_finished()),
        webhook: webhook_id.to_string(),
        name: name_of(&webhook, viewer.urls),
        id: delivery_id.to_string(),
        event_id: delivery.event_id.to_string(),
        event: delivery.event_type.name(),
        incident: delivery.incident_id.clone(),
        pill: delivery_pill(delivery.status()),
        accepted: time(delivery.accepted_at),
        next: next_attempt(&delivery),
        begun_by: match delivery.status() {
            Status::Held => "nothing yet: a resume of the webhook will send it",
            _ => begun_by(delivery.trigger),
        },
        again: viewer.manages.and_then(|_| again(&delivery, viewer.admin.clock.now())),
        timeline: timeline(&delivery),
        attempts: delivery.attempts.iter().enumerate().rev().map(AttemptRow::of).collect(),
        request,
    };
    Ok(viewer.said(html(&page)))
}

pub(super) async fn redeliver(
    Manager(viewer, by): Manager,
    Path((webhook, delivery)): Path<(String, String)>,
) -> Answer {
    let (webhook, delivery) = ids(&webhook, &delivery)?;
    let flash = match viewer.admin.redeliver(by, webhook, delivery).await {
        Ok(_) => Flash::good("It is being sent now."),
        Err(refused @ Error::Conflict { .. }) => Flash::bad(in_words(&refused)),
        Err(error) => return Err(error.into()),
    };
    Ok(flash.on(see(&format!("webhooks/{webhook}/deliveries/{delivery}"))))
}

/// The words of the button that sends the delivery again, if it can be.
pub(super) fn again(delivery: &Delivery, now: Timestamp) -> Option<&'static str> {
    if delivery.is_finished() {
        return Some("Deliver again");
    }
    delivery.clone().retried_now(now).map(|_| "Retry now")
}

fn ids(webhook: &str, delivery: &str) -> Result<(WebhookId, DeliveryId), Refused> {
    Ok((id(&Path(webhook.to_owned()), "webhook")?, id(&Path(delivery.to_owned()), "delivery")?))
}

impl AttemptRow {
    fn of((place, attempt): (usize, &Attempt)) -> Self {
        let (class, word) = if attempt.succeeded() { ("good", "Succeeded") } else { ("bad", "Failed") };
        Self {
            place: place + 1,
            key: attempt.at.to_string(),
            rung: match attempt.number {
                1 => "first attempt".to_owned(),
                number => format!("retry {} of {FAILURES_TO_PAUSE}", number - 1),
            },
            begun_by: begun_by(attempt.trigger),
            at: time(attempt.at),
            pill: Pill { class, word },
            code: attempt.status_code,
            class: attempt.failure.as_ref().map(|failure| failure.class.name()),
            reason: attempt.failure.as_ref().map(|failure| failure.reason.clone()),
            took: millis(attempt.duration),
            response_headers: lines(&attempt.response_headers),
            response: attempt.response.clone(),
        }
    }
}

impl Request {
    fn of(rebuilt: Rebuilt) -> Self {
        let Rebuilt { request, is_exact } = rebuilt;
        Self {
            headers: lines(&request.headers),
            curl: curl(&request),
            url: request.url,
            body: request.body,
            is_exact,
        }
    }
}

/// Headers, one per line.
fn lines(headers: &[(String, String)]) -> String {
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    lines.join("\n")
}

/// A curl command that sends the same request.
fn curl(request: &Preview) -> String {
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| format!(" \\\n  -H {}", quoted(&format!("{name}: {value}"))));
    let headers: String = headers.collect();
    format!("curl -i {}{headers} \\\n  --data-binary {}", quoted(&request.url), quoted(&request.body))
}

/// Quotes text for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
