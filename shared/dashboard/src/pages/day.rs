//! The deliveries of the last 24 hours, as the pages of webhooks show them.

use std::sync::Arc;

use jiff::Timestamp;
use statuspulse_core::Admin;
use statuspulse_core::admin::query::DeliverySearch;
use statuspulse_core::delivery::{Delivery, DeliveryFilter};
use statuspulse_core::ids::{AccountId, WebhookId};

use crate::refused::Refused;
use crate::show::Day;

/// The latest deliveries of a webhook within 24 hours, newest first, and their summary.
pub(super) async fn day_of(
    admin: &Arc<Admin>,
    account: AccountId,
    webhook: WebhookId,
    now: Timestamp,
) -> Result<(Day, Vec<Delivery>), Refused> {
    let since = now.checked_sub(std::time::Duration::from_secs(24 * 3600)).ok();
    let filter = DeliveryFilter { since, ..DeliveryFilter::default() };
    let search = DeliverySearch { webhook: Some(webhook), filter, ..DeliverySearch::default() };
    let page = admin.search_deliveries(account, &search, None, crate::limits::LATEST_READ).await?;
    let day = Day::of(&page.items, page.next.is_some(), now);
    Ok((day, page.items))
}
