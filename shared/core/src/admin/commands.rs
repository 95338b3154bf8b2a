//! Commands: the typed input of the admin service. The HTTP API and the dashboard parse their input into them; the
//! service checks the values. Fields that could not be parsed are passed along as `refused`, so that one error names
//! all wrong fields.

use std::fmt;

use jiff::Timestamp;

use crate::error::Refusals;
use crate::once::Once;
use crate::rotation::RotationStyle;

/// Registers a webhook.
#[derive(Clone, Default)]
pub struct NewWebhook {
    /// The name of a format; the default one if absent.
    pub destination: Option<String>,
    /// The secret, if its owner brings it.
    pub secret: Option<String>,
    /// What an earlier equal call has drawn, if the call can be repeated.
    pub once: Option<Once>,
    /// Its settings. Required are the events, and the URL or (for PagerDuty) the routing key.
    pub settings: WebhookPatch,
}

impl NewWebhook {
    /// The names of all fields, in the order in which wrong ones are reported.
    pub const FIELDS: [&str; 8] =
        ["url", "routing_key", "destination", "secret", "events", "monitor_groups", "description", "headers"];
}

/// Changes a webhook's settings. `None` leaves a setting as it is.
#[derive(Clone, Default)]
pub struct WebhookPatch {
    /// The endpoint. Must be absent for PagerDuty, whose URL the deployment decides.
    pub url: Option<String>,
    /// For PagerDuty only.
    pub routing_key: Option<String>,
    /// Names of event types.
    pub events: Option<Vec<String>>,
    /// Empty for all.
    pub monitor_groups: Option<Vec<String>>,
    /// `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// Names and values. A list, so that a name in two spellings can be refused.
    pub headers: Option<Vec<(String, String)>>,
    /// The fields that could not be parsed.
    pub refused: Refusals,
}

/// Rotates a webhook's secret.
#[derive(Clone, Default)]
pub struct NewSecret {
    /// How both secrets sign during the window; `None` for the style that suits the receiver.
    pub style: Option<RotationStyle>,
    /// The new secret, if its owner brings it.
    pub secret: Option<String>,
    /// What an earlier equal call has drawn, if the call can be repeated.
    pub once: Option<Once>,
    /// The fields that could not be parsed.
    pub refused: Refusals,
}

/// Creates an account.
#[derive(Debug, Clone, Default)]
pub struct NewAccount {
    /// Its name; required.
    pub name: Option<String>,
    /// The domains its webhooks are restricted to; empty for no restriction.
    pub allowed_domains: Vec<String>,
    /// What an earlier equal call has drawn, if the call can be repeated.
    pub once: Option<Once>,
    /// The fields that could not be parsed.
    pub refused: Refusals,
}

/// Changes an account. `None` leaves a setting as it is.
#[derive(Clone, Default)]
pub struct AccountPatch {
    /// The domains its webhooks are restricted to; empty for no restriction.
    pub allowed_domains: Option<Vec<String>>,
    /// The URL of its engineers' Slack channel; `Some(None)` removes it.
    pub slack_url: Option<Option<String>>,
    /// The fields that could not be parsed.
    pub refused: Refusals,
}

/// Creates an API key.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// Name of its role; required.
    pub role: Option<String>,
    /// What it is for.
    pub name: Option<String>,
    /// When it expires; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// What an earlier equal call has drawn, if the call can be repeated.
    pub once: Option<Once>,
    /// The fields that could not be parsed.
    pub refused: Refusals,
}

/// Shows no values, because one is a secret.
impl fmt::Debug for NewWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewWebhook").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Shows no values, because one is a secret.
impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSecret").field("style", &self.style).finish_non_exhaustive()
    }
}

/// Shows no values, because URLs, keys and headers may be secrets.
impl fmt::Debug for WebhookPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookPatch").field("refused", &self.refused).finish_non_exhaustive()
    }
}

/// Shows no values, because the channel's URL is a secret.
impl fmt::Debug for AccountPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountPatch").field("refused", &self.refused).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this does not compile, a field was added: add it here and to `FIELDS`.
    #[test]
    fn the_list_of_fields_has_each_field_once() {
        let NewWebhook { destination, secret, once: _, settings } = NewWebhook::default();
        let WebhookPatch { url, routing_key, events, monitor_groups, description, headers, refused: _ } =
            settings;
        let fields = [
            ("url", url.is_none()),
            ("routing_key", routing_key.is_none()),
            ("destination", destination.is_none()),
            ("secret", secret.is_none()),
            ("events", events.is_none()),
            ("monitor_groups", monitor_groups.is_none()),
            ("description", description.is_none()),
            ("headers", headers.is_none()),
        ];
        assert_eq!(fields.map(|(name, _)| name), NewWebhook::FIELDS);
        assert!(fields.iter().all(|(_, is_absent)| *is_absent));
    }
}
