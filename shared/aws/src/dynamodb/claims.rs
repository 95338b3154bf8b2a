//! Claims. A claim is a time until which one worker has the exclusive right to a delivery. Taking it is one conditional
//! write that returns the delivery, so an attempt does not need to read it separately.

use std::collections::HashMap;

use jiff::Timestamp;
use statuspulse_core::delivery::Delivery;
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::message::AttemptKey;
use statuspulse_core::ports::{Claim, PortResult};

use super::Table;
use super::deliveries::read_delivery;
use super::events::later;
use super::item::{Read, number, text, time};
use super::keys::Key;
use super::table::{Change, Written, readable};

impl Table {
    pub(super) async fn take_claim(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
        key: AttemptKey,
        due_by: Timestamp,
        now: Timestamp,
    ) -> PortResult<Claim> {
        let doing = "claiming a delivery";
        let (token, until) = (self.token(), later(now, limits::CLAIM));
        let taken = |delivery| Claim::Claimed(Box::new(Delivery { claimed_until: Some(until), ..delivery }));
        let change = Change {
            key: Key::Delivery(webhook, id),
            update: "SET #claimed_until = :until, #token = :token".to_owned(),
            condition: "#state = :scheduled AND #round = :round AND #number = :number AND #due <= :due_by \
                        AND (attribute_not_exists(#claimed_until) OR #claimed_until <= :now)"
                .into(),
            values: HashMap::from([
                (":until".to_owned(), time(until)),
                (":token".to_owned(), text(&token)),
                (":scheduled".to_owned(), text("retrying")),
                (":round".to_owned(), number(key.round)),
                (":number".to_owned(), number(key.number)),
                (":due_by".to_owned(), time(due_by)),
                (":now".to_owned(), time(now)),
            ]),
        };
        let item = match self.update(change, doing).await? {
            Written::Done(item) => {
                return readable(read_delivery(&item), doing).map(taken);
            }
            Written::Refused(item) if item.is_empty() => return Ok(Claim::Unknown),
            Written::Refused(item) => item,
        };
        let delivery = readable(read_delivery(&item), doing)?;
        if item.maybe_text("token") == Some(&token) {
            return Ok(taken(delivery));
        }
        Ok(match delivery.due_attempt() {
            Some((next, at)) if next == key && at > due_by => Claim::Later(at),
            Some((next, _)) if next == key => {
                let until = readable(item.maybe_time("claimed_until"), doing)?;
                Claim::Later(until.unwrap_or(now))
            }
            _ => Claim::Moved(Box::new(delivery)),
        })
    }
}
