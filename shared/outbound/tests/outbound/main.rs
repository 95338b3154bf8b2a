//! Tests of the guarded HTTPS client against hostile receivers and name servers, and of the guarantees in the crate's
//! documentation.
//!
//! Everything runs on loopback, which the policies here explicitly allow. `targets` shows that the production policy
//! does not. Tests that wait for a timeout use a short one.

mod answers;
mod connections;
mod names;
mod requests;
mod stage;
mod targets;
mod tls;
