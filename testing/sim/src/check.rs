//! Checks the invariants while a run is in progress. `end.rs` checks the final state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use statuspulse_core::attempt::{Reply, Trigger};
use statuspulse_core::delivery::{Delivery, State, Timing};
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::message::AttemptKey;
use statuspulse_core::notification::{Notification, NotificationKind, NotificationState};
use statuspulse_core::webhook::{self, BulkJob, JobKind, PauseReason, Webhook};

use crate::accepted::Accepted;
use crate::clock::SKEW_MS_MAX;
use crate::history::short;
use crate::receivers::{Post, is_for_content, refused_together};
use crate::signatures::Signatures;
use crate::store::Store;
use crate::task::TaskId;

/// Twice the largest error of a clock: how far two clocks may differ.
pub(crate) const SKEW: Duration = Duration::from_millis(2 * SKEW_MS_MAX.unsigned_abs());

/// The ladder as documented, independent of the code under test.
const WAITS: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(900), Duration::from_secs(3600)];
const ATTEMPTS: u8 = 5;
/// Failed retries in a row after which engineers are warned.
pub(crate) const WARNED_AT: u8 = 2;
/// The longest time from a receiver's answer to its record. Up to six calls come in between, each at most
/// [`SLOWEST`](crate::ports::SLOWEST).
pub(crate) const ATTEMPT_MAX: Duration = Duration::from_secs(300);
/// The longest wait that a receiver can ask for.
const PATIENCE_MAX: Duration = Duration::from_secs(3600);

/// A POST of a delivery's attempt: its round, its number, and whether it is early.
type PostId = (DeliveryId, u32, u8, bool);

/// A notification: its webhook and its id.
type NotificationId = (WebhookId, u64);

/// What a task is working on.
#[derive(Default)]
struct TaskState {
    /// The attempts it has claimed and not recorded yet.
    claims: Vec<(DeliveryId, AttemptKey)>,
    /// The POSTs it has made and not recorded yet.
    called: Vec<PostId>,
    /// The notifications it has claimed, and whether it has sent them.
    sending: Vec<NotificationId>,
    pub(crate) notified: bool,
    /// The last webhook it read, and whether it was active.
    look: Option<(WebhookId, bool)>,
    /// The deliveries it has put on the ladder.
    put_on_ladder: Vec<DeliveryId>,
    /// The deliveries that waited in their lanes and that it has held.
    held_waiting: Vec<DeliveryId>,
    /// Whether a fault has hit it.
    struck: bool,
}

#[derive(Default)]
struct Posts {
    count: usize,
    /// How often a fault hit a worker after it had made the POST.
    excuses: usize,
}

/// What was observed, and the violations.
#[derive(Default)]
pub(crate) struct Ledger {
    tasks: BTreeMap<TaskId, TaskState>,
    posts: BTreeMap<PostId, Posts>,
    notified: BTreeMap<NotificationId, Posts>,
    sent: BTreeMap<DeliveryId, (String, Bytes)>,
    /// The deliveries that a receiver has accepted.
    taken: BTreeSet<DeliveryId>,
    /// The same, if no fault has hit the worker since: its outcome cannot be lost.
    surely_taken: BTreeSet<DeliveryId>,
    /// The worker with the latest lease on each job. A replaced job's worker may still work on its page.
    leases: BTreeMap<(WebhookId, u64), TaskId>,
    /// The round of each delivery, and the time before which its receiver asked not to be called (`Retry-After`).
    patience: BTreeMap<DeliveryId, (u32, Timestamp)>,
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) discarded: BTreeSet<WebhookId>,
    pub(crate) violations: Vec<String>,
    /// When each webhook last accepted something.
    pub(crate) took: BTreeMap<WebhookId, Timestamp>,
    /// When each webhook last refused a request or did not answer.
    pub(crate) refused: BTreeMap<WebhookId, Timestamp>,
    /// When each webhook last accepted something, or when its failures were reset (by a resume or a new URL).
    cleared: BTreeMap<WebhookId, Timestamp>,
    /// When each webhook was last paused.
    paused: BTreeMap<WebhookId, Timestamp>,
    /// When each delivery was last saved.
    saved_at: BTreeMap<DeliveryId, Timestamp>,
    /// When each webhook was last resumed.
    resumed: BTreeMap<WebhookId, Timestamp>,
    /// How often the owners asked to retry each delivery now.
    pub(crate) asked: BTreeMap<DeliveryId, usize>,
    /// The webhooks whose owners asked to retry all.
    pub(crate) asked_for_all: BTreeSet<WebhookId>,
    /// When an outage of each webhook last ended.
    recovered: BTreeMap<WebhookId, Timestamp>,
    /// Whether something was started that only the quarter-hourly check completes: its caller gave up, or a message was lost.
    pub(crate) needs_reconciling: bool,
    pub(crate) signatures: Signatures,
    /// The errors that workers logged.
    pub(crate) errors: Vec<String>,
    pub(crate) attempts: usize,
}

