//! What a change of a webhook's state does to its deliveries, a page at a time: a pause holds them, a resume
//! lets them go or drops them, a delete cancels them.
//!
//! **The drain** (a release) starts with a small page and doubles it every second up to a bound, oldest first;
//! the lane keeps each incident's order. While the webhook fails again it lets go one delivery at a time, with
//! doubling waits, as a probe: a receiver that is down is left alone, and one poison payload among the held
//! cannot stop the rest. A pause in the middle ends it: the rest is still held.
//!
//! **The end of an outage** brings forward what waits on the ladder, by the same pages: one attempt more, once a rung. If it
//! fails, the ladder's own attempt is made at its time; if the webhook fails again, the rest stays where it is.
//!
//! **Nothing is left lying.** A worker that dies after it recorded a page and before it sent the messages leaves deliveries
//! that nobody comes for: they are in no page any more. So a release or discard that finds nothing more to do looks at what
//! it has let go, wakes what has not been attempted for long, and ends when there is no such thing.
//!
//! **One sweep at a time.** Its step is part of the webhook's record; a message of another step or an older
//! epoch does no work. One of the running epoch stays as a watchdog, and sends for a step that is overdue.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use super::{Engine, Handled};
use crate::delivery::{Delivery, State};
use crate::error::Result;
use crate::limits;
use crate::message::{SweepMessage, Wakeup};
use crate::ports::{Claim, SweepPart};
use crate::signature::later;
use crate::webhook::{Sweep, SweepMode, Webhook};

impl Engine {
    pub(super) async fn sweep(&self, message: SweepMessage) -> Result<Handled> {
        let Some(webhook) = self.webhooks.webhook(message.webhook_id).await? else {
            return Ok(Handled::Done);
        };
        let Some(sweep) = webhook.sweep.filter(|_| webhook.epoch == message.epoch) else {
            // Ended, or replaced by another; whoever did that may have died before it acted.
            self.after_step(&webhook).await?;
            return Ok(Handled::Done);
        };
        let now = self.clock.now();
        let overdue = later(sweep.due, limits::CLAIM);
        if now < sweep.due {
            return Ok(Handled::Again(sweep.due));
        }
        if message.step != sweep.step {
            if now < overdue {
                // The message of the step before watches over this one; earlier ones have others behind them.
                let watches = message.step + 1 >= sweep.step;
                return Ok(if watches { Handled::Again(overdue) } else { Handled::Done });
            }
            // Not worked on by this one: if that broke off, nobody would watch over the step after.
            self.follow_up_webhook(&webhook).await?;
            return Ok(Handled::Done);
        }
        let page = self.sweep_page(&webhook, sweep, now).await?;
        self.next_step(&webhook, sweep, page).await
    }

    /// Works on one page.
    async fn sweep_page(&self, webhook: &Webhook, sweep: Sweep, now: Timestamp) -> Result<Swept> {
        let (part, limit) = match sweep.mode {
            SweepMode::Hold => (SweepPart::Moving, limits::SWEEP_PAGE),
            SweepMode::Release => (SweepPart::Held, release_size(webhook, sweep)),
            SweepMode::Discard => (SweepPart::Held, limits::SWEEP_PAGE),
            SweepMode::Cancel => (SweepPart::Unfinished, limits::SWEEP_PAGE),
            SweepMode::Recover => {
                (SweepPart::DueAfter(later(now, limits::DRAIN_INTERVAL)), limits::SWEEP_PAGE)
            }
        };
        let mut page = self.deliveries.sweep_page(webhook.id, part, limit).await?;
        let full = page.len() >= limit;
        if sweep.mode == SweepMode::Recover {
            page.retain(|delivery| delivery.clone().brought_forward(now, sweep.outage).is_some());
            page.truncate(release_size(webhook, sweep));
        }
        // Spread over the time until the next page: oldest first also where they arrive, and no bursts.
        let gap = limits::DRAIN_INTERVAL / u32::try_from(page.len().max(1)).unwrap_or(u32::MAX);
        let mut saved = Vec::with_capacity(page.len());
        let mut in_hands = false;
        for (place, delivery) in (0..).zip(page) {
            let due = delivery.next_step().map(|(_, at)| at);
            let next = match sweep.mode {
                SweepMode::Release => Some(delivery.begun_again(later(now, gap * place))),
                SweepMode::Hold => {
                    self.claimed(delivery, now).await?.map(|delivery| delivery.moved(State::Held))
                }
                SweepMode::Discard => Some(delivery.moved(State::Discarded)),
                SweepMode::Recover => {
                    let at = later(now, gap * place);
                    let delivery = self.claimed(delivery, now).await?;
                    delivery.and_then(|delivery| delivery.brought_forward(at, sweep.outage))
                }
                SweepMode::Cancel => {
                    self.claimed(delivery, now).await?.map(|delivery| delivery.moved(State::Cancelled))
                }
            };
            let Some(next) = next else {
                in_hands |= due.is_none_or(|due| due <= later(now, limits::CLAIM));
                continue;
            };
            if let Ok(kept) = self.deliveries.save_delivery(&next).await? {
                saved.push(kept.delivery);
            }
        }
        let changed = saved.len();
        let let_go = if sweep.mode == SweepMode::Recover { changed as u64 } else { 0 };
        self.follow_up_page(sweep.mode, saved).await?;
        // The last ones are on their way just now, and soon there; what has not arrived then takes longer.
        let patience = if sweep.ramp > 0 { limits::ATTEMPT_TIMEOUT } else { limits::STRAGGLER };
        let again_after = match sweep.mode {
            _ if changed > 0 || full => None,
            SweepMode::Release | SweepMode::Discard => {
                self.wake_stragglers(webhook, now).await?.then_some(patience)
            }
            SweepMode::Hold | SweepMode::Cancel => in_hands.then_some(limits::ATTEMPT_TIMEOUT),
            SweepMode::Recover => None,
        };
        Ok(Swept { changed, let_go, full, again_after })
    }

