//! Shows the request that a webhook would receive, without sending it.

use bytes::Bytes;

use super::Admin;
use crate::access::Urls;
use crate::attempt::Attempt;
use crate::call::About;
use crate::delivery::Delivery;
use crate::error::Result;
use crate::event::{EventType, Payload};
use crate::ids::{AccountId, WebhookId};
use crate::ports::Moment;
use crate::signature::{WEBHOOK_ID, WEBHOOK_TIMESTAMP};
use crate::target::HIDDEN;
use crate::webhook::Webhook;

/// What to show a preview of.
#[derive(Debug, Clone)]
pub enum PreviewOf<'a> {
    /// A sample of the first event type that the webhook receives.
    FirstType,
    /// A sample of this type.
    Type(EventType),
    /// A payload from the caller.
    Payload(Payload<'a>),
}

/// A request without its secrets. A request that is not sent is not signed either, so that it cannot be passed off as a
/// real one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The URL.
    pub url: String,
    /// The headers. The values of custom headers are hidden.
    pub headers: Vec<(String, String)>,
    /// The body. A routing key is hidden.
    pub body: String,
}

/// An attempt's request, rebuilt from what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// The request. Custom headers and a routing key are hidden.
    pub request: Preview,
    /// Whether it is certain that the request was sent exactly like this. Only then are signatures shown.
    pub is_exact: bool,
}

impl Admin {
    /// Rebuilds the request of an attempt; `None` if the event is no longer stored. The bytes are a function of
    /// payload, settings and keys, and the webhook's record says since when those have been the same. For a
    /// destination with a limit of messages the result is never exact, because the delivery may have been part of a
    /// burst.
    pub async fn request_of(
        &self,
        (account, urls): (AccountId, Urls),
        delivery: &Delivery,
        attempt: &Attempt,
    ) -> Result<Option<Rebuilt>> {
        let webhook = self.webhook(account, delivery.webhook_id).await?;
        let Some(event) = self.deliveries.event(delivery.event_id).await? else { return Ok(None) };
        let body = webhook.settings.render(delivery.event_type, &event.body, webhook.id, &self.deployment);
        let about = About {
            event: delivery.event_type.name(),
            event_id: delivery.event_id,
            delivery_id: delivery.id,
            number: attempt.number,
        };
        let may_be_burst = webhook.settings.destination.format().limit().is_some();
        let is_exact = webhook.requests_since <= attempt.signed_at.min(attempt.at) && !may_be_burst;
        let signatures =
            webhook.keys.headers(&delivery.event_id.to_string(), &body, Moment::at(attempt.signed_at));
        let signatures =
            signatures.into_iter().map(|header| if is_exact { header } else { without_signature(header) });
        Ok(Some(Rebuilt { request: shown((&webhook, urls), &about, signatures, &body), is_exact }))
    }

    /// Renders a sample or a payload for this webhook.
    pub async fn preview(
        &self,
        (account, urls): (AccountId, Urls),
        id: WebhookId,
        of: PreviewOf<'_>,
    ) -> Result<Preview> {
        let webhook = self.webhook(account, id).await?;
        let first = webhook.settings.events.first().copied().unwrap_or(EventType::IncidentOpened);
        let (event_type, payload) = match of {
            PreviewOf::FirstType => (first, sample(first)),
            PreviewOf::Type(event_type) => (event_type, sample(event_type)),
            PreviewOf::Payload(payload) => {
                (payload.event_type, Bytes::copy_from_slice(payload.text.as_bytes()))
            }
        };
        let at = self.clock.moment();
        let about = self.about_now(&webhook, event_type.name(), at.now);
        // The payload is not signed: a way to have any payload signed would be worth as much as the secret.
        let signatures = webhook.keys.headers(&about.event_id.to_string(), b"", at).into_iter();
        let rendered = webhook.settings.render(event_type, &payload, id, &self.deployment);
        Ok(shown((&webhook, urls), &about, signatures.map(without_signature), &rendered))
    }
}

fn without_signature((name, value): (&'static str, String)) -> (&'static str, String) {
    match name {
        WEBHOOK_ID | WEBHOOK_TIMESTAMP => (name, value),
        _ => (name, HIDDEN.to_owned()),
    }
}

/// Shows a request without its secrets.
pub(super) fn shown(
    (webhook, urls): (&Webhook, Urls),
    about: &About,
    signatures: impl Iterator<Item = (&'static str, String)>,
    body: &Bytes,
) -> Preview {
    let custom = webhook.settings.headers.0.keys().map(|name| (name.clone(), HIDDEN.to_owned()));
    let own = about.headers().into_iter().chain(signatures).map(|(name, value)| (name.to_owned(), value));
    let text = String::from_utf8_lossy(body);
    let body = match webhook.settings.destination.routing_key() {
        Some(key) => text.replace(key.reveal(), HIDDEN),
        None => text.into_owned(),
    };
    Preview { url: webhook.settings.shown_url(urls), headers: custom.chain(own).collect(), body }
}

pub(super) fn sample(event_type: EventType) -> Bytes {
    Bytes::from_static(event_type.sample().as_bytes())
}
