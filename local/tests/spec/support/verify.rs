//! Verifies signatures as a customer would. Written from the specifications, without code of the product.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Seen;

/// The signature of the product page: the HMAC-SHA256 of the raw body, keyed with the text of the secret.
pub(crate) fn hex_digest(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// The signature that the Standard Webhooks library computes for this call.
pub(crate) fn standard_signature(secret: &str, seen: &Seen) -> String {
    let timestamp = seen.header("webhook-timestamp").parse().unwrap();
    let library = standardwebhooks::Webhook::new(secret).unwrap();
    library.sign(seen.header("webhook-id"), timestamp, &seen.body).unwrap()
}

/// Checks both signatures of a call that was signed with one secret.
#[track_caller]
pub(crate) fn verify_all(seen: &Seen, secret: &str) {
    assert_eq!(seen.header("X-StatusPulse-Signature"), hex_digest(secret, &seen.body));
    assert_eq!(seen.header("webhook-signature"), standard_signature(secret, seen));
    assert!(!seen.headers.contains_key("X-StatusPulse-Signature-Next"));
}
