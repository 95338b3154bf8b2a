//! Everything of a run in one place, and the one thread that drives it: tasks are futures, and which of those that could
//! go on does go on is a throw of the dice. Time passes when nobody can.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;
use statuspulse_core::message::ScheduledMessage;

use crate::check::Ledger;
use crate::dice::Dice;
use crate::history::History;
use crate::queue::{Queue, Received};
use crate::receivers::Receivers;
use crate::store::Store;

/// When every run begins.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_second(1_795_521_600).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(crate) type TaskId = usize;
type Future<'a> = Pin<Box<dyn std::future::Future<Output = ()> + Send + 'a>>;

/// What a task waits for.
#[derive(Clone, Copy)]
enum Wake {
    Turn,
    At(Timestamp),
    Message,
    End(TaskId),
}

/// Who a task is.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) name: Arc<str>,
    /// Whether it may die at any moment while there are faults.
    pub(crate) mortal: bool,
}

struct Task {
    id: TaskId,
    who: Who,
    future: Future<'static>,
}

/// The state of a run.
pub(crate) struct Inner {
    pub(crate) now: Timestamp,
    pub(crate) dice: Dice,
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) receivers: Receivers,
    pub(crate) ledger: Ledger,
    pub(crate) history: History,
    /// Whether things go wrong at present.
    pub(crate) faults: bool,
    /// Whether the store is slow again and again while they do.
    pub(crate) sluggish: bool,
    /// Whether everything has come to its end, and nothing is left to repair.
    pub(crate) is_over: bool,
    /// Of how many turns a worker or a call dies in one.
    pub(crate) deadliness: usize,
    /// Calls of ports that failed, by port and kind: what was explored.
    pub(crate) points: BTreeSet<(&'static str, &'static str)>,
    /// Port calls left that are refused for throttling.
    pub(crate) throttled: usize,
    /// Whose turn it is.
    pub(crate) current: TaskId,
    /// The last port each task called.
    pub(crate) last_call: BTreeMap<TaskId, &'static str>,
    wakes: BTreeMap<TaskId, Wake>,
    ended: BTreeSet<TaskId>,
    newborn: Vec<Task>,
    next_task: TaskId,
}

/// The world of a run; everybody in it has one.
#[derive(Clone)]
pub(crate) struct World(Arc<Mutex<Inner>>);

impl World {
    pub(crate) fn new(seed: u64, keep_history: bool) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            now: start(),
            dice: Dice::of(seed),
            store: Store::default(),
            queue: Queue::default(),
            receivers: Receivers::default(),
            ledger: Ledger::default(),
            history: History::new(keep_history),
            faults: true,
            sluggish: false,
            is_over: false,
            deadliness: 250,
            points: BTreeSet::new(),
            throttled: 0,
            current: 0,
            last_call: BTreeMap::new(),
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

    /// Begins a task; it goes on beside the others.
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

    /// Others may go first.
    pub(crate) async fn turn(&self) {
        self.wait(Wake::Turn).await;
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        let until = self.with(|inner| inner.now.checked_add(time).unwrap_or(inner.now));
        self.wait(Wake::At(until)).await;
    }

    /// The next message that is due, when there is one.
    pub(crate) async fn receive(&self) -> Received {
        loop {
            self.wait(Wake::Message).await;
            let received = self.with(|inner| {
                let twice = inner.faults && inner.dice.once_in(12);
                let now = inner.now;
                inner.queue.receive(now, twice, &mut inner.dice)
            });
            if let Some(received) = received {
                return received;
            }
        }
    }

    /// Returns when the task has ended, in one way or another.
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
    /// A fault strikes the task whose turn it is.
    pub(crate) fn struck(&mut self, kind: &'static str) {
        let task = self.current;
        let call = self.last_call.get(&task).copied().unwrap_or("start");
        self.points.insert((call, kind));
        self.ledger.excuse(task);
    }

    /// Messages come into the queue.
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

    /// When somebody can go on next.
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

/// What drives a run.
pub(crate) struct Driver {
    pub(crate) world: World,
    tasks: Vec<Task>,
    /// Begins a worker's successor.
    successor: Successor,
    polls: usize,
}

/// Polls of one run: more is a live-lock.
const POLLS_MAX: usize = 400_000;

impl Driver {
    pub(crate) fn new(world: World, successor: impl Fn(&World, &Who) + 'static) -> Self {
        Self { world, tasks: vec![], successor: Box::new(successor), polls: 0 }
    }

    /// Drives until the condition holds, everything is asleep for good, or the time has come. `Err` says what is
    /// still going on.
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
                let dies = inner.faults && tasks[at].who.mortal && inner.dice.once_in(inner.deadliness);
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
                        _ => return Err(format!("nothing more happens before {deadline} (it is {now})")),
                    }
                }
                Chosen::Dies(at) => self.kill(at),
                Chosen::Goes(at) => self.poll(at),
            }
            if self.polls > POLLS_MAX {
                return Err("it goes round and round".to_owned());
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
            inner.ledger.forget(task);
        });
    }
}

enum Chosen {
    Nobody(Option<Timestamp>),
    Dies(usize),
    Goes(usize),
}
