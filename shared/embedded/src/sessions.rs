//! Sessions of the dashboard.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};
use statuspulse_core::access::{KeyHash, Session, SessionKind};
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::ports::{PortResult, Sessions};
use statuspulse_core::record::millis;

use crate::Embedded;
use crate::audit::insert_entry;
use crate::columns::{Unknown, bad, bytes32, readable, time};

#[async_trait]
impl Sessions for Embedded {
    async fn create_session(&self, session: &Session, entry: Option<&AccountEntry>) -> PortResult<()> {
        let (session, entry) = (session.clone(), entry.cloned());
        let work = move |connection: &Connection| {
            connection.prepare_cached("INSERT INTO sessions VALUES (?1, ?2, ?3, ?4)")?.execute((
                session.hash.0,
                number_of(session.kind),
                session.key.0,
                millis(session.expires_at),
            ))?;
            entry.iter().try_for_each(|entry| insert_entry(connection, entry))
        };
        self.writer.write(None, "storing a session", work, |()| {}).await
    }

    async fn session(&self, hash: &KeyHash) -> PortResult<Option<Session>> {
        self.readers.read("reading a session", |connection| {
            connection
                .prepare_cached("SELECT * FROM sessions WHERE hash = ?1")?
                .query_row([hash.0], |row| readable(session_row(row)))
                .optional()
                .map(Option::flatten)
        })
    }

    async fn take_session(&self, hash: &KeyHash) -> PortResult<Option<Session>> {
        let hash = *hash;
        let work = move |connection: &Connection| {
            connection
                .prepare_cached("DELETE FROM sessions WHERE hash = ?1 RETURNING *")?
                .query_row([hash.0], |row| readable(session_row(row)))
                .optional()
                .map(Option::flatten)
        };
        self.writer.write(None, "taking a session", work, |_| {}).await
    }
}

fn number_of(kind: SessionKind) -> i64 {
    match kind {
        SessionKind::Link => 0,
        SessionKind::Browser => 1,
    }
}

fn session_row(row: &Row<'_>) -> rusqlite::Result<Session> {
    let kind = match row.get::<_, i64>("kind")? {
        0 => SessionKind::Link,
        1 => SessionKind::Browser,
        other => return Err(bad(Unknown("session", other.to_string()))),
    };
    Ok(Session {
        hash: KeyHash(bytes32(row, "hash")?),
        kind,
        key: KeyHash(bytes32(row, "key")?),
        expires_at: time(row, "expires_at")?,
    })
}
