//! Writes what a data folder owes its customers to a file, for another deployment.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, Row};
use statuspulse_core::ids::{AccountId, AuditId, DeliveryId, EventId, WebhookId};
use statuspulse_core::limits::MOVED_HISTORY;
use statuspulse_core::moving::lines::{self, End, FORMAT, Header, Moved};
use statuspulse_core::moving::{ExportId, Recipient};
use statuspulse_core::ports::{Clock, Unavailable};
use statuspulse_core::record::{Unreadable, millis, read_audit_entry};

use crate::accounts::{account_row, key_row};
use crate::backup::Draft;
use crate::columns::{bad, bytes16};
use crate::delivery_rows::{delivery_by_id, event_row};
use crate::sealing::{Sealer, SystemRandomness};
use crate::webhooks::webhook_row;
use crate::{BackupError, Embedded, OpenError, Purpose, database_in};

/// Why a folder cannot be exported. Nothing is left behind, and the folder can be served as before.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// There is no database in the folder.
    #[error("no database at {0}; check --data")]
    NoDatabase(PathBuf),
    /// The file cannot be made.
    #[error(transparent)]
    File(#[from] BackupError),
    /// A record cannot be read, or a line cannot be written.
    #[error("cannot export")]
    Line(#[source] Unavailable),
}

/// The file that says that a folder was exported.
pub(crate) fn mark_in(folder: &Path) -> PathBuf {
    folder.join("exported")
}

/// Writes a folder that no server uses to a new file, with its secrets sealed for the recipient. From then on no server
/// starts on the folder. `told` is called with the number of lines written so far.
///
/// # Errors
/// Fails if a server uses the folder, if it has no database, if the file exists, or if a record cannot be read.
pub fn export(
    folder: &Path,
    recipient: &Recipient,
    file: &Path,
    clock: Arc<dyn Clock>,
    told: &mut dyn FnMut(u64),
) -> Result<End, ExportError> {
    let database = database_in(folder);
    if !database.exists() {
        return Err(ExportError::NoDatabase(database));
    }
    if file.exists() {
        return Err(BackupError::Exists(file.to_owned()).into());
    }
    let now = clock.now();
    let store = Embedded::open(folder, Purpose::Move, clock)?;
    let in_file = |error| BackupError::File(file.to_owned(), error);
    let draft = Draft::new(file)?;
    let to = File::options().append(true).open(draft.path()).map_err(in_file)?;
    let sealer = &store.sealer;
    let header = Header {
        format: FORMAT.to_owned(),
        export: ExportId::new(&SystemRandomness),
        at: now,
        recipient: recipient.clone(),
    };
    let read = |connection: &Connection| {
        let mut lines = Lines { to: BufWriter::new(to), sealer, recipient, end: End::default(), told };
        lines.write_text(&lines::write_header(&header).map_err(bad)?)?;
        let since = now.checked_sub(MOVED_HISTORY).unwrap_or(now);
        write_all(connection, millis(since), &mut lines)?;
        lines.finish()
    };
    let end = store.readers.read("exporting", read).map_err(ExportError::Line)?;
    let mark = mark_in(folder);
    let why = format!("exported as {} at {now:.0} to {}\n", header.export, file.display());
    std::fs::write(&mark, why).map_err(|error| BackupError::File(mark.clone(), error))?;
    draft.becomes(file).inspect_err(|_| drop(std::fs::remove_file(&mark)))?;
    Ok(end)
}

/// Writes lines, and counts them.
struct Lines<'a> {
    to: BufWriter<File>,
    sealer: &'a Sealer,
    recipient: &'a Recipient,
    end: End,
    told: &'a mut dyn FnMut(u64),
}

impl Lines<'_> {
    fn write(&mut self, moved: &Moved) -> rusqlite::Result<()> {
        let line = lines::write(moved, self.recipient, &SystemRandomness).map_err(bad)?;
        let End { accounts, events, deliveries, webhooks, entries, keys } = &mut self.end;
        match moved {
            Moved::Account(account) => accounts.push(account.id),
            Moved::Event(..) => *events += 1,
            Moved::Delivery(_) => *deliveries += 1,
            Moved::Webhook(_) => *webhooks += 1,
            Moved::Entry(_) => *entries += 1,
            Moved::Key(_) => *keys += 1,
            Moved::End(_) => {}
        }
        let written = *events + *deliveries + *webhooks + *entries + *keys + accounts.len() as u64;
        (self.told)(written);
        self.write_text(&line)
    }

    fn write_text(&mut self, line: &str) -> rusqlite::Result<()> {
        writeln!(self.to, "{line}").map_err(bad)
    }

    fn finish(mut self) -> rusqlite::Result<End> {
        self.write(&Moved::End(self.end.clone()))?;
        let file = self.to.into_inner().map_err(|error| bad(error.into_error()))?;
        file.sync_all().map_err(bad)?;
        Ok(self.end)
    }
}