    /// Whether something is on its way that was let go and not attempted yet.
    async fn wake_stragglers(&self, webhook: &Webhook, now: Timestamp) -> Result<bool> {
        let released =
            self.deliveries.sweep_page(webhook.id, SweepPart::Released, limits::SWEEP_PAGE).await?;
        let mut wakeups = vec![];
        for delivery in &released {
            if delivery.next_step().is_some_and(|(_, at)| later(at, limits::STRAGGLER) <= now) {
                wakeups.extend(self.attempt_wakeup(delivery).await?);
            }
        }
        if !wakeups.is_empty() {
            tracing::warn!(webhook.id = %webhook.id, count = wakeups.len(), "released deliveries are woken once more");
            self.wakeups.send(wakeups).await?;
        }
        let moving = self.deliveries.sweep_page(webhook.id, SweepPart::Moving, limits::SWEEP_PAGE).await?;
        let mut lanes = HashSet::new();
        for delivery in &moving {
            match delivery.state {
                State::Waiting if lanes.insert(&delivery.incident_id) => self.wake_lane(delivery).await?,
                State::Scheduled { number: 1, .. }
                    if !delivery.is_as_accepted() && !delivery.is_released() =>
                {
                    self.watch(delivery, limits::STRAGGLER).await?
                }
                _ => {}
            }
        }
        Ok(!released.is_empty())
    }

    /// A scheduled delivery may be in a worker's hands: only who holds its claim changes it. One that cannot be had is left
    /// to its worker, who sees the webhook's new state; if that died, its claim ends some day, and the sweep looks until then.
    async fn claimed(&self, delivery: Delivery, now: Timestamp) -> Result<Option<Delivery>> {
        let Some((step, at)) = delivery.next_step() else { return Ok(Some(delivery)) };
        match self.deliveries.claim(delivery.webhook_id, delivery.id, step, at.max(now), now).await? {
            Claim::Taken(delivery) => Ok(Some(*delivery)),
            Claim::Later(_) | Claim::Moved(_) | Claim::Unknown => Ok(None),
        }
    }

