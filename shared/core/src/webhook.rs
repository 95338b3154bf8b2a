//! A webhook: a registered endpoint with its settings, state and health.
//!
//! # States
//!
//! ```text
//!            handshake passed                  4th failed retry | 410 | by hand | permanent
//! Pending ---------------------------> Active ----------------------------------> Paused
//!                                         ^                                          |
//!                                         +------------------- resume ---------------+
//! any ---- delete ----> Deleted
//! ```
//!
//! - Only a successful handshake makes a pending webhook active.
//! - Only an active webhook can be paused, and only a paused webhook can be resumed.
//! - A deleted webhook remains as a tombstone and never becomes active again.
//!
//! Each change of state increments the webhook's `generation`, so that messages of older generations can be recognised.
//!
//! # Changes say what they call for
//!
//! A change is a pure function from one state to the next. The messages it calls for (the next page of a job, a
//! notification, a domain event) are in the new state's `outbox`. A transactional store sends them with the save.
//! Otherwise [`Outbox`](crate::outbox::Outbox) sends them right after it, and then removes them from the record. Code
//! that reads a webhook and finds unsent messages sends them.

pub(crate) mod changes;
pub(crate) mod job;
pub(crate) mod later;
pub(crate) mod pages;
pub mod pause;
pub mod settings;

use std::time::Duration;

use jiff::Timestamp;

use crate::attempt::ResponseHeaders;
use crate::audit::{AccountEntry, AuditLog, Change};
use crate::destination::Address;
use crate::event::{Event, EventType};
use crate::ids::{AccountId, WebhookId};
use crate::message::ScheduledMessage;
use crate::notification::{Notification, NotificationKind};
use crate::rotation::Digests;
use crate::signature::SigningKeys;

pub use job::{BulkJob, JobKind};
pub use later::Later;
pub use pause::{Pause, PauseReason};
pub use settings::{Headers, Settings};

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Unique id.
    pub id: WebhookId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// What its owner has set.
    pub settings: Settings,
    /// The keys that sign its requests.
    pub keys: SigningKeys,
    /// Whether it may be called.
    pub state: State,
    /// Its recent successes and failures.
    pub health: Health,
    /// The result of its last handshake.
    pub handshake: Handshake,
    /// The outage number after its last resume. A ladder that first failed in an earlier outage starts over.
    pub resumed_in: u32,
    /// The job that is changing its deliveries, if any.
    pub job: Option<BulkJob>,
    /// The latest notification to its account's engineers.
    pub notification: Option<Notification>,
    /// Messages that may not have been sent yet. Always empty in a store that commits messages with the record.
    pub outbox: Vec<ScheduledMessage>,
    /// The latest changes, and who made them; with what the next save adds to its account's audit log.
    pub audit: AuditLog,
    /// Incremented with each change of state.
    pub generation: u64,
    /// Creation time.
    pub created_at: Timestamp,
    /// When its settings or its state last changed.
    pub updated_at: Timestamp,
    /// When its URL, headers or signing keys last changed.
    pub requests_since: Timestamp,
    /// Until when it counts as slow; `None` if its last attempts were quick. This is a hint that a store may forget. It is
    /// not part of the record: see [`Webhooks::mark_slow`](crate::ports::Webhooks::mark_slow).
    pub slow_until: Option<Timestamp>,
    /// What a later version has written and this one does not know.
    pub later: Later,
    /// Incremented with each save, for compare-and-set.
    pub version: u64,
}

/// Whether a webhook may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Has not passed its handshake; receives nothing.
    Pending,
    /// Receives the events it wants.
    Active,
    /// Receives nothing; its deliveries are held.
    Paused(Pause),
    /// Receives nothing; its deliveries are cancelled.
    Deleted,
}

/// A webhook's recent successes and failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// The number of outages that have ended. Two failures belong to the same outage if and only if they have the same
    /// number, so no times are compared.
    pub outage: u32,
    /// The first failure since the last 2xx or resume.
    pub failing_since: Option<Timestamp>,
    /// Failed retries in a row, 0 to 4; see [`retry`](crate::retry).
    pub consecutive_failures: u8,
}

impl Health {
    /// The health after a 2xx, a resume or a change of the URL: the outage has ended.
    #[must_use]
    pub fn recovered(self) -> Self {
        Self { outage: self.outage + 1, ..Self::default() }
    }

    /// Whether an attempt has failed since the last 2xx or resume.
    pub fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }
}

