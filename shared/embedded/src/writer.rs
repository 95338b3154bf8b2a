//! A single writer with group commit.
//!
//! All writes go through one thread. It takes queued jobs from [`turns`], runs them in one transaction, commits, and then
//! answers each caller. A transaction is kept short, so that no caller waits for a long run of other callers' jobs. A
//! commit goes to the write-ahead log without waiting for the disk: it survives the death of the process, but not of the
//! machine. A second thread makes the log durable (`fdatasync`) when a caller waits in [`Writer::durable`]: one sync
//! serves all callers that wait, and the writer continues meanwhile. A third thread checkpoints: it copies the log back
//! into the database file, so that the log stays short.
//!
//! If a job fails, the whole batch is rolled back and all its callers get an error. Jobs fail only if the disk or
//! the file does. A broken rule is a value that the job returns. From then on the writer [is failing](Writer::is_failing)
//! until [`Writer::probe`] has written something large. Meanwhile no message is handed out: its outcome could not be
//! recorded, and it would be handled twice.

mod turns;

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;
use statuspulse_core::ports::{PortResult, Unavailable};
use tokio::sync::{Notify, oneshot, watch};

pub(crate) use self::turns::Turn;
use self::turns::Turns;

/// Answers the caller. Runs after the commit or rollback, in the order of the jobs.
type Finish = Box<dyn FnOnce(Result<(), &str>) + Send>;
type Job = Box<dyn FnOnce(&Connection) -> rusqlite::Result<Finish> + Send>;

/// Submits jobs to the writer thread.
#[derive(Debug)]
pub(crate) struct Writer {
    jobs: Arc<Turns<Job>>,
    progress: Arc<Progress>,
    synced: watch::Receiver<Synced>,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads share. `committed` counts transactions.
#[derive(Debug, Default)]
struct Progress {
    committed: AtomicU64,
    log_pages: AtomicU64,
    wanted: Mutex<Wanted>,
    wake: Condvar,
    /// Held while a connection checkpoints: only one can.
    checkpointing: Mutex<()>,
    is_failing: AtomicBool,
    /// Notified when the writer begins to fail.
    failed: Notify,
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
        let jobs = Arc::new(Turns::new());
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
                let (jobs, progress) = (OneWriter(jobs.clone()), progress.clone());
                move || write(&writer, &jobs.0, &progress)
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
        Ok(Self { jobs, progress, synced, threads })
    }

    /// Runs `work` in the next transaction, and `after` when it is committed, before the `after` of any later
    /// transaction.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        turn: Turn,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        after: impl FnOnce(&T) + Send + 'static,
    ) -> PortResult<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let value = work(connection)?;
            Ok(Box::new(move |committed: Result<(), &str>| {
                let result = match committed {
                    Ok(()) => {
                        after(&value);
                        Ok(value)
                    }
                    Err(error) => Err(error.to_owned()),
                };
                // The caller may have gone away. The write is committed all the same.
                drop(answer.send(result));
            }))
        });
        self.jobs.push(turn, job);
        match answered.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Unavailable { doing, source: error.into() }),
            Err(_) => Err(Unavailable { doing, source: "the store cannot write, or has stopped".into() }),
        }
    }

    /// Runs `work` in the next transaction, and `after` when it is committed, without waiting for either. If the
    /// transaction is not committed, `work` or its result is dropped.
    pub(crate) fn write_later<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        after: impl FnOnce(T) + Send + 'static,
    ) {
        let job: Job = Box::new(move |connection| {
            let value = work(connection)?;
            Ok(Box::new(move |committed: Result<(), &str>| {
                if committed.is_ok() {
                    after(value);
                }
            }))
        });
        self.jobs.push(turn, job);
    }

    /// Whether a write has failed, and no probe has succeeded since.
    pub(crate) fn is_failing(&self) -> bool {
        self.progress.is_failing.load(Ordering::Acquire)
    }

    /// Waits until a write fails.
    pub(crate) async fn failed(&self) {
        self.progress.failed.notified().await;
    }

    /// Writes so much that many small writes should succeed too. If it succeeds, the writer no longer counts as failing.
    pub(crate) async fn probe(&self) -> PortResult<()> {
        let work = |connection: &Connection| {
            let sql = "INSERT INTO probe VALUES (1, zeroblob(?1)) ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes";
            connection.prepare_cached(sql)?.execute([crate::limits::PROBE_BYTES])
        };
        let progress = Arc::clone(&self.progress);
        let after = move |_: &usize| progress.is_failing.store(false, Ordering::Release);
        self.write(None, "checking that writes succeed again", work, after).await.map(drop)
    }

    /// Waits until everything that is committed now is on disk. Fails if a sync failed since the start.
    pub(crate) async fn durable(&self) -> PortResult<()> {
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
            _ => Err(Unavailable { doing: "making writes durable", source: "the disk sync failed".into() }),
        }
    }
}

