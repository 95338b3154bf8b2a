//! A webhook's record: one part without secrets, and one part that is sealed.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::audit::{EntryRecord, entry_record, restore_audit};
use super::rotation::OutgoingRecord;
use super::values::{Unreadable, from_millis, micros, millis, optional_time};
use crate::attempt::ResponseHeaders;
use crate::destination::{self, Destination, RoutingKey};
use crate::event::EventType;
use crate::ids::{AccountId, WebhookId};
use crate::message::{Message, ScheduledMessage};
use crate::notification::{Notification, NotificationKind, NotificationState};
use crate::secret::Secret;
use crate::signature::SigningKeys;
use crate::target::EndpointUrl;
use crate::webhook::{
    Answer, BulkJob, Handshake, Headers, Health, JobKind, Later, Pause, PauseReason, Settings, State, Webhook,
};

/// A webhook's record. The store seals `secrets`. It has no `Debug`, which would show them.
#[expect(missing_debug_implementations, reason = "one of its fields holds secrets")]
pub struct WebhookParts {
    /// Unique id.
    pub id: WebhookId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// Everything that is not secret, as JSON.
    pub record: String,
    /// The secrets, as JSON. Must be sealed.
    pub secrets: String,
    /// Incremented with each save, for compare-and-set.
    pub version: u64,
}

/// Serialises a webhook.
pub fn write_webhook(webhook: &Webhook) -> Result<WebhookParts, Unreadable> {
    Ok(WebhookParts {
        id: webhook.id,
        account_id: webhook.account_id,
        record: serde_json::to_string(&Record::of(webhook)).map_err(Unreadable::because)?,
        secrets: serde_json::to_string(&Secrets::of(webhook)).map_err(Unreadable::because)?,
        version: webhook.version,
    })
}

/// Parses a webhook.
pub fn read_webhook(parts: &WebhookParts) -> Result<Webhook, Unreadable> {
    let record: Record = serde_json::from_str(&parts.record).map_err(Unreadable::because)?;
    // Without the parser's error text, which may quote a secret.
    let secrets: Secrets = serde_json::from_str(&parts.secrets)
        .map_err(|_| Unreadable::because("the sealed part has an unknown format"))?;
    let mut later = Later::default();
    let keys = secrets.keys()?;
    Ok(Webhook {
        id: parts.id,
        account_id: parts.account_id,
        keys,
        settings: record.settings(secrets, &mut later)?,
        state: record.state(&mut later)?,
        health: Health {
            outage: record.outage,
            failing_since: optional_time(record.failing_since)?,
            consecutive_failures: record.consecutive_failures,
        },
        handshake: Handshake {
            ok: record.handshake.ok,
            status_code: record.handshake.status_code,
            reason: record.handshake.reason.clone(),
            at: from_millis(record.handshake.at)?,
            duration: Duration::from_micros(record.handshake.micros),
            answer: Answer { headers: record.handshake.headers, body: record.handshake.response },
        },
        resumed_in: record.resumed_in,
        job: restore_job(record.job, &mut later)?,
        notification: restore_notification(record.notification, &mut later)?,
        outbox: restore_outbox(record.outbox, &mut later)?,
        audit: restore_audit(record.audit, &mut later)?,
        generation: record.generation,
        created_at: from_millis(record.created_at)?,
        updated_at: from_millis(record.updated_at)?,
        requests_since: from_millis(record.requests_since)?,
        slow_until: None,
        later: Later { fields: record.later, ..later },
        version: parts.version,
    })
}

/// Everything of a webhook that is not secret.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Only in the record of an earlier version, if it was no secret then. Otherwise it is sealed.
    url: String,
    destination: String,
    events: Vec<String>,
    monitor_groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause: Option<PauseRecord>,
    outage: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing_since: Option<i64>,
    consecutive_failures: u8,
    handshake: HandshakeRecord,
    resumed_in: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<Part<JobRecord>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notification: Option<Part<NotificationRecord>>,
    /// Due time and message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outbox: Vec<(i64, Part<Message>)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    audit: Vec<EntryRecord>,
    generation: u64,
    created_at: i64,
    updated_at: i64,
    requests_since: i64,
    #[serde(flatten)]
    later: Map<String, Value>,
}

/// A part of a record that this version may not know.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Part<T> {
    Known(T),
    Later(Value),
}

