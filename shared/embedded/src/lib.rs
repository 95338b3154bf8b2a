//! The ports on one SQLite file, for one machine: store, delay queues, dead letters.
//!
//! The data folder contains `statuspulse.db` (the database, with its write-ahead log beside it), `secret.key` (the
//! key that seals secrets), `lock` (held by the server that uses the folder) and, after an [`export()`], `exported`. A
//! copy of its files while a server runs is torn; [`backup()`] makes a whole one.
//!
//! Writes that have returned survive the death of the process. Messages that became due while the process was down
//! are processed when it starts.

mod accounts;
mod arrivals;
mod audit;
mod backup;
mod census;
mod columns;
mod deliveries;
mod delivery_rows;
mod draws;
mod entry;
mod export;
mod fair_queue;
mod figures;
mod inspect;
mod limits;
mod lists;
mod prune;
mod queue;
mod queue_rows;
mod rate_limits;
mod readers;
mod records;
mod rekey;
mod schema;
mod sealing;
mod sessions;
mod webhook_cache;
mod webhooks;
mod writer;

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use statuspulse_core::ports::Clock;

pub use backup::{BackupError, Contents, backup, restore};
pub use census::Census;
pub use export::{ExportError, export};
pub use inspect::{Inspection, inspect};
pub use limits::{PRUNE_EVERY, RECEIVES_MAX, slots};
pub use queue::{Received, queues};
pub use rekey::{RekeyError, rekey};

/// The ports on one data folder.
#[derive(Debug)]
pub struct Embedded {
    /// Declared before `writer` so that it is dropped first: the last connection to close checkpoints the log, and
    /// a read-only connection cannot.
    readers: Arc<readers::Readers>,
    writer: writer::Writer,
    sealer: Arc<sealing::Sealer>,
    webhook_cache: Arc<webhook_cache::Cache>,
    claims: deliveries::Claims,
    rate_limits: rate_limits::Taken,
    figures: statuspulse_core::figures::Pending,
    queues: Arc<queue::Queues>,
    /// Events that were accepted since the start.
    accepted: Arc<std::sync::atomic::AtomicU64>,
    clock: Clocked,
    /// Held while a server uses the folder.
    _lock: Option<File>,
}

/// What the folder is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To run the server, which processes messages. Takes the lock.
    Serve,
    /// To run a command, which creates or revokes keys. A server may run at the same time.
    Administer,
    /// To export it, or to import into it. Takes the lock, and leaves messages alone.
    Move,
}

/// Why a folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has the lock.
    #[error("another server is using the data folder {0}")]
    InUse(PathBuf),
    /// The folder, or a file in it, cannot be read or written.
    #[error("cannot use the data folder {0}")]
    Folder(PathBuf, #[source] std::io::Error),
    /// SQLite refuses the file: it is not a database, or it is damaged.
    #[error("cannot use the database {0}")]
    Database(PathBuf, #[source] rusqlite::Error),
    /// The file is a database, but parts of it are missing or contradict each other.
    #[error("the database {0} is damaged ({1}); it is left as it is: restore a backup into another folder")]
    Damaged(PathBuf, String),
    /// The key file does not open what is sealed in the database.
    #[error("the key file {0} does not match the database: it is missing, or belongs to another data folder")]
    Key(PathBuf),
    /// Others than its owner can read the key file, so the key may be known.
    #[error(
        "others can read the key file {0}: chmod 600 {0}, and if somebody may have read it, rotate the secrets of all \
         webhooks"
    )]
    OpenKey(PathBuf),
    /// What it owes was exported to another deployment, which delivers it.
    #[error(
        "the data folder was exported, and what it owes is delivered elsewhere: remove the file {0} only if the export \
         was never imported"
    )]
    Exported(PathBuf),
    /// Another version of this program created the database.
    #[error("the database {0} has format {1}, which this version of the program cannot read")]
    OtherFormat(PathBuf, i64),
}

/// A clock with `Debug`.
struct Clocked(Arc<dyn Clock>);

