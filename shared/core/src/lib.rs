//! Every rule of StatusPulse webhooks.
//!
//! The rules are plain types and functions: a change goes from one state to the next and says what it calls for. Three
//! services run them over [`ports`]: [`Publisher`] takes events in, [`Worker`] works on messages, [`Admin`] serves the API. Nothing here reads a clock,
//! rolls dice or does I/O: what is proved about this crate is true on AWS and on one machine alike.
//!
//! Where is ...? The ladder: [`retry`]. Signatures: [`signature`]. Who may be called: [`target`]. What a
//! webhook or a delivery may become: [`webhook`], [`delivery`]. What PagerDuty and Slack get, and what an answer means:
//! [`destination`]. What is accepted: [`event`]. Every number:
//! [`limits`]. What is saved and sent: [`outbox`]; what is repaired: [`reconcile`].

pub mod access;
pub mod admin;
pub mod attempt;
pub mod audit;
mod call;
pub mod delivery;
pub mod deployment;
pub mod destination;
pub mod error;
pub mod event;
pub mod fields;
#[cfg(test)]
mod fixtures;
pub mod ids;
pub mod limits;
pub mod message;
pub mod notification;
mod notification_text;
pub mod outbox;
pub mod ports;
pub mod publisher;
pub mod reconcile;
pub mod record;
pub mod retry;
pub mod sealing;
pub mod secret;
pub mod signature;
pub mod target;
mod time;
pub mod webhook;
pub mod worker;

pub use admin::Admin;
pub use deployment::Deployment;
pub use error::{Error, FieldError, Result};
pub use publisher::Publisher;
pub use worker::Worker;