    /// Acts on a page's records, after all of them are kept: in a lane that was dropped whole nobody is woken.
    async fn follow_up_page(&self, mode: SweepMode, saved: Vec<Delivery>) -> Result<()> {
        match mode {
            SweepMode::Hold => Ok(()),
            SweepMode::Release | SweepMode::Recover => {
                let mut wakeups: Vec<Wakeup> = Vec::with_capacity(saved.len());
                for delivery in &saved {
                    wakeups.extend(self.attempt_wakeup(delivery).await?);
                }
                if wakeups.is_empty() { Ok(()) } else { Ok(self.wakeups.send(wakeups).await?) }
            }
            SweepMode::Discard | SweepMode::Cancel => {
                let mut lanes = HashSet::new();
                for delivery in saved.into_iter().rev() {
                    if lanes.insert(delivery.incident_id.clone()) {
                        self.follow_up(delivery).await?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Records that this step is done, and sends for the next, or for what follows the end. If the webhook was
    /// changed meanwhile, its new state has a sweep of its own or none; the step is then recorded on top, or
    /// dropped.
    async fn next_step(&self, webhook: &Webhook, sweep: Sweep, page: Swept) -> Result<Handled> {
        let mut latest = std::sync::Arc::new(webhook.clone());
        loop {
            match latest.sweep {
                Some(current) if latest.epoch == webhook.epoch && current == sweep => {}
                // Who recorded this step may have died before it acted, with this very message in its hands.
                Some(current) if latest.epoch == webhook.epoch => {
                    return Ok(Handled::Again(later(current.due, limits::CLAIM)));
                }
                // The same; or what was just held came too late for the release of a resume.
                _ => {
                    self.after_step(&latest).await?;
                    return Ok(Handled::Done);
                }
            }
            let mut next = Webhook::clone(&latest);
            let (now, let_go) = (self.clock.now(), sweep.let_go + page.let_go);
            match after_page(&latest, sweep, page, now) {
                Some(step) => next.sweep = Some(Sweep { let_go, ..step }),
                None => next.end_sweep(let_go, now),
            }
            if self.webhooks.save_webhook(&next).await?.is_ok() {
                next.version += 1;
                self.after_step(&next).await?;
                return Ok(Handled::Done);
            }
            let Some(again) = self.webhooks.webhook(webhook.id).await? else { return Ok(Handled::Done) };
            latest = again;
        }
    }

    /// At a sweep's end: what was held between its last look and now has nobody else to come for it.
    async fn after_step(&self, webhook: &Webhook) -> Result<()> {
        if webhook.sweep.is_none()
            && webhook.is_active()
            && !self.deliveries.sweep_page(webhook.id, SweepPart::Held, 1).await?.is_empty()
        {
            return self.ensure_release(webhook.id).await;
        }
        self.follow_up_webhook(webhook).await
    }
}

/// What was done with a page.
#[derive(Clone, Copy)]
struct Swept {
    /// How many deliveries were changed.
    changed: usize,
    /// How many of them are more on their way to the receiver than were known before.
    let_go: u64,
    /// Whether there may be more behind it.
    full: bool,
    /// When to look again, where nothing could be done: something that was let go has not been attempted yet, or is in a
    /// worker's hands.
    again_after: Option<Duration>,
}

/// How many deliveries a release lets go in this step.
fn release_size(webhook: &Webhook, sweep: Sweep) -> usize {
    if webhook.health.failing_since.is_some() {
        return 1;
    }
    limits::DRAIN_FIRST_PAGE.checked_shl(sweep.ramp).unwrap_or(usize::MAX).min(limits::DRAIN_PAGE_MAX)
}

/// The sweep after a page; `None` at its end.
fn after_page(webhook: &Webhook, sweep: Sweep, page: Swept, now: Timestamp) -> Option<Sweep> {
    // An outage that goes on is none that has ended: what waits is left where it is.
    let relapsed = sweep.mode == SweepMode::Recover && sweep.setbacks >= RELAPSES;
    let full = page.full && sweep.mode != SweepMode::Recover;
    if relapsed || page.changed == 0 && !full && page.again_after.is_none() {
        return None;
    }
    let failing = webhook.health.failing_since.is_some();
    let (wait, ramp, setbacks) = match (sweep.mode, page.again_after) {
        (_, Some(wait)) => (wait, 0, 0),
        (SweepMode::Release | SweepMode::Recover, None) if failing => {
            (probe_wait(sweep.setbacks), 0, sweep.setbacks.saturating_add(1))
        }
        (SweepMode::Release | SweepMode::Recover, None) => {
            (limits::DRAIN_INTERVAL, sweep.ramp.saturating_add(1).min(16), 0)
        }
        // A page that is all in workers' hands hides what is behind it until they are done.
        _ if page.changed == 0 => (limits::DRAIN_INTERVAL, 0, 0),
        (SweepMode::Hold | SweepMode::Discard | SweepMode::Cancel, None) => (Duration::ZERO, 0, 0),
    };
    Some(Sweep { step: sweep.step + 1, due: later(now, wait), ramp, setbacks, ..sweep })
}

/// Looks on end at which a webhook that was to be well again fails.
const RELAPSES: u32 = 3;

fn probe_wait(setbacks: u32) -> Duration {
    limits::DRAIN_RECHECK.saturating_mul(1 << setbacks.min(6)).min(limits::DRAIN_RECHECK_MAX)
}
