//! What is asked of the use cases, as a door could read it: the rules on it are the use cases'. What a door could not read
//! goes along as `refused`, so that every wrong field is named at once.

use std::fmt;

use jiff::Timestamp;

use crate::error::Refusals;

/// A webhook to be registered.
#[derive(Debug, Clone, Default)]
pub struct NewWebhook {
    /// `json`, `slack` or `pagerduty`; `json` if nothing is said.
    pub destination: Option<String>,
    /// Its settings. The events are required, and so is the URL, or with PagerDuty the routing key.
    pub settings: WebhookPatch,
}

/// What is set on a webhook; `None` leaves as it is.
#[derive(Clone, Default)]
pub struct WebhookPatch {
    /// Where deliveries go. With PagerDuty the deployment decides that.
    pub url: Option<String>,
    /// PagerDuty's, and nobody else's.
    pub routing_key: Option<String>,
    /// The names of event types.
    pub events: Option<Vec<String>>,
    /// Empty for all.
    pub monitor_groups: Option<Vec<String>>,
    /// `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// Names and values, as a name in two spellings is refused.
    pub headers: Option<Vec<(String, String)>>,
    /// What could not be read.
    pub refused: Refusals,
}

/// An account to be made.
#[derive(Debug, Clone, Default)]
pub struct NewAccount {
    /// What its owner calls it; required.
    pub name: Option<String>,
    /// The domains its webhooks are restricted to; empty for no restriction.
    pub allowed_domains: Vec<String>,
    /// What could not be read.
    pub refused: Refusals,
}

/// What is set on an account; `None` leaves as it is.
#[derive(Clone, Default)]
pub struct AccountPatch {
    /// The domains its webhooks are restricted to; empty for no restriction.
    pub allowed_domains: Option<Vec<String>>,
    /// Its engineers' Slack channel; `Some(None)` removes it.
    pub slack_url: Option<Option<String>>,
    /// What could not be read.
    pub refused: Refusals,
}

/// A key to be made.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// A role's name; required.
    pub role: Option<String>,
    /// Until when it is valid; `None` for ever.
    pub expires_at: Option<Timestamp>,
    /// What could not be read.
    pub refused: Refusals,
}

/// URLs, keys and headers may be secrets: none is shown.
impl fmt::Debug for WebhookPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookPatch").field("refused", &self.refused).finish_non_exhaustive()
    }
}

/// The channel's URL is a secret.
impl fmt::Debug for AccountPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountPatch").field("refused", &self.refused).finish_non_exhaustive()
    }
}
