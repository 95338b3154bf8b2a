//! Looks at a data folder without changing it, also while a server uses it.

use std::fs::File;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;
use statuspulse_core::record::from_millis;

use crate::sealing::KeyFiles;
use crate::{OpenError, database_in, open_reader, schema, webhooks};

/// What a data folder is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Whether a server uses it now.
    pub in_use: bool,
    /// Whether it was exported.
    pub exported: bool,
    /// Whether the replacement of its key has begun and has not ended.
    pub rekeying: bool,
    /// Bytes of the database.
    pub bytes: u64,
    /// Bytes of its write-ahead log.
    pub log_bytes: u64,
    /// When its newest event was accepted.
    pub newest: Option<Timestamp>,
}

/// Looks at a data folder; `None` if it has no database. The whole database is read, which takes a second for some 500 MB.
///
/// # Errors
/// Fails if a server could not start on it for a reason in the folder.
pub fn inspect(folder: &Path) -> Result<Option<Inspection>, OpenError> {
    let path = database_in(folder);
    if !path.exists() {
        return Ok(None);
    }
    let in_folder = |error| OpenError::Folder(folder.to_owned(), error);
    let in_file = |error| OpenError::Database(path.clone(), error);
    let connection = open_reader(&path).map_err(in_file)?;
    if let Some(other) = schema::other_format(&connection).map_err(in_file)? {
        return Err(OpenError::OtherFormat(path, other.found));
    }
    if let Some(damage) = schema::damage(&connection).map_err(in_file)? {
        return Err(OpenError::Damaged(path, damage));
    }
    let files = KeyFiles::of(folder);
    let sealed = webhooks::any_sealed(&connection).map_err(in_file)?;
    if !files.open_this(sealed.as_ref()).unwrap_or(false) {
        return Err(OpenError::Key(files.current));
    }
    let length = |path: &Path| std::fs::metadata(path).map(|found| found.len());
    Ok(Some(Inspection {
        in_use: is_locked(folder).map_err(in_folder)?,
        exported: crate::export::mark_in(folder).exists(),
        rekeying: files.next.exists(),
        bytes: length(&path).map_err(in_folder)?,
        log_bytes: length(&path.with_extension("db-wal")).unwrap_or(0),
        newest: newest(&connection).map_err(in_file)?,
    }))
}

pub(crate) fn is_locked(folder: &Path) -> std::io::Result<bool> {
    match File::open(folder.join("lock")) {
        // The lock of a try is given back at once.
        Ok(file) => Ok(file.try_lock_shared().is_err()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn newest(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let last = "SELECT max(accepted_at) FROM (SELECT accepted_at FROM events ORDER BY seq DESC LIMIT 100)";
    let at: Option<i64> = connection.query_row(last, [], |row| row.get(0))?;
    Ok(at.and_then(|at| from_millis(at).ok()))
}
