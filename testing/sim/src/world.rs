//! The state of a run, and the one thread that drives it. Tasks are futures. Which of the tasks that can run is polled
//! next is random. Time passes when none can run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;
use statuspulse_core::limits;
use statuspulse_core::message::{Message, ScheduledMessage};

use crate::check::Ledger;
use crate::clock;
use crate::dice::Dice;
use crate::history::History;
use crate::queue::{Queue, Received};
use crate::receivers::Receivers;
use crate::store::Store;
use crate::task::{Task, TaskId, Wake, Who};

/// How long a worker may run: half as long again as the slowest function of the template. A call that replaces its job takes
/// its time, too, and [`WORKER_ENDS`](limits::WORKER_ENDS) allows for both.
const LIFE: Duration = limits::WORKER_ENDS.saturating_sub(Duration::from_secs(15));

/// The state of a run.
pub(crate) struct Inner {
    pub(crate) now: Timestamp,
    pub(crate) dice: Dice,
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) receivers: Receivers,
    pub(crate) ledger: Ledger,
    pub(crate) history: History,
    /// Whether faults occur now.
    pub(crate) faults: bool,
    /// Whether the store is often slow while faults occur.
    pub(crate) sluggish: bool,
    /// Whether calls of endpoints sometimes cannot be made while faults occur, for a reason on our side.
    pub(crate) is_short_of_files: bool,
    /// Whether faults are dense while they occur: half of all messages arrive twice, slow calls and deaths are common,
    /// and all events are of one incident.
    pub(crate) is_dense: bool,
    /// Whether most deaths while faults occur are of a worker that has written a record, and has not sent its messages.
    /// Decided without the dice.
    pub(crate) is_cut_short: bool,
    /// Whether customers ask to retry now what waits on the ladder. Decided without the dice: in the other runs nothing changes
    /// by it, so that known seeds stay as they are.
    pub(crate) is_impatient: bool,
    /// Whether the check of all webhooks has time for one webhook only, and its next run goes on there. Decided without the
    /// dice, too.
    pub(crate) is_hurried: bool,
    /// Whether receivers check signatures, and their owner rotates secrets. Decided without the dice, too.
    pub(crate) checks_signatures: bool,
    /// Whether everything has ended, so that nothing is left to repair.
    pub(crate) is_over: bool,
    /// A worker or a call dies in 1 of this many polls.
    pub(crate) deadliness: usize,
    /// The faults that occurred, by port and kind.
    pub(crate) points: BTreeSet<(&'static str, &'static str)>,
    /// How many of the next port calls are throttled.
    pub(crate) throttled: usize,
    /// The task that is running.
    pub(crate) current: TaskId,
    /// The message each worker is handling.
    pub(crate) received: BTreeMap<TaskId, (u64, Message)>,
    /// When each worker received its message.
    pub(crate) began: BTreeMap<TaskId, Timestamp>,
    /// The last port each task called.
    pub(crate) last_call: BTreeMap<TaskId, &'static str>,
    wakes: BTreeMap<TaskId, Wake>,
    ended: BTreeSet<TaskId>,
    newborn: Vec<Task>,
    next_task: TaskId,
}

/// A handle to the state of a run, which every task has.
#[derive(Clone)]
pub(crate) struct World(Arc<Mutex<Inner>>);