fn write_all(connection: &Connection, since: i64, lines: &mut Lines<'_>) -> rusqlite::Result<()> {
    let sealer = lines.sealer;
    for_each(connection, "SELECT * FROM accounts ORDER BY id", |row| {
        lines.write(&Moved::Account(account_row(row, sealer)?))
    })?;
    let mut webhooks = HashSet::new();
    for_each(connection, "SELECT id FROM webhooks WHERE deleted = 0", |row| {
        webhooks.insert(WebhookId::from_bytes(bytes16(row, "id")?));
        Ok(())
    })?;
    write_events(connection, since, &webhooks, lines)?;
    for_each(connection, "SELECT * FROM webhooks WHERE deleted = 0 ORDER BY account_id, id", |row| {
        let id = WebhookId::from_bytes(bytes16(row, "id")?);
        let webhook = webhook_row(row, sealer).map_err(|error| {
            bad(Unreadable::because(format!("the webhook {id} cannot be read ({error}); delete it first")))
        })?;
        lines.write(&Moved::Webhook(webhook))
    })?;
    for_each(connection, "SELECT * FROM audit_log ORDER BY account_id, id", |row| {
        let (id, account) =
            (AuditId::from_bytes(bytes16(row, "id")?), AccountId::from_bytes(bytes16(row, "account_id")?));
        lines.write(&Moved::Entry(
            read_audit_entry(id, account, row.get_ref("entry")?.as_str()?).map_err(bad)?,
        ))
    })?;
    for_each(
        connection,
        "SELECT * FROM all_keys WHERE account_id IS NOT NULL ORDER BY account_id, id",
        |row| lines.write(&Moved::Key(key_row(row)?)),
    )
}

/// Writes the events that are recent or have a delivery that is not finished, in the order of acceptance.
fn write_events(
    connection: &Connection,
    since: i64,
    webhooks: &HashSet<WebhookId>,
    lines: &mut Lines<'_>,
) -> rusqlite::Result<()> {
    let mut unfinished = HashSet::new();
    for_each(connection, "SELECT event_id, webhook_id FROM deliveries WHERE state < 3", |row| {
        if webhooks.contains(&WebhookId::from_bytes(bytes16(row, "webhook_id")?)) {
            unfinished.insert(bytes16(row, "event_id")?);
        }
        Ok(())
    })?;
    let mut wanted = vec![];
    for_each(connection, "SELECT seq, id, accepted_at FROM events ORDER BY seq", |row| {
        let accepted_at: i64 = row.get("accepted_at")?;
        if accepted_at >= since || unfinished.contains(&bytes16(row, "id")?) {
            wanted.push(row.get::<_, i64>("seq")?);
        }
        Ok(())
    })?;
    for seq in wanted {
        let mut statement = connection.prepare_cached("SELECT * FROM events WHERE seq = ?1")?;
        let (event, went_to) =
            statement.query_row([seq], |row| Ok((event_row(row)?, row.get("webhooks")?)))?;
        let went_to: Vec<u8> = went_to;
        let went_to: Vec<_> =
            went_to.as_chunks::<16>().0.iter().map(|id| WebhookId::from_bytes(*id)).collect();
        let (id, accepted_at): (EventId, _) = (event.id, event.accepted_at);
        let ids = went_to.iter().filter(|webhook| webhooks.contains(webhook));
        let ids: Vec<_> = ids.map(|webhook| DeliveryId::derive(id, accepted_at, *webhook)).collect();
        lines.write(&Moved::Event(event, went_to))?;
        for id in ids {
            if let Some(delivery) = delivery_by_id(connection, id)? {
                lines.write(&Moved::Delivery(delivery))?;
            }
        }
    }
    Ok(())
}

fn for_each(
    connection: &Connection,
    sql: &str,
    mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(row)?;
    }
    Ok(())
}