impl std::fmt::Debug for Clocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl std::ops::Deref for Clocked {
    type Target = dyn Clock;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Embedded {
    /// Opens the folder, and creates the folder and its files if they are missing.
    pub fn open(folder: &Path, purpose: Purpose, clock: Arc<dyn Clock>) -> Result<Arc<Self>, OpenError> {
        let in_folder = |error| OpenError::Folder(folder.to_owned(), error);
        make_folder(folder).map_err(in_folder)?;
        let lock = match purpose {
            Purpose::Serve | Purpose::Move => Some(lock(folder)?),
            Purpose::Administer => None,
        };
        let exported = export::mark_in(folder);
        if purpose == Purpose::Serve && exported.exists() {
            return Err(OpenError::Exported(exported));
        }
        let path = database_in(folder);
        make_file(&path).map_err(in_folder)?;
        let in_file = |error| OpenError::Database(path.clone(), error);
        let connection = open_writer(&path).map_err(in_file)?;
        if let Err(other) = schema::prepare(&connection).map_err(in_file)? {
            return Err(OpenError::OtherFormat(path, other.found));
        }
        if purpose != Purpose::Administer
            && let Some(damage) = schema::damage(&connection).map_err(in_file)?
        {
            return Err(OpenError::Damaged(path, damage));
        }
        let sealed = webhooks::any_sealed(&connection).map_err(in_file)?;
        let sealer = open_sealer(folder, sealed)?;
        if purpose == Purpose::Serve {
            let revived = queue_rows::revive_dead_letters(&connection, clock.now()).map_err(in_file)?;
            if revived > 0 {
                tracing::warn!(revived, "dead letters are put back into their queues");
            }
        }
        let queues = Arc::new(queue::Queues::open(&connection).map_err(in_file)?);
        let checkpointer = open_writer(&path).map_err(in_file)?;
        let writer = writer::Writer::start(connection, checkpointer, &path).map_err(in_folder)?;
        Ok(Arc::new(Self {
            writer,
            readers: readers::Readers::new(&path, open_reader),
            sealer: Arc::new(sealer),
            webhook_cache: Arc::default(),
            claims: deliveries::Claims::default(),
            rate_limits: rate_limits::Taken::default(),
            figures: statuspulse_core::figures::Pending::default(),
            queues,
            accepted: Arc::default(),
            clock: Clocked(clock),
            _lock: lock,
        }))
    }
}

/// Creates the folder, accessible to its owner only: it contains customers' data.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// The path of the database in a data folder.
pub fn database_in(folder: &Path) -> PathBuf {
    folder.join("statuspulse.db")
}

/// The path of the key file in a data folder.
pub fn key_file_in(folder: &Path) -> PathBuf {
    folder.join("secret.key")
}

/// Creates the file, readable by its owner only, whatever the mode of the folder. SQLite gives its log the same mode.
fn make_file(path: &Path) -> std::io::Result<()> {
    let mut options = File::options();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path).map(drop)
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let in_folder = |error| OpenError::Folder(folder.to_owned(), error);
    // Without truncating it: what the holder of the lock has written is read.
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(folder.join("lock"))
        .map_err(in_folder)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).and_then(|()| file.write_all(FOLLOWS_KEY)).map_err(in_folder)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::Folder(folder.to_owned(), error)),
    }
}

/// What a process writes into the lock file that it holds, if it seals with the next key as soon as there is one.
const FOLLOWS_KEY: &[u8] = b"follows secret.key.next\n";

/// Whether the server on this folder would go on sealing with the key that it has read at its start.
fn has_earlier_server(folder: &Path) -> std::io::Result<bool> {
    match std::fs::read(folder.join("lock")) {
        Ok(written) => Ok(inspect::is_locked(folder)? && written != FOLLOWS_KEY),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Checks at the start that the key opens the database. Creates a key only if the database has no sealed secrets.
fn open_sealer(folder: &Path, sealed: Option<([u8; 16], Vec<u8>)>) -> Result<sealing::Sealer, OpenError> {
    let files = sealing::KeyFiles::of(folder);
    let file = files.current.clone();
    if sealed.is_some() && !file.exists() {
        return Err(OpenError::Key(file));
    }
    if let Some(open) = [&files.current, &files.next].into_iter().find(|file| is_open_to_others(file)) {
        return Err(OpenError::OpenKey(open.clone()));
    }
    let any = sealed.as_ref().map(|(_, sealed)| &**sealed);
    let sealer =
        sealing::Sealer::open(files, any).map_err(|error| OpenError::Folder(folder.to_owned(), error))?;
    match sealed {
        Some((owner, sealed)) if sealer.unseal(owner, &sealed).is_err() => Err(OpenError::Key(file)),
        _ => Ok(sealer),
    }
}

/// Whether others than its owner can read the file or write it.
#[cfg(unix)]
pub fn is_open_to_others(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    std::fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o077 != 0)
}

/// Whether others than its owner can read the file or write it: not known here.
#[cfg(not(unix))]
pub fn is_open_to_others(_: &Path) -> bool {
    false
}

fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(limits::BUSY_FOR)?;
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    if pages == 0 {
        // Only a new file can have it, and another one would be changed by it.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "journal_size_limit", limits::LOG_BYTES_KEPT)?;
    // Commits do not wait for the disk. The writer's sync thread does that for many commits at once.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -8 * 1024)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    keep_statements(&connection)?;
    Ok(connection)
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(limits::BUSY_FOR)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    keep_statements(&connection)?;
    Ok(connection)
}

/// Keeps all statements prepared. Without the planner's stability guarantee, SQLite prepares some of them again
/// whenever another value is bound, which cost a fifth of the program's CPU.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;
    use statuspulse_core::ids::WebhookId;

    use super::*;

    #[test]
    fn a_statement_is_prepared_once_whatever_is_bound_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open_writer(&folder.path().join("statuspulse.db")).unwrap();
        schema::prepare(&connection).unwrap().unwrap();
        for incident in ["INC-1", "INC-2", "INC-3"] {
            delivery_rows::lane_head(&connection, WebhookId::from_bytes([1; 16]), incident).unwrap();
        }
        let statement = connection.prepare_cached(delivery_rows::LANE_HEAD).unwrap();
        assert_eq!(statement.get_status(StatementStatus::Run), 3);
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
