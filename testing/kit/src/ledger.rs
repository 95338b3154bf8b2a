//! Records requests, wakes waiters, and chooses each request's behaviour. Its one lock is never held across an await.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use crate::behaviour::{Behaviour, Per};
use crate::services::Rate;
use crate::wire::{Request, find};
use crate::{clock, verify};

/// Requests kept per path, because a receiver may run for days. Older ones are dropped, but still counted.
const KEPT_PER_PATH_MAX: usize = 100_000;

/// How much of each request is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Record {
    /// Headers and body, as [`Received`].
    #[default]
    Full,
    /// Only a [`Mark`] for each request that has one, because the bench sends millions.
    Marks,
}

/// A recorded request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The request target: path and query, as sent.
    pub path: String,
    /// In the order received, with names in lowercase.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// When its last byte was read, in nanoseconds since 1970, on the clock of [`crate::unix_nanos`].
    pub at: u64,
    /// The status of the answer; 0 if the behaviour sends none.
    pub answered: u16,
}

impl Received {
    /// The first header of this name, ignoring case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Whether the body contains this text.
    pub fn contains(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(text)
    }
}

/// The result of checking `X-StatusPulse-Signature`, under [`Record::Marks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    Good,
    Bad,
    /// No secret is known for the path ([`crate::Receiver::secret`]).
    Unchecked,
}

/// A request, reduced to the mark in its body: see [`Mark::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The number that the sender gave the event.
    pub number: u64,
    /// When the sender created the event, on the clock of [`crate::unix_nanos`].
    pub sent: u64,
    /// When the request's last byte was read, on the same clock.
    pub at: u64,
    /// As in [`Received::answered`].
    pub answered: u16,
    pub signature: Signature,
}

impl Mark {
    /// The text of a mark, to put into any string field of an event.
    pub fn text(number: u64, sent: u64) -> String {
        format!("BEN-{number}-{sent}")
    }

    /// The number and creation time in the first mark of a body.
    pub fn find(body: &[u8]) -> Option<(u64, u64)> {
        let start = body.windows(4).position(|window| window == b"BEN-")? + 4;
        let mut parts = body.get(start..)?.splitn(2, |byte| *byte == b'-');
        let number = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let sent = parts.next()?;
        let digits = sent.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(sent.len());
        Some((number, std::str::from_utf8(sent.get(..digits)?).ok()?.parse().ok()?))
    }
}

struct PathEntry {
    behaviour: Behaviour,
    /// Requests since the behaviour was set, unless it counts per event.
    seen: usize,
    /// Requests since the behaviour was set, by event id, if it counts per event.
    seen_by_event: HashMap<String, usize>,
    count: u64,
    rate: Rate,
    received: VecDeque<Received>,
    marks: Vec<Mark>,
    secret: Option<String>,
}

impl Default for PathEntry {
    fn default() -> Self {
        Self {
            behaviour: Behaviour::ok(),
            seen: 0,
            seen_by_event: HashMap::new(),
            count: 0,
            rate: Rate::default(),
            received: VecDeque::new(),
            marks: Vec::new(),
            secret: None,
        }
    }
}

#[derive(Default)]
struct Book {
    paths: HashMap<String, PathEntry>,
    listener: Option<mpsc::UnboundedSender<Received>>,
}

pub(crate) struct Ledger {
    record: Record,
    book: Mutex<Book>,
    arrived: Notify,
}

impl Ledger {
    pub(crate) fn new(record: Record) -> Self {
        Self { record, book: Mutex::default(), arrived: Notify::new() }
    }

