//! The real bootstraps, invoked by the emulator as Lambda invokes them, wired and permitted as the template says: from a
//! call of the API, or an event on the bus, to a signed POST on a receiver that speaks TLS.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers may fail it")]

mod bill;
mod dashboard;
mod kills;
mod messages;
mod permissions;
mod stack;
mod story;
mod trace;
