//! All rules of StatusPulse webhooks.
//!
//! The rules are plain types and functions: a change goes from one state to the next and says what it calls for. Three
//! services apply them over [`ports`]: [`Publisher`] accepts events, [`Worker`] handles messages, [`Admin`] serves the
//! API and the dashboard. This crate reads no clock, generates no randomness and does no I/O itself, so it behaves the
//! same on AWS and on one machine.
//!
//! | what | where |
//! |---|---|
//! | the retry ladder | [`retry`] |
//! | signatures | [`signature`] |
//! | which URLs and addresses may be called | [`target`] |
//! | the changes of a webhook and of a delivery | [`webhook`], [`delivery`] |
//! | what each destination receives, and what its answers mean | [`destination`] |
//! | which events are accepted | [`event`] |
//! | what alerts of other systems become | [`sources`] |
//! | every limit | [`limits`] |
//! | what an account may use | [`quota`], [`limiter`] |
//! | what moves to another deployment | [`moving`] |
//! | what is saved, sent and repaired | [`outbox`], [`reconcile`] |

pub mod access;
pub mod admin;
pub mod attempt;
pub mod audit;
mod authentication;
pub mod call;
pub mod check;
pub mod delivery;
pub mod deployment;
pub mod destination;
pub mod error;
pub mod event;
pub mod fields;
pub mod figures;
#[cfg(test)]
mod fixtures;
pub mod ids;
pub mod limiter;
pub mod limits;
pub mod message;
pub mod moving;
pub mod notification;
mod notification_text;
pub mod once;
pub mod outbox;
pub mod ports;
pub mod publisher;
pub mod quota;
pub mod reconcile;
pub mod record;
pub mod retry;
pub mod rotation;
pub mod sealing;
pub mod secret;
pub mod signature;
pub mod sources;
pub mod surrogates;
pub mod target;
mod time;
pub mod webhook;
pub mod worker;

pub use admin::Admin;
pub use deployment::Deployment;
pub use error::{Error, FieldError, Result};
pub use publisher::Publisher;
pub use worker::Worker;
