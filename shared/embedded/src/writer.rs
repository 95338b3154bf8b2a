//! One writer, group commit.
//!
//! All writes go through one thread: it takes every job that waits, runs them in one transaction, commits, and
//! then tells each caller. A commit here goes to the write-ahead log without waiting for the disk: it survives
//! the death of the process, not of the machine. A second thread makes the log durable (`fdatasync`) for
//! whoever asks by [`Writer::settled`]: one call of it serves everybody who asked meanwhile, and the writer goes
//! on writing. A third copies the log back into the main file now and then, so that the log stays short.
//!
//! If a job fails, the whole batch is rolled back and every caller of it is told that nothing was written; a
//! job fails only where the disk or the file does, never by a rule.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use statuspulse_core::ports::{PortResult, Unavailable};
use tokio::sync::{oneshot, watch};

/// Jobs of one transaction at most: bounds how long the first of them waits for its answer.
const BATCH: usize = 512;
/// Pages in the log from which the checkpoint thread copies them back: 4 MiB.
const CHECKPOINT_PAGES: u64 = 1_000;
/// Pages in the log from which the writer waits for the copying to be complete: 64 MiB.
const CHECKPOINT_PAGES_MAX: u64 = 16_000;

/// Tells the caller how it went; runs after the commit, in the order of the jobs.
type Finish = Box<dyn FnOnce(Result<(), &str>) + Send>;
type Job = Box<dyn FnOnce(&Connection) -> rusqlite::Result<Finish> + Send>;

/// The writer's front.
#[derive(Debug)]
pub(crate) struct Writer {
    jobs: Option<Sender<Job>>,
    progress: Arc<Progress>,
    synced: watch::Receiver<Synced>,
    threads: Vec<JoinHandle<()>>,
}

/// How far writing and syncing have come, in commits.
#[derive(Debug, Default)]
struct Progress {
    committed: AtomicU64,
    log_pages: AtomicU64,
    wanted: Mutex<Wanted>,
    wake: Condvar,
    checkpoint_now: AtomicBool,
}

#[derive(Debug, Default)]
struct Wanted {
    sync_to: u64,
    checkpoint: bool,
    stop: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Synced {
    to: u64,
    failed: bool,
}

impl Writer {
    /// Starts the threads. `writer` and `checkpointer` are two connections to the file at `path`.
    pub(crate) fn start(
        mut writer: Connection,
        checkpointer: Connection,
        path: &std::path::Path,
    ) -> std::io::Result<Self> {
        let progress = Arc::new(Progress::default());
        let (jobs, queue) = channel();
        let (synced_to, synced) = watch::channel(Synced::default());
        let pages = progress.clone();
        writer
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: std::ffi::c_int| {
                pages.log_pages.store(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }))
            .map_err(std::io::Error::other)?;
        let log = log_path(path);
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let threads = vec![
            named("store-writer").spawn({
                let progress = progress.clone();
                move || write(&writer, &queue, &progress)
            })?,
            named("store-sync").spawn({
                let progress = progress.clone();
                move || sync(&log, &progress, &synced_to)
            })?,
            named("store-checkpoint").spawn({
                let progress = progress.clone();
                move || checkpoint(&checkpointer, &progress)
            })?,
        ];
        Ok(Self { jobs: Some(jobs), progress, synced, threads })
    }

    /// Runs `work` in the next transaction, and `after` once it is committed, before anything committed later.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        after: impl FnOnce(&T) + Send + 'static,
    ) -> PortResult<T> {
        let (answer, answered) = oneshot::channel();
        self.submit(Box::new(move |connection| {
            let value = work(connection)?;
            Ok(Box::new(move |committed: Result<(), &str>| {
                let result = match committed {
                    Ok(()) => {
                        after(&value);
                        Ok(value)
                    }
                    Err(error) => Err(error.to_owned()),
                };
                // The caller may have gone away; what it asked for is done all the same.
                drop(answer.send(result));
            }))
        }));
        match answered.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Unavailable { doing, source: error.into() }),
            Err(_) => Err(Unavailable { doing, source: "the store could not write, or has stopped".into() }),
        }
    }

    /// Runs `work` in the next transaction, and `after` once it is committed; nobody waits for it. If it is not
    /// committed, `work` or what it answered is dropped.
    pub(crate) fn write_later<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        after: impl FnOnce(T) + Send + 'static,
    ) {
        self.submit(Box::new(move |connection| {
            let value = work(connection)?;
            Ok(Box::new(move |committed: Result<(), &str>| {
                if committed.is_ok() {
                    after(value);
                }
            }))
        }));
    }

    fn submit(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // Fails only when the writer has stopped: the caller's answer channel is then dropped with the job.
            drop(jobs.send(job));
        }
    }

    /// Returns when all that was committed before is on the disk.
    pub(crate) async fn settled(&self) -> PortResult<()> {
        let target = self.progress.committed.load(Ordering::Acquire);
        let mut synced = self.synced.clone();
        if synced.borrow().to < target {
            let mut wanted = self.progress.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.sync_to = wanted.sync_to.max(target);
            drop(wanted);
            self.progress.wake.notify_all();
        }
        let state = synced.wait_for(|synced| synced.failed || synced.to >= target).await;
        match state {
            Ok(state) if !state.failed => Ok(()),
            _ => Err(Unavailable { doing: "making writes durable", source: "the disk refused".into() }),
        }
    }
}