#[derive(Serialize, Deserialize)]
struct PauseRecord {
    reason: String,
    since: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing_since: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct NotificationRecord {
    id: u64,
    kind: NotificationKindRecord,
    at: i64,
    state: NotificationStateRecord,
    answered: bool,
}

#[derive(Serialize, Deserialize)]
enum NotificationKindRecord {
    Failing { last_error: String },
    Paused { reason: String, last_error: String },
    Recovered { drained: u64 },
}

#[derive(Serialize, Deserialize)]
enum NotificationStateRecord {
    Pending,
    Sending { tries: u32, until: i64 },
    Sent,
}

#[derive(Serialize, Deserialize)]
struct HandshakeRecord {
    ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    at: i64,
    micros: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: ResponseHeaders,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct JobRecord {
    kind: String,
    page: u32,
    due: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leased_until: Option<i64>,
    outage: u32,
    ramp: u32,
    setbacks: u32,
    drained: u64,
}

/// The part that is sealed.
#[derive(Serialize, Deserialize)]
struct Secrets {
    current: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outgoing: Option<OutgoingRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rotated_at: Option<i64>,
    headers: BTreeMap<String, String>,
    /// The whole URL. Missing in the record of an earlier version, if it was no secret then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    routing_key: Option<String>,
    #[serde(flatten)]
    later: Map<String, Value>,
}

impl Record {
    fn of(webhook: &Webhook) -> Self {
        let (settings, later) = (&webhook.settings, &webhook.later);
        let (state, pause) = match &webhook.state {
            State::Pending => ("pending", None),
            State::Active => ("active", None),
            State::Paused(pause) => ("paused", Some(PauseRecord::of(pause, later))),
            State::Deleted => ("deleted", None),
        };
        let known_events = settings.events.iter().map(|event| event.name().to_owned());
        let job = webhook.job.map(|job| Part::Known(JobRecord::of(job)));
        let notification = webhook.notification.as_ref().map(NotificationRecord::of).map(Part::Known);
        let owed = webhook.outbox.iter().map(|owed| (millis(owed.due), Part::Known(owed.message.clone())));
        let owed_later = later.outbox.iter().map(|(due, message)| (*due, Part::Later(message.clone())));
        let mut audit: Vec<_> = webhook.audit.entries().iter().map(entry_record).collect();
        audit.extend(later.audit.iter().cloned());
        audit.sort_by_key(|(at, ..)| *at);
        Self {
            url: String::new(),
            destination: settings.destination.name().to_owned(),
            events: known_events.chain(later.events.iter().cloned()).collect(),
            monitor_groups: settings.monitor_groups.clone(),
            description: settings.description.clone(),
            state: state.to_owned(),
            pause,
            outage: webhook.health.outage,
            failing_since: webhook.health.failing_since.map(millis),
            consecutive_failures: webhook.health.consecutive_failures,
            handshake: HandshakeRecord {
                ok: webhook.handshake.ok,
                status_code: webhook.handshake.status_code,
                reason: webhook.handshake.reason.clone(),
                at: millis(webhook.handshake.at),
                micros: micros(webhook.handshake.duration),
                headers: webhook.handshake.answer.headers.clone(),
                response: webhook.handshake.answer.body.clone(),
            },
            resumed_in: webhook.resumed_in,
            job: job.or_else(|| later.job.clone().map(Part::Later)),
            notification: notification.or_else(|| later.notification.clone().map(Part::Later)),
            outbox: owed.chain(owed_later).collect(),
            audit,
            generation: webhook.generation,
            created_at: millis(webhook.created_at),
            updated_at: millis(webhook.updated_at),
            requests_since: millis(webhook.requests_since),
            later: later.fields.clone(),
        }
    }

    fn settings(&self, secrets: Secrets, later: &mut Later) -> Result<Settings, Unreadable> {
        let mut events = vec![];
        for name in &self.events {
            match EventType::from_name(name) {
                Some(event) => events.push(event),
                None => later.events.push(name.clone()),
            }
        }
        let destination = secrets.destination(&self.destination)?;
        later.sealed = secrets.later;
        Ok(Settings {
            url: EndpointUrl::restore(secrets.url.as_ref().unwrap_or(&self.url))
                .map_err(Unreadable::because)?,
            destination,
            events,
            monitor_groups: self.monitor_groups.clone(),
            description: self.description.clone(),
            headers: Headers(secrets.headers),
        })
    }

    fn state(&self, later: &mut Later) -> Result<State, Unreadable> {
        match (self.state.as_str(), &self.pause) {
            ("pending", None) => Ok(State::Pending),
            ("active", None) => Ok(State::Active),
            ("deleted", None) => Ok(State::Deleted),
            ("paused", Some(pause)) => Ok(State::Paused(pause.restore(later)?)),
            _ => Err(Unreadable::unknown("state", &self.state)),
        }
    }
}

fn restore_job(record: Option<Part<JobRecord>>, later: &mut Later) -> Result<Option<BulkJob>, Unreadable> {
    let job = match record {
        None => return Ok(None),
        Some(Part::Known(job)) => job,
        Some(Part::Later(job)) => {
            later.job = Some(job);
            return Ok(None);
        }
    };
    let Some(kind) = JobKind::from_name(&job.kind) else {
        later.job = Some(serde_json::to_value(job).map_err(Unreadable::because)?);
        return Ok(None);
    };
    Ok(Some(BulkJob {
        kind,
        page: job.page,
        due: from_millis(job.due)?,
        leased_until: optional_time(job.leased_until)?,
        outage: job.outage,
        ramp: job.ramp,
        setbacks: job.setbacks,
        drained: job.drained,
    }))
}

fn restore_notification(
    record: Option<Part<NotificationRecord>>,
    later: &mut Later,
) -> Result<Option<Notification>, Unreadable> {
    match record {
        None => Ok(None),
        Some(Part::Known(notification)) => notification.restore().map(Some),
        Some(Part::Later(notification)) => {
            later.notification = Some(notification);
            Ok(None)
        }
    }
}

fn restore_outbox(
    records: Vec<(i64, Part<Message>)>,
    later: &mut Later,
) -> Result<Vec<ScheduledMessage>, Unreadable> {
    let mut outbox = vec![];
    for (due, message) in records {
        match message {
            Part::Known(message) => outbox.push(ScheduledMessage { message, due: from_millis(due)? }),
            Part::Later(message) => later.outbox.push((due, message)),
        }
    }
    Ok(outbox)
}

impl JobRecord {
    fn of(job: BulkJob) -> Self {
        Self {
            kind: job.kind.name().to_owned(),
            page: job.page,
            due: millis(job.due),
            leased_until: job.leased_until.map(millis),
            outage: job.outage,
            ramp: job.ramp,
            setbacks: job.setbacks,
            drained: job.drained,
        }
    }
}

impl PauseRecord {
    fn of(pause: &Pause, later: &Later) -> Self {
        let known = pause.reason.name().to_owned();
        Self {
            reason: match pause.reason {
                PauseReason::Unknown => later.pause_reason.clone().unwrap_or(known),
                _ => known,
            },
            since: millis(pause.since),
            last_error: pause.last_error.clone(),
            failing_since: pause.failing_since.map(millis),
        }
    }

