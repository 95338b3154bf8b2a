//! The signatures that prove who sent a request.
//!
//! There are two, so that a customer can follow the recipe of the product page or use any Standard Webhooks library:
//!
//! - `X-StatusPulse-Signature`: the HMAC-SHA256 of the raw body in lowercase hex. The key is the secret as it is
//!   written. The header contains nothing else, because the recipe compares the digest with the whole header.
//! - `webhook-signature`: `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`. The key is the bytes that the secret
//!   encodes ([specification](https://www.standardwebhooks.com)).
//!
//! During a rotation both the old and the new secret sign; see [`SigningKeys`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

use crate::limits;
use crate::ports::environment::Moment;
use crate::rotation::{Digests, Outgoing, StyleChoice};
use crate::secret::Secret;
use crate::time::later;

/// The header of the product page's recipe.
pub const SIGNATURE: &str = "X-StatusPulse-Signature";
/// The new secret's digest during a rotation, if [`SIGNATURE`] does not have both.
pub const SIGNATURE_NEXT: &str = "X-StatusPulse-Signature-Next";
/// Standard Webhooks: the event's id.
pub const WEBHOOK_ID: &str = "webhook-id";
/// Standard Webhooks: the time of the attempt in seconds since 1970.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// Standard Webhooks: the signatures, separated by spaces.
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// The secrets of a webhook: one, or two during a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeys {
    current: Secret,
    outgoing: Option<Outgoing>,
    rotated_at: Option<Timestamp>,
}

/// The window of the previous rotation is still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowOpen {
    /// When it ends.
    pub until: Timestamp,
}

impl SigningKeys {
    /// The keys of a new webhook.
    pub fn new(secret: Secret) -> Self {
        Self { current: secret, outgoing: None, rotated_at: None }
    }

    /// Keys read from a store.
    pub fn restore(current: Secret, outgoing: Option<Outgoing>, rotated_at: Option<Timestamp>) -> Self {
        Self { current, outgoing, rotated_at }
    }

    /// When the secret became the current one by a rotation, or by undoing one; `None` if there was none.
    pub fn rotated_at(&self) -> Option<Timestamp> {
        self.rotated_at
    }

    /// The newest secret.
    pub fn current(&self) -> &Secret {
        &self.current
    }

    /// The old secret, if the window is open at `now`.
    pub fn outgoing(&self, now: Timestamp) -> Option<&Outgoing> {
        self.outgoing.as_ref().filter(|outgoing| now < outgoing.until)
    }

    /// Replaces the secret, and opens a window in which both sign. There is only one window at a time: after a second
    /// rotation, a receiver that still has the first secret could not verify anything. Returns the end of the window.
    pub fn rotate(
        &mut self,
        new: Secret,
        choice: StyleChoice,
        now: Timestamp,
    ) -> Result<Timestamp, WindowOpen> {
        if let Some(outgoing) = self.outgoing(now) {
            return Err(WindowOpen { until: outgoing.until });
        }
        let until = later(now, limits::ROTATION_WINDOW);
        let old = std::mem::replace(&mut self.current, new);
        self.outgoing = Some(Outgoing { secret: old, until, choice, accepted: None });
        self.rotated_at = Some(now);
        Ok(until)
    }

    /// Ends the window now. Returns whether one was open.
    pub fn finish(&mut self, now: Timestamp) -> bool {
        let open = self.outgoing(now).is_some();
        self.outgoing = None;
        open
    }

    /// Undoes the rotation whose window is open: only the old secret signs again. Returns whether one was open.
    pub fn cancel(&mut self, now: Timestamp) -> bool {
        let Some(Outgoing { secret, .. }) = self.outgoing(now).cloned() else { return false };
        *self = Self { current: secret, outgoing: None, rotated_at: Some(now) };
        true
    }

    /// The same keys with these digests in `X-StatusPulse-Signature`, if a rotation is in progress.
    #[must_use]
    pub fn showing(mut self, digests: Digests) -> Self {
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.accepted = Some(digests);
        }
        self
    }

    /// The keys that remember which digests got through, in a call with the keys `used`, after others had been refused.
    /// `None` if that was another rotation, or if the receiver was further on before.
    pub fn remembering(&self, used: &Self, got_through: Digests) -> Option<Self> {
        let is_news = self.is_same_rotation(used) && self.outgoing.as_ref()?.digests() < got_through;
        is_news.then(|| self.clone().showing(got_through))
    }

    /// The keys for another receiver, of which it is only known which digests got through after others, if any.
    #[must_use]
    pub fn for_another_receiver(mut self, used: &Self, got_through: Option<Digests>) -> Self {
        let known = if self.is_same_rotation(used) { got_through } else { None };
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.accepted = known;
        }
        self
    }

    fn is_same_rotation(&self, other: &Self) -> bool {
        self.rotated_at == other.rotated_at && self.current == other.current
    }

    /// The keys as they will be when the window that is open at `now` has ended; `None` if none is open.
    pub fn after_window(&self, now: Timestamp) -> Option<Self> {
        self.outgoing(now)?;
        Some(Self { outgoing: None, ..self.clone() })
    }

    /// The signature headers of one attempt, with the keys that are valid then.
    pub fn headers(&self, id: &str, body: &[u8], at: Moment) -> Vec<(&'static str, String)> {
        let outgoing = self.outgoing(at.now);
        let new_digest = body_digest(&self.current, body);
        let mut headers = match outgoing {
            None => vec![(SIGNATURE, new_digest)],
            Some(outgoing) => {
                let old_digest = body_digest(&outgoing.secret, body);
                match outgoing.digests() {
                    Digests::Both => vec![(SIGNATURE, format!("{new_digest},{old_digest}"))],
                    Digests::Old => vec![(SIGNATURE, old_digest), (SIGNATURE_NEXT, new_digest)],
                    Digests::New => vec![(SIGNATURE, new_digest.clone()), (SIGNATURE_NEXT, new_digest)],
                }
            }
        };
        let timestamp = at.wall.as_second();
        let mut standard = standard_signature(&self.current, id, timestamp, body);
        if let Some(Outgoing { secret, .. }) = outgoing {
            standard.push(' ');
            standard.push_str(&standard_signature(secret, id, timestamp, body));
        }
        headers.push((WEBHOOK_ID, id.to_owned()));
        headers.push((WEBHOOK_TIMESTAMP, timestamp.to_string()));
        headers.push((WEBHOOK_SIGNATURE, standard));
        headers
    }
}

/// The digest of the product page's recipe.
pub fn body_digest(secret: &Secret, body: &[u8]) -> String {
    let digest = hmac(secret.reveal().as_bytes(), &[body]);
    let mut hex = String::with_capacity(digest.len() * 2);
    for byte in digest {
        hex.push(char::from(HEX[usize::from(byte >> 4)]));
        hex.push(char::from(HEX[usize::from(byte & 15)]));
    }
    hex
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn standard_signature(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> String {
    let stamp = timestamp.to_string();
    let digest = hmac(&secret.key_bytes(), &[id.as_bytes(), b".", stamp.as_bytes(), b".", body]);
    format!("v1,{}", STANDARD.encode(digest))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC accepts keys of any length. The error exists for other kinds of MAC.
    #[expect(clippy::expect_used, reason = "an HMAC key may have any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
