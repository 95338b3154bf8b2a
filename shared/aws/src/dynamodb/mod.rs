//! Accounts, webhooks, events and deliveries in one DynamoDB table. [`keys`] shows the layout.
//!
//! # The cost of a delivery that succeeds at once
//!
//! Publishing reads the account's webhooks with one query, and writes the event, the delivery and its place in the
//! lane. The attempt writes its claim and its record, and reads the webhook before and after. All of these are single
//! writes, because a transaction costs twice as much. Transactions are used only where two items must change
//! together: a webhook and its copy, a delivery and its mark. A delivery that succeeds at once needs none.
//!
//! # Retried writes
//!
//! The SDK repeats a call that got no response, although the first one may have taken effect. DynamoDB recognises a
//! repeated transaction by its client token. A repeated single write would fail on its own condition, and look like a
//! conflict. So each such write stores a `token`, and if it then finds its own token, it has succeeded.

mod accounts;
mod arrivals;
mod audit;
mod claims;
mod deliveries;
mod draws;
mod events;
mod figures;
pub(crate) mod item;
mod key_cache;
pub(crate) mod keys;
mod lanes;
mod lists;
mod places;
mod rate_limits;
mod sessions;
mod stopped;
mod table;
#[cfg(test)]
mod upgrade;
mod webhooks;

pub use table::Table;
