//! Copies of a data folder in one file, made while the server runs, and a folder made from such a file.
//!
//! A backup is a database of its own, with the key file in a table beside the others unless it is kept apart. It is copied
//! in one read transaction, so it is the state of one moment, and the server goes on writing.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::sealing::KeyFiles;
use crate::{
    OpenError, database_in, key_file_in, limits, lock, make_file, make_folder, schema, sealing, webhooks,
};

/// Why a backup cannot be made or restored. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// There is no database in the folder.
    #[error("no database at {0}; check --data")]
    NoDatabase(PathBuf),
    /// A file that would be overwritten.
    #[error("{0} is there already; it is not overwritten")]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot use {0}")]
    File(PathBuf, #[source] std::io::Error),
    /// SQLite refuses a file.
    #[error("cannot copy to or from {0}")]
    Copy(PathBuf, #[source] rusqlite::Error),
    /// The file is no backup.
    #[error("{0} is not a backup of StatusPulse")]
    NotABackup(PathBuf),
    /// The backup was made without its key.
    #[error("the backup {0} has no key in it: give the file secret.key of its data folder with --key")]
    KeyMissing(PathBuf),
    /// The key is being replaced.
    #[error("the key of {0} is being replaced: let `statuspulse rekey` end, and make the backup then")]
    Rekeying(PathBuf),
    /// The key does not open what is sealed in the backup.
    #[error("the key does not match the backup {0}")]
    OtherKey(PathBuf),
}

type Result<T> = std::result::Result<T, BackupError>;

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// When it was made.
    pub at: Timestamp,
    /// Whether the key is in it.
    pub has_key: bool,
    /// Number of accounts.
    pub accounts: u64,
    /// Number of webhooks that were not deleted.
    pub webhooks: u64,
    /// Number of events.
    pub events: u64,
    /// Deliveries that are not finished.
    pub unfinished: u64,
}

/// Backs up a data folder to a new file. A server may use the folder at the same time. `told` is called with how many pages
/// of how many are copied.
///
/// # Errors
/// Fails if the folder has no database, if the file exists, or if one of them cannot be used.
pub fn backup(
    folder: &Path,
    file: &Path,
    with_key: bool,
    now: Timestamp,
    told: &mut dyn FnMut(u64, u64),
) -> Result<Contents> {
    let database = database_in(folder);
    if !database.exists() {
        return Err(BackupError::NoDatabase(database));
    }
    if file.exists() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let files = KeyFiles::of(folder);
    let in_key = |error| BackupError::File(files.current.clone(), error);
    let key = std::fs::read(&files.current).map_err(in_key)?;
    let draft = Draft::new(file)?;
    let copy = copied(&database, draft.path(), told)?;
    // Some of the copy may be sealed with the next key.
    if files.next.exists() || std::fs::read(&files.current).map_err(in_key)? != key {
        return Err(BackupError::Rekeying(folder.to_owned()));
    }
    let in_copy = |error| BackupError::Copy(file.to_owned(), error);
    let found = described(&copy, now, with_key.then_some(&*key)).map_err(in_copy)?;
    close(copy, draft.path())?;
    draft.becomes(file)?;
    Ok(found)
}

/// Makes a data folder from a backup. `told` is called as for [`backup`].
///
/// # Errors
/// Fails if the folder has a database or a key already, if the file is no backup or is damaged, or if the key is missing
/// or another one.
pub fn restore(
    file: &Path,
    folder: &Path,
    key: Option<&Path>,
    told: &mut dyn FnMut(u64, u64),
) -> Result<Contents> {
    let (database, key_file) = (database_in(folder), key_file_in(folder));
    if let Some(there) = [&database, &key_file].into_iter().find(|path| path.exists()) {
        return Err(BackupError::Exists(there.clone()));
    }
    let key = match key {
        Some(path) => Some(std::fs::read(path).map_err(|error| BackupError::File(path.to_owned(), error))?),
        None => None,
    };
    std::fs::metadata(file).map_err(|error| BackupError::File(file.to_owned(), error))?;
    make_folder(folder).map_err(|error| BackupError::File(folder.to_owned(), error))?;
    let _lock = lock(folder)?;
    let draft = Draft::new(&database)?;
    let copy = copied(file, draft.path(), told)?;
    let (found, key_within) = undescribed(&copy).map_err(|_| BackupError::NotABackup(file.to_owned()))?;
    if let Some(damage) = schema::damage(&copy).map_err(|error| BackupError::Copy(file.to_owned(), error))? {
        return Err(OpenError::Damaged(file.to_owned(), damage).into());
    }
    let key = key.or(key_within).ok_or_else(|| BackupError::KeyMissing(file.to_owned()))?;
    let sealed = webhooks::any_sealed(&copy).map_err(|error| BackupError::Copy(file.to_owned(), error))?;
    if !sealing::opens(&key, sealed.as_ref()) {
        return Err(BackupError::OtherKey(file.to_owned()));
    }
    close(copy, draft.path())?;
    let key_draft = Draft::new(&key_file)?;
    let in_key = |error| BackupError::File(key_file.clone(), error);
    File::options()
        .append(true)
        .open(key_draft.path())
        .and_then(|mut to| to.write_all(&key))
        .map_err(in_key)?;
    key_draft.becomes(&key_file)?;
    // Without its database the key would be in the way of the next try.
    draft.becomes(&database).inspect_err(|_| drop(std::fs::remove_file(&key_file)))?;
    Ok(found)
}

