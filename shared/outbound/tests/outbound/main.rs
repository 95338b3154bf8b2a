//! The guarded way out, against receivers and name servers that do their worst, and what the crate's
//! documentation promises.
//!
//! Everything is on loopback, which the policies here allow by name; `targets` shows that a deployment does not.
//! Where a receiver has to be waited out, the call's own timeout is short.

mod answers;
mod connections;
mod requests;
mod stage;
mod targets;
mod tls;
