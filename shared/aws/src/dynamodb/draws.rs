//! What calls that show something once have drawn. DynamoDB's TTL deletes it.

use std::collections::HashMap;

use statuspulse_core::limits;
use statuspulse_core::once::Draw;
use statuspulse_core::ports::PortResult;
use statuspulse_core::record::Unreadable;
use statuspulse_core::sealing::Sealer;

use super::Table;
use super::events::later;
use super::item::{Item, Read, binary, expiry, time};
use super::keys::Key;
use super::table::{Change, Written, readable};

impl Table {
    pub(super) async fn store_draw(&self, draw: &Draw) -> PortResult<Draw> {
        let doing = "beginning a call";
        let sealer = self.data_key.sealer().await?;
        let over = draw.at.checked_sub(limits::SHOWN_AGAIN_FOR).unwrap_or(draw.at);
        let change = Change {
            key: Key::Draw(draw.id),
            update: "SET #fingerprint = :fingerprint, #at = :at, #seed = :seed, #expires = :expires"
                .to_owned(),
            condition: "attribute_not_exists(#at) OR #at <= :over".into(),
            values: HashMap::from([
                (":fingerprint".to_owned(), binary(draw.fingerprint)),
                (":at".to_owned(), time(draw.at)),
                (":seed".to_owned(), binary(sealer.seal(draw.owner(), &draw.seed, &*self.random))),
                (":expires".to_owned(), expiry(later(draw.at, limits::SHOWN_AGAIN_FOR))),
                (":over".to_owned(), time(over)),
            ]),
        };
        match self.update(change, doing).await? {
            Written::Done(_) => Ok(draw.clone()),
            Written::Refused(item) => readable(read_draw(draw.id, &item, &sealer), doing),
        }
    }
}

fn read_draw(id: [u8; 32], item: &Item, sealer: &Sealer) -> Result<Draw, Unreadable> {
    let fingerprint = item.array("fingerprint")?;
    let draw = Draw { id, fingerprint, at: item.time("at")?, seed: String::new() };
    let seed = sealer.unseal(draw.owner(), item.bytes("seed")?).map_err(Unreadable::because)?;
    Ok(Draw { seed, ..draw })
}
