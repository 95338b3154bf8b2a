//! Calls with their headers: a signed POST to a webhook, and a message to a Slack channel.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::destination::Verdict;
use crate::ids::{AccountId, DeliveryId, EventId};
use crate::limits;
use crate::ports::{Call, Clock, Moment, PortResult, Sender, Sent, Unavailable};
use crate::rotation::Digests;
use crate::target::EndpointUrl;
use crate::time::later;
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

/// A call to a webhook, which is signed when it is made.
pub(crate) struct SignedCall<'a> {
    pub(crate) webhook: &'a Webhook,
    pub(crate) about: About,
    pub(crate) body: Bytes,
    pub(crate) timeout: Duration,
    /// When a repeat must have ended; `None` if there must be no repeat.
    pub(crate) repeats_until: Option<Timestamp>,
}

/// The answer to a signed call.
pub(crate) struct Answered {
    /// When the call was signed that was answered so.
    pub(crate) moment: Moment,
    pub(crate) sent: Sent,
    /// Set if it was a repeat: the digests that it had in its header.
    pub(crate) repeated_with: Option<Digests>,
}

impl SignedCall<'_> {
    /// Makes the call. During a rotation it may be refused because the digests in its header do not suit the receiver. Then
    /// it is made again at once with others, and only the last answer counts. Fails if it cannot be made, or made again, for
    /// a reason on our side.
    pub(crate) async fn send(&self, sender: &dyn Sender, clock: &dyn Clock) -> PortResult<Answered> {
        let moment = clock.moment();
        let sent = sender.send(self.signed(self.webhook, moment)).await?;
        let mut took = sent.duration;
        let tries = self.next_tries(&sent, moment);
        let mut answered = Answered { moment, sent, repeated_with: None };
        for digests in tries {
            let is_refused = !self.next_tries(&answered.sent, moment).is_empty();
            if !is_refused {
                break;
            }
            if self.repeats_until.is_some_and(|until| later(clock.now(), self.timeout) > until) {
                // If the receiver was quick, the time was lost on our side.
                if took < self.timeout {
                    return Err(Unavailable {
                        doing: "repeating a call with another signature",
                        source: "its claim ends too soon".into(),
                    });
                }
                break;
            }
            let mut webhook = self.webhook.clone();
            webhook.keys = webhook.keys.showing(*digests);
            let moment = clock.moment();
            let sent = sender.send(self.signed(&webhook, moment)).await?;
            took += sent.duration;
            answered = Answered { moment, sent, repeated_with: Some(*digests) };
        }
        Ok(answered)
    }

    /// The digests to try, in this order, if the receiver may have refused the signature.
    fn next_tries(&self, sent: &Sent, at: Moment) -> &'static [Digests] {
        let outgoing = self.webhook.keys.outgoing(at.now).filter(|_| self.repeats_until.is_some());
        match (outgoing, &sent.result) {
            // A receiver that asks to be called later has not checked the signature.
            (Some(_), Ok(reply)) if reply.retry_after.is_some() => &[],
            (Some(outgoing), Ok(reply)) if self.webhook.checks_signatures() && !self.is_taken(sent) => {
                outgoing.next_tries(reply.status)
            }
            _ => &[],
        }
    }

    fn is_taken(&self, sent: &Sent) -> bool {
        self.webhook.settings.destination.verdict(&sent.result) == Verdict::Accepted
    }

    /// A POST, signed over exactly these bytes with the keys that are valid then.
    fn signed(&self, webhook: &Webhook, at: Moment) -> Call {
        let signatures = webhook.keys.headers(&self.about.event_id.to_string(), &self.body, at);
        let mut headers = Vec::with_capacity(10 + webhook.settings.headers.0.len());
        for (name, value) in &webhook.settings.headers.0 {
            headers.push((name.clone(), value.clone()));
        }
        let own = self.about.headers().into_iter().chain(signatures);
        headers.extend(own.map(|(name, value)| (name.to_owned(), value)));
        Call {
            account_id: webhook.account_id,
            url: webhook.settings.url.clone(),
            headers,
            body: self.body.clone(),
            timeout: self.timeout,
        }
    }
}

/// The call that sends a message to an account's Slack channel.
pub(crate) fn message_to(account_id: AccountId, slack: EndpointUrl, body: Bytes) -> Call {
    let headers = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("User-Agent".to_owned(), USER_AGENT.to_owned()),
    ];
    Call { account_id, url: slack, headers, body, timeout: limits::ATTEMPT_TIMEOUT }
}