impl Ledger {
    pub(crate) fn violated(&mut self, what: String) {
        self.violations.push(what);
    }

    pub(crate) fn begins(&mut self, task: TaskId) {
        self.tasks.insert(task, TaskState::default());
        self.signatures.begins(task);
    }

    /// A worker has finished its message. A delivery that it has put on the ladder must not be left there by a pause.
    pub(crate) fn is_done(&mut self, task: TaskId, store: &Store, now: Timestamp) {
        let Some(ended) = self.tasks.remove(&task) else { return };
        self.signatures.ended(task, ended.struck, now);
        // A delivery that is due soon is held by its own message.
        let soon = now.checked_add(limits::CLAIM + SKEW).unwrap_or(now);
        for kept in ended.put_on_ladder.iter().filter_map(|id| store.deliveries.get(id)) {
            let webhook = store.webhooks.get(&kept.delivery.webhook_id);
            let is_held = |webhook: &Webhook| {
                matches!(webhook.state, webhook::State::Paused(_)) && webhook.job.is_none()
            };
            let is_on_ladder =
                matches!(kept.delivery.state, State::Scheduled { number: 2.., at, .. } if at > soon);
            if is_on_ladder && webhook.is_some_and(|webhook| is_held(webhook)) {
                let name = short(kept.delivery.id);
                self.violated(format!("pause: {name} was put on the ladder and was not held"));
            }
        }
    }

    pub(crate) fn has_held_waiting(&self, task: TaskId, delivery: DeliveryId) -> bool {
        self.tasks.get(&task).is_some_and(|state| state.held_waiting.contains(&delivery))
    }

    pub(crate) fn forget(&mut self, task: TaskId) {
        self.tasks.remove(&task);
    }

    pub(crate) fn claimed(&mut self, task: TaskId, delivery: DeliveryId, key: AttemptKey) {
        let state = self.tasks.entry(task).or_default();
        state.claims.retain(|(known, _)| *known != delivery);
        state.claims.push((delivery, key));
        state.look = None;
    }

    pub(crate) fn looked(&mut self, task: TaskId, webhook: &Webhook) {
        self.tasks.entry(task).or_default().look = Some((webhook.id, webhook.is_active()));
    }

    /// A fault has hit the task: its POSTs may be repeated.
    pub(crate) fn excuse(&mut self, task: TaskId) {
        let state = self.tasks.entry(task).or_default();
        state.struck = true;
        for post in &state.called {
            self.posts.entry(*post).or_default().excuses += 1;
            self.surely_taken.remove(&post.0);
            // The receiver's `Retry-After` may be lost.
            self.patience.remove(&post.0);
        }
        for notification in state.sending.iter().filter(|_| state.notified) {
            self.notified.entry(*notification).or_default().excuses += 1;
        }
    }

