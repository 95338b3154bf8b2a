//! Messages: kept on disk until they are worked on, handed out fairly.
//!
//! # As AWS does it
//!
//! At least once, not before their time, in no promised order. A message that was handed out is its receiver's
//! until the [`Received`] is settled; dropped unsettled (a panic, a cancelled task) it comes again after a wait
//! that grows with each time, and after [`RECEIVES_MAX`] it goes to the dead letters, which are put back at the
//! next start. What was handed out when the process died comes again at once.
//!
//! # Fairness
//!
//! Each queue has slots: messages that are being worked on at once. A webhook may have half of the slots that
//! are free: one whose receiver hangs takes a third of them at most and leaves the next one its half, so that a
//! slow receiver ties up its own share. Within that, webhooks take turns, each in the order of its messages.
//!
//! Of each webhook's due messages the first few are in memory, with the payloads they carry; the rest is read
//! when it is their turn. So a backlog costs disk, not memory.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use statuspulse_core::ids::WebhookId;
use statuspulse_core::message::{Message, Queue, Wakeup};
use statuspulse_core::ports::{PortResult, Wakeups};
use tokio::sync::Notify;

use crate::Embedded;
use crate::columns::{bad, from_millis, millis};

/// How often a message is handed out before it is a dead letter.
pub const RECEIVES_MAX: u32 = 10;
/// Messages of one webhook in memory at most.
const BUFFERED: usize = 64;
/// Messages moved from `delayed` to `ready` in one transaction.
const DUE_PAGE: i64 = 500;

const QUEUES: [Queue; 3] = [Queue::First, Queue::Retry, Queue::Upkeep];

/// A queue's number: in the file, and among the lines.
fn number(queue: Queue) -> u8 {
    match queue {
        Queue::First => 0,
        Queue::Retry => 1,
        Queue::Upkeep => 2,
    }
}

/// Messages of a queue that are worked on at once. An attempt lasts ten seconds at most, so a queue of first
/// attempts starts at least a hundred a second even if every receiver hangs.
fn slots(queue: Queue) -> usize {
    match queue {
        Queue::First => 1024,
        Queue::Retry => 256,
        Queue::Upkeep => 16,
    }
}

/// What is due, and who works on what.
#[derive(Debug)]
pub(crate) struct Queues {
    lines: [Mutex<Line>; 3],
    came: [Notify; 3],
    /// The order of messages; only the writer counts it up.
    seq: AtomicI64,
    /// When the next delayed message is due, in milliseconds.
    next_due: AtomicI64,
    /// Told when `next_due` has come closer.
    closer: Notify,
}

/// One queue.
#[derive(Debug, Default)]
struct Line {
    webhooks: HashMap<WebhookId, Backlog>,
    /// The webhooks with a backlog, in the order of their turns.
    turns: VecDeque<WebhookId>,
    in_work: usize,
}

/// One webhook's messages in one queue.
#[derive(Debug, Default)]
struct Backlog {
    next: VecDeque<Entry>,
    /// Whether there are more on disk, past `last_seq`.
    more_on_disk: bool,
    last_seq: i64,
    /// The last message that came, be it in memory or only on disk.
    newest_seq: i64,
    in_work: usize,
    has_turn: bool,
}

#[derive(Debug, Clone)]
struct Entry {
    seq: i64,
    receives: u32,
    message: Message,
}

enum Pick {
    Entry(Box<Entry>),
    Load(WebhookId, i64),
    Nothing,
}

impl Line {
    fn push(&mut self, entry: Entry) {
        let webhook = entry.message.webhook_id();
        let backlog = self.webhooks.entry(webhook).or_default();
        if entry.seq <= backlog.last_seq {
            return;
        }
        backlog.newest_seq = entry.seq;
        if backlog.more_on_disk || backlog.next.len() >= BUFFERED {
            backlog.more_on_disk = true;
        } else {
            backlog.last_seq = entry.seq;
            backlog.next.push_back(entry);
        }
        self.give_turn(webhook);
    }

    fn give_turn(&mut self, webhook: WebhookId) {
        if let Some(backlog) = self.webhooks.get_mut(&webhook)
            && !backlog.has_turn
        {
            backlog.has_turn = true;
            self.turns.push_back(webhook);
        }
    }

