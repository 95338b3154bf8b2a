//! Runs the real bootstraps in the emulator, with the connections and permissions of the template: from a call of the
//! API or an event on the bus to a signed POST at a receiver with TLS.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers may fail it")]

mod bill;
mod dashboard;
mod kills;
mod messages;
mod moving;
mod permissions;
mod stack;
mod story;
mod trace;
