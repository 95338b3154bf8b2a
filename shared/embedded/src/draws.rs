//! What calls that show something once have drawn.

use rusqlite::{Connection, OptionalExtension, Row};
use statuspulse_core::limits;
use statuspulse_core::once::Draw;
use statuspulse_core::ports::PortResult;
use statuspulse_core::record::millis;

use crate::Embedded;
use crate::columns::{bad, bytes32, time};
use crate::sealing::Sealer;

impl Embedded {
    pub(crate) async fn store_draw(&self, draw: &Draw) -> PortResult<Draw> {
        let (draw, sealer) = (draw.clone(), self.sealer.clone());
        let work =
            move |connection: &Connection| {
                let known = connection
                    .prepare_cached("SELECT * FROM draws WHERE id = ?1")?
                    .query_row([draw.id], |row| draw_row(row, &sealer))
                    .optional()?;
                if let Some(known) = known.filter(|known| !known.is_over(draw.at)) {
                    return Ok(known);
                }
                let sealed = sealer.seal(connection, draw.owner(), &draw.seed);
                connection
                    .prepare_cached("INSERT OR REPLACE INTO draws VALUES (?1, ?2, ?3, ?4)")?
                    .execute((draw.id, draw.fingerprint, millis(draw.at), sealed))?;
                Ok(draw)
            };
        self.writer.write(None, "beginning a call", work, |_| {}).await
    }
}

/// Deletes what no call can repeat at this time.
pub(crate) fn prune_draws(connection: &Connection, now: i64) -> rusqlite::Result<usize> {
    let over = now - i64::try_from(limits::SHOWN_AGAIN_FOR.as_millis()).unwrap_or(i64::MAX);
    connection.prepare_cached("DELETE FROM draws WHERE at <= ?1")?.execute([over])
}

fn draw_row(row: &Row<'_>, sealer: &Sealer) -> rusqlite::Result<Draw> {
    let draw = Draw {
        id: bytes32(row, "id")?,
        fingerprint: bytes32(row, "fingerprint")?,
        at: time(row, "at")?,
        seed: String::new(),
    };
    let seed = sealer.unseal(draw.owner(), row.get_ref("seed")?.as_blob()?).map_err(bad)?;
    Ok(Draw { seed, ..draw })
}