    fn restore(&self, later: &mut Later) -> Result<Pause, Unreadable> {
        let reason = reason(&self.reason);
        if reason == PauseReason::Unknown {
            later.pause_reason = Some(self.reason.clone());
        }
        Ok(Pause {
            reason,
            since: from_millis(self.since)?,
            last_error: self.last_error.clone(),
            failing_since: optional_time(self.failing_since)?,
        })
    }
}

fn reason(name: &str) -> PauseReason {
    PauseReason::from_name(name).unwrap_or(PauseReason::Unknown)
}

impl NotificationRecord {
    fn of(notification: &Notification) -> Self {
        Self {
            id: notification.id,
            kind: match &notification.kind {
                NotificationKind::Failing { last_error } => {
                    NotificationKindRecord::Failing { last_error: last_error.clone() }
                }
                NotificationKind::Paused { reason, last_error } => NotificationKindRecord::Paused {
                    reason: reason.name().to_owned(),
                    last_error: last_error.clone(),
                },
                NotificationKind::Recovered { drained } => {
                    NotificationKindRecord::Recovered { drained: *drained }
                }
            },
            at: millis(notification.at),
            state: match notification.state {
                NotificationState::Pending => NotificationStateRecord::Pending,
                NotificationState::Sending { tries, until } => {
                    NotificationStateRecord::Sending { tries, until: millis(until) }
                }
                NotificationState::Sent => NotificationStateRecord::Sent,
            },
            answered: notification.answered,
        }
    }

    fn restore(self) -> Result<Notification, Unreadable> {
        Ok(Notification {
            id: self.id,
            kind: match self.kind {
                NotificationKindRecord::Failing { last_error } => NotificationKind::Failing { last_error },
                NotificationKindRecord::Paused { reason: name, last_error } => {
                    NotificationKind::Paused { reason: reason(&name), last_error }
                }
                NotificationKindRecord::Recovered { drained } => NotificationKind::Recovered { drained },
            },
            at: from_millis(self.at)?,
            state: match self.state {
                NotificationStateRecord::Pending => NotificationState::Pending,
                NotificationStateRecord::Sending { tries, until } => {
                    NotificationState::Sending { tries, until: from_millis(until)? }
                }
                NotificationStateRecord::Sent => NotificationState::Sent,
            },
            answered: self.answered,
        })
    }
}

impl Secrets {
    fn of(webhook: &Webhook) -> Self {
        let settings = &webhook.settings;
        Self {
            current: webhook.keys.current().reveal().to_owned(),
            // `Timestamp::MIN` is before every window's end, so that an old secret whose window has ended is stored too.
            outgoing: webhook.keys.outgoing(Timestamp::MIN).map(OutgoingRecord::of),
            rotated_at: webhook.keys.rotated_at().map(millis),
            headers: settings.headers.0.clone(),
            url: Some(settings.url.as_str().to_owned()),
            routing_key: settings.destination.routing_key().map(|key| key.reveal().to_owned()),
            later: webhook.later.sealed.clone(),
        }
    }

    fn destination(&self, name: &str) -> Result<Destination, Unreadable> {
        let format = destination::format(name).ok_or_else(|| Unreadable::unknown("destination", name))?;
        let key = self.routing_key.as_deref().map(RoutingKey::parse).transpose();
        Destination::new(format, key.map_err(Unreadable::because)?).map_err(Unreadable::because)
    }

    fn keys(&self) -> Result<SigningKeys, Unreadable> {
        let current = Secret::parse(&self.current).map_err(Unreadable::because)?;
        let outgoing = self.outgoing.as_ref().map(OutgoingRecord::restore).transpose()?;
        Ok(SigningKeys::restore(current, outgoing, optional_time(self.rotated_at)?))
    }
}
