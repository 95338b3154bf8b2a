//! A scriptable webhook receiver on loopback, and an API client, for tests, the demo and the bench.
//!
//! A webhook sender is judged by how it handles endpoints that it does not control, above all broken ones. The
//! tests of delivery, the demo, `statuspulse receive` and `make bench` therefore need an endpoint whose behaviour
//! they choose:
//!
//! - [`Authority`]: a fresh certificate authority that issues valid, expired and otherwise invalid certificates;
//! - [`Receiver`]: an HTTP/1.1 server on 127.0.0.1, plain or with TLS, with keep-alive;
//! - [`Behaviour`]: how it responds on a path, from `200 ok` to a body that never ends;
//! - [`Received`] and [`Mark`]: a record of each request, complete for tests, or 40 bytes for the bench;
//! - [`api`]: a client of the API, and events to publish;
//! - [`household`]: what moves to another deployment;
//! - [`services`]: mocks of PagerDuty, Slack and Discord that check requests strictly;
//! - [`verify`]: both signature schemes, written from their specifications and not from our signer, so that the
//!   signer and the check cannot share a mistake.
//!
//! The server is written by hand on the socket: half of the behaviours break HTTP (a malformed status line, a truncated
//! body), and server libraries cannot do that. It is also faster than the program that it measures.
//!
//! Guarantees:
//!
//! - It listens on 127.0.0.1 only.
//! - Dropping a [`Receiver`] closes its connections.
//! - A request is recorded before it is answered, so a client that has the answer finds the record.

mod answer;
pub mod api;
mod authority;
mod behaviour;
mod clock;
pub mod household;
mod ledger;
mod perform;
mod receiver;
pub mod services;
pub mod verify;
mod wire;

pub use answer::Answer;
pub use authority::{Authority, CertificateSpec, ServerCertificate};
pub use behaviour::{Behaviour, HeaderFlood, Per};
pub use clock::unix_nanos;
pub use ledger::{Mark, Received, Record, Signature};
pub use receiver::{Receiver, ReceiverOptions, TlsVersions};
