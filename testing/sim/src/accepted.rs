//! What publishers were promised.

use bytes::Bytes;
use statuspulse_core::ids::{EventId, WebhookId};

/// An event whose publisher got a 202.
pub(crate) struct Accepted {
    pub(crate) event: EventId,
    /// The webhooks that received events during the whole call.
    pub(crate) wanted: Vec<WebhookId>,
    /// Its payload, if it was published with a key: no other event has the same one.
    pub(crate) keyed: Option<Bytes>,
}
