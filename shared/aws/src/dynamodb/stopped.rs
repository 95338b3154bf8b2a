//! Where the check of all webhooks has stopped, so that the next run goes on there.

use statuspulse_core::check::Checked;
use statuspulse_core::ports::PortResult;

use super::Table;
use super::item::{Read, text};
use super::keys::Key;
use crate::error::failed;

impl Table {
    /// Where the last run stopped. `None` if it reached all webhooks, or if the item cannot be read.
    ///
    /// # Errors
    /// Fails if DynamoDB cannot be reached.
    pub async fn stopped_at(&self) -> PortResult<Option<Checked>> {
        let doing = "reading where the check of all webhooks has stopped";
        let Some(item) = self.get(Key::Stopped, doing).await? else { return Ok(None) };
        let (account, webhook) = (item.parsed("account_id").ok(), item.parsed("webhook_id").ok());
        Ok(account.zip(webhook).map(|(account, webhook)| Checked { account, webhook }))
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
