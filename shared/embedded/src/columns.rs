//! Reads columns as types of the core.

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;
use statuspulse_core::record::from_millis;

pub(crate) fn time(row: &Row<'_>, name: &str) -> rusqlite::Result<Timestamp> {
    from_millis(row.get(name)?).map_err(bad)
}

pub(crate) fn bytes16(row: &Row<'_>, name: &str) -> rusqlite::Result<[u8; 16]> {
    row.get(name)
}

pub(crate) fn bytes32(row: &Row<'_>, name: &str) -> rusqlite::Result<[u8; 32]> {
    row.get(name)
}

/// `None` for a record that cannot be read. It is logged, and costs those beside it, in its page or its transaction,
/// nothing.
pub(crate) fn readable<T>(read: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    match read {
        Ok(record) => Ok(Some(record)),
        Err(error @ (FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..))) => {
            tracing::error!(%error, "a record cannot be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The records that can be read.
pub(crate) fn all_readable<T>(rows: impl Iterator<Item = rusqlite::Result<T>>) -> rusqlite::Result<Vec<T>> {
    rows.filter_map(|row| readable(row).transpose()).collect()
}

/// The error for a column with a value that this program does not write.
pub(crate) fn bad(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}

/// A column has a value that is not one of the known names or numbers.
#[derive(Debug, thiserror::Error)]
#[error("unknown {0}: {1}")]
pub(crate) struct Unknown(pub(crate) &'static str, pub(crate) String);
