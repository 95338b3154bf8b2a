//! Where the check of all webhooks has stopped, so that the next run goes on there.

use statuspulse_core::check::Checked;
use statuspulse_core::ports::PortResult;

use super::Table;
use super::item::{Read, text};
use super::keys::Key;
use super::table::readable;
use crate::error::failed;

impl Table {
    /// Where the last run stopped; `None` if it reached the last webhook.
    ///
    /// # Errors
    /// Fails if DynamoDB cannot be reached, or if the item cannot be read.
    pub async fn stopped_at(&self) -> PortResult<Option<Checked>> {
        let doing = "reading where the check of all webhooks has stopped";
        let Some(item) = self.get(Key::Stopped, doing).await? else { return Ok(None) };
        if !item.contains_key("webhook_id") {
            return Ok(None);
        }
        let checked =
            || Ok(Checked { account: item.parsed("account_id")?, webhook: item.parsed("webhook_id")? });
        readable(checked(), doing).map(Some)
    }

    /// Remembers where a run has stopped.
    ///
    /// # Errors
    /// Fails if DynamoDB cannot be reached.
    pub async fn stop_at(&self, checked: Option<Checked>) -> PortResult<()> {
        let doing = "remembering where the check of all webhooks has stopped";
        let mut item = Key::Stopped.item();
        if let Some(checked) = checked {
            item.insert("account_id".to_owned(), text(checked.account.to_string()));
            item.insert("webhook_id".to_owned(), text(checked.webhook.to_string()));
        }
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        put.send().await.map(drop).map_err(failed(doing))
    }
}
