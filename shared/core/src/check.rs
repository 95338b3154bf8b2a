//! How far a check of all webhooks has come, and what it has done.

use crate::ids::{AccountId, WebhookId};

/// The webhook that a check of all webhooks has reached. They are in the order of their accounts' ids, then of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Its account.
    pub account: AccountId,
    /// The webhook.
    pub webhook: WebhookId,
}

/// What a check of all webhooks has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconciled {
    /// How many repairs were made.
    pub repairs: u64,
    /// Where it stopped because its time was over; `None` if it reached all webhooks.
    pub stopped: Option<Checked>,
}
