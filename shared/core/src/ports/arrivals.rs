//! The port of a move from another deployment: it stores records as they are.

use async_trait::async_trait;

use super::PortResult;
use crate::access::{Account, ApiKey};
use crate::audit::AccountEntry;
use crate::delivery::Delivery;
use crate::event::Event;
use crate::ids::{AccountId, WebhookId};
use crate::moving::ExportId;
use crate::webhook::Webhook;

/// Stores the records of accounts that arrive from another deployment.
///
/// Each call stores one record with the version it has, and no messages. If there is a record with this id, it stays as it
/// is, and what an interrupted call left undone is completed. The result is whether the record is new.
#[async_trait]
pub trait Arrivals: Send + Sync {
    /// The export with which the account is arriving; `None` if there is no such account, or it has arrived.
    async fn arriving(&self, account: AccountId) -> PortResult<Option<ExportId>>;
    /// Takes an account, which from now on is arriving.
    async fn take_account(&self, account: &Account, export: ExportId) -> PortResult<bool>;
    /// Takes an event, which went to these webhooks when it was accepted.
    async fn take_event(&self, event: &Event, webhooks: &[WebhookId]) -> PortResult<bool>;
    /// Takes a delivery. If it is not finished, it gets the last place of its lane.
    async fn take_delivery(&self, delivery: &Delivery) -> PortResult<bool>;
    /// Takes a webhook.
    async fn take_webhook(&self, webhook: &Webhook) -> PortResult<bool>;
    /// Takes an entry of an audit log.
    async fn take_entry(&self, entry: &AccountEntry) -> PortResult<()>;
    /// Takes a key of an account.
    async fn take_key(&self, key: &ApiKey) -> PortResult<bool>;
    /// The entry's account has arrived. Stores the entry, unless the account had arrived before.
    async fn end_arrival(&self, entry: &AccountEntry) -> PortResult<()>;
}
