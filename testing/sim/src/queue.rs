//! A queue that delivers messages at least once, not before their time, in any order.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use statuspulse_core::message::{AttemptMessage, Message, ScheduledMessage};

use crate::dice::Dice;

/// How long a received message stays invisible if its worker does not finish it.
pub(crate) const VISIBILITY: Duration = Duration::from_secs(120);
/// How late a delayed message may arrive. (AWS Scheduler fires within the minute.)
const LATE: Duration = Duration::from_secs(60);

struct Kept {
    number: u64,
    message: Message,
    visible_at: Timestamp,
    receives: u32,
}

#[derive(Default)]
pub(crate) struct Queue {
    kept: Vec<Kept>,
    has_lost: bool,
    next_number: u64,
}

/// Removes the payload from a message if it is too large.
fn as_it_travels(message: Message) -> Message {
    match message {
        Message::Attempt(attempt) if is_large(&attempt.body) => {
            Message::Attempt(AttemptMessage { body: Bytes::new(), ..attempt })
        }
        message => message,
    }
}

/// Marks a payload as too large for a message.
pub(crate) const LARGE: &str = "LARGE";

pub(crate) fn is_large(body: &[u8]) -> bool {
    body.windows(LARGE.len()).any(|part| part == LARGE.as_bytes())
}

/// A message that a worker has received.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) number: u64,
    pub(crate) message: Message,
    pub(crate) receives: u32,
}

impl Queue {
    pub(crate) fn send(&mut self, sent: ScheduledMessage, now: Timestamp, late: bool, dice: &mut Dice) {
        let due = sent.due.max(now);
        let wait = if late && due > now { dice.up_to(LATE) } else { Duration::ZERO };
        let visible_at = due.checked_add(wait).unwrap_or(due);
        let number = self.next_number;
        self.next_number += 1;
        self.kept.push(Kept { number, message: as_it_travels(sent.message), visible_at, receives: 0 });
    }

    /// Receives a random message that is due. With `twice`, another worker can receive it at the same time.
    pub(crate) fn receive(&mut self, now: Timestamp, twice: bool, dice: &mut Dice) -> Option<Received> {
        let due: Vec<usize> = (0..self.kept.len()).filter(|at| self.kept[*at].visible_at <= now).collect();
        if due.is_empty() {
            return None;
        }
        let kept = &mut self.kept[due[dice.below(due.len())]];
        kept.receives += 1;
        if !twice {
            kept.visible_at = now.checked_add(VISIBILITY).unwrap_or(now);
        }
        Some(Received { number: kept.number, message: kept.message.clone(), receives: kept.receives })
    }

    pub(crate) fn done(&mut self, number: u64) {
        self.kept.retain(|kept| kept.number != number);
    }

    pub(crate) fn has(&self, number: u64) -> bool {
        self.kept.iter().any(|kept| kept.number == number)
    }

    pub(crate) fn again_at(&mut self, number: u64, at: Timestamp) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.number == number) {
            kept.visible_at = at;
        }
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.kept.iter().map(|kept| kept.visible_at).min()
    }

    /// Loses all messages except these, as after a restore of the table or a purge of the queue.
    pub(crate) fn lose_all(&mut self, but_for: impl Fn(&Message) -> bool) {
        self.kept.retain(|kept| but_for(&kept.message));
        self.has_lost = true;
    }

    pub(crate) fn has_lost(&self) -> bool {
        self.has_lost
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.kept.iter().map(|kept| crate::history::brief(&kept.message)).collect()
    }
}