    /// A notification is sent to Slack (I6).
    pub(crate) fn notifies(&mut self, task: TaskId) {
        let Some(state) = self.tasks.get_mut(&task) else { return };
        state.notified = true;
        if state.sending.is_empty() {
            self.violations.push("I6: a notification is sent that no worker has claimed".to_owned());
        }
        for notification in &state.sending {
            let notified = self.notified.entry(*notification).or_default();
            notified.count += 1;
            if notified.count > 1 + notified.excuses {
                self.violations.push(format!(
                    "I6: the notification of {} is sent twice: {}",
                    short(notification.0),
                    notification.1
                ));
            }
        }
    }

    pub(crate) fn was_notified(&self, webhook: WebhookId, notification: u64) -> bool {
        self.notified.get(&(webhook, notification)).is_some_and(|notified| notified.count > 0)
    }

    /// An attempt's POST begins. It is for one delivery, or, as a channel's burst, for all that the task has claimed.
    /// Returns these deliveries.
    pub(crate) fn posts(
        &mut self,
        task: TaskId,
        post: &Post<'_>,
        store: &Store,
        now: Timestamp,
    ) -> Vec<DeliveryId> {
        self.attempts += 1;
        let state = self.tasks.entry(task).or_default();
        let look = state.look;
        let is_channel = store.goes_to_a_channel(post.delivery);
        let is_own = |(id, key): &(DeliveryId, AttemptKey)| *id == post.delivery && key.number == post.number;
        let claims = state.claims.clone();
        if !claims.iter().any(is_own) {
            self.violated(format!("I7: {} is posted without a claim", short(post.delivery)));
        }
        let posted: Vec<_> = claims.into_iter().filter(|claim| is_channel || is_own(claim)).collect();
        if posted.len() > 1 && posted.iter().any(|(id, _)| store.was_refused_together(*id)) {
            self.violated(format!("content: {} shares a message again", short(post.delivery)));
        }
        for (id, key) in &posted {
            self.posts_one(task, *id, *key, look, store, now);
        }
        if !is_channel {
            self.same_bytes(post, store);
        }
        posted.into_iter().map(|(id, _)| id).collect()
    }

    /// Checks I3.
    fn same_bytes(&mut self, post: &Post<'_>, store: &Store) {
        let name = short(post.delivery);
        let event = store.deliveries.get(&post.delivery).map(|kept| kept.delivery.event_id);
        let event = event.and_then(|id| store.events.get(&id)).map(|kept| kept.event.clone());
        if event.is_none_or(|event| event.body != post.body || event.id.to_string() != post.event) {
            self.violated(format!("I3: {name} differs from the published event"));
        }
        let first =
            self.sent.entry(post.delivery).or_insert_with(|| (post.event.to_owned(), post.body.clone()));
        if first.0 != post.event || first.1 != post.body {
            self.violated(format!("I3: {name} is posted with a different body or id than before"));
        }
    }

