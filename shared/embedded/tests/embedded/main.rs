//! Tests of the SQLite store beyond the conformance suite, one file per topic. The tests control the clock. The death
//! of a process is simulated by a copy of the folder, which is opened while the first store is still running.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers may fail it")]

mod accounts;
mod durability;
mod fairness;
mod lists;
mod moving;
mod outbox;

mod prune;
mod queue;
mod refusals;
mod rekey;
mod restart;
mod secrets;
mod stage;
mod upgrade;
