//! How the types of the rules are stored: records that serialise. They are separate types, so that a change of the
//! rules does not change the stored format by accident. Both stores use the same records.
//!
//! Times are milliseconds since 1970. A webhook is stored in two parts: one with its secrets, which is sealed, and one
//! with everything else.

mod attempt;
mod audit;
mod rotation;
pub(crate) mod values;
mod webhook;

pub use attempt::{read_attempts, read_state, read_trigger, write_attempts};
pub use audit::{read_audit_entry, write_audit_entry};
pub use values::{Unreadable, from_millis, millis};
pub use webhook::{WebhookParts, read_webhook, write_webhook};