    fn pick(&mut self, slots: usize) -> Pick {
        let share = (slots.saturating_sub(self.in_work) / 2).max(1);
        if self.in_work >= slots {
            return Pick::Nothing;
        }
        for _ in 0..self.turns.len() {
            let Some(webhook) = self.turns.pop_front() else { break };
            let Some(backlog) = self.webhooks.get_mut(&webhook) else { continue };
            if backlog.in_work >= share {
                self.turns.push_back(webhook);
                continue;
            }
            let Some(entry) = backlog.next.pop_front() else {
                if backlog.more_on_disk {
                    self.turns.push_front(webhook);
                    return Pick::Load(webhook, backlog.last_seq);
                }
                backlog.has_turn = false;
                self.forget_if_idle(webhook);
                continue;
            };
            backlog.in_work += 1;
            self.in_work += 1;
            self.turns.push_back(webhook);
            return Pick::Entry(Box::new(entry));
        }
        Pick::Nothing
    }

    fn loaded(&mut self, webhook: WebhookId, after: i64, entries: Vec<Entry>, more_on_disk: bool) {
        let Some(backlog) = self.webhooks.get_mut(&webhook) else { return };
        // Somebody else loaded meanwhile.
        if backlog.last_seq != after {
            return;
        }
        if let Some(last) = entries.last() {
            backlog.last_seq = last.seq;
        }
        // One that came after the disk was read is not among them.
        backlog.more_on_disk = more_on_disk || backlog.newest_seq > backlog.last_seq;
        backlog.next.extend(entries);
    }

    fn ended(&mut self, webhook: WebhookId) {
        self.in_work = self.in_work.saturating_sub(1);
        if let Some(backlog) = self.webhooks.get_mut(&webhook) {
            backlog.in_work = backlog.in_work.saturating_sub(1);
        }
        self.forget_if_idle(webhook);
    }

    /// `last_seq` may be forgotten with the rest: a message that comes later has a higher one.
    fn forget_if_idle(&mut self, webhook: WebhookId) {
        let idle = |backlog: &Backlog| {
            backlog.in_work == 0 && !backlog.has_turn && backlog.next.is_empty() && !backlog.more_on_disk
        };
        if self.webhooks.get(&webhook).is_some_and(idle) {
            self.webhooks.remove(&webhook);
        }
    }
}

impl Queues {
    /// What stands in the file.
    pub(crate) fn open(connection: &Connection) -> rusqlite::Result<Self> {
        let last: i64 = connection.query_row(
            "SELECT max(ifnull((SELECT max(seq) FROM ready), 0), ifnull((SELECT max(seq) FROM delayed), 0))",
            [],
            |row| row.get(0),
        )?;
        let queues = Self {
            lines: Default::default(),
            came: Default::default(),
            seq: AtomicI64::new(last),
            next_due: AtomicI64::new(earliest(connection)?),
            closer: Notify::new(),
        };
        let mut statement = connection.prepare("SELECT DISTINCT queue, webhook_id FROM ready")?;
        let found = statement.query_map([], |row| Ok((row.get::<_, u8>(0)?, row.get::<_, [u8; 16]>(1)?)))?;
        for found in found {
            let (queue, webhook) = found?;
            let webhook = WebhookId::from_bytes(webhook);
            let mut line = queues.line(queue);
            line.webhooks.entry(webhook).or_default().more_on_disk = true;
            line.give_turn(webhook);
        }
        Ok(queues)
    }

    fn line(&self, queue: u8) -> MutexGuard<'_, Line> {
        self.lines[usize::from(queue)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, placed: Placed) {
        match placed {
            Placed::Ready(entry) => {
                let queue = number(entry.message.queue());
                self.line(queue).push(entry);
                self.came[usize::from(queue)].notify_one();
            }
            Placed::Delayed(due) => {
                if due < self.next_due.fetch_min(due, Ordering::AcqRel) {
                    self.closer.notify_one();
                }
            }
        }
    }
}

/// Where a message was put.
#[derive(Debug, Clone)]
enum Placed {
    Ready(Entry),
    Delayed(i64),
}

