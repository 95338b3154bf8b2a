//! Calls with their headers: a signed POST to a webhook, and a message to a Slack channel.

use std::time::Duration;

use bytes::Bytes;

use crate::ids::{AccountId, DeliveryId, EventId};
use crate::limits;
use crate::ports::{Call, Moment};
use crate::target::EndpointUrl;
use crate::webhook::Webhook;

/// The `User-Agent` of every call. No custom header can replace it.
const USER_AGENT: &str = "StatusPulse-Webhooks/1";

/// Whether a request with this `User-Agent` comes from a webhook. If its URL leads to the deployment itself, by whatever
/// name, it must be refused: otherwise a chain of webhooks could call one another.
pub fn is_from_a_webhook(user_agent: Option<&[u8]>) -> bool {
    user_agent == Some(USER_AGENT.as_bytes())
}

/// What the headers of a call say about it.
pub(crate) struct About {
    pub(crate) event: &'static str,
    pub(crate) event_id: EventId,
    pub(crate) delivery_id: DeliveryId,
    pub(crate) number: u8,
}

impl About {
    /// The headers of every call, without the signatures.
    pub(crate) fn headers(&self) -> [(&'static str, String); 6] {
        [
            ("Content-Type", "application/json".to_owned()),
            ("User-Agent", USER_AGENT.to_owned()),
            ("X-StatusPulse-Event", self.event.to_owned()),
            ("X-StatusPulse-Event-Id", self.event_id.to_string()),
            ("X-StatusPulse-Delivery-Id", self.delivery_id.to_string()),
            ("X-StatusPulse-Attempt", self.number.to_string()),
        ]
    }
}

/// Creates a POST to a webhook, signed over exactly these bytes with the keys that are valid then.
pub(crate) fn signed_call(
    webhook: &Webhook,
    about: &About,
    body: Bytes,
    timeout: Duration,
    at: Moment,
) -> Call {
    let signatures = webhook.keys.headers(&about.event_id.to_string(), &body, at);
    let mut headers = Vec::with_capacity(10 + webhook.settings.headers.0.len());
    for (name, value) in &webhook.settings.headers.0 {
        headers.push((name.clone(), value.clone()));
    }
    headers
        .extend(about.headers().into_iter().chain(signatures).map(|(name, value)| (name.to_owned(), value)));
    Call { account_id: webhook.account_id, url: webhook.settings.url.clone(), headers, body, timeout }
}

/// The call that sends a message to an account's Slack channel.
pub(crate) fn message_to(account_id: AccountId, slack: EndpointUrl, body: Bytes) -> Call {
    let headers = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("User-Agent".to_owned(), USER_AGENT.to_owned()),
    ];
    Call { account_id, url: slack, headers, body, timeout: limits::ATTEMPT_TIMEOUT }
}
