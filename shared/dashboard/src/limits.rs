//! Bounds of the pages. Those of the rules are in `statuspulse_core::limits`.

use std::time::Duration;

/// How long a flash message is kept for its page.
pub(crate) const FLASH_SECONDS: u64 = 60;

/// How long the requested page is remembered during sign-in.
pub(crate) const NEXT_SECONDS: u64 = 600;

/// How long an open page waits before it is refreshed.
pub(crate) const REFRESH: Duration = Duration::from_secs(10);

/// How long it waits if what it shows is about to change.
pub(crate) const REFRESH_SOON: Duration = Duration::from_secs(2);

/// How long the page of a webhook says that a resume has ended.
pub(crate) const RESUMED_SHOWN_FOR: Duration = Duration::from_secs(24 * 3600);

/// Monitor groups that the list of webhooks names of each.
pub(crate) const GROUPS_SHOWN: usize = 3;

/// Deliveries per page.
pub(crate) const DELIVERIES_PAGE: usize = 50;

/// Webhooks per page. For each one the figures of a day and the latest delivery are read.
pub(crate) const WEBHOOKS_PAGE: usize = 20;
