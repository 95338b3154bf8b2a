//! A registered endpoint: what it wants, whether it may be called, and how it has been doing.
//!
//! # States, and who may change them
//!
//! ```text
//!            handshake passed                  4th failed retry | 410 | by hand | permanent
//! Pending ---------------------------> Active ----------------------------------> Paused
//!                                         ^                                          |
//!                                         +------------------- resume ---------------+
//! any ---- delete ----> Deleted
//! ```
//!
//! - only a handshake makes a pending webhook active;
//! - only an active webhook is paused, and only a paused one resumed;
//! - a deleted one stays as a tombstone until its deliveries are cancelled, and never changes again.
//!
//! Each change of state counts up the webhook's `generation`: messages that belong to an older one are recognised.
//!
//! # Changes say what they call for
//!
//! A change is a pure function from one state to the next. What it calls for (the next page of a job, a notification, an
//! event) is in the new state's `outbox`: the store sends it in the transaction that saves the state, or
//! [`Outbox`](crate::outbox::Outbox) does so right after, and strikes it off. Whoever finds it unsent sends it.

mod changes;
mod job;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::audit::AuditLog;
use crate::destination::Destination;
use crate::event::{Event, EventType};
use crate::ids::{AccountId, WebhookId};
use crate::message::ScheduledMessage;
use crate::notification::{Notification, NotificationKind};
use crate::signature::SigningKeys;
use crate::target::EndpointUrl;

pub(crate) use changes::FailedAttempt;
pub use job::{BulkJob, JobKind};
pub(crate) use job::{PageClaim, PageResult};

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub account_id: AccountId,
    /// What its owner set.
    pub settings: Settings,
    /// What its deliveries are signed with.
    pub keys: SigningKeys,
    /// Whether it may be called.
    pub state: State,
    /// How it has been doing.
    pub health: Health,
    /// How its last handshake went.
    pub handshake: Handshake,
    /// The outage number with which it was last resumed. Ladders whose first failure has a smaller one begin afresh.
    pub resumed_in: u32,
    /// What is being done to its deliveries since the last change of state.
    pub job: Option<BulkJob>,
    /// What its account's engineers are told last.
    pub notification: Option<Notification>,
    /// What its changes called for and is not known to be sent. Empty in a store that sends in the same transaction.
    pub outbox: Vec<ScheduledMessage>,
    /// Who did what to it.
    pub audit: AuditLog,
    /// Counts the changes of state.
    pub generation: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner last changed it, or its state changed.
    pub updated_at: Timestamp,
    /// Since when its requests are made as they are now: to where, with which headers, signed with which keys.
    pub requests_since: Timestamp,
    /// Counts its changes, for the store's compare-and-set.
    pub version: u64,
}

/// What an owner sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where deliveries go.
    pub url: EndpointUrl,
    /// In which form.
    pub destination: Destination,
    /// Which types of event it wants: one at least.
    pub events: Vec<EventType>,
    /// Which monitor groups it wants; empty for all.
    pub monitor_groups: Vec<String>,
    /// What its owner calls it.
    pub description: Option<String>,
    /// Headers sent with every delivery. Often credentials, so their values are never shown again.
    pub headers: Headers,
}

/// Custom headers by name. `Debug` shows no value.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(pub BTreeMap<String, String>);

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Whether a webhook may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Has not passed its handshake.
    Pending,
    /// Gets what it wants.
    Active,
    /// Gets nothing for now; what it wants is held.
    Paused(Pause),
    /// Gets nothing any more.
    Deleted,
}

/// Why and since when a webhook is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Why.
    pub reason: PauseReason,
    /// Since when.
    pub since: Timestamp,
    /// The failure that led to it, in words.
    pub last_error: Option<String>,
    /// Since when the webhook had been failing.
    pub failing_since: Option<Timestamp>,
}

/// Why a webhook is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// Four consecutive failures.
    Failures,
    /// It answered 410 Gone.
    Gone,
    /// Its owner paused it.
    Manual,
    /// It answered that it will take nothing any more: see [`Destination::verdict`].
    Permanent,
}

impl PauseReason {
    /// All of them.
    pub const ALL: [PauseReason; 4] =
        [PauseReason::Failures, PauseReason::Gone, PauseReason::Manual, PauseReason::Permanent];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            PauseReason::Failures => "failures",
            PauseReason::Gone => "gone",
            PauseReason::Manual => "manual",
            PauseReason::Permanent => "permanent",
        }
    }

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// How a webhook has been doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Counts the outages that have ended. So two failures belong to one outage exactly if they have the same number:
    /// no clock is asked.
    pub outage: u32,
    /// The first failure since the last 2xx.
    pub failing_since: Option<Timestamp>,
    /// Failed retries on end, 0 to 4; see [`retry`].
    pub consecutive_failures: u8,
}

impl Health {
    /// After a 2xx, a resume or a new endpoint: what failed before is over.
    #[must_use]
    pub fn recovered(self) -> Self {
        Self { outage: self.outage + 1, ..Self::default() }
    }

    /// Whether something failed since the last 2xx.
    pub fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }
}

/// How a handshake went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Whether it was answered with exactly 200.
    pub ok: bool,
    /// What was answered, if anything was.
    pub status_code: Option<u16>,
    /// What to fix, if it failed.
    pub reason: Option<String>,
    /// When it was made.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
}

/// Why an event does not reach a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwanted {
    /// It has not passed its handshake, or is deleted.
    Status,
    /// The event's type is not among those it is bound to.
    EventType,
    /// The event shares no monitor group with it.
    MonitorGroups,
}

impl Webhook {
    /// A webhook as it is registered: it has not passed its handshake, and nothing has happened to it.
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
            version: 0,
        }
    }

    /// Whether an event of this type and these groups becomes a delivery to this webhook; if not, which rule
    /// said no.
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

    /// Whether an attempt may start.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// Whether it does not exist any more for its owner.
    pub fn is_deleted(&self) -> bool {
        self.state == State::Deleted
    }

    /// The notification that may be sent now. That of a pause waits until what is due is held, so that its count is right.
    pub(crate) fn sendable_notification(&self, now: Timestamp) -> Option<&Notification> {
        let notification = self.notification.as_ref().filter(|notification| notification.is_due(now))?;
        (!self.is_holding_for(notification)).then_some(notification)
    }

    fn is_holding_for(&self, notification: &Notification) -> bool {
        let holds = self.job.is_some_and(|job| job.kind == JobKind::Hold);
        holds && matches!(notification.kind, NotificationKind::Paused { .. })
    }
}
