//! A webhook: its state, the reason, and the actions.

use askama::Template;
use axum::body::Body;
use axum::extract::RawQuery;
use jiff::Timestamp;
use statuspulse_core::access;
use statuspulse_core::admin::pause::HeldDeliveries;
use statuspulse_core::admin::probe::{TestSecrets, Tested};
use statuspulse_core::admin::query::{Audited, DeliverySearch, Outlook};
use statuspulse_core::audit::Change;
use statuspulse_core::error::Error;
use statuspulse_core::event::EventType;
use statuspulse_core::figures::OfResume;
use statuspulse_core::ids::WebhookId;
use statuspulse_core::limits::{COUNTED, DRAIN_FIRST_PAGE, DRAIN_PAGE_MAX};
use statuspulse_core::retry::FAILURES_TO_PAUSE;
use statuspulse_core::rotation::{Digests, Outgoing};
use statuspulse_core::webhook::{Handshake, JobKind, Settings, State, Webhook};

use super::confirm::{ConfirmPage, confirm, name_even_if_unreadable};
use super::deliveries::{Row, period};
use crate::Answer;
use crate::day::{Day, Promise};
use crate::flash::Flash;
use crate::forms::{Form, Path, id};
use crate::guard::{html, see};
use crate::limits::RESUMED_SHOWN_FOR;
use crate::refused::in_words;
use crate::session::{Manager, Viewer};
use crate::show::{
    Frame, Markup, Pill, changed, counted, deliveries_are, length, millis, name_of, pause_reason,
    refreshed_after, since, time, webhook_pill,
};

#[derive(Template)]
#[template(path = "webhook.html")]
struct DetailPage {
    frame: Frame,
    every: u128,
    name: String,
    webhook: Shown,
    standing: Standing,
    day: Day,
    promise: [Promise; 2],
    latest: Vec<Row>,
    /// The first characters of the current secret.
    secret: String,
    secret_since: Markup,
    /// The first characters of the old secret, during a rotation.
    old_secret: String,
    window_ends: Option<Markup>,
    window_left: String,
    /// How both secrets sign, during a rotation.
    rotation: String,
    egress: Vec<String>,
    types: Vec<&'static str>,
    log: Vec<Entry>,
}

/// An entry of the audit log.
struct Entry {
    key: String,
    at: Markup,
    what: &'static str,
    /// The first characters of the API key; `None` if StatusPulse made the change.
    by: Option<String>,
}

/// The settings of the webhook.
struct Shown {
    id: String,
    url: String,
    /// Of an internationalised host.
    host_in_unicode: Option<String>,
    destination: &'static str,
    events: Vec<&'static str>,
    groups: Vec<String>,
    headers: Vec<String>,
    created: Markup,
    updated: Markup,
}

/// The current state of the webhook.
#[derive(Template)]
#[template(path = "standing.html")]
struct Standing {
    id: String,
    name: String,
    may_manage: bool,
    pill: Pill,
    state: How,
    held: u64,
}

enum How {
    Unverified {
        reason: String,
        at: Markup,
        took: String,
        /// The status that the handshake needs.
        needed: u16,
        /// The endpoint's headers and the start of its body.
        answer: Option<String>,
    },
    Paused {
        why: &'static str,
        since: Markup,
        failing_since: Option<Markup>,
        last_error: Option<String>,
        plan: String,
    },
    /// A resume is sending held deliveries.
    Draining {
        done: u64,
        of: u64,
        /// Since when attempts fail, if they do.
        failing_since: Option<Markup>,
        retries: u8,
        /// When the next ones are released.
        next: Markup,
        outcome: String,
    },
    Discarding,
    Failing {
        since: Markup,
        retries: u8,
        recovering: bool,
        resumed: Option<Resumed>,
        next_attempt: Option<Markup>,
        pauses_at: Option<Markup>,
    },
    Well {
        resumed: Option<Resumed>,
    },
}

/// A resume in the last day, after which nothing else has happened to the webhook.
struct Resumed {
    at: Markup,
    outcome: String,
}

impl Standing {
    async fn of(viewer: &Viewer, webhook: &Webhook, resume: Option<OfResume>) -> Result<Self, Error> {
        let may_hold = webhook.job.is_some() || matches!(webhook.state, State::Paused(_));
        let held = if may_hold { viewer.admin.held(webhook.id).await? } else { 0 };
        let outlook = viewer.admin.outlook(webhook).await?;
        Ok(Self {
            id: webhook.id.to_string(),
            name: name_of(webhook, viewer.urls),
            may_manage: viewer.manages.is_some(),
            pill: webhook_pill(webhook),
            state: How::of(webhook, held, outlook, resume, viewer.admin.clock.now()),
            held,
        })
    }

