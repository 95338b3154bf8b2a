//! The guarded HTTPS client. Only this crate connects to addresses that customers supply.
//!
//! [`Outbound`] implements core's [`Sender`](statuspulse_core::ports::Sender): one POST, one response. It knows no
//! accounts and no webhooks, and decides nothing about retries.
//!
//! # Steps of an attempt
//!
//! 1. **Vet** (`vetting`): check a literal address, or look up a name once and check *all* its addresses
//!    ([`TargetPolicy::vet`](statuspulse_core::target::TargetPolicy::vet)). No socket is opened before that.
//! 2. **Connect** (`connect`, `tls`), or take a kept connection (`pool`). Both lead to an address that was just vetted.
//!    The name is not looked up again, so DNS rebinding is not possible.
//! 3. **Exchange** (`connection`, `exchange`): write the request, read the head and at most
//!    [`RESPONSE_READ_BYTES`](statuspulse_core::limits::RESPONSE_READ_BYTES) of the body.
//!
//! # Guarantees
//!
//! - Look-up, TCP and TLS together end within `CONNECT_TIMEOUT`, and the call within its own timeout. These are total
//!   deadlines, so a receiver cannot extend them by dripping bytes.
//! - TLS is 1.2 or later. The certificate and its name are checked against the built-in roots. Plain http goes only to
//!   addresses inside the development CIDRs. Redirects are not followed. Proxy settings of the environment are ignored.
//!   Nothing is decompressed.
//! - Everything a receiver sends is bounded: the head, its fields and the body. A byte count below the HTTP parser
//!   bounds the rest, such as an endless series of `103 Early Hints`.
//! - A call has no background task. Dropping its future closes its connection.
//! - If the receiver has closed a kept connection, the request is repeated once on a new one, within the same deadline.
//!   A receiver that processes a request and then closes a kept connection without a byte of a response gets that
//!   request twice, with the same `webhook-id`.
//!
//! # Why not an existing client
//!
//! reqwest and hyper-util's `Client` separate the request from the connector: the vetted addresses would have to reach
//! the connector through a cache. They also hide whether a failed request used a kept connection. So this crate uses
//! hyper's connection directly. The pool around it is about a hundred lines, and the task that waits for the response
//! polls the connection, without a task or wake-up per request.

mod answered;
mod clock;
mod connect;
mod connection;
mod exchange;
mod explain;
mod meter;
mod outbound;
mod pool;
mod resolve;
mod socket;
mod tls;
mod vetting;

pub use outbound::{Outbound, OutboundConfig, Reached};
pub use resolve::{Resolve, SystemResolver, Unresolved};
pub use rustls::pki_types::CertificateDer;
pub use tls::BadRoot;
