//! The other end of a webhook: a receiver on loopback that does what it is told and remembers what came.
//!
//! A webhook product is judged by how it behaves towards endpoints it does not control, most of all towards
//! broken ones. So every test of delivery, the demo, `statuspulse receive` and `make bench` need an endpoint
//! whose behaviour is chosen line by line. That is this crate:
//!
//! - [`Authority`]: a fresh certificate authority, and certificates of it that are good, expired, for another host …
//! - [`Receiver`]: an HTTP/1.1 server on 127.0.0.1, plain or TLS, with keep-alive;
//! - [`Mood`]: what it answers on a path, from `200 ok` to a body that never ends;
//! - [`Received`] and [`Mark`]: what arrived, in full for a test, or in 40 bytes a request for a bench;
//! - [`api`]: a client of the API, and events to publish;
//! - [`services`]: PagerDuty and Slack, as strict as the real ones;
//! - [`verify`]: both signature schemes, written from their descriptions and not from our signer, so that a
//!   mistake shared by signer and checker cannot hide.
//!
//! The server is written by hand, on the socket. A server library will not send a malformed status line or cut
//! a body short, and half of the moods are exactly that; one plain reader and writer can do all of them, and
//! is faster than what it is used to measure.
//!
//! Guarantees: nothing listens on any address but 127.0.0.1; a dropped [`Receiver`] ends its connections; a
//! request is recorded before it is answered, so whoever has an answer can find the record.

pub mod api;
mod authority;
mod clock;
mod ledger;
mod mood;
mod perform;
mod receiver;
pub mod services;
pub mod verify;
mod wire;

pub use authority::{Authority, CertificateSpec, ServerCertificate};
pub use clock::unix_nanos;
pub use ledger::{Mark, Received, Record, Signature};
pub use mood::{Answer, HeaderFlood, Mood, Per};
pub use receiver::{Receiver, ReceiverOptions, TlsVersions};
