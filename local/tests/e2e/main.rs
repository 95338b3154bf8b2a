//! The program itself, as its owner runs it: real processes, real sockets on loopback, real TLS, real deaths.
//!
//! What the rules are is tested elsewhere, in virtual time. Here it is shown that the parts are plugged together, and
//! that what was answered is kept whatever becomes of the process.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers may fail it")]

mod crash;
mod destinations;
mod folders;
mod hang_ups;
mod keys;
mod neighbours;
mod refusing;
mod serving;
mod story;
mod support;
mod verifying;
