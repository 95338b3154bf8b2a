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

/// The error for a column with a value that this program does not write.
pub(crate) fn bad(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}

/// A column has a value that is not one of the known names or numbers.
#[derive(Debug, thiserror::Error)]
#[error("unknown {0}: {1}")]
pub(crate) struct Unknown(pub(crate) &'static str, pub(crate) String);
