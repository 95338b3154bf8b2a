//! Receivers that check signatures, and what is known of those that they refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use statuspulse_core::attempt::Reply;
use statuspulse_core::delivery::Delivery;
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::ports::Call;
use statuspulse_core::secret::Secret;
use statuspulse_core::signature::{SIGNATURE, body_digest};

use crate::dice::Dice;
use crate::history::short;
use crate::task::TaskId;

/// The longest time from the record of what a receiver accepts to the last call of a worker that read the webhook before.
const LEARNED_WITHIN: Duration = Duration::from_secs(300);

/// The statuses with which receivers refuse a signature. No other behaviour of the receivers has them.
const REFUSED: u16 = 401;
const THROWN: u16 = 501;

/// How a receiver checks the header of the product page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checks {
    /// One digest must equal the whole value.
    Page,
    /// The same, but handshakes are not checked.
    PageButHandshakes,
    /// The same, and the refusal is an error of its server.
    PageThatThrows,
    /// The value is a list.
    List,
}

/// The software of a receiver that checks signatures.
pub(crate) struct Verifier {
    checks: Checks,
    pub(crate) secret: Secret,
}

impl Verifier {
    pub(crate) fn new(secret: Secret, dice: &mut Dice) -> Self {
        let all = [Checks::Page, Checks::PageButHandshakes, Checks::PageThatThrows, Checks::List];
        Self { checks: dice.one_of(&all), secret }
    }

    /// The status with which it refuses the signature of this call; `None` if it accepts it.
    pub(crate) fn refusal(&self, call: &Call, is_handshake: bool) -> Option<u16> {
        let header = call.headers.iter().find(|(name, _)| name == SIGNATURE).map_or("", |(_, value)| value);
        let digest = body_digest(&self.secret, &call.body);
        let fits = match self.checks {
            Checks::Page | Checks::PageThatThrows => header == digest,
            Checks::PageButHandshakes => is_handshake || header == digest,
            Checks::List => header.split(',').any(|one| one == digest),
        };
        match (fits, self.checks) {
            (true, _) => None,
            (false, Checks::PageThatThrows) => Some(THROWN),
            (false, _) => Some(REFUSED),
        }
    }
}

/// What is known of refused signatures.
#[derive(Default)]
pub(crate) struct Signatures {
    /// The POSTs that a task may repeat, and whether they were refused for their signature.
    refused: BTreeMap<(TaskId, DeliveryId), bool>,
    /// How often each delivery was refused so and not repeated at once. It is put back then.
    not_repeated: BTreeMap<DeliveryId, usize>,
    /// The webhooks whose receivers accepted such a repeat.
    learning: BTreeSet<(TaskId, WebhookId)>,
    /// Since when it is remembered which signature each webhook's receiver accepts.
    known: BTreeMap<WebhookId, Timestamp>,
}

impl Signatures {
    /// A receiver has answered a POST, and has refused its signature or not. Says what is wrong with that.
    pub(crate) fn answered(
        &mut self,
        (task, now): (TaskId, Timestamp),
        delivery: &Delivery,
        reply: &Reply,
        is_refused: bool,
    ) -> Option<String> {
        // A receiver that is down could be one whose check throws an exception, or that answered the handshake so.
        if is_refused || reply.status >= 300 && reply.retry_after.is_none() {
            self.refused.insert((task, delivery.id), is_refused);
            *self.not_repeated.entry(delivery.id).or_default() += 1;
            self.learning.remove(&(task, delivery.webhook_id));
        }
        let known = self.known.get(&delivery.webhook_id).filter(|_| is_refused)?;
        let name = short(delivery.id);
        (known.checked_add(LEARNED_WITHIN).ok()? < now)
            .then(|| format!("rotation: {name} is refused although it is known what is accepted"))
    }

    /// Whether this POST repeats one because of its signature.
    pub(crate) fn is_repeat(&mut self, task: TaskId, delivery: &Delivery) -> bool {
        let refused = self.refused.remove(&(task, delivery.id));
        if refused == Some(true) {
            self.learning.insert((task, delivery.webhook_id));
        }
        if refused.is_some() {
            *self.not_repeated.entry(delivery.id).or_default() -= 1;
        }
        refused.is_some()
    }

    /// How often this delivery may come again because it was refused and not repeated.
    pub(crate) fn not_repeated(&self, id: DeliveryId) -> usize {
        self.not_repeated.get(&id).copied().unwrap_or_default()
    }

    /// A worker begins with a message. What it had not finished before is not recorded.
    pub(crate) fn begins(&mut self, task: TaskId) {
        self.learning.retain(|(own, _)| *own != task);
        self.refused.retain(|(own, _), _| *own != task);
    }

    /// A worker has finished its message.
    pub(crate) fn ended(&mut self, task: TaskId, was_struck: bool, now: Timestamp) {
        let learned: Vec<_> = self.learning.iter().filter(|(own, _)| *own == task).copied().collect();
        for (own, webhook) in learned {
            self.learning.remove(&(own, webhook));
            if !was_struck {
                self.known.entry(webhook).or_insert(now);
            }
        }
    }

    /// The owner has changed which secrets sign, which one the receiver has, or the URL.
    pub(crate) fn changed(&mut self, webhook: WebhookId) {
        self.known.remove(&webhook);
        self.learning.retain(|(_, learning)| *learning != webhook);
    }

    /// Says what is wrong if this delivery was saved with a refusal of its signature.
    pub(crate) fn recorded(saved: &Delivery) -> Option<String> {
        let status = saved.attempts.last()?.status_code?;
        let is_wrong = matches!(status, REFUSED | THROWN);
        is_wrong.then(|| {
            format!("rotation: a refused signature of {} counts as a failed attempt", short(saved.id))
        })
    }
}
