//! The history of a run, as lines for people.

use jiff::Timestamp;
use statuspulse_core::message::Message;

use crate::clock;

/// Recorded on demand. It does not influence the run.
pub(crate) struct History {
    lines: Option<Vec<String>>,
}

impl History {
    pub(crate) fn new(kept: bool) -> Self {
        Self { lines: kept.then(Vec::new) }
    }

    pub(crate) fn note(&mut self, now: Timestamp, who: &str, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let line = format!("{:>9.3}s {who:<12} {}", seconds(now), what());
            lines.push(line);
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

/// Seconds since the run began.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn seconds(now: Timestamp) -> f64 {
    now.duration_since(clock::start()).as_millis() as f64 / 1000.0
}

/// The prefix and the last characters of an id: enough to tell it from others.
pub(crate) fn short(id: impl std::fmt::Display) -> String {
    let text = id.to_string();
    let tail = text.len().saturating_sub(5);
    format!("{}_{}", &text[..3], &text[tail..])
}

pub(crate) fn brief(message: &Message) -> String {
    match message {
        Message::Attempt(attempt) => {
            let key = attempt.key;
            format!("attempt {} round {} number {}", short(attempt.delivery_id), key.round, key.number)
        }
        Message::Job(job) => {
            format!("job {} generation {} page {}", short(job.webhook_id), job.generation, job.page)
        }
        Message::Notify(notify) => {
            format!("notify {} of {}", short(notify.webhook_id), notify.notification)
        }
        Message::Event(event) => format!("event {} {}", short(event.webhook_id), event.event.name()),
    }
}
