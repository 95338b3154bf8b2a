//! Read connections. A read sees everything that was committed before it began, and does not wait for the writer.
//!
//! A read of one record by its id is made in place, because it takes microseconds. A read that may look at many rows is a
//! [long read](Readers::long): it is made on another thread, and these are shared by account.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use statuspulse_core::ids::AccountId;
use statuspulse_core::ports::{PortResult, Unavailable};
use statuspulse_shares::Shares;

/// A pool of connections to one file.
#[derive(Debug)]
pub(crate) struct Readers {
    idle: Mutex<Vec<Connection>>,
    open: fn(&std::path::Path) -> rusqlite::Result<Connection>,
    path: std::path::PathBuf,
    long_reads: Arc<Shares>,
}

impl Readers {
    pub(crate) fn new(
        path: &std::path::Path,
        open: fn(&std::path::Path) -> rusqlite::Result<Connection>,
    ) -> Arc<Self> {
        let long_reads = Shares::new(crate::limits::LONG_READS_AT_ONCE);
        Arc::new(Self { idle: Mutex::new(vec![]), open, path: path.to_owned(), long_reads })
    }

    /// Runs `work` on another thread when it is the account's turn.
    pub(crate) async fn long<T: Send + 'static>(
        self: &Arc<Self>,
        account: AccountId,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> PortResult<T> {
        let share = self.long_reads.take(account).await;
        let readers = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || {
            // Kept until the read ends, though its caller may have gone away.
            let _share = share;
            readers.read(doing, work)
        });
        read.await.map_err(|panicked| Unavailable { doing, source: panicked.into() })?
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