    /// Checks I4, I5, I7 and the waits of the ladder.
    fn posts_one(
        &mut self,
        task: TaskId,
        id: DeliveryId,
        key: AttemptKey,
        look: Option<(WebhookId, bool)>,
        store: &Store,
        now: Timestamp,
    ) {
        let Some(kept) = store.deliveries.get(&id) else {
            return self.violated(format!("I1: {} is posted but not stored", short(id)));
        };
        let delivery = &kept.delivery;
        let name = short(delivery.id);
        let early = self.is_early(delivery, key, now);
        // An early attempt is followed by the ladder's own attempt, whose wait counts from the record before it.
        let one_more = matches!(delivery.state, State::Scheduled { timing: Timing::Early { .. }, .. });
        let post = (delivery.id, key.round, key.number, one_more);
        if self.signatures.is_repeat(task, delivery) {
            return;
        }
        self.tasks.entry(task).or_default().called.push(post);
        let asked = self.asked.get(&id).copied().filter(|_| one_more).unwrap_or_default();
        let posts = self.posts.entry(post).or_default();
        posts.count += 1;
        let refused = refused_together(delivery) + self.signatures.not_repeated(id);
        if posts.count > 1 + posts.excuses + asked + refused {
            let (count, AttemptKey { round, number }) = (posts.count, key);
            self.violated(format!("I7: {name} round {round} number {number} is posted {count} times"));
        }
        if self.surely_taken.contains(&id) {
            self.violated(format!("I7: {name} is posted in round {} although it was accepted", key.round));
        }
        if look != Some((delivery.webhook_id, true)) {
            self.violated(format!("I4: {name} is posted although its webhook was not seen active"));
        }
        let earlier = store.unfinished_before(delivery, kept.place).find(|earlier| !earlier.ended_once);
        if let Some(earlier) = earlier {
            let earlier = short(earlier.delivery.id);
            self.violated(format!("I5: {name} is posted before {earlier} of its incident is finished"));
        }
        // A retry is only early if an outage has ended since its last failure, or if its owner asked for it.
        let failed = delivery.attempts.last().and_then(|last| last.at.checked_sub(SKEW).ok());
        let ended = self.recovered.get(&delivery.webhook_id).copied();
        let patience = self.patience.get(&delivery.id);
        let impatient = patience.is_some_and(|(round, until)| *round == key.round && now < *until);
        let was_asked_for = asked > 0 || self.asked_for_all.contains(&delivery.webhook_id);
        if (early || impatient) && ended < failed && !was_asked_for {
            self.violated(format!("ladder: {name} number {} is early", key.number));
        }
    }

    /// A receiver has answered.
    pub(crate) fn answered(&mut self, delivery: &Delivery, reply: &Reply, at: Timestamp) {
        if (200..300).contains(&reply.status) {
            self.taken.insert(delivery.id);
            self.surely_taken.insert(delivery.id);
            // Even if the webhook has no failure to reset, because the failure of another payload is not recorded yet.
            self.cleared.insert(delivery.webhook_id, at);
            self.took.insert(delivery.webhook_id, at);
        }
        if reply.status >= 300 {
            self.failed(delivery.webhook_id, at);
        }
        let asked = reply.retry_after.as_ref().and_then(|seconds| seconds.parse().ok());
        let asked = asked.map(Duration::from_secs).unwrap_or_default().min(PATIENCE_MAX);
        let until = at.checked_add(asked).unwrap_or(at).checked_sub(SKEW).unwrap_or(at);
        self.patience.insert(delivery.id, (delivery.round, until));
    }

    /// A receiver has refused a request, or has not answered.
    pub(crate) fn failed(&mut self, webhook: WebhookId, at: Timestamp) {
        self.refused.insert(webhook, at);
    }

    /// Whether the attempt is made before its time on the ladder.
    fn is_early(&self, delivery: &Delivery, key: AttemptKey, now: Timestamp) -> bool {
        let Some(last) = delivery.attempts.last().filter(|last| last.number + 1 == key.number) else {
            return false;
        };
        let wait = WAITS[usize::from(last.number.clamp(1, 4)) - 1];
        let own = last.at.checked_add(last.duration + wait).unwrap_or(now);
        now.checked_add(SKEW).unwrap_or(now) < own
    }

    /// A save of a delivery was refused. The outcome of an attempt must not be lost, unless a fault hit its worker or
    /// its claim had expired.
    pub(crate) fn refused(&mut self, task: TaskId, delivery: &Delivery, now: Timestamp) {
        let soon = now.checked_add(SKEW).unwrap_or(now);
        if delivery.claimed_until.is_some_and(|until| until <= soon) {
            return;
        }
        let Some(state) = self.tasks.get(&task).filter(|state| !state.struck) else { return };
        if state.called.iter().any(|post| post.0 == delivery.id) {
            self.violated(format!("I7: the outcome of an attempt of {} is lost", short(delivery.id)));
        }
    }

