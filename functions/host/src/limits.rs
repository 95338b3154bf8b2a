//! Bounds of the functions. Those of the rules are in `statuspulse_core::limits`.

use std::time::Duration;

/// The part of the function's time that is reserved for recording the last attempt and for answering.
pub(crate) const MARGIN: Duration = Duration::from_secs(3);

/// The part of the function's time in which the check of all webhooks begins no other webhook.
pub(crate) const CHECK_MARGIN: Duration = Duration::from_secs(8);

/// Seconds until a failed message is visible again, by how often it was received. Replaces the visibility timeout.
pub(crate) const COME_BACK_AFTER: [i32; 6] = [1, 5, 20, 60, 300, 900];
