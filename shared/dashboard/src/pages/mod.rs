//! The pages, one file each, and their assets.

mod account;
mod assets;
mod deliveries;
mod delivery;
mod edit;
mod sign_in;
mod tryout;
mod webhook;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use jiff::Timestamp;
use statuspulse_core::Admin;
use statuspulse_core::delivery::{Delivery, DeliveryFilter};
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::webhook::Webhook;

use crate::Dashboard;
use crate::guard::Refused;
use crate::show::Day;

pub(crate) fn routes() -> Router<Dashboard> {
    Router::new()
        .route("/dashboard", get(sign_in::home))
        .route("/dashboard/sign-in", get(sign_in::show).post(sign_in::use_link))
        .route("/dashboard/sign-out", post(sign_in::sign_out))
        .route("/dashboard/account", get(account::show))
        .route("/dashboard/account/slack", post(account::set_slack))
        .route("/dashboard/account/slack/test", post(account::test_slack))
        .route("/dashboard/webhooks", get(webhooks::list).post(edit::create))
        .route("/dashboard/webhooks/new", get(edit::new))
        .route("/dashboard/webhooks/{id}", get(webhook::show))
        .route("/dashboard/webhooks/{id}/state", get(webhook::state))
        .route("/dashboard/webhooks/{id}/edit", get(edit::edit).post(edit::update))
        .route("/dashboard/webhooks/{id}/try", get(tryout::show))
        .route("/dashboard/webhooks/{id}/verify", post(webhook::verify))
        .route("/dashboard/webhooks/{id}/pause", post(webhook::pause))
        .route("/dashboard/webhooks/{id}/resume", post(webhook::resume))
        .route("/dashboard/webhooks/{id}/test", post(webhook::send_test))
        .route("/dashboard/webhooks/{id}/rotate", get(webhook::ask_rotate).post(webhook::rotate))
        .route("/dashboard/webhooks/{id}/rotate/finish", get(webhook::ask_finish).post(webhook::finish))
        .route("/dashboard/webhooks/{id}/discard", get(webhook::ask_discard).post(webhook::discard))
        .route("/dashboard/webhooks/{id}/delete", get(webhook::ask_delete).post(webhook::delete))
        .route("/dashboard/webhooks/{id}/deliveries", get(deliveries::list))
        .route("/dashboard/webhooks/{id}/redeliver", post(deliveries::redeliver_failed))
        .route("/dashboard/webhooks/{id}/deliveries/{delivery}", get(delivery::show))
        .route("/dashboard/webhooks/{id}/deliveries/{delivery}/redeliver", post(delivery::redeliver))
        .route("/dashboard/assets/{file}", get(assets::serve))
        .route("/dashboard/{*rest}", get(async || Refused::NotFound("page")))
}

/// Parses an id in a path. A malformed id is a 404, like an unknown one.
fn id<T: std::str::FromStr>(Path(text): &Path<String>, what: &'static str) -> Result<T, Refused> {
    text.parse().map_err(|_| Refused::NotFound(what))
}

/// The name of a webhook: its description, or else its URL.
fn name_of(webhook: &Webhook) -> String {
    webhook
        .settings
        .description
        .clone()
        .filter(|text| !text.trim().is_empty())
        .unwrap_or_else(|| webhook.settings.shown_url())
}

/// Deliveries that are counted for the diagram of a day.
const LOOKED_AT: usize = 100;

/// The latest deliveries of a webhook within 24 hours, newest first, and their summary.
async fn day_of(
    admin: &Arc<Admin>,
    account: AccountId,
    webhook: WebhookId,
    now: Timestamp,
) -> Result<(Day, Vec<Delivery>), Refused> {
    let since = now.checked_sub(std::time::Duration::from_secs(24 * 3600)).ok();
    let filter = DeliveryFilter { since, ..DeliveryFilter::default() };
    let page = admin.delivery_page(account, webhook, &filter, None, LOOKED_AT).await?;
    let day = Day::of(&page.items, page.next.is_some(), now);
    Ok((day, page.items))
}