/// The result of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Whether it succeeded.
    pub ok: bool,
    /// The status of the answer, if there was one.
    pub status_code: Option<u16>,
    /// What to fix, if it failed.
    pub reason: Option<String>,
    /// When it was made.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// What the endpoint answered, if it failed. Every attempt reads the webhook, and a passed handshake has nothing to
    /// explain.
    pub answer: Answer,
}

/// The start of an endpoint's answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Its headers, as far as they are kept.
    pub headers: ResponseHeaders,
    /// The start of its body, as text.
    pub body: Option<String>,
}

/// Why a webhook does not receive an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwanted {
    /// The webhook has not passed its handshake, or is deleted.
    Status,
    /// The webhook does not receive this event type.
    EventType,
    /// The webhook and the event have no monitor group in common.
    MonitorGroups,
}

impl Webhook {
    /// A new webhook: pending, and with nothing delivered yet.
    pub fn new(
        id: WebhookId,
        account_id: AccountId,
        settings: Settings,
        keys: SigningKeys,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            account_id,
            settings,
            keys,
            state: State::Pending,
            health: Health::default(),
            handshake: Handshake {
                ok: false,
                status_code: None,
                reason: None,
                at: now,
                duration: Duration::ZERO,
                answer: Answer::default(),
            },
            resumed_in: 0,
            job: None,
            notification: None,
            outbox: vec![],
            audit: AuditLog::default(),
            generation: 0,
            created_at: now,
            updated_at: now,
            requests_since: now,
            slow_until: None,
            later: Later::default(),
            version: 0,
        }
    }

    /// Whether an event of this type and with these groups becomes a delivery to this webhook. The error is the rule
    /// that excludes it.
    pub fn wants(&self, event_type: EventType, groups: &[String]) -> Result<(), Unwanted> {
        if matches!(self.state, State::Pending | State::Deleted) {
            return Err(Unwanted::Status);
        }
        if !self.settings.events.contains(&event_type) {
            return Err(Unwanted::EventType);
        }
        let wanted = &self.settings.monitor_groups;
        if wanted.is_empty() || wanted.iter().any(|name| groups.contains(name)) {
            Ok(())
        } else {
            Err(Unwanted::MonitorGroups)
        }
    }

    /// Whether this event becomes a delivery to this webhook.
    pub fn wants_event(&self, event: &Event) -> bool {
        self.wants(event.event_type, &event.monitor_groups).is_ok()
    }

    /// The entries of its account's audit log that a save of this version stores.
    pub fn audit_entries(&self) -> Vec<AccountEntry> {
        self.audit.unsaved(self.account_id, self.id, self.version)
    }

    /// When it was last resumed and held deliveries were released, as far as the audit log reaches.
    pub fn resumed_at(&self) -> Option<Timestamp> {
        self.audit.last(Change::Resumed)
    }

    /// Whether attempts may start.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// Whether it was slow a while ago, so that it probably still is.
    pub(crate) fn is_slow(&self, now: Timestamp) -> bool {
        self.slow_until.is_some_and(|until| now < until)
    }

    /// Whether its receiver may check signatures: it is a customer's own.
    pub(crate) fn checks_signatures(&self) -> bool {
        self.settings.destination.format().address() == Address::Url
    }

    /// Remembers that a repeated call, with the keys `used` and at this time, got through with these digests. Returns
    /// whether this was news.
    pub(crate) fn remember(&mut self, used: &SigningKeys, digests: Digests, at: Timestamp) -> bool {
        let keys = self.keys.remembering(used, digests);
        let is_news = keys.is_some();
        if let Some(keys) = keys {
            (self.keys, self.requests_since) = (keys, at);
        }
        is_news
    }

    /// Whether its owner has paused it.
    fn is_paused_by_hand(&self) -> bool {
        matches!(&self.state, State::Paused(pause) if pause.reason == PauseReason::Manual)
    }

    /// Whether its owner has deleted it.
    pub fn is_deleted(&self) -> bool {
        self.state == State::Deleted
    }

    /// The notification, if it may be sent now. The one for a pause waits for the hold job, so that its count of held
    /// deliveries is right.
    pub(crate) fn sendable_notification(&self, now: Timestamp) -> Option<&Notification> {
        let notification = self.notification.as_ref().filter(|notification| notification.is_due(now))?;
        (!self.is_holding_for(notification)).then_some(notification)
    }

    fn is_holding_for(&self, notification: &Notification) -> bool {
        let holds = self.job.is_some_and(|job| job.kind == JobKind::Hold);
        holds && matches!(notification.kind, NotificationKind::Paused { .. })
    }
}