    /// A delivery was changed (I7: no rung twice).
    pub(crate) fn saved(&mut self, task: TaskId, before: &Delivery, saved: &Delivery, now: Timestamp) {
        let state = self.tasks.entry(task).or_default();
        state.claims.retain(|(id, _)| *id != saved.id);
        state.called.retain(|post| post.0 != saved.id);
        if matches!(saved.state, State::Scheduled { number: 2.., .. }) {
            state.put_on_ladder.push(saved.id);
        }
        if before.state == State::Waiting && saved.state == State::Held {
            state.held_waiting.push(saved.id);
        }
        let struck = state.struck;
        self.saved_at.insert(saved.id, now);
        // Its owner asked for a redelivery.
        if before.is_finished() && saved.trigger == Trigger::Redelivery {
            self.surely_taken.remove(&saved.id);
        }
        // Only the worker with the lease on the job releases deliveries after a resume.
        let drained = saved.trigger == Trigger::Resume && saved.round > before.round;
        let has_lease =
            |(job, worker): (&(WebhookId, u64), &TaskId)| job.0 == saved.webhook_id && *worker == task;
        if drained && !struck && !self.leases.iter().any(has_lease) {
            self.violated(format!("job: {} is released by a worker without the lease", short(saved.id)));
        }
        for pair in saved.attempts.windows(2) {
            let (before, after) = (pair[0].number, pair[1].number);
            // An early attempt and the ladder's own attempt have the same number.
            if after != 1 && after != before + 1 && after != before {
                self.violated(format!("I7: {} went from {before} to {after}", short(saved.id)));
            }
        }
        self.violations.extend(Signatures::recorded(saved));
        self.begins_afresh(before, saved);
        let climbs = saved.state == State::Failed && !is_for_content(saved);
        let last = saved.attempts.last().map(|attempt| attempt.number);
        if climbs && last != Some(ATTEMPTS) {
            self.violated(format!("ladder: {} is given up after {last:?}", short(saved.id)));
        }
        // If nothing got through since the ladder began, this is an outage: the webhook is paused and the delivery
        // held.
        let first = saved.attempts.iter().rev().find(|attempt| attempt.number == 1);
        let began = first.and_then(|first| first.at.checked_add(first.duration).ok()?.checked_sub(SKEW).ok());
        if climbs && self.cleared.get(&saved.webhook_id).copied() < began {
            self.violated(format!("pause: {} is given up although nothing got through", short(saved.id)));
        }
        let succeeded = saved.attempts.last().is_some_and(|last| last.succeeded());
        if saved.state == State::Delivered && !(succeeded && self.taken.contains(&saved.id)) {
            self.violated(format!("{} is delivered although no receiver accepted it", short(saved.id)));
        }
        // The longest wait, after an attempt that may have been slightly early.
        let wait = PATIENCE_MAX + limits::CLAIM + SKEW;
        if let State::Scheduled { at, .. } = saved.state
            && now.checked_add(wait).unwrap_or(now) < at
        {
            self.violated(format!("ladder: {} is due too late, at {at}", short(saved.id)));
        }
    }

    /// If a ladder failed before a resume and fails again in an attempt after it, the delivery is held and the ladder
    /// starts over.
    fn begins_afresh(&mut self, before: &Delivery, saved: &Delivery) {
        let goes_on = matches!(saved.state, State::Failed | State::Scheduled { number: 2.., .. });
        let is_attempt = saved.attempts.len() > before.attempts.len();
        let Some(resumed) = self.resumed.get(&saved.webhook_id).filter(|_| goes_on && is_attempt) else {
            return;
        };
        let first = saved.attempts.iter().rev().find(|attempt| attempt.number == 1);
        let Some((first, last)) = first.zip(saved.attempts.last()) else { return };
        let failed_before = first.at.checked_add(first.duration + ATTEMPT_MAX).is_ok_and(|at| at < *resumed);
        if failed_before && last.at.checked_sub(SKEW).is_ok_and(|at| at > *resumed) {
            self.violated(format!("resume: the ladder of {} does not start over", short(saved.id)));
        }
    }

