//! The message queues: stored on disk until processed, and shared fairly between webhooks.
//!
//! # Delivery semantics
//!
//! As on SQS: at least once, never before the due time, in no guaranteed order. A message belongs to the worker that
//! received it until its [`Received`] is completed. If that is dropped instead (a panic, a cancelled task), the message
//! is delivered again after a backoff. After [`crate::limits::RECEIVES_MAX`] deliveries it becomes a dead letter. At
//! the next start, dead letters and messages that were in progress are delivered again.
//!
//! # Fairness
//!
//! A queue has slots, and bytes of bodies, for the messages that are processed concurrently. Accounts take turns, and
//! then webhooks, each in the order of its messages. A slow receiver occupies only its own share, and all receivers of an
//! account only the account's: see `fair_queue.rs`.
//!
//! Only the first few due messages of each webhook are in memory, some of them with their payloads. The rest is read
//! from disk when needed, so a backlog uses disk and not memory.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use statuspulse_core::message::{Message, QueueName, ScheduledMessage};
use statuspulse_core::ports::{PortResult, Queue};
use statuspulse_core::record::{from_millis, millis};
use tokio::sync::Notify;

use crate::Embedded;
use crate::entry::{Entry, Load, Wanted};
use crate::fair_queue::{FairQueue, Pick};
use crate::queue_rows::{
    body_bytes, delete_ready, earliest, first_owner, insert_delayed, insert_ready, move_due, next_owner,
    number, ready_entries, text_of,
};
use crate::writer::Turn;

const QUEUES: [QueueName; 3] = [QueueName::First, QueueName::Retry, QueueName::Upkeep];

/// The part of all queues that is in memory.
#[derive(Debug)]
pub(crate) struct Queues {
    in_memory: [Mutex<FairQueue>; 3],
    /// Notified when a message arrives or a slot becomes free.
    came: [Notify; 3],
    /// The sequence number of the newest message. Only the writer thread increments it.
    seq: AtomicI64,
    /// When the next delayed message is due, in milliseconds since 1970; `i64::MAX` if there is none.
    next_due: AtomicI64,
    /// Notified when `next_due` becomes earlier.
    closer: Notify,
    slots: [AtomicUsize; 3],
    /// Messages whose processing ended but whose rows could not be written, with the time of their redelivery.
    postponed: Mutex<Vec<(i64, Entry)>>,
}

impl Queues {
    /// Reads from the database which webhooks have messages.
    pub(crate) fn open(connection: &Connection) -> rusqlite::Result<Self> {
        let last: i64 = connection.query_row(
            "SELECT max(ifnull((SELECT max(seq) FROM ready), 0), ifnull((SELECT max(seq) FROM delayed), 0))",
            [],
            |row| row.get(0),
        )?;
        let queues = Self {
            in_memory: Default::default(),
            came: Default::default(),
            seq: AtomicI64::new(last),
            next_due: AtomicI64::new(earliest(connection)?),
            closer: Notify::new(),
            slots: QUEUES.map(|queue| AtomicUsize::new(crate::limits::slots(queue))),
            postponed: Mutex::default(),
        };
        let mut found = first_owner(connection)?;
        while let Some((queue, owner)) = found {
            queues.in_memory(queue).found_on_disk(owner, last);
            found = next_owner(connection, queue, owner)?;
        }
        Ok(queues)
    }

    fn in_memory(&self, queue: u8) -> MutexGuard<'_, FairQueue> {
        self.in_memory[usize::from(queue)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, placed: Placed) {
        match placed {
            Placed::Ready(entry) => {
                let queue = number(entry.message.queue());
                self.in_memory(queue).push(entry);
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

    fn postponed(&self) -> MutexGuard<'_, Vec<(i64, Entry)>> {
        self.postponed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs after a commit: adds the `moved` messages to the queues in memory, puts postponed messages that are due
    /// back into theirs, and updates `next_due`. `earliest` is the earliest due time in the `delayed` table.
    fn made_ready(&self, moved: &[Entry], now: i64, earliest: i64) {
        moved.iter().for_each(|entry| self.place(Placed::Ready(entry.clone())));
        let mut postponed = self.postponed();
        for (_, entry) in postponed.extract_if(.., |(due, _)| *due <= now) {
            let queue = number(entry.message.queue());
            self.in_memory(queue).put_back(entry);
            self.came[usize::from(queue)].notify_one();
        }
        let next = postponed.iter().map(|(due, _)| *due).fold(earliest, i64::min);
        self.next_due.store(next, Ordering::Release);
    }
}

/// Where a message was stored.
#[derive(Debug, Clone)]
enum Placed {
    Ready(Entry),
    Delayed(i64),
}

/// Sends messages as part of a transaction.
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
            let body_bytes = body_bytes(connection, &message)?;
            let entry = Entry { seq, receives: 0, body_bytes, message };
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
    /// Runs `work` in the next transaction, and `after` when it is committed, before the `after` of any later
    /// transaction. The messages that `work` sends are committed in the same transaction.
    pub(crate) async fn write_and_send<T: Send + 'static>(
        &self,
        turn: Turn,
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
        self.writer.write(turn, doing, work, after).await.map(|(value, _)| value)
    }
}

#[async_trait]
impl Queue for Embedded {
    async fn send(&self, messages: Vec<ScheduledMessage>) -> PortResult<()> {
        // The messages of a call are of one account.
        let turn = messages.first().map(|scheduled| scheduled.message.account_id());
        let work =
            move |connection: &Connection, outgoing: &mut Outgoing| outgoing.send(connection, messages);
        self.write_and_send(turn, "sending messages", work, |()| {}).await
    }
}

impl Embedded {
    /// Sets how many messages of a queue are processed concurrently.
    pub fn limit_slots(&self, queue: QueueName, slots: usize) {
        self.queues.slots[usize::from(number(queue))].store(slots, Ordering::Relaxed);
    }

