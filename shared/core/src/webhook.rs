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
//! Each change of state counts up the webhook's `epoch`: messages that belong to an older one are recognised.

mod sweep;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::alert::{Alert, AlertKind, Notice};
use crate::attempt::Failure;
use crate::audit::{AuditLog, Change};
use crate::destination::{Consequence, Destination};
use crate::event::{Event, EventType};
use crate::ids::{AccountId, KeyId, WebhookId};
use crate::retry;
use crate::signature::SigningKeys;
use crate::target::EndpointUrl;

pub use sweep::{Sweep, SweepMode};

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
    /// When it was last resumed.
    pub resumed_at: Option<Timestamp>,
    /// The outage number with which it was last resumed. Ladders whose first failure has a smaller one begin afresh.
    pub resumed_in: u32,
    /// What is being done to its deliveries since the last change of state.
    pub sweep: Option<Sweep>,
    /// The latest news of it for its account's engineers.
    pub alert: Option<Alert>,
    /// Who did what to it.
    pub audit: AuditLog,
    /// Counts the changes of state.
    pub epoch: u64,
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
            resumed_at: None,
            resumed_in: 0,
            sweep: None,
            alert: None,
            audit: AuditLog::default(),
            epoch: 0,
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

    /// Whether an outage has ended, and what waits on the ladder is being brought forward.
    pub(crate) fn is_recovering(&self) -> bool {
        self.sweep.is_some_and(|sweep| sweep.mode == SweepMode::Recover)
    }

    /// The alert that is to be told as things stand. A pause is told when what it holds is held, so that the count is right.
    pub(crate) fn alert_to_tell(&self) -> Option<&Alert> {
        let alert = self.alert.as_ref().filter(|alert| alert.notice != Notice::Done)?;
        let is_early = matches!(alert.kind, AlertKind::Paused { .. }) && self.sweep.is_some();
        (!is_early).then_some(alert)
    }

    /// Whether it has an alert that may be told now.
    pub(crate) fn is_to_be_told(&self, now: Timestamp) -> bool {
        self.alert_to_tell().is_some_and(|alert| match alert.notice {
            Notice::Due => true,
            Notice::Sending { until, .. } => until <= now,
            Notice::Done => false,
        })
    }

    /// Whether a sweep was begun that has made no step yet.
    pub(crate) fn has_just_begun_a_sweep(&self) -> bool {
        self.sweep.is_some_and(|sweep| sweep.step == 0)
    }

    /// Whether it is paused because of a single answer, whichever attempt that was.
    pub fn is_paused_at_once(&self) -> bool {
        let at_once = |pause: &Pause| matches!(pause.reason, PauseReason::Gone | PauseReason::Permanent);
        matches!(&self.state, State::Paused(pause) if at_once(pause))
    }

    /// Whether it does not exist any more for its owner.
    pub fn is_deleted(&self) -> bool {
        self.state == State::Deleted
    }

    /// The webhook after an attempt got a 2xx; `None` if that changes nothing, as on every ordinary day.
    ///
    /// With `recover` the end of an outage begins to bring forward what waits on the ladder. An outage is one in which a retry
    /// failed too, and nothing got through in between: a poison payload among others that are taken is none.
    #[must_use]
    pub fn after_success(&self, recover: bool, now: Timestamp) -> Option<Self> {
        // Once it answers the end of the sweep is awaited, whose count is told; one that failed meanwhile has to answer again.
        let is_awaited = |alert: &Alert| alert.answered && self.sweep.is_some();
        let is_news = self.alert.as_ref().is_some_and(|alert| alert.is_trouble() && !is_awaited(alert));
        if !self.is_active() || !self.health.is_failing() && !is_news {
            return None;
        }
        let mut next = self.clone();
        if self.health.is_failing() {
            next.health = self.health.recovered();
        }
        if recover && self.health.consecutive_failures > 0 {
            next.begin_idle(SweepMode::Recover, now);
        }
        match &mut next.alert {
            Some(alert) if is_news && next.sweep.is_some() => alert.answered = true,
            Some(_) if is_news => next.is_well_again(0, now),
            _ => {}
        }
        Some(next)
    }

    /// Ends the sweep. What was announced to be well again when it has ended is so now.
    pub(crate) fn end_sweep(&mut self, let_go: u64, now: Timestamp) {
        self.sweep = None;
        let answers = self.alert.as_ref().is_some_and(|alert| alert.answered);
        if answers && self.health.failing_since.is_none() {
            self.is_well_again(let_go, now);
        }
    }

    /// Who was told of no trouble is not told of its end.
    fn is_well_again(&mut self, drained: u64, now: Timestamp) {
        let told = self.alert.as_ref().is_some_and(|alert| alert.notice != Notice::Due);
        self.alert = told.then(|| Alert::new(AlertKind::Well { drained }, now));
    }

    /// The webhook after an attempt failed; `None` if that changes nothing.
    ///
    #[must_use]
    pub fn after_failure(&self, failed: FailedAttempt<'_>, now: Timestamp) -> Option<Self> {
        if !self.is_active() || failed.consequence == Consequence::GiveUp {
            return None;
        }
        let failing_since = self.health.failing_since.unwrap_or(now);
        let nothing_got_through = failed.first_outage.is_none_or(|outage| outage == self.health.outage);
        let climbed = if nothing_got_through { retry::rung(failed.number) } else { 0 };
        let consecutive_failures = self.health.consecutive_failures.max(climbed);
        let health = Health { failing_since: Some(failing_since), consecutive_failures, ..self.health };
        let reason = if let Consequence::Pause(reason) = failed.consequence {
            Some(reason)
        } else if consecutive_failures >= retry::FAILURES_TO_PAUSE {
            Some(PauseReason::Failures)
        } else {
            None
        };
        if reason.is_none() && health == self.health {
            return None;
        }
        let mut next = Self { health, ..self.clone() };
        let last_error = failed.failure.reason.clone();
        let is_known =
            next.alert.as_ref().is_some_and(|alert| matches!(alert.kind, AlertKind::Failing { .. }));
        if let Some(reason) = reason {
            next.pause(reason, Some(last_error.clone()), None, now);
            next.alert = Some(Alert::new(AlertKind::Paused { reason, last_error }, now));
        } else if consecutive_failures >= retry::FAILURES_TO_WARN && !is_known {
            next.alert = Some(Alert::new(AlertKind::Failing { last_error }, now));
        }
        Some(next)
    }

    /// Pauses an active webhook; without anybody's key it is its failures that do.
    pub(crate) fn pause(
        &mut self,
        reason: PauseReason,
        last_error: Option<String>,
        by: Option<KeyId>,
        now: Timestamp,
    ) {
        self.audit.add(Change::Paused, by, now);
        // It answered; that the rest is held now makes no difference to those who wait for the news.
        let let_go = self.sweep.map_or(0, |sweep| sweep.let_go);
        self.end_sweep(let_go, now);
        let failing_since = self.health.failing_since;
        self.enter(State::Paused(Pause { reason, since: now, last_error, failing_since }), now);
        self.begin_sweep(SweepMode::Hold, now);
    }

    /// Makes a webhook active that was paused: it starts with a clean slate, and its held deliveries, so many, are let go
    /// or dropped.
    pub(crate) fn resume(&mut self, mode: SweepMode, held: u64, by: KeyId, now: Timestamp) {
        let drops = mode == SweepMode::Discard;
        self.audit.add(if drops { Change::ResumedDiscarding } else { Change::Resumed }, Some(by), now);
        self.health = self.health.recovered();
        self.resumed_at = Some(now);
        self.resumed_in = self.health.outage;
        self.enter(State::Active, now);
        self.begin_sweep(mode, now);
        if let Some(sweep) = self.sweep.as_mut().filter(|sweep| sweep.mode == SweepMode::Release) {
            sweep.let_go = held;
        }
        self.stop_telling_of_pause();
    }

    /// Whoever resumed it knows that it was paused.
    fn stop_telling_of_pause(&mut self) {
        let Some(alert) = &mut self.alert else { return };
        match (&alert.kind, alert.notice) {
            (AlertKind::Paused { .. }, Notice::Due) => self.alert = None,
            (AlertKind::Paused { .. }, Notice::Sending { .. }) => alert.notice = Notice::Done,
            _ => {}
        }
    }

    /// Makes a pending webhook active; `false` if it was no pending one.
    pub(crate) fn verified(&mut self, now: Timestamp) -> bool {
        let is_news = self.state == State::Pending;
        if is_news {
            self.enter(State::Active, now);
        }
        is_news
    }

    /// Deletes it; its deliveries are cancelled.
    pub(crate) fn delete(&mut self, now: Timestamp) {
        self.enter(State::Deleted, now);
        self.begin_sweep(SweepMode::Cancel, now);
        self.alert = None;
    }

    /// Begins to let go of what is held, where nothing is being done yet.
    pub(crate) fn begin_release(&mut self, now: Timestamp) -> bool {
        self.begin_idle(SweepMode::Release, now)
    }

    fn begin_idle(&mut self, mode: SweepMode, now: Timestamp) -> bool {
        let idle = self.is_active() && self.sweep.is_none();
        if idle {
            self.epoch += 1;
            self.begin_sweep(mode, now);
        }
        idle
    }

    fn enter(&mut self, state: State, now: Timestamp) {
        self.state = state;
        self.epoch += 1;
        self.updated_at = now;
        self.sweep = None;
        if let Some(alert) = &mut self.alert {
            alert.answered = false;
        }
    }

    fn begin_sweep(&mut self, mode: SweepMode, now: Timestamp) {
        let outage = self.health.outage.saturating_sub(1);
        self.sweep =
            Some(Sweep { mode, begun: now, outage, step: 0, due: now, ramp: 0, setbacks: 0, let_go: 0 });
    }
}

/// What [`Webhook::after_failure`] needs to know of an attempt.
#[derive(Debug, Clone, Copy)]
pub struct FailedAttempt<'a> {
    /// Which attempt of the ladder it was.
    pub number: u8,
    /// Why it failed.
    pub failure: &'a Failure,
    /// What follows from that.
    pub consequence: Consequence,
    /// The outage in which this round of the delivery first failed; `None` if this is its first failure.
    pub first_outage: Option<u32>,
}
