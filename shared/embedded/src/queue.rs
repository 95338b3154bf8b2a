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
//! Each queue has slots: messages that are being worked on at once. Webhooks take turns, each in the order of its
//! messages, and a slow receiver ties up its own share of the slots: see `lines.rs`.
//!
//! Of each webhook's due messages the first few are in memory, with the payloads they carry; the rest is read
//! when it is their turn. So a backlog costs disk, not memory.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use statuspulse_core::ids::WebhookId;
use statuspulse_core::message::{Message, QueueName, ScheduledMessage};
use statuspulse_core::ports::{PortResult, Queue};
use statuspulse_core::record::{from_millis, millis};
use tokio::sync::Notify;

use crate::Embedded;
use crate::columns::bad;
use crate::lines::{BUFFERED, Entry, Line, Pick};

/// How often a message is handed out before it is a dead letter.
pub const RECEIVES_MAX: u32 = 10;
/// Messages moved from `delayed` to `ready` in one transaction.
const DUE_PAGE: i64 = 500;

const QUEUES: [QueueName; 3] = [QueueName::First, QueueName::Retry, QueueName::Upkeep];

/// A queue's number: in the file, and among the lines.
fn number(queue: QueueName) -> u8 {
    match queue {
        QueueName::First => 0,
        QueueName::Retry => 1,
        QueueName::Upkeep => 2,
    }
}

/// Messages of a queue that are worked on at once. An attempt lasts ten seconds at most, so a queue of first
/// attempts starts at least a hundred a second even if every receiver hangs.
fn slots(queue: QueueName) -> usize {
    match queue {
        QueueName::First => 1024,
        QueueName::Retry => 256,
        QueueName::Upkeep => 16,
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
    /// Messages out of work whose rows could not be changed, and when they come again.
    stranded: Mutex<Vec<(i64, Entry)>>,
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
            stranded: Mutex::default(),
        };
        let mut statement = connection.prepare("SELECT DISTINCT queue, webhook_id FROM ready")?;
        let found = statement.query_map([], |row| Ok((row.get::<_, u8>(0)?, row.get::<_, [u8; 16]>(1)?)))?;
        for found in found {
            let (queue, webhook) = found?;
            let webhook = WebhookId::from_bytes(webhook);
            queues.line(queue).found_on_disk(webhook, last);
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
            Placed::Delayed(due) => self.bring_closer(due),
        }
    }

    fn bring_closer(&self, due: i64) {
        if due < self.next_due.fetch_min(due, Ordering::AcqRel) {
            self.closer.notify_one();
        }
    }

    fn stranded(&self) -> MutexGuard<'_, Vec<(i64, Entry)>> {
        self.stranded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store can be written: puts back what is stranded and due, and notes when the next message is, which
    /// is at `earliest` in the file. Runs on the writer's thread, like all that brings the time closer.
    fn made_ready(&self, moved: &[Entry], now: i64, earliest: i64) {
        moved.iter().for_each(|entry| self.place(Placed::Ready(entry.clone())));
        let mut stranded = self.stranded();
        for (_, entry) in stranded.extract_if(.., |(due, _)| *due <= now) {
            let queue = number(entry.message.queue());
            self.line(queue).put_back(entry);
            self.came[usize::from(queue)].notify_one();
        }
        let next = stranded.iter().map(|(due, _)| *due).fold(earliest, i64::min);
        self.next_due.store(next, Ordering::Release);
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

/// Messages that are sent in a transaction.
pub(crate) struct Outgoing {
    queues: Arc<Queues>,
    now: Timestamp,
    placed: Vec<Placed>,
}

impl Outgoing {
    pub(crate) fn send(
        &mut self,
        connection: &Connection,
        messages: impl IntoIterator<Item = ScheduledMessage>,
    ) -> rusqlite::Result<()> {
        for ScheduledMessage { message, due } in messages {
            let seq = self.queues.seq.fetch_add(1, Ordering::Relaxed) + 1;
            let entry = Entry { seq, receives: 0, message };
            if due <= self.now {
                insert_ready(connection, &entry)?;
                self.placed.push(Placed::Ready(entry));
            } else {
                insert_delayed(connection, millis(due), &entry)?;
                self.placed.push(Placed::Delayed(millis(due)));
            }
        }
        Ok(())
    }
}

impl Embedded {
    /// Runs `work` in the next transaction, and `after` once it is committed, before anything committed later. The messages
    /// that `work` sends are committed with it.
    pub(crate) async fn write_and_send<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection, &mut Outgoing) -> rusqlite::Result<T> + Send + 'static,
        after: impl FnOnce(&T) + Send + 'static,
    ) -> PortResult<T> {
        let queues = self.queues.clone();
        let mut outgoing = Outgoing { queues: self.queues.clone(), now: self.clock.now(), placed: vec![] };
        let work = move |connection: &Connection| {
            let value = work(connection, &mut outgoing)?;
            Ok((value, outgoing.placed))
        };
        let after = move |(value, placed): &(T, Vec<Placed>)| {
            after(value);
            placed.iter().for_each(|placed| queues.place(placed.clone()));
        };
        self.writer.write(doing, work, after).await.map(|(value, _)| value)
    }
}

