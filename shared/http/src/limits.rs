//! Bounds of the HTTP layer. Those of the rules are in `statuspulse_core::limits`.

use std::time::Duration;

/// Bytes to discard at most. If there are more, the answer is sent without reading them.
pub(crate) const DISCARDED_BYTES: u64 = 8 * statuspulse_core::limits::ENVELOPE_BYTES as u64;

/// Time to discard in at most, in case the client stops sending.
pub(crate) const DISCARDED_WITHIN: Duration = Duration::from_secs(1);