impl Drop for Writer {
    /// Stops the threads after all submitted jobs have run.
    fn drop(&mut self) {
        self.jobs.close();
        let mut threads = self.threads.drain(..);
        let writer = threads.next();
        drop(writer.map(JoinHandle::join));
        self.progress.wanted.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.progress.wake.notify_all();
        threads.for_each(|thread| drop(thread.join()));
    }
}

/// The queue as the writer thread holds it. However the thread ends, even by a panic, no caller is left waiting.
struct OneWriter(Arc<Turns<Job>>);

impl Drop for OneWriter {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// The path of SQLite's write-ahead log for a database.
fn log_path(path: &std::path::Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    PathBuf::from(log)
}

fn write(connection: &Connection, jobs: &Turns<Job>, progress: &Progress) {
    let mut long = crate::limits::CHECKPOINT_PAGES_MAX;
    while let Some(first) = jobs.next() {
        // The checkpoint thread does not reach the end of the log while much is written. Only at its end is the log started
        // again, and here nothing is written meanwhile.
        let pages = progress.log_pages.load(Ordering::Relaxed);
        if pages > long {
            run_checkpoint(connection, progress);
            // Not before each batch, if another program's reader keeps the log from being started again.
            long = pages + crate::limits::CHECKPOINT_PAGES_MAX / 4;
        } else if pages < crate::limits::CHECKPOINT_PAGES_MAX {
            long = crate::limits::CHECKPOINT_PAGES_MAX;
        }
        let mut finishes = Vec::new();
        let outcome = write_batch(connection, first, jobs, &mut finishes);
        match &outcome {
            Ok(()) => {
                progress.committed.fetch_add(1, Ordering::AcqRel);
                if progress.log_pages.load(Ordering::Relaxed) > crate::limits::CHECKPOINT_PAGES {
                    progress.wanted.lock().unwrap_or_else(PoisonError::into_inner).checkpoint = true;
                    progress.wake.notify_all();
                }
            }
            Err(error) => {
                tracing::error!(%error, "the store could not write; the batch was rolled back");
                drop(connection.execute_batch("ROLLBACK"));
                progress.is_failing.store(true, Ordering::Release);
                progress.failed.notify_one();
            }
        }
        let result = outcome.map_err(|error| error.to_string());
        for finish in finishes {
            finish(result.as_ref().copied().map_err(String::as_str));
        }
    }
}

fn write_batch(
    connection: &Connection,
    first: Job,
    jobs: &Turns<Job>,
    finishes: &mut Vec<Finish>,
) -> rusqlite::Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    #[expect(clippy::disallowed_methods, reason = "ends the transaction early, and decides nothing else")]
    let began = Instant::now();
    let mut next = Some(first);
    while let Some(job) = next {
        finishes.push(job(connection)?);
        let is_full =
            finishes.len() >= crate::limits::WRITE_BATCH || began.elapsed() >= crate::limits::WRITE_BATCH_FOR;
        next = if is_full { None } else { jobs.try_next() };
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
        // After a failed sync it is unknown what is on the disk, so `durable` fails until a restart.
        let failed = result.is_err();
        if let Err(error) = result {
            tracing::error!(%error, "the store's log could not be synced to disk");
        }
        synced.send_modify(|state| {
            state.failed |= failed;
            state.to = to;
        });
    }
}

/// Opens and syncs the log, and syncs the folder: without its directory entry the log would be lost.
fn sync_new(log: &std::path::Path) -> std::io::Result<File> {
    let file = File::open(log)?;
    file.sync_data()?;
    if let Some(folder) = log.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

fn checkpoint(connection: &Connection, progress: &Progress) {
    let mut was_long = false;
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
        // The second run only has to copy what was written during the first. If it reaches the end of the log,
        // SQLite starts the log again from its beginning.
        for _ in 0..2 {
            run_checkpoint(connection, progress);
        }
        let pages = progress.log_pages.load(Ordering::Relaxed);
        let is_long = pages > crate::limits::LONG_LOG_PAGES;
        if is_long && !was_long {
            tracing::warn!(
                pages,
                "the store's log is long: another program keeps the database open for reading"
            );
        }
        was_long = is_long;
        // Limits the rate, because a checkpoint syncs twice. While much is written, the next one must not have much to copy:
        // at its end the writer waits.
        if pages < crate::limits::CHECKPOINT_PAGES_MAX / 4 {
            std::thread::sleep(crate::limits::CHECKPOINT_EVERY);
        }
    }
}

fn run_checkpoint(connection: &Connection, progress: &Progress) {
    let _turn = progress.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
    let result = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = result {
        tracing::warn!(%error, "checkpoint failed; it will be retried");
    }
}