/// A copy of a database, as one file without a log.
fn copied(from: &Path, to: &Path, told: &mut dyn FnMut(u64, u64)) -> Result<Connection> {
    let in_from = |error| BackupError::Copy(from.to_owned(), error);
    let in_to = |error| BackupError::Copy(to.to_owned(), error);
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(in_from)?;
    source.busy_timeout(limits::BUSY_FOR).map_err(in_from)?;
    // Holds the state of this moment: without it, a write of the server would begin the copy anew.
    source
        .execute_batch("PRAGMA query_only = ON; BEGIN; SELECT count(*) FROM sqlite_schema")
        .map_err(in_from)?;
    if let Some(other) = schema::other_format(&source).map_err(in_from)? {
        return Err(OpenError::OtherFormat(from.to_owned(), other.found).into());
    }
    let mut copy = Connection::open(to).map_err(in_to)?;
    let steps = Backup::new(&source, &mut copy).map_err(in_to)?;
    loop {
        let step = steps.step(limits::BACKUP_PAGES).map_err(in_from)?;
        let progress = steps.progress();
        let pages = |count: i32| u64::try_from(count).unwrap_or_default();
        told(pages(progress.pagecount - progress.remaining), pages(progress.pagecount));
        if step == StepResult::Done {
            break;
        }
    }
    drop(steps);
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(in_to)?;
    Ok(copy)
}

/// Adds what the backup is, and the key.
fn described(copy: &Connection, now: Timestamp, key: Option<&[u8]>) -> rusqlite::Result<Contents> {
    copy.execute_batch("CREATE TABLE backup (at INTEGER NOT NULL, key BLOB) STRICT")?;
    copy.execute("INSERT INTO backup VALUES (?1, ?2)", (now.as_millisecond(), key))?;
    contents(copy)
}

/// Removes what [`described`] has added, and returns it.
fn undescribed(copy: &Connection) -> rusqlite::Result<(Contents, Option<Vec<u8>>)> {
    let found = contents(copy)?;
    let key = copy.query_row("SELECT key FROM backup", [], |row| row.get(0)).optional()?.flatten();
    copy.execute_batch("DROP TABLE backup")?;
    Ok((found, key))
}

fn contents(copy: &Connection) -> rusqlite::Result<Contents> {
    let count = |of: &str| -> rusqlite::Result<u64> {
        let counted =
            copy.query_row(&format!("SELECT count(*) FROM {of}"), [], |row| row.get::<_, i64>(0))?;
        Ok(u64::try_from(counted).unwrap_or_default())
    };
    let (at, has_key): (i64, bool) =
        copy.query_row("SELECT at, key IS NOT NULL FROM backup", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Contents {
        at: Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH),
        has_key,
        accounts: count("accounts")?,
        webhooks: count("webhooks WHERE deleted = 0")?,
        events: count("events")?,
        unfinished: count("deliveries WHERE state < 3")?,
    })
}

fn close(copy: Connection, path: &Path) -> Result<()> {
    copy.close().map_err(|(_, error)| BackupError::Copy(path.to_owned(), error))?;
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| BackupError::File(path.to_owned(), error))
}

/// A file under another name, which is removed unless it gets its own.
pub(crate) struct Draft(PathBuf);

impl Draft {
    pub(crate) fn new(file: &Path) -> Result<Self> {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let draft = Self(file.with_file_name(name));
        make_file(&draft.0).map_err(|error| BackupError::File(file.to_owned(), error))?;
        Ok(draft)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives it its name. Fails if a file with this name was made in the meantime.
    pub(crate) fn becomes(self, file: &Path) -> Result<()> {
        let in_file = |error| BackupError::File(file.to_owned(), error);
        std::fs::hard_link(&self.0, file).map_err(in_file)?;
        let folder =
            file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(in_file)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It may be gone already; and what cannot be removed harms nothing.
        drop(std::fs::remove_file(&self.0));
    }
}
