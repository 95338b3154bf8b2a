//! Read connections. A read sees everything that was committed before it began, and does not wait for the writer.

use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use statuspulse_core::ports::{PortResult, Unavailable};

/// A pool of connections to one file.
#[derive(Debug)]
pub(crate) struct Readers {
    idle: Mutex<Vec<Connection>>,
    open: fn(&std::path::Path) -> rusqlite::Result<Connection>,
    path: std::path::PathBuf,
}

impl Readers {
    pub(crate) fn new(
        path: &std::path::Path,
        open: fn(&std::path::Path) -> rusqlite::Result<Connection>,
    ) -> Self {
        Self { idle: Mutex::new(vec![]), open, path: path.to_owned() }
    }

    /// Runs `work` on a connection of the pool. A connection whose read failed is closed.
    pub(crate) fn read<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> PortResult<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => Ok(connection),
            None => (self.open)(&self.path),
        };
        let result = connection.and_then(|connection| {
            let value = work(&connection)?;
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < crate::limits::READERS_KEPT {
                idle.push(connection);
            }
            Ok(value)
        });
        result.map_err(|error| Unavailable { doing, source: error.into() })
    }
}
