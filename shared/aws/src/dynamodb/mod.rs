//! Accounts, webhooks, events and deliveries in one DynamoDB table. [`keys`] says where everything stands.
//!
//! # What a delivery that goes well costs
//!
//! Publishing reads the account's webhooks (one query) and writes the event, the delivery and its place in the lane;
//! the attempt writes its claim and its record, and reads the webhook before and after. All writes are single ones:
//! a transaction counts double. Where two items must change together (a webhook and its copy, a delivery and its
//! mark) a transaction is used: none of that lies on the way of a delivery that goes well.
//!
//! # Writing twice
//!
//! The SDK repeats a call whose answer did not come, though the first one may have taken effect. A repeated transaction
//! is recognised by DynamoDB (its client token). A repeated single write would find its own condition broken by itself,
//! and take its own success for somebody else's: so each leaves a `token`, and one that finds its own token has succeeded.

mod accounts;
mod claims;
mod deliveries;
mod events;
pub(crate) mod item;
pub(crate) mod keys;
mod lanes;
mod lists;
mod rate_limits;
mod sessions;
mod table;
mod webhooks;

pub use table::Table;