impl World {
    pub(crate) fn new(seed: u64, keep_history: bool) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            now: clock::start(),
            dice: Dice::of(seed),
            store: Store::default(),
            queue: Queue::default(),
            receivers: Receivers { channels_read: seed % 8 == 4, ..Receivers::default() },
            ledger: Ledger::default(),
            history: History::new(keep_history),
            faults: true,
            sluggish: false,
            // Not from the dice: the runs of all other seeds stay as they were.
            is_short_of_files: seed % 5 == 3,
            is_dense: matches!(seed % 8, 6 | 7),
            is_cut_short: seed % 8 == 7,
            is_impatient: seed % 8 == 1,
            is_hurried: seed % 8 == 3,
            checks_signatures: seed % 8 == 5,
            is_over: false,
            deadliness: 250,
            points: BTreeSet::new(),
            throttled: 0,
            current: 0,
            began: BTreeMap::new(),
            last_call: BTreeMap::new(),
            received: BTreeMap::new(),
            wakes: BTreeMap::new(),
            ended: BTreeSet::new(),
            newborn: vec![],
            next_task: 1,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.lock())
    }

    pub(crate) fn note(&self, who: &str, what: impl FnOnce() -> String) {
        self.with(|inner| inner.history.note(inner.now, who, what));
    }

    /// Starts a task, which runs concurrently with the others.
    pub(crate) fn spawn(
        &self,
        who: Who,
        future: impl std::future::Future<Output = ()> + Send + 'static,
    ) -> TaskId {
        self.with(|inner| {
            let id = inner.next_task;
            inner.next_task += 1;
            inner.wakes.insert(id, Wake::Turn);
            inner.newborn.push(Task { id, who, future: Box::pin(future) });
            id
        })
    }

    /// Lets other tasks run first.
    pub(crate) async fn turn(&self) {
        self.wait(Wake::Turn).await;
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        let until = self.with(|inner| inner.now.checked_add(time).unwrap_or(inner.now));
        self.wait(Wake::At(until)).await;
    }

    /// Receives a message that is due, and waits until there is one.
    pub(crate) async fn receive(&self) -> Received {
        loop {
            self.wait(Wake::Message).await;
            let received = self.with(|inner| {
                let twice = inner.faults && inner.dice.once_in(if inner.is_dense { 2 } else { 12 });
                let now = inner.now;
                inner.queue.receive(now, twice, &mut inner.dice)
            });
            if let Some(received) = received {
                return received;
            }
        }
    }

    /// Returns when the task has finished or died.
    pub(crate) async fn end_of(&self, task: TaskId) {
        self.wait(Wake::End(task)).await;
    }

    async fn wait(&self, wake: Wake) {
        let mut first = true;
        std::future::poll_fn(|_| {
            if std::mem::take(&mut first) {
                self.with(|inner| inner.wakes.insert(inner.current, wake));
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl Inner {
    /// A fault hits the running task.
    pub(crate) fn struck(&mut self, kind: &'static str) {
        let task = self.current;
        let call = self.last_call.get(&task).copied().unwrap_or("start");
        self.points.insert((call, kind));
        self.ledger.excuse(task);
    }

    /// Whether the task that is to run dies instead.
    fn dies(&mut self) -> bool {
        let has_unsent = self.last_call.get(&self.current) == Some(&"send");
        self.dice.once_in(if self.is_cut_short && has_unsent { 6 } else { self.deadliness })
    }

    /// A worker dies that has worked on a page for longer than a function may, and whose job was replaced meanwhile. On AWS
    /// it would have been ended before it could hold a delivery so late. On one machine its process died with it, and one
    /// that starts reconciles all webhooks. All others must do without.
    fn excuse_an_old_job(&mut self, task: TaskId) {
        let Some((_, Message::Job(job))) = self.received.get(&task) else { return };
        let latest = self.store.webhooks.get(&job.webhook_id).map(|webhook| webhook.generation);
        let is_old = |began: &Timestamp| self.now.duration_since(*began).unsigned_abs() > LIFE;
        self.ledger.needs_reconciling |=
            latest != Some(job.generation) && self.began.get(&task).is_some_and(is_old);
    }

    /// A worker fails. If another one had the same message and has finished it, the message does not come again. If its
    /// delivery waited, and the slower worker has held it after the other one looked, only the quarter-hourly check
    /// releases it.
    pub(crate) fn loses_its_message(&mut self, task: TaskId) {
        let Some((number, Message::Attempt(attempt))) = self.received.remove(&task) else { return };
        let is_gone = !self.queue.has(number);
        self.ledger.needs_reconciling |= is_gone && self.ledger.has_held_waiting(task, attempt.delivery_id);
    }

    /// Puts messages into the queue.
    pub(crate) fn enqueue(&mut self, messages: Vec<ScheduledMessage>) {
        for message in messages {
            let late = self.dice.once_in(4);
            self.queue.send(message, self.now, late, &mut self.dice);
        }
    }

    fn can_go_on(&self, task: TaskId) -> bool {
        match self.wakes.get(&task) {
            Some(Wake::Turn) | None => true,
            Some(Wake::At(at)) => *at <= self.now,
            Some(Wake::Message) => self.queue.next_due().is_some_and(|due| due <= self.now),
            Some(Wake::End(other)) => self.ended.contains(other),
        }
    }

    /// The next time at which a task can run.
    fn next_time(&self, tasks: &[Task]) -> Option<Timestamp> {
        let times = tasks.iter().filter_map(|task| match self.wakes.get(&task.id) {
            Some(Wake::At(at)) => Some(*at),
            Some(Wake::Message) => self.queue.next_due(),
            _ => None,
        });
        times.min()
    }
}

type Successor = Box<dyn Fn(&World, &Who)>;

/// Drives a run.
pub(crate) struct Driver {
    pub(crate) world: World,
    tasks: Vec<Task>,
    /// Starts the successor of a worker that died.
    successor: Successor,
    polls: usize,
}

/// Most polls of a run: more mean a livelock.
const POLLS_MAX: usize = 400_000;

impl Driver {
    pub(crate) fn new(world: World, successor: impl Fn(&World, &Who) + 'static) -> Self {
        Self { world, tasks: vec![], successor: Box::new(successor), polls: 0 }
    }

    /// Runs tasks until all of them sleep and the condition holds. The error says what prevented that: the time ran
    /// out, or the tasks never come to rest.
    pub(crate) fn drive(&mut self, longest: Duration, until: impl Fn(&Inner) -> bool) -> Result<(), String> {
        let deadline = self.world.with(|inner| inner.now.checked_add(longest).unwrap_or(inner.now));
        loop {
            let mut born = self.world.with(|inner| std::mem::take(&mut inner.newborn));
            self.tasks.append(&mut born);
            let tasks = &self.tasks;
            let chosen = self.world.with(|inner| {
                let able: Vec<usize> = (0..tasks.len()).filter(|at| inner.can_go_on(tasks[*at].id)).collect();
                if able.is_empty() {
                    return Chosen::Nobody(inner.next_time(tasks));
                }
                if inner.dice.once_in(3) {
                    inner.now = inner.now.checked_add(Duration::from_millis(1)).unwrap_or(inner.now);
                }
                let at = able[inner.dice.below(able.len())];
                inner.current = tasks[at].id;
                let dies = inner.faults && tasks[at].who.mortal && inner.dies();
                if dies { Chosen::Dies(at) } else { Chosen::Goes(at) }
            });
            match chosen {
                Chosen::Nobody(next) => {
                    let (met, now) = self.world.with(|inner| (until(inner), inner.now));
                    match next {
                        _ if met => return Ok(()),
                        Some(next) if next <= deadline => {
                            self.world.with(|inner| inner.now = inner.now.max(next));
                        }
                        _ => return Err(format!("no task can run before {deadline} (it is {now})")),
                    }
                }
                Chosen::Dies(at) => self.kill(at),
                Chosen::Goes(at) => self.poll(at),
            }
            if self.polls > POLLS_MAX {
                return Err("livelock: too many polls".to_owned());
            }
        }
    }

    fn poll(&mut self, at: usize) {
        self.polls += 1;
        let task = &mut self.tasks[at];
        if task.future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            let task = self.tasks.swap_remove(at);
            self.end(task.id);
        }
    }

    fn kill(&mut self, at: usize) {
        let task = self.tasks.swap_remove(at);
        self.world.with(|inner| {
            inner.struck("dies after");
            inner.excuse_an_old_job(task.id);
            inner.loses_its_message(task.id);
            inner.history.note(inner.now, &task.who.name, || "dies".to_owned());
        });
        drop(task.future);
        self.end(task.id);
        (self.successor)(&self.world, &task.who);
    }

    fn end(&self, task: TaskId) {
        self.world.with(|inner| {
            inner.ended.insert(task);
            inner.wakes.remove(&task);
            inner.last_call.remove(&task);
            inner.began.remove(&task);
            inner.ledger.forget(task);
        });
    }
}

enum Chosen {
    Nobody(Option<Timestamp>),
    Dies(usize),
    Goes(usize),
}
