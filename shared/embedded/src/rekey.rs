//! Replaces the key of a data folder, and seals everything anew, while a server uses the folder. It can be interrupted at
//! any moment, and goes on when it is started again.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};
use statuspulse_core::sealing::{self, DoesNotOpen};

use crate::sealing::{KeyFiles, SystemRandomness, make_key};
use crate::{OpenError, database_in, is_open_to_others, limits, open_writer, schema, webhooks};

/// Why the key of a folder is not replaced.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// There is no database in the folder.
    #[error("no database at {0}; check --data")]
    NoDatabase(PathBuf),
    /// Another process replaces the key.
    #[error("another process is replacing the key of the data folder {0}")]
    InProgress(PathBuf),
    /// The server on this folder was started by an earlier version, which would go on sealing with the old key.
    #[error(
        "the server on the data folder {0} has an earlier version, which keeps the old key: restart it first"
    )]
    EarlierServer(PathBuf),
}

type Result<T> = std::result::Result<T, RekeyError>;

/// Each table with secrets: its name, the column of its owner's id, and that of the sealed text.
const SEALED: [(&str, &str, &str); 3] =
    [("webhooks", "id", "sealed"), ("accounts", "id", "slack"), ("draws", "id", "seed")];

/// Replaces the key. `told` is called with how many secrets of how many are sealed anew. Returns how many there were.
///
/// # Errors
/// Fails if the folder or one of its secrets cannot be read. Nothing is lost then: both keys are there, and the server goes on.
pub fn rekey(folder: &Path, told: &mut dyn FnMut(u64, u64)) -> Result<u64> {
    let path = database_in(folder);
    if !path.exists() {
        return Err(RekeyError::NoDatabase(path));
    }
    let in_folder = |error| OpenError::Folder(folder.to_owned(), error);
    let in_file = |error| OpenError::Database(path.clone(), error);
    let files = KeyFiles::of(folder);
    if !files.current.exists() {
        return Err(OpenError::Key(files.current).into());
    }
    if is_open_to_others(&files.current) {
        return Err(OpenError::OpenKey(files.current).into());
    }
    let alone = File::create(folder.join("rekey.lock")).map_err(in_folder)?;
    if alone.try_lock().is_err() {
        return Err(RekeyError::InProgress(folder.to_owned()));
    }
    if crate::has_earlier_server(folder).map_err(in_folder)? {
        return Err(RekeyError::EarlierServer(folder.to_owned()));
    }
    let mut connection = open_writer(&path).map_err(in_file)?;
    if let Some(other) = schema::other_format(&connection).map_err(in_file)? {
        return Err(OpenError::OtherFormat(path, other.found).into());
    }
    let sealed = webhooks::any_sealed(&connection).map_err(in_file)?;
    if !files.open_this(sealed.as_ref()).map_err(in_folder)? {
        return Err(OpenError::Key(files.current).into());
    }
    // What is replaced is overwritten, and not only marked as free.
    connection.pragma_update(None, "secure_delete", true).map_err(in_file)?;
    make_key(&files.next).map_err(in_folder)?;
    let sealer = files.sealer(None).map_err(in_folder)?;
    let resealed = reseal_all(&mut connection, &sealer, told).map_err(in_file)?;
    std::fs::rename(&files.next, &files.current).map_err(in_folder)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(in_folder)?;
    // The log has old texts, too. If somebody reads, the server shortens it later.
    drop(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
    Ok(resealed)
}

fn reseal_all(
    connection: &mut Connection,
    sealer: &sealing::Sealer,
    told: &mut dyn FnMut(u64, u64),
) -> rusqlite::Result<u64> {
    // Each later transaction of any process finds the next key, because it begins after the file was made.
    connection.transaction_with_behavior(TransactionBehavior::Immediate)?.commit()?;
    let mut left = 0;
    for (table, _, sealed) in SEALED {
        let count = format!("SELECT count(*) FROM {table} WHERE {}", is_old(sealed));
        left += connection.query_row(&count, [sealer.key().prefix()], |row| row.get::<_, i64>(0))?;
    }
    let (mut done, all) = (0, left.unsigned_abs());
    for table in SEALED {
        let mut after = vec![];
        while let Some(last) = reseal_some(connection, table, &after, sealer, &mut done)? {
            after = last;
            told(done, all.max(done));
        }
    }
    Ok(done)
}

/// The condition that a column has something that another key has sealed.
fn is_old(column: &str) -> String {
    format!("{column} IS NOT NULL AND substr({column}, 1, 9) <> ?1")
}

/// Seals a few rows anew, in a transaction that is short enough for the server to wait for. Returns the id of the last one.
fn reseal_some(
    connection: &mut Connection,
    (table, id, sealed): (&str, &str, &str),
    after: &[u8],
    sealer: &sealing::Sealer,
    done: &mut u64,
) -> rusqlite::Result<Option<Vec<u8>>> {
    let batch = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let old = is_old(sealed);
    let select =
        format!("SELECT {id}, {sealed} FROM {table} WHERE {id} > ?2 AND {old} ORDER BY {id} LIMIT ?3");
    let rows: Vec<(Vec<u8>, Vec<u8>)> = batch
        .prepare(&select)?
        .query_map((sealer.key().prefix(), after, limits::REKEY_ROWS), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let update = format!("UPDATE {table} SET {sealed} = ?2 WHERE {id} = ?1");
    for (row, old) in &rows {
        match resealed(sealer, row, old) {
            Ok(new) => *done += batch.execute(&update, (row, new))? as u64,
            // It could not be read before either.
            Err(error) => tracing::error!(table, %error, "a secret is left as it is"),
        }
    }
    batch.commit()?;
    Ok(rows.into_iter().last().map(|(last, _)| last))
}

/// The owner of a draw is the first half of its id.
fn resealed(sealer: &sealing::Sealer, id: &[u8], old: &[u8]) -> std::result::Result<Vec<u8>, DoesNotOpen> {
    let owner: [u8; 16] = id.get(..16).and_then(|owner| owner.try_into().ok()).ok_or(DoesNotOpen)?;
    Ok(sealer.reseal(owner, old, &SystemRandomness)?.unwrap_or_else(|| old.to_vec()))
}