    /// Whether the state can change soon, so that the page is refreshed more often.
    fn looks_again(&self) -> bool {
        !matches!(self.state, How::Well { .. } | How::Unverified { .. })
    }
}

impl How {
    fn of(webhook: &Webhook, held: u64, outlook: Outlook, resume: Option<OfResume>, now: Timestamp) -> Self {
        if let State::Paused(pause) = &webhook.state {
            return Self::Paused {
                why: pause_reason(pause.reason),
                since: time(pause.since),
                failing_since: pause.failing_since.map(time),
                last_error: pause.last_error.clone(),
                plan: plan(held),
            };
        }
        let job = webhook.job.filter(|_| webhook.state == State::Active);
        match (&webhook.state, job.map(|job| (job.kind, job)), webhook.health.failing_since) {
            (State::Pending, ..) => Self::Unverified {
                needed: webhook.settings.destination.format().handshake_status(),
                reason: webhook.handshake.reason.clone().unwrap_or_default(),
                at: time(webhook.handshake.at),
                took: millis(webhook.handshake.duration),
                answer: answered(&webhook.handshake),
            },
            (_, Some((JobKind::Release, job)), _) if held > 0 => Self::Draining {
                done: job.drained.saturating_sub(held),
                of: job.drained.max(held),
                next: time(job.due),
                outcome: outcome(resume),
                failing_since: webhook.health.failing_since.map(time),
                retries: webhook.health.consecutive_failures,
            },
            (_, Some((JobKind::Discard, _)), _) if held > 0 => Self::Discarding,
            (_, kind, Some(since)) => Self::Failing {
                since: time(since),
                retries: webhook.health.consecutive_failures,
                recovering: matches!(kind, Some((JobKind::Recover, _))),
                resumed: resumed_lately(webhook, resume, now),
                next_attempt: outlook.next_attempt.map(time),
                pauses_at: outlook.pauses_at.map(time),
            },
            _ => Self::Well { resumed: resumed_lately(webhook, resume, now) },
        }
    }
}

/// When it was last resumed, if that was in the last day and nothing else has happened to it since.
fn resumed_lately(webhook: &Webhook, resume: Option<OfResume>, now: Timestamp) -> Option<Resumed> {
    let last = webhook.audit.entries().last().filter(|last| last.change == Change::Resumed)?;
    let is_late = since(last.at, now) < RESUMED_SHOWN_FOR;
    is_late.then(|| Resumed { at: time(last.at), outcome: outcome(resume) })
}

/// What became of what was released.
fn outcome(resume: Option<OfResume>) -> String {
    let Some(OfResume { delivered, failed_attempts, given_up, .. }) = resume else { return String::new() };
    format!("{delivered} delivered, {}, {given_up} given up.", counted(failed_attempts, "failed attempt"))
}

impl Entry {
    fn of(entry: Audited) -> Self {
        let key = format!("{} {:?}", entry.at, entry.change);
        Self {
            key,
            at: time(entry.at),
            what: changed(entry.change),
            by: entry.by.map(|key| key.name.unwrap_or_else(|| format!("{}…", key.prefix))),
        }
    }
}

/// What a resume would do with the held deliveries.
fn plan(held: u64) -> String {
    match held {
        0 => "Nothing is held. Resume delivers new events.".to_owned(),
        1 => "Resume delivers it immediately.".to_owned(),
        _ => format!(
            "Resume delivers them oldest first, starting immediately: {DRAIN_FIRST_PAGE} in the first second, \
             then twice as many each second, up to {DRAIN_PAGE_MAX} per second. Each incident keeps its order."
        ),
    }
}