fn earliest(connection: &Connection) -> rusqlite::Result<i64> {
    let due: Option<i64> = connection
        .prepare_cached("SELECT min(due) FROM delayed")?
        .query_row([], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(due.unwrap_or(i64::MAX))
}

/// The message without the payload, which stands with its event.
fn text_of(message: &Message) -> rusqlite::Result<String> {
    let mut bare = message.clone();
    if let Message::Attempt(attempt) = &mut bare {
        attempt.body = Bytes::new();
    }
    serde_json::to_string(&bare).map_err(bad)
}

/// A message read back, with its payload.
fn message_of(connection: &Connection, text: &str) -> rusqlite::Result<Message> {
    let mut message: Message = serde_json::from_str(text).map_err(bad)?;
    if let Message::Attempt(attempt) = &mut message {
        let sql = "SELECT body FROM events WHERE id = ?1";
        let body: Option<Vec<u8>> = connection
            .prepare_cached(sql)?
            .query_row([attempt.event_id.to_bytes()], |row| row.get(0))
            .optional()?;
        attempt.body = Bytes::from(body.unwrap_or_default());
    }
    Ok(message)
}

fn insert_ready(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO ready VALUES (?1, ?2, ?3, ?4, ?5)";
    let message = &entry.message;
    connection.prepare_cached(sql)?.execute((
        number(message.queue()),
        message.webhook_id().to_bytes(),
        entry.seq,
        entry.receives,
        text_of(message)?,
    ))?;
    Ok(())
}

fn insert_delayed(connection: &Connection, due: i64, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO delayed VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute((due, entry.seq, entry.receives, text_of(&entry.message)?))?;
    Ok(())
}

fn delete_ready(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "DELETE FROM ready WHERE queue = ?1 AND webhook_id = ?2 AND seq = ?3";
    let message = &entry.message;
    connection.prepare_cached(sql)?.execute((
        number(message.queue()),
        message.webhook_id().to_bytes(),
        entry.seq,
    ))?;
    Ok(())
}

#[async_trait]
impl Wakeups for Embedded {
    async fn send(&self, wakeups: Vec<Wakeup>) -> PortResult<()> {
        let now = self.clock.now();
        let (queues, counted) = (self.queues.clone(), self.queues.clone());
        let work = move |connection: &Connection| {
            let mut placed = Vec::with_capacity(wakeups.len());
            for Wakeup { message, due } in wakeups {
                let seq = counted.seq.fetch_add(1, Ordering::Relaxed) + 1;
                let entry = Entry { seq, receives: 0, message };
                if due <= now {
                    insert_ready(connection, &entry)?;
                    placed.push(Placed::Ready(entry));
                } else {
                    insert_delayed(connection, millis(due), &entry)?;
                    placed.push(Placed::Delayed(millis(due)));
                }
            }
            Ok(placed)
        };
        let after = move |placed: &Vec<Placed>| placed.iter().for_each(|placed| queues.place(placed.clone()));
        self.writer.write("sending messages", work, after).await.map(drop)
    }
}

impl Embedded {
    /// The next message of this queue, when there is one and a slot for it.
    pub async fn receive(self: &Arc<Self>, queue: Queue) -> PortResult<Received> {
        loop {
            if let Some(received) = self.try_receive(queue)? {
                return Ok(received);
            }
            self.queues.came[usize::from(number(queue))].notified().await;
        }
    }

    /// The next message of this queue, if there is one and a slot for it.
    pub fn try_receive(self: &Arc<Self>, queue: Queue) -> PortResult<Option<Received>> {
        let which = number(queue);
        loop {
            let picked = self.queues.line(which).pick(slots(queue));
            match picked {
                Pick::Nothing => return Ok(None),
                Pick::Entry(entry) => {
                    let message = entry.message.clone();
                    return Ok(Some(Received { message, entry: Some(*entry), from: self.clone() }));
                }
                Pick::Load(webhook, after) => {
                    let (entries, more) = self.load(which, webhook, after)?;
                    self.queues.line(which).loaded(webhook, after, entries, more);
                }
            }
        }
    }

    fn load(&self, queue: u8, webhook: WebhookId, after: i64) -> PortResult<(Vec<Entry>, bool)> {
        let sql = "SELECT seq, receives, message FROM ready WHERE queue = ?1 AND webhook_id = ?2 AND seq > ?3
                   ORDER BY seq LIMIT ?4";
        let limit = i64::try_from(BUFFERED).unwrap_or(i64::MAX);
        let entries = self.readers.read("reading messages", |connection| {
            connection
                .prepare_cached(sql)?
                .query_map((queue, webhook.to_bytes(), after, limit), |row| {
                    let message = message_of(connection, row.get_ref("message")?.as_str()?)?;
                    Ok(Entry { seq: row.get("seq")?, receives: row.get("receives")?, message })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let more = entries.len() >= BUFFERED;
        Ok((entries, more))
    }

    /// When the next delayed message is due, if there is one.
    pub fn next_due(&self) -> Option<Timestamp> {
        let due = self.queues.next_due.load(Ordering::Acquire);
        from_millis(due).ok().filter(|_| due != i64::MAX)
    }

    /// Returns when [`next_due`](Self::next_due) has come closer.
    pub async fn next_due_came_closer(&self) {
        self.queues.closer.notified().await;
    }

    /// Makes the delayed messages ready whose time has come.
    pub async fn make_due_ready(&self) -> PortResult<()> {
        while self.next_due().is_some_and(|due| due <= self.clock.now()) {
            let now = millis(self.clock.now());
            let (queues, counted) = (self.queues.clone(), self.queues.clone());
            let work = move |connection: &Connection| {
                let moved = move_due(connection, now, &counted.seq)?;
                // Before the commit is told to anybody: a message sent after this one only brings it closer.
                counted.next_due.store(earliest(connection)?, Ordering::Release);
                Ok(moved)
            };
            let after = move |moved: &Vec<Entry>| {
                moved.iter().for_each(|entry| queues.place(Placed::Ready(entry.clone())));
            };
            self.writer.write("making messages ready", work, after).await?;
        }
        Ok(())
    }

    /// How many messages were given up and wait for the next start.
    pub fn dead_letters(&self) -> PortResult<u64> {
        self.readers.read("counting dead letters", |connection| {
            let count: i64 =
                connection.query_row("SELECT count(*) FROM dead_letters", [], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        })
    }

    /// Ends a message's time in work, and does with its row what `then` says.
    fn end(
        &self,
        entry: Entry,
        then: impl FnOnce(&Connection, &Entry) -> rusqlite::Result<Option<i64>> + Send + 'static,
    ) {
        let queue = number(entry.message.queue());
        self.queues.line(queue).ended(entry.message.webhook_id());
        self.queues.came[usize::from(queue)].notify_one();
        let (queues, counted) = (self.queues.clone(), self.queues.clone());
        let work = move |connection: &Connection| {
            delete_ready(connection, &entry)?;
            let seq = counted.seq.fetch_add(1, Ordering::Relaxed) + 1;
            then(connection, &Entry { seq, ..entry })
        };
        self.writer.write_later(work, move |due| {
            if let Some(due) = due {
                queues.place(Placed::Delayed(*due));
            }
        });
    }
}

fn move_due(connection: &Connection, now: i64, seq: &AtomicI64) -> rusqlite::Result<Vec<Entry>> {
    let due: Vec<(i64, Entry)> = connection
        .prepare_cached("SELECT * FROM delayed WHERE due <= ?1 ORDER BY due, seq LIMIT ?2")?
        .query_map((now, DUE_PAGE), |row| {
            let message = message_of(connection, row.get_ref("message")?.as_str()?)?;
            Ok((row.get("due")?, Entry { seq: row.get("seq")?, receives: row.get("receives")?, message }))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut moved = Vec::with_capacity(due.len());
    for (due, entry) in due {
        connection
            .prepare_cached("DELETE FROM delayed WHERE due = ?1 AND seq = ?2")?
            .execute((due, entry.seq))?;
        let entry = Entry { seq: seq.fetch_add(1, Ordering::Relaxed) + 1, ..entry };
        insert_ready(connection, &entry)?;
        moved.push(entry);
    }
    Ok(moved)
}

/// Puts the dead letters back: whatever stopped them may have been mended.
pub(crate) fn revive_dead_letters(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    let put_back = "INSERT INTO delayed SELECT ?1, -seq, 0, message FROM dead_letters";
    let revived = connection.execute(put_back, [millis(now)])?;
    connection.execute("DELETE FROM dead_letters", [])?;
    Ok(revived)
}

/// A message in work. To be settled; dropped, it counts as failed.
#[derive(Debug)]
pub struct Received {
    /// What is to be done.
    pub message: Message,
    entry: Option<Entry>,
    from: Arc<Embedded>,
}

impl Received {
    /// It has done its work.
    pub fn done(mut self) {
        if let Some(entry) = self.entry.take() {
            self.from.end(entry, |_, _| Ok(None));
        }
    }

    /// It is to come again, not before that time; this does not count as a failure.
    pub fn again(mut self, at: Timestamp) {
        if let Some(entry) = self.entry.take() {
            let due = millis(at);
            self.from.end(entry, move |connection, entry| {
                insert_delayed(connection, due, entry)?;
                Ok(Some(due))
            });
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let Some(mut entry) = self.entry.take() else { return };
        entry.receives += 1;
        let now = self.from.clock.now();
        let wait = Duration::from_secs(1 << entry.receives.min(6));
        let due = millis(now.checked_add(wait).unwrap_or(now));
        self.from.end(entry, move |connection, entry| {
            if entry.receives < RECEIVES_MAX {
                insert_delayed(connection, due, entry)?;
                return Ok(Some(due));
            }
            tracing::error!(webhook.id = %entry.message.webhook_id(), receives = entry.receives, "message given up");
            let sql = "INSERT INTO dead_letters (message, receives, died_at) VALUES (?1, ?2, ?3)";
            connection.prepare_cached(sql)?.execute((text_of(&entry.message)?, entry.receives, millis(now)))?;
            Ok(None)
        });
    }
}

/// The queues there are, for whoever starts a worker for each.
pub fn queues() -> [Queue; 3] {
    QUEUES
}