    /// When a hold job has ended, nothing may be left on the ladder.
    pub(crate) fn held(&mut self, before: &Webhook, after: &Webhook, store: &Store, now: Timestamp) {
        let held = before.job.is_some_and(|job| job.kind == JobKind::Hold) && after.job.is_none();
        if !held || after.is_active() || after.is_deleted() {
            return;
        }
        let soon = now.checked_add(limits::CLAIM + SKEW).unwrap_or(now);
        // A worker that records an outcome later holds the delivery itself.
        let began = self.paused.get(&after.id).and_then(|began| began.checked_sub(SKEW).ok());
        let left = store.deliveries.values().find(|kept| {
            kept.delivery.webhook_id == after.id
                && matches!(kept.delivery.state, State::Scheduled { at, .. } if at > soon)
                && self.saved_at.get(&kept.delivery.id).copied() < began
        });
        if let Some(left) = left {
            let name = short(left.delivery.id);
            self.violated(format!("pause: {name} is on the ladder although the hold job has ended"));
        }
    }

    /// A webhook was changed. An outage may have ended. Failures pause it at the fourth failed retry and not before.
    pub(crate) fn changed(
        &mut self,
        task: TaskId,
        before: &Webhook,
        after: &Webhook,
        store: &Store,
        now: Timestamp,
    ) {
        if before.health.failing_since.is_some() && after.health.failing_since.is_none() {
            self.cleared.insert(after.id, now);
        }
        let tried = |webhook: &Webhook| match &webhook.notification {
            Some(Notification { id, state: NotificationState::Sending { tries, .. }, .. }) => {
                Some((*id, *tries))
            }
            _ => None,
        };
        // The state changes when a try is claimed. Waiting for the next try does not change the number of tries.
        if let Some((id, _)) = tried(after).filter(|now| tried(before).as_ref() != Some(now)) {
            self.tasks.entry(task).or_default().sending.push((after.id, id));
        }
        let is_paused = |webhook: &Webhook| matches!(webhook.state, webhook::State::Paused(_));
        if before.is_active() && is_paused(after) {
            self.paused.insert(after.id, now);
        }
        if is_paused(before) && after.is_active() {
            self.resumed.insert(after.id, now);
        }
        let streaks = (before.health.consecutive_failures, after.health.consecutive_failures);
        let warns =
            matches!(after.notification, Some(Notification { kind: NotificationKind::Failing { .. }, .. }));
        if streaks.0 < WARNED_AT && streaks.1 >= WARNED_AT && after.is_active() && !warns {
            self.violated(format!("I6: no notification is raised for failing {}", short(after.id)));
        }
        let lease = |webhook: &Webhook| webhook.job.and_then(|job| job.leased_until);
        if lease(after).is_some() && lease(after) != lease(before) {
            self.leases.insert((after.id, after.generation), task);
        }
        let begins = |job: BulkJob| job.kind == JobKind::Recover && before.generation != after.generation;
        if after.job.is_some_and(begins) {
            self.recovered.insert(after.id, now);
        }
        let webhook::State::Paused(pause) = &after.state else { return };
        if before.is_active() && pause.reason == PauseReason::Failures {
            let claims = self.tasks.get(&task).map(|state| state.claims.clone()).unwrap_or_default();
            // An additional attempt that an owner asked for does not count.
            let soon = now.checked_add(limits::CLAIM + SKEW).unwrap_or(now);
            let is_additional = |id: &DeliveryId| {
                let state = store.deliveries.get(id).map(|kept| kept.delivery.state);
                matches!(state, Some(State::Scheduled { timing: Timing::Early { ladder_at }, .. }) if ladder_at > soon)
            };
            if !claims.iter().any(|(id, key)| key.number == ATTEMPTS && !is_additional(id)) {
                self.violated(format!("pause: {} is paused by attempts {claims:?}", short(after.id)));
            }
        }
    }
}
