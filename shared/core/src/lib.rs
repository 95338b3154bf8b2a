//! Every rule of StatusPulse webhooks.
//!
//! The rules are plain types and functions; the use cases run them over [`ports`]. Nothing here reads a clock,
//! rolls dice or does I/O: what is proved about this crate is true on AWS and on one machine alike.
//!
//! Where is ...? The ladder: [`retry`]. Signatures: [`signature`]. Who may be called: [`target`]. What a
//! webhook or a delivery may become: [`webhook`], [`delivery`]. What PagerDuty and Slack get, and what an answer means:
//! [`destination`]. What is accepted: [`event`]. Every number:
//! [`limits`]. What is done, step by step: [`usecase`].

pub mod access;
pub mod alert;
pub mod attempt;
pub mod audit;
pub mod delivery;
pub mod destination;
pub mod error;
pub mod event;
pub mod fields;
pub mod ids;
pub mod limits;
pub mod message;
mod notice;
pub mod ports;
pub mod record;
pub mod retry;
pub mod sealing;
pub mod secret;
pub mod signature;
pub mod target;
pub mod usecase;
pub mod webhook;

pub use error::{Error, FieldError, Result};
pub use usecase::Engine;