#[async_trait]
impl Queue for Embedded {
    async fn send(&self, messages: Vec<ScheduledMessage>) -> PortResult<()> {
        let work =
            move |connection: &Connection, outgoing: &mut Outgoing| outgoing.send(connection, messages);
        self.write_and_send("sending messages", work, |()| {}).await
    }
}

impl Embedded {
    /// The next message of this queue, when there is one and a slot for it.
    pub async fn receive(self: &Arc<Self>, queue: QueueName) -> PortResult<Received> {
        loop {
            if let Some(received) = self.try_receive(queue)? {
                return Ok(received);
            }
            self.queues.came[usize::from(number(queue))].notified().await;
        }
    }

    /// The next message of this queue, if there is one and a slot for it.
    pub fn try_receive(self: &Arc<Self>, queue: QueueName) -> PortResult<Option<Received>> {
        let which = number(queue);
        loop {
            let picked = self.queues.line(which).pick(slots(queue));
            match picked {
                Pick::Nothing => return Ok(None),
                Pick::Entry(entry) => {
                    let message = entry.message.clone();
                    let began = self.clock.now();
                    return Ok(Some(Received { message, entry: Some(*entry), began, from: self.clone() }));
                }
                Pick::Load { webhook, after, to } => {
                    let entries = self.load(which, webhook, after, to)?;
                    self.queues.line(which).loaded(webhook, after, to, entries);
                }
            }
        }
    }

    fn load(&self, queue: u8, webhook: WebhookId, after: i64, to: i64) -> PortResult<Vec<Entry>> {
        let sql = "SELECT seq, receives, message FROM ready
                   WHERE queue = ?1 AND webhook_id = ?2 AND seq > ?3 AND seq <= ?4 ORDER BY seq LIMIT ?5";
        let limit = i64::try_from(BUFFERED).unwrap_or(i64::MAX);
        self.readers.read("reading messages", |connection| {
            connection
                .prepare_cached(sql)?
                .query_map((queue, webhook.to_bytes(), after, to, limit), |row| {
                    let message = message_of(connection, row.get_ref("message")?.as_str()?)?;
                    Ok(Entry { seq: row.get("seq")?, receives: row.get("receives")?, message })
                })?
                .collect()
        })
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
                Ok((moved, earliest(connection)?))
            };
            // Not before the commit: what is rolled back is still due. What was sent in the same batch after
            // this brings the time closer after this.
            let after = move |(moved, earliest): &(Vec<Entry>, i64)| queues.made_ready(moved, now, *earliest);
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
        began: Timestamp,
        then: impl FnOnce(&Connection, &Entry) -> rusqlite::Result<Option<i64>> + Send + 'static,
    ) {
        let queue = number(entry.message.queue());
        let now = self.clock.now();
        let took = Duration::try_from(now.duration_since(began)).unwrap_or_default();
        self.queues.line(queue).ended(entry.message.webhook_id(), took);
        self.queues.came[usize::from(queue)].notify_one();
        let queues = self.queues.clone();
        let again = millis(after_receives(now, entry.receives));
        let ending = Ending { entry: Some(entry), again, queues: queues.clone() };
        let work = move |connection: &Connection| {
            let mut due = None;
            if let Some(entry) = &ending.entry {
                delete_ready(connection, entry)?;
                let seq = ending.queues.seq.fetch_add(1, Ordering::Relaxed) + 1;
                due = then(connection, &Entry { seq, ..entry.clone() })?;
            }
            Ok((ending, due))
        };
        self.writer.write_later(work, move |(ending, due)| {
            ending.written();
            if let Some(due) = due {
                queues.place(Placed::Delayed(due));
            }
        });
    }
}

/// The end of a message's time in work, on its way to the disk. Dropped before it is written (the disk is full,
/// the batch failed), its row still stands: the message comes again, once the store can be written.
struct Ending {
    entry: Option<Entry>,
    again: i64,
    queues: Arc<Queues>,
}

impl Ending {
    fn written(mut self) {
        self.entry = None;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.queues.stranded().push((self.again, entry));
            self.queues.bring_closer(self.again);
        }
    }
}

/// When a message comes again that was handed out in vain so often.
fn after_receives(now: Timestamp, receives: u32) -> Timestamp {
    now.checked_add(Duration::from_secs(1 << receives.min(6))).unwrap_or(now)
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
    began: Timestamp,
    from: Arc<Embedded>,
}

impl Received {
    /// It has done its work.
    pub fn done(mut self) {
        if let Some(entry) = self.entry.take() {
            self.from.end(entry, self.began, |_, _| Ok(None));
        }
    }

    /// It is to come again, not before that time; this does not count as a failure.
    pub fn again(mut self, at: Timestamp) {
        if let Some(entry) = self.entry.take() {
            let due = millis(at);
            self.from.end(entry, self.began, move |connection, entry| {
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
        let due = millis(after_receives(now, entry.receives));
        self.from.end(entry, self.began, move |connection, entry| {
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
pub fn queues() -> [QueueName; 3] {
    QUEUES
}