    /// Waits for a message and a free slot, and returns the message.
    pub async fn receive(self: &Arc<Self>, queue: QueueName) -> PortResult<Received> {
        loop {
            if let Some(received) = self.try_receive(queue)? {
                return Ok(received);
            }
            self.queues.came[usize::from(number(queue))].notified().await;
        }
    }

    /// Returns the next message, or `None` if no message is due, no slot is free for it, or its outcome could not be
    /// recorded because writes fail.
    pub fn try_receive(self: &Arc<Self>, queue: QueueName) -> PortResult<Option<Received>> {
        let which = number(queue);
        if self.writer.is_failing() {
            return Ok(None);
        }
        loop {
            let capacity = Load {
                messages: self.queues.slots[usize::from(which)].load(Ordering::Relaxed),
                bytes: crate::limits::bodies_in_work(queue),
            };
            let picked = self.queues.in_memory(which).pick(capacity);
            match picked {
                Pick::Nothing => return Ok(None),
                Pick::Entry(entry) => {
                    let message = entry.message.clone();
                    let began = self.clock.now();
                    return Ok(Some(Received { message, entry: Some(*entry), began, from: self.clone() }));
                }
                Pick::Load(wanted) => {
                    let entries = self.load(which, wanted)?;
                    self.queues.in_memory(which).loaded(wanted, entries);
                }
            }
        }
    }

    fn load(&self, queue: u8, wanted: Wanted) -> PortResult<Vec<Entry>> {
        self.readers.read("reading messages", |connection| ready_entries(connection, queue, wanted))
    }

    /// Returns when the next delayed message is due, or `None` if there is none.
    pub fn next_due(&self) -> Option<Timestamp> {
        let due = self.queues.next_due.load(Ordering::Acquire);
        from_millis(due).ok().filter(|_| due != i64::MAX)
    }

    /// Waits until [`next_due`](Self::next_due) becomes earlier.
    pub async fn next_due_came_closer(&self) {
        self.queues.closer.notified().await;
    }

    /// Waits until a write fails. Then [`make_due_ready`](Self::make_due_ready) has to be called until it succeeds.
    pub async fn write_failed(&self) {
        self.writer.failed().await;
    }

    /// Makes delayed messages ready when their due time has passed. If a write has failed, it first checks whether writes
    /// succeed again.
    pub async fn make_due_ready(&self) -> PortResult<()> {
        if self.writer.is_failing() {
            self.writer.probe().await?;
            tracing::warn!("the store can write again");
            self.queues.came.iter().for_each(Notify::notify_one);
        }
        while self.next_due().is_some_and(|due| due <= self.clock.now()) {
            let now = millis(self.clock.now());
            let (queues, counted) = (self.queues.clone(), self.queues.clone());
            let work = move |connection: &Connection| {
                let moved = move_due(connection, now, &counted.seq)?;
                Ok((moved, earliest(connection)?))
            };
            // Runs after the commit, because messages of a rolled-back transaction are still due. Messages sent
            // later in the same batch update `next_due` afterwards, as their `after` runs later.
            let after = move |(moved, earliest): &(Vec<Entry>, i64)| queues.made_ready(moved, now, *earliest);
            self.writer.write(None, "making messages ready", work, after).await?;
        }
        Ok(())
    }

    /// Frees the message's slot now. In the next transaction, deletes its row and runs `then`, which may store the
    /// message again and return its due time.
    fn end(
        &self,
        entry: Entry,
        began: Timestamp,
        then: impl FnOnce(&Connection, &Entry) -> rusqlite::Result<Option<i64>> + Send + 'static,
    ) {
        let (queue, turn) = (number(entry.message.queue()), Some(entry.message.account_id()));
        let now = self.clock.now();
        let took = Duration::try_from(now.duration_since(began)).unwrap_or_default();
        self.queues.in_memory(queue).ended(&entry, took);
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
        self.writer.write_later(turn, work, move |(ending, due)| {
            ending.written();
            if let Some(due) = due {
                queues.place(Placed::Delayed(due));
            }
        });
    }
}

/// A finished message whose row has yet to be written. If this is dropped before the commit (the disk is full, the
/// batch failed), the row is still there, and the message is delivered again when the store can write.
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
            self.queues.postponed().push((self.again, entry));
            self.queues.bring_closer(self.again);
        }
    }
}

/// When a message is delivered again after `receives` failures: 2 to the power of `receives` seconds, at most 64.
fn after_receives(now: Timestamp, receives: u32) -> Timestamp {
    now.checked_add(Duration::from_secs(1 << receives.min(6))).unwrap_or(now)
}

/// A message in progress. Complete it with [`done`](Self::done) or [`again`](Self::again); a drop counts as a failure.
#[derive(Debug)]
pub struct Received {
    /// The message.
    pub message: Message,
    entry: Option<Entry>,
    began: Timestamp,
    from: Arc<Embedded>,
}

impl Received {
    /// Deletes the message.
    pub fn done(mut self) {
        if let Some(entry) = self.entry.take() {
            self.from.end(entry, self.began, |_, _| Ok(None));
        }
    }

    /// Returns the message to its queue, due at `at`. This does not count as a failure.
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
            if entry.receives < crate::limits::RECEIVES_MAX {
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

/// All queues. Each needs a worker.
pub fn queues() -> [QueueName; 3] {
    QUEUES
}
