//! The embedded adapters against what the ports promise: one file a promise. Time is a watch that the test sets, and
//! a death is a copy of the folder, opened while the first store still has its hands in it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers may fail it")]

mod accounts;
mod durability;
mod fairness;
mod outbox;

mod prune;
mod queue;
mod refusals;
mod restart;
mod secrets;
mod stage;
