//! Rate limits. Each is one item with the time until which its slot is taken. Taking a slot is one conditional write.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use statuspulse_core::ports::{PortResult, RateLimit, RateLimits};

use super::Table;
use super::item::{Read, expiry, text, time};
use super::keys::Key;
use super::table::{Change, Written, readable};

#[async_trait]
impl RateLimits for Table {
    async fn take(
        &self,
        limit: RateLimit,
        now: Timestamp,
        next: Timestamp,
    ) -> PortResult<Result<(), Timestamp>> {
        let doing = "taking a slot";
        let token = self.token();
        let change = Change {
            key: Key::RateLimit(limit),
            update: "SET #until = :next, #expires = :expires, #token = :token".to_owned(),
            condition: "attribute_not_exists(#until) OR #until <= :now".into(),
            values: HashMap::from([
                (":next".to_owned(), time(next)),
                (":expires".to_owned(), expiry(next)),
                (":token".to_owned(), text(&token)),
                (":now".to_owned(), time(now)),
            ]),
        };
        match self.update(change, doing).await? {
            Written::Done(_) => Ok(Ok(())),
            Written::Refused(item) if item.maybe_text("token") == Some(&token) => Ok(Ok(())),
            Written::Refused(item) => Ok(Err(readable(item.time("until"), doing)?)),
        }
    }
}
