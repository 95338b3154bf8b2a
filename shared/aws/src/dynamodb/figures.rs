//! Figures by the hour: an item per hour for each webhook and each account, with an attribute per count. They are counted
//! in memory and added when an invocation ends, so a batch costs one write for each webhook and one for each account.
//!
//! The SDK repeats a call that got no response. Then a count may be added twice.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::FutureExt;
use jiff::Timestamp;
use statuspulse_core::figures::{Counts, Fact, Owner, hour_of};
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::ports::{Figures, PortResult};

use super::Table;
use super::item::{Item, Read, expiry, number};
use super::keys::Key;
use super::table::{all_readable, names_in, side_by_side};
use crate::error::failed;

/// Attributes whose names begin so are counts.
const COUNT: &str = "n_";

#[async_trait]
impl Figures for Table {
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
        let doing = "reading figures";
        let (partition, from) = Key::Figures(owner, hour_of(since)).parts();
        let (_, to) = Key::Figures(owner, Timestamp::MAX).parts();
        let items = self.range(partition, from, to, limits::FIGURE_HOURS, doing).await?;
        let mut found = all_readable(&items, |item| Ok((item.time("hour")?, counts_in(item))), doing);
        found.extend(self.figures.of(owner, since));
        Ok(found)
    }

    async fn flush(&self) -> PortResult<()> {
        let counted = self.figures.take();
        let writes = counted.iter().map(|(key, counts)| self.add_figures(*key, counts).boxed()).collect();
        let written = side_by_side(writes).await;
        if written.is_err() {
            // Some of them may have been added already. They are added twice rather than lost.
            self.figures.put_back(counted);
        }
        written.map(drop)
    }
}

impl Table {
    async fn add_figures(&self, (owner, hour): (Owner, Timestamp), counts: &Counts) -> PortResult<()> {
        let adds: Vec<String> =
            counts.by_name().keys().map(|name| format!("#{COUNT}{name} :{name}")).collect();
        let update = format!("ADD {} SET #hour = :hour, #expires = :expires", adds.join(", "));
        let mut values: HashMap<String, AttributeValue> =
            counts.by_name().iter().map(|(name, count)| (format!(":{name}"), number(*count))).collect();
        let expires = hour.checked_add(limits::RETENTION).unwrap_or(Timestamp::MAX);
        values.insert(":hour".to_owned(), number(hour.as_millisecond()));
        values.insert(":expires".to_owned(), expiry(expires));
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(Key::Figures(owner, hour).item()))
            .set_expression_attribute_names(Some(names_in([&*update])))
            .update_expression(update)
            .set_expression_attribute_values(Some(values));
        request.send().await.map(drop).map_err(failed("adding figures"))
    }
}

fn counts_in(item: &Item) -> Counts {
    Counts::restore(item.keys().filter_map(|attribute| {
        let name = attribute.strip_prefix(COUNT)?;
        let count = item.maybe_number(attribute).ok()??;
        Some((name.to_owned(), count.unsigned_abs()))
    }))
}