    /// Ignores poisoning: a panic in another thread must not hide this test's result.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request and returns the behaviour to respond with.
    pub(crate) fn note(&self, request: Request) -> Behaviour {
        let at = clock::unix_nanos();
        let mut book = self.book();
        let Book { paths, listener } = &mut *book;
        let entry = paths.entry(request.target.clone()).or_default();
        let behaviour = entry.next_behaviour(&request).towards(&request.body, &mut entry.rate, at);
        let answered = behaviour.status_sent();
        match self.record {
            Record::Marks => entry.mark(&request, at, answered),
            Record::Full => {
                // Copied, because the body shares its buffer with the rest of the connection.
                let body = Bytes::copy_from_slice(&request.body);
                let received =
                    Received { path: request.target, headers: request.headers, body, at, answered };
                if listener.as_ref().is_some_and(|listener| listener.send(received.clone()).is_err()) {
                    *listener = None;
                }
                if entry.received.len() == KEPT_PER_PATH_MAX {
                    entry.received.pop_front();
                }
                entry.received.push_back(received);
            }
        }
        entry.count += 1;
        drop(book);
        self.arrived.notify_waiters();
        behaviour
    }

    pub(crate) fn set_behaviour(&self, path: &str, behaviour: Behaviour) {
        let mut book = self.book();
        let entry = book.paths.entry(path.to_owned()).or_default();
        entry.behaviour = behaviour;
        entry.seen = 0;
        entry.seen_by_event.clear();
    }

    pub(crate) fn set_secret(&self, path: &str, secret: &str) {
        self.book().paths.entry(path.to_owned()).or_default().secret = Some(secret.to_owned());
    }

    pub(crate) fn listen(&self) -> mpsc::UnboundedReceiver<Received> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.book().listener = Some(sender);
        receiver
    }

    pub(crate) fn received(&self, path: &str) -> Vec<Received> {
        self.book().paths.get(path).map(|entry| entry.received.iter().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn count(&self, path: &str) -> u64 {
        self.book().paths.get(path).map_or(0, |entry| entry.count)
    }

    pub(crate) fn take_marks(&self) -> Vec<(String, Vec<Mark>)> {
        let mut book = self.book();
        let taken =
            book.paths.iter_mut().map(|(path, entry)| (path.clone(), std::mem::take(&mut entry.marks)));
        taken.filter(|(_, marks)| !marks.is_empty()).collect()
    }

    pub(crate) async fn wait_for(&self, path: &str, n: u64, within: Duration) -> Result<(), String> {
        let enough = async {
            loop {
                // Created before the check, so that no arrival after the check is missed.
                let arrived = self.arrived.notified();
                if self.count(path) >= n {
                    return;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(within, enough).await.map_err(|_| {
            format!("{path}: {} of {n} requests within {} ms", self.count(path), within.as_millis())
        })
    }
}

impl PathEntry {
    fn next_behaviour(&mut self, request: &Request) -> Behaviour {
        let seen = match &self.behaviour {
            Behaviour::Sequence { per: Per::Event, .. } => {
                let event = request.header("x-statuspulse-event-id").unwrap_or_default();
                self.seen_by_event.entry(event.to_owned()).or_default()
            }
            _ => &mut self.seen,
        };
        let behaviour = self.behaviour.step(*seen);
        *seen += 1;
        behaviour
    }

    fn mark(&mut self, request: &Request, at: u64, answered: u16) {
        let Some((number, sent)) = Mark::find(&request.body) else { return };
        let header = request.header("x-statuspulse-signature").unwrap_or_default();
        let signature = match &self.secret {
            None => Signature::Unchecked,
            Some(secret) if verify::statuspulse(secret, &request.body, header) => Signature::Good,
            Some(_) => Signature::Bad,
        };
        self.marks.push(Mark { number, sent, at, answered, signature });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_in_any_text_field() {
        let body = format!(r#"{{"incident_id":"INC-{}","status":"BEN"}}"#, Mark::text(7, 1_700_000_000_123));
        assert_eq!(Mark::find(body.as_bytes()), Some((7, 1_700_000_000_123)));
        for without in ["", "BEN-", "BEN-7", "BEN-x-1", "BEN-1-", "handshake"] {
            assert_eq!(Mark::find(without.as_bytes()), None, "{without}");
        }
    }
}