impl Drop for Writer {
    /// Ends the threads after the jobs that wait.
    fn drop(&mut self) {
        self.jobs = None;
        let mut threads = self.threads.drain(..);
        let writer = threads.next();
        drop(writer.map(JoinHandle::join));
        self.progress.wanted.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.progress.wake.notify_all();
        threads.for_each(|thread| drop(thread.join()));
    }
}

/// Where SQLite keeps the log of the file.
fn log_path(path: &std::path::Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    PathBuf::from(log)
}

fn write(connection: &Connection, queue: &Receiver<Job>, progress: &Progress) {
    while let Ok(first) = queue.recv() {
        if progress.checkpoint_now.swap(false, Ordering::AcqRel) {
            run_checkpoint(connection);
        }
        let mut finishes = Vec::new();
        let outcome = write_batch(connection, first, queue, &mut finishes);
        match &outcome {
            Ok(()) => {
                progress.committed.fetch_add(1, Ordering::AcqRel);
                if progress.log_pages.load(Ordering::Relaxed) > CHECKPOINT_PAGES {
                    progress.wanted.lock().unwrap_or_else(PoisonError::into_inner).checkpoint = true;
                    progress.wake.notify_all();
                }
            }
            Err(error) => {
                tracing::error!(%error, "the store could not write; the batch is rolled back");
                drop(connection.execute_batch("ROLLBACK"));
            }
        }
        let told = outcome.map_err(|error| error.to_string());
        for finish in finishes {
            finish(told.as_ref().copied().map_err(String::as_str));
        }
    }
}

fn write_batch(
    connection: &Connection,
    first: Job,
    queue: &Receiver<Job>,
    finishes: &mut Vec<Finish>,
) -> rusqlite::Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut next = Some(first);
    while let Some(job) = next {
        finishes.push(job(connection)?);
        next = if finishes.len() < BATCH { queue.try_recv().ok() } else { None };
    }
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}

fn sync(log: &std::path::Path, progress: &Progress, synced: &watch::Sender<Synced>) {
    let mut file: Option<File> = None;
    loop {
        let stop = {
            let mut wanted = progress.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            while wanted.sync_to <= synced.borrow().to && !wanted.stop {
                wanted = progress.wake.wait(wanted).unwrap_or_else(PoisonError::into_inner);
            }
            wanted.stop
        };
        if stop {
            return;
        }
        let to = progress.committed.load(Ordering::Acquire);
        let result = match file.as_ref() {
            Some(file) => file.sync_data(),
            None => sync_new(log).map(|opened| file = Some(opened)),
        };
        // After a failed sync nobody knows what the disk has: everything stays refused until a restart.
        let failed = result.is_err();
        if let Err(error) = result {
            tracing::error!(%error, "the store's log could not be made durable");
        }
        synced.send_modify(|state| {
            state.failed |= failed;
            state.to = to;
        });
    }
}

/// The first sync makes the files' names durable too: the log is nothing in a folder that does not list it.
fn sync_new(log: &std::path::Path) -> std::io::Result<File> {
    let file = File::open(log)?;
    file.sync_data()?;
    if let Some(folder) = log.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

fn checkpoint(connection: &Connection, progress: &Progress) {
    loop {
        {
            let mut wanted = progress.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            while !wanted.checkpoint && !wanted.stop {
                wanted = progress.wake.wait(wanted).unwrap_or_else(PoisonError::into_inner);
            }
            if wanted.stop {
                return;
            }
            wanted.checkpoint = false;
        }
        // The second run has only what was written during the first: if it reaches the end, the log starts
        // again from its beginning.
        for _ in 0..2 {
            run_checkpoint(connection);
        }
        if progress.log_pages.load(Ordering::Relaxed) > CHECKPOINT_PAGES_MAX {
            progress.checkpoint_now.store(true, Ordering::Release);
        }
        // Not more often than this: a checkpoint waits for the disk twice.
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn run_checkpoint(connection: &Connection) {
    let result = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = result {
        tracing::warn!(%error, "checkpoint failed; it is tried again");
    }
}
