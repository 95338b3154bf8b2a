//! Figures by the hour. They are counted in memory, and stored every second, a part of them in each write: no other write
//! waits long.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use statuspulse_core::figures::{Counts, Fact, Owner, hour_of};
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::ports::{Figures, PortResult};
use statuspulse_core::record::millis;

use crate::Embedded;
use crate::columns::time;
use crate::limits::FIGURES_PER_WRITE;

#[async_trait]
impl Figures for Embedded {
    fn count(&self, account: AccountId, webhook: WebhookId, at: Timestamp, fact: Fact) {
        self.figures.count(account, webhook, at, fact);
    }

    async fn figures(
        &self,
        account: AccountId,
        webhook: Option<WebhookId>,
        since: Timestamp,
    ) -> PortResult<Vec<(Timestamp, Counts)>> {
        let owner = Owner::of(account, webhook);
        let from = millis(hour_of(since));
        let read = move |connection: &Connection| {
            connection
                .prepare_cached("SELECT hour, counts FROM figures WHERE owner = ?1 AND hour >= ?2")?
                .query_map((id_of(owner), from), |row| Ok((time(row, "hour")?, counts_in(row)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        let mut found = self.readers.long(account, "reading figures", read).await?;
        found.extend(self.figures.of(owner, since));
        Ok(found)
    }

    async fn flush(&self) -> PortResult<()> {
        let mut left: Vec<_> = self.figures.take().into_iter().collect();
        while !left.is_empty() {
            let some = left[..left.len().min(FIGURES_PER_WRITE)].to_vec();
            let count = some.len();
            let work = move |connection: &Connection| {
                some.iter().try_for_each(|((owner, hour), counts)| add(connection, *owner, *hour, counts))
            };
            if let Err(error) = self.writer.write(None, "storing figures", work, |()| {}).await {
                self.figures.put_back(left);
                return Err(error);
            }
            left.drain(..count);
        }
        Ok(())
    }
}

fn id_of(owner: Owner) -> [u8; 16] {
    match owner {
        Owner::Account(id) => id.to_bytes(),
        Owner::Webhook(id) => id.to_bytes(),
    }
}

fn add(connection: &Connection, owner: Owner, hour: Timestamp, counts: &Counts) -> rusqlite::Result<()> {
    let sql = "SELECT counts FROM figures WHERE owner = ?1 AND hour = ?2";
    let stored =
        connection.prepare_cached(sql)?.query_row((id_of(owner), millis(hour)), counts_in).optional()?;
    let mut sum = stored.unwrap_or_default();
    sum.add(counts);
    let text = serde_json::to_string(sum.by_name())
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    connection.prepare_cached("INSERT OR REPLACE INTO figures VALUES (?1, ?2, ?3)")?.execute((
        id_of(owner),
        millis(hour),
        text,
    ))?;
    Ok(())
}

fn counts_in(row: &Row<'_>) -> rusqlite::Result<Counts> {
    let text = row.get_ref("counts")?.as_str()?;
    let counts: BTreeMap<String, u64> = serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))?;
    Ok(Counts::restore(counts))
}

/// Deletes the figures of hours before this time.
pub(crate) fn prune_figures(connection: &Connection, before: i64) -> rusqlite::Result<usize> {
    connection.prepare_cached("DELETE FROM figures WHERE hour < ?1")?.execute([before])
}
