//! What the API looks like over HTTP: every route's answer field by field, and every refusal. The ports
//! behind it are small fakes; what the use cases do is tested with them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers may fail it")]

mod accounts;
mod deliveries;
mod docs;
mod document;
mod events;
mod keys;
mod pages;
mod refusals;
mod support;
mod surroundings;
mod webhook_actions;
mod webhooks;
