//! A request as it arrived at a customer's server, and changed copies of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use statuspulse_kit::{Received, verify};

pub(super) const PLAIN: &str = "x-statuspulse-signature";
pub(super) const PLAIN_NEXT: &str = "x-statuspulse-signature-next";
pub(super) const ID: &str = "webhook-id";
pub(super) const TIME: &str = "webhook-timestamp";
pub(super) const STANDARD_LIST: &str = "webhook-signature";

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) line_end: &'static str,
}

impl Request {
    pub(super) fn of(received: &Received) -> Self {
        let headers = received.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        Self { headers: headers.collect(), body: received.body.to_vec(), line_end: "\n" }
    }

    /// The input of the programs: header lines, an empty line, and the raw body.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let end = self.line_end.as_bytes();
        let lines = self.headers.iter().map(|(name, value)| [name.as_bytes(), b": ", value, end].concat());
        [lines.collect::<Vec<_>>().concat(), end.to_vec(), self.body.clone()].concat()
    }

    /// The value of a header; empty if it is missing.
    pub(super) fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }

    pub(super) fn without(&self, name: &str) -> Self {
        let mut request = self.clone();
        request.headers.retain(|(header, _)| header != name);
        request
    }

    pub(super) fn with(&self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let mut request = self.without(name);
        request.headers.push((name.to_owned(), value.as_ref().to_vec()));
        request
    }

    pub(super) fn with_body(&self, body: impl AsRef<[u8]>) -> Self {
        Self { body: body.as_ref().to_vec(), ..self.clone() }
    }

    /// With an `X-StatusPulse-Signature` by this key, which need not be a secret.
    pub(super) fn plainly_signed(&self, secret: &str) -> Self {
        self.without(PLAIN_NEXT).with(PLAIN, verify::statuspulse_digest(secret, &self.body))
    }

    /// With a `webhook-signature` by this key, for its current id and time.
    pub(super) fn standard_signed(&self, secret: &str) -> Self {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.", self.header(ID), self.header(TIME)).as_bytes());
        mac.update(&self.body);
        self.with(STANDARD_LIST, format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }

    /// With this time and a `webhook-signature` that covers it.
    pub(super) fn signed_at(&self, secret: &str, time: &str) -> Self {
        self.with(TIME, time).standard_signed(secret)
    }
}
