//! The guarded way out: the one place from which addresses are called that strangers gave us.
//!
//! [`Outbound`] is the adapter behind core's [`Sender`](statuspulse_core::ports::Sender): one POST, one answer, nothing else. It keeps
//! no account, knows no webhook and decides nothing about retries.
//!
//! # How an attempt goes
//!
//! 1. **Vet** (`vetting`): a literal address is checked; a name is looked up, once, and *every* address it has
//!    is checked ([`TargetPolicy::vet`](statuspulse_core::target::TargetPolicy::vet)). Nothing is opened before that.
//! 2. **Connect** (`connect`, `tls`), or take a kept connection (`pool`). Either leads to an address of the list
//!    just vetted; the name is not looked up again, so there is no moment at which it could flip.
//! 3. **Exchange** (`connection`, `exchange`): the request is written, the head and at most
//!    [`RESPONSE_READ_BYTES`](statuspulse_core::limits::RESPONSE_READ_BYTES) of the body are read.
//!
//! # What is guaranteed
//!
//! - Look-up, TCP and TLS together end within `CONNECT_TIMEOUT`, the call within its own timeout: total
//!   deadlines, so that a receiver that drips bytes gains nothing by it.
//! - TLS 1.2 or higher, the certificate and the name in it checked against the built-in roots. Plain http only
//!   to addresses inside the development CIDRs. Redirects are answers like others. There is no proxy, whatever
//!   the environment says. Nothing is decompressed.
//! - What a receiver sends is bounded: the head, the fields in it, the body, and by a count of bytes below the
//!   HTTP parser whatever is none of these, such as `103 Early Hints` without end.
//! - No background task belongs to a call: dropping its future closes its connection.
//! - A kept connection that the receiver closed meanwhile costs one more try on a fresh one, within the same
//!   deadline, which the caller never sees. A receiver that *acts* on a request and then closes a kept
//!   connection without a byte of answer gets that request twice, with the same `webhook-id`.
//!
//! # Why not a ready-made client
//!
//! reqwest and hyper-util's `Client` separate the request from the connector, so that a vetted address would
//! have to travel beside it through a cache, and hide whether a failed request used a kept connection. hyper's
//! connection is used directly instead: the pool around it is a hundred lines, it is polled by the task that
//! waits for the answer (no task, no wake-up per request), and all of the above is visible in one place.

mod clock;
mod connect;
mod connection;
mod exchange;
mod explain;
mod meter;
mod outbound;
mod pool;
mod resolve;
mod tls;
mod vetting;

pub use outbound::{Outbound, OutboundConfig};
pub use resolve::{Resolve, SystemResolver};
pub use rustls::pki_types::CertificateDer;
pub use tls::BadRoot;
