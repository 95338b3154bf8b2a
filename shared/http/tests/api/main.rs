//! Tests of the API over HTTP: the fields of every route's answer, and every refusal. The services run on in-memory
//! fakes of the ports, so the tests also cover the use cases.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of a test may panic")]

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