pub(super) async fn show(viewer: Viewer, path: Path<String>) -> Answer {
    let id: WebhookId = id(&path, "webhook")?;
    let webhook = viewer.admin.webhook(viewer.account, id).await?;
    let now = viewer.admin.clock.now();
    let stats = viewer.admin.stats(viewer.account, Some(id)).await?;
    let search = DeliverySearch { webhook: Some(id), ..DeliverySearch::default() };
    let latest = viewer.admin.search_deliveries(viewer.account, &search, None, 10).await?.items;
    let log = viewer.admin.audit_log(&webhook).await?;
    // The name contains the description.
    let Settings { url, destination, events, monitor_groups, description: _, headers } = &webhook.settings;
    let outgoing = webhook.keys.outgoing(now);
    let window = outgoing.map(|outgoing| outgoing.until);
    let standing = Standing::of(&viewer, &webhook, stats.resume).await?;
    let page = DetailPage {
        frame: viewer.frame().await?,
        every: refreshed_after(standing.looks_again()),
        name: name_of(&webhook, viewer.urls),
        webhook: Shown {
            id: id.to_string(),
            url: webhook.settings.shown_url(viewer.urls),
            host_in_unicode: url.host_in_unicode(),
            destination: destination.name(),
            events: events.iter().map(|event| event.name()).collect(),
            groups: monitor_groups.clone(),
            headers: headers.0.keys().cloned().collect(),
            created: time(webhook.created_at),
            updated: time(webhook.updated_at),
        },
        standing,
        day: Day::of(&stats.hours),
        promise: Promise::of(&stats),
        latest: latest.iter().map(|delivery| Row::of(delivery, now)).collect(),
        secret: webhook.keys.current().prefix().to_owned(),
        old_secret: outgoing.map(|old| old.secret.prefix().to_owned()).unwrap_or_default(),
        secret_since: time(webhook.keys.rotated_at().unwrap_or(webhook.created_at)),
        window_ends: window.map(time),
        window_left: window.map(|until| length(since(now, until))).unwrap_or_default(),
        rotation: outgoing.map(how_both_sign).unwrap_or_default(),
        egress: viewer.admin.deployment.egress_ips.clone(),
        types: EventType::ALL.iter().map(|each| each.name()).collect(),
        log: log.into_iter().map(Entry::of).collect(),
    };
    Ok(viewer.said(html(&page)))
}

/// What the owner should know while both secrets sign.
fn how_both_sign(outgoing: &Outgoing) -> String {
    let now = match outgoing.digests() {
        Digests::Both => "Both signatures are in one header.",
        Digests::Old => "The old signature is sent first, and the new one if the endpoint refuses it.",
        Digests::New => {
            "The endpoint has the new secret: it refused the old signature, and accepted the new one. You can end the old \
             secret."
        }
    };
    format!("{now} {}", outgoing.choice.reason())
}

/// Redirects to the webhook, with the result of the action.
pub(super) fn said(id: WebhookId, done: Result<Flash, Error>) -> Answer {
    let flash = match done {
        Ok(flash) => flash,
        Err(refused @ (Error::Conflict { .. } | Error::Invalid(_) | Error::HandshakeFailed { .. })) => {
            Flash::bad(in_words(&refused))
        }
        Err(error) => return Err(error.into()),
    };
    Ok(flash.on(see(&format!("webhooks/{id}"))))
}

pub(super) async fn verify(Manager(viewer, by): Manager, path: Path<String>) -> Answer {
    let id = id(&path, "webhook")?;
    let done = viewer.admin.verify(by, id).await.map(|webhook| {
        if webhook.handshake.ok {
            Flash::good("The handshake passed.")
        } else {
            Flash::bad(format!(
                "The handshake failed. {}",
                webhook.handshake.reason.as_deref().unwrap_or_default()
            ))
        }
    });
    said(id, done)
}

pub(super) async fn pause(Manager(viewer, by): Manager, path: Path<String>) -> Answer {
    let id = id(&path, "webhook")?;
    let paused = viewer.admin.pause(by, id).await;
    said(id, paused.map(|_| Flash::good("Paused. New deliveries are held.")))
}

pub(super) async fn resume(Manager(viewer, by): Manager, path: Path<String>) -> Answer {
    resume_and(&viewer, by, &path, HeldDeliveries::Deliver).await
}

pub(super) async fn discard(Manager(viewer, by): Manager, path: Path<String>) -> Answer {
    resume_and(&viewer, by, &path, HeldDeliveries::Discard).await
}

pub(super) async fn retry(Manager(viewer, by): Manager, path: Path<String>) -> Answer {
    let id = id(&path, "webhook")?;
    let retried = viewer.admin.retry(by, id).await;
    said(
        id,
        retried.map(|count| Flash::good(format!("{} being retried now.", deliveries_are(count, "waiting")))),
    )
}

