//! What a record calls for. See the module above: this is the "act" of "record, then act".

use std::time::Duration;

use super::Engine;
use crate::alert::{Alert, Notice};
use crate::delivery::{Delivery, State};
use crate::error::Result;
use crate::ids::WebhookId;
use crate::limits;
use crate::message::{Message, NoticeMessage, SweepMessage, Wakeup};
use crate::ports::Conflict;
use crate::signature::later;
use crate::webhook::{self, Webhook};

impl Engine {
    /// Keeps a delivery's new state, and does what it calls for. If somebody else changed it meanwhile, what they
    /// recorded holds. The acting is ours all the same: they may have had the same message and died before they acted, and
    /// the message goes when we are done.
    pub(super) async fn record(&self, delivery: &Delivery) -> Result<()> {
        match self.deliveries.save_delivery(delivery).await? {
            Ok(saved) if saved.delivery.is_finished() && !saved.has_company => {
                self.send_news(self.news_of_delivery(&saved.delivery)).await
            }
            Ok(saved) => self.follow_up(saved.delivery).await,
            Err(Conflict) => match self.deliveries.delivery(&[delivery.webhook_id], delivery.id).await? {
                Some(latest) => self.follow_up(latest).await,
                None => Ok(()),
            },
        }
    }

    /// Does what a delivery's recorded state calls for. Harmless to repeat.
    pub(super) async fn follow_up(&self, delivery: Delivery) -> Result<()> {
        let mut delivery = delivery;
        loop {
            match delivery.state {
                State::Waiting => match self.stop_with_webhook(&delivery).await? {
                    Some(stopped) => delivery = stopped,
                    // Whoever is before it in the lane wakes it.
                    None => return self.wake_lane(&delivery).await,
                },
                State::Scheduled { .. } => return self.wake_attempt(&delivery).await,
                // Hold, then look again: a webhook that was resumed between the look that said "paused" and the
                // record "held" may have ended its drain already, and nobody else would come for this one.
                State::Held => match self.stop_with_webhook(&delivery).await? {
                    Some(cancelled) => delivery = cancelled,
                    None => return self.ensure_release(delivery.webhook_id).await,
                },
                State::Delivered | State::Failed | State::Discarded | State::Cancelled => {
                    self.send_news(self.news_of_delivery(&delivery)).await?;
                    match self.first_attempt_of_lane(&delivery).await? {
                        Some(Head::Promoted(next) | Head::Found(next)) => delivery = next,
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    /// What comes to wait or is held while its webhook is paused or deleted shares the fate of all the rest: the sweep that
    /// holds or cancels may be over.
    async fn stop_with_webhook(&self, delivery: &Delivery) -> Result<Option<Delivery>> {
        let state = match self.webhooks.webhook(delivery.webhook_id).await? {
            Some(webhook) if webhook.is_deleted() => State::Cancelled,
            Some(webhook) if matches!(webhook.state, webhook::State::Paused(_)) => State::Held,
            _ => return Ok(None),
        };
        if delivery.state == state {
            return Ok(None);
        }
        let saved = self.deliveries.save_delivery(&delivery.clone().moved(state)).await?;
        Ok(saved.ok().map(|saved| saved.delivery))
    }

    /// Sees to it that a lane in which somebody waits goes on. Its head may be one whose publisher broke off before a message
    /// was sent, and never came back: nobody was promised that event, but those behind it would wait for ever. Or it waits
    /// itself, because who was before it died before waking it. Or somebody else promoted it just now, and died before they
    /// sent its message: the same message that brought us here may not bring them here again.
    pub(super) async fn wake_lane(&self, waiting: &Delivery) -> Result<()> {
        match self.first_attempt_of_lane(waiting).await? {
            None => Ok(()),
            Some(Head::Promoted(head)) => self.wake_attempt(&head).await,
            Some(Head::Found(head)) => self.watch(&head, limits::OVERDUE).await,
        }
    }

    /// Sends a scheduled delivery's message once more, for a time when its attempt should have been made.
    pub(super) async fn watch(&self, scheduled: &Delivery, after: Duration) -> Result<()> {
        let (Some((_, at)), Some(wakeup)) = (scheduled.next_step(), self.attempt_wakeup(scheduled).await?)
        else {
            return Ok(());
        };
        Ok(self.wakeups.send(vec![Wakeup { due: later(at, after), ..wakeup }]).await?)
    }

    /// The head of this delivery's lane, if it is to make the first attempt of its round; one that waits is promoted first.
    /// A later rung has a message for sure: the worker who recorded it comes again if it died.
    async fn first_attempt_of_lane(&self, of: &Delivery) -> Result<Option<Head>> {
        loop {
            let head = self.deliveries.lane_head(of.webhook_id, &of.incident_id).await?;
            match head {
                Some(head) if head.state == State::Waiting => {
                    let promoted = head.promoted(self.clock.now());
                    if let Ok(saved) = self.deliveries.save_delivery(&promoted).await? {
                        return Ok(Some(Head::Promoted(saved.delivery)));
                    }
                    // Somebody else saw to it, and may have died before they acted: look again.
                }
                Some(head) if matches!(head.state, State::Scheduled { number: 1, .. }) => {
                    return Ok(Some(Head::Found(head)));
                }
                _ => return Ok(None),
            }
        }
    }

    async fn wake_attempt(&self, delivery: &Delivery) -> Result<()> {
        let Some(wakeup) = self.attempt_wakeup(delivery).await? else { return Ok(()) };
        Ok(self.wakeups.send(vec![wakeup]).await?)
    }

    /// The message a scheduled delivery waits for.
    pub(super) async fn attempt_wakeup(&self, delivery: &Delivery) -> Result<Option<Wakeup>> {
        let event = self.deliveries.event(delivery.event_id).await?;
        // Without its event the attempt discards the delivery; without a message nobody would.
        let body = event.map(|event| event.body.clone()).unwrap_or_default();
        Ok(Wakeup::of_attempt(delivery, &body))
    }

    /// Does what a webhook's recorded state calls for: the next step of its sweep, and its notice.
    pub(super) async fn follow_up_webhook(&self, webhook: &Webhook) -> Result<()> {
        let sweep = webhook.sweep.map(|sweep| {
            let message = SweepMessage { webhook_id: webhook.id, epoch: webhook.epoch, step: sweep.step };
            Wakeup { message: Message::Sweep(message), due: sweep.due }
        });
        // One that is being told has its message; while a sweep goes on, each of its steps would send another.
        let notice = webhook
            .alert_to_tell()
            .filter(|alert| alert.notice == Notice::Due || sweep.is_none())
            .map(|alert| self.notice_of(webhook, alert));
        let wakeups: Vec<Wakeup> =
            sweep.into_iter().chain(notice).chain(self.news_of_webhook(webhook)).collect();
        if wakeups.is_empty() { Ok(()) } else { Ok(self.wakeups.send(wakeups).await?) }
    }

    /// Has the alert told that an attempt gave rise to, where no sweep does.
    pub(super) async fn tell(&self, webhook: &Webhook) -> Result<()> {
        let alert = webhook.alert_to_tell().filter(|alert| alert.notice == Notice::Due);
        self.send_news(alert.map(|alert| self.notice_of(webhook, alert))).await
    }

    fn notice_of(&self, webhook: &Webhook, alert: &Alert) -> Wakeup {
        let message = NoticeMessage { webhook_id: webhook.id, at: alert.at };
        Wakeup { message: Message::Notice(message), due: self.clock.now() }
    }

    async fn send_news(&self, news: Option<Wakeup>) -> Result<()> {
        match news {
            Some(news) => Ok(self.wakeups.send(vec![news]).await?),
            None => Ok(()),
        }
    }

    /// Begins to let go of what an active webhook holds, if nothing is being done to it yet. A sweep that is under
    /// way looks once more after its end (`sweep.rs`).
    pub(super) async fn ensure_release(&self, webhook_id: WebhookId) -> Result<()> {
        loop {
            let Some(webhook) = self.webhooks.webhook(webhook_id).await? else { return Ok(()) };
            let mut next = Webhook::clone(&webhook);
            if !next.begin_release(self.clock.now()) {
                // Who began this one may have died before its first message; a later step has a message of its own.
                let begun = webhook.is_active() && webhook.sweep.is_some_and(|sweep| sweep.step == 0);
                return if begun { self.follow_up_webhook(&webhook).await } else { Ok(()) };
            }
            if self.webhooks.save_webhook(&next).await?.is_ok() {
                return self.follow_up_webhook(&next).await;
            }
        }
    }
}

/// The first unfinished delivery of a lane, and whether it was promoted just now.
enum Head {
    Promoted(Delivery),
    Found(Delivery),
}
