//! Bounds of the pages. Those of the rules are in `statuspulse_core::limits`.

/// How long a flash message is kept for its page.
pub(crate) const FLASH_SECONDS: u64 = 60;

/// How long the requested page is remembered during sign-in.
pub(crate) const NEXT_SECONDS: u64 = 600;

/// Deliveries per page.
pub(crate) const DELIVERIES_PAGE: usize = 50;

/// Deliveries that are counted for the diagram of a day.
pub(crate) const LATEST_READ: usize = 100;

/// Webhooks per page. For each one the latest deliveries are read.
pub(crate) const WEBHOOKS_PAGE: usize = 20;