async fn resume_and(
    viewer: &Viewer,
    by: access::Manager,
    path: &Path<String>,
    held: HeldDeliveries,
) -> Answer {
    let id = id(path, "webhook")?;
    let resumed = viewer.admin.resume(by, id, held).await;
    let verb = if held == HeldDeliveries::Deliver { "being delivered" } else { "being discarded" };
    said(id, resumed.map(|count| Flash::good(format!("Resumed. {} {verb}.", deliveries_are(count, "held")))))
}

pub(super) async fn send_test(Manager(viewer, _): Manager, path: Path<String>, body: Body) -> Answer {
    let id = id(&path, "webhook")?;
    let form = Form::read(body).await?;
    let secrets = match form.text("secrets") {
        "new" => TestSecrets::New,
        _ => TestSecrets::AsDeliveries,
    };
    let chosen = Some(form.text("event")).filter(|event| !event.is_empty());
    let sent = match chosen.map(EventType::parse).transpose() {
        Ok(event_type) => viewer.admin.send_test(viewer.account, id, event_type, secrets).await,
        Err(detail) => Err(Error::invalid("/event", detail)),
    };
    said(id, sent.map(tested))
}

/// The result of a test event, with the request and response bodies.
fn tested(Tested { request, result }: Tested) -> Flash {
    let took = length(result.duration);
    let flash = match (result.ok, result.status_code, result.reason) {
        (true, Some(code), _) => Flash::good(format!("The test event was accepted: {code} after {took}.")),
        (_, _, reason) => {
            Flash::bad(format!("The test event failed after {took}. {}", reason.unwrap_or_default()))
        }
    };
    let flash = flash.showing("Request body", &request.body);
    match result.response {
        Some(response) => flash.showing("Response body", &response),
        None => flash,
    }
}

pub(super) async fn delete(Manager(viewer, by): Manager, path: Path<String>) -> Answer {
    let id = id(&path, "webhook")?;
    let name = name_even_if_unreadable(&viewer, id).await?;
    viewer.admin.delete(by, id).await?;
    Ok(Flash::good(format!("{name} was deleted.")).on(see("webhooks")))
}

/// Asks before the failed deliveries of a period are sent again.
pub(super) async fn ask_redeliver(
    Manager(viewer, _): Manager,
    path: Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let id: WebhookId = id(&path, "webhook")?;
    let form = Form::of_query(query.as_deref());
    let range = form.text("range").to_owned();
    let Some((words, since)) = period(&range, viewer.admin.clock.now()) else {
        return Ok(Flash::bad("Choose a period.").on(see(&format!("webhooks/{id}/deliveries"))));
    };
    let name = name_of(&*viewer.admin.webhook(viewer.account, id).await?, viewer.urls);
    let count = viewer.admin.failed_since(viewer.account, id, since).await?;
    let at_least = if count == COUNTED as u64 { "At least " } else { "" };
    let page = ConfirmPage {
        detail: format!(
            "{at_least}{} sent again, those whose events were accepted in the {words}, at a bounded rate.",
            deliveries_are(count, "failed")
        ),
        chosen: vec![("range", range)],
        ..ConfirmPage::of_webhook(
            viewer.frame().await?,
            (id, &name),
            format!("Deliver the failed deliveries to {name} again?"),
            ("redeliver", "Deliver again"),
        )
    };
    Ok(viewer.said(html(&page)))
}

pub(super) async fn ask_delete(manager: Manager, path: Path<String>) -> Answer {
    let about = |name: &str, _| {
        (
            format!("Delete {name}?"),
            "It receives no more events, and its unfinished deliveries are cancelled. This cannot be undone."
                .to_owned(),
        )
    };
    confirm(manager, &path, about, ("delete", "Delete this webhook")).await
}

pub(super) async fn ask_discard(manager: Manager, path: Path<String>) -> Answer {
    let about = |name: &str, held: u64| {
        (
            format!("Resume {name} and discard held deliveries?"),
            format!(
                "{} discarded, and new events are delivered. This cannot be undone.",
                deliveries_are(held, "held")
            ),
        )
    };
    confirm(manager, &path, about, ("discard", "Discard and resume")).await
}

/// For the template: the number of failed retries that pause a webhook.
const LADDER_END: u8 = FAILURES_TO_PAUSE;

/// What the endpoint answered to a handshake that failed.
fn answered(handshake: &Handshake) -> Option<String> {
    let code = handshake.status_code.filter(|_| !handshake.ok)?;
    let headers = handshake.answer.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
    let body = handshake.answer.body.as_deref().unwrap_or_default();
    Some(format!("{code}\n{}\n{body}", headers.collect::<String>()))
}
