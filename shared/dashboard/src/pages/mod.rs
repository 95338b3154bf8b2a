//! The routes of the pages. Each page has its own file.

mod account;
mod assets;
mod audit;
mod confirm;
mod deliveries;
mod delivery;
mod edit;
mod keys;
mod rotate;
mod search;
mod several;
mod sign_in;
mod tryout;
mod webhook;
mod webhooks;

use axum::Router;
use axum::routing::{get, post};

use crate::Dashboard;
use crate::refused::Refused;

pub(crate) fn routes() -> Router<Dashboard> {
    Router::new()
        .route("/dashboard", get(sign_in::home))
        .route("/dashboard/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/dashboard/sign-out", post(sign_in::sign_out))
        .route("/dashboard/keys", get(keys::list).post(keys::create))
        .route("/dashboard/keys/{id}/revoke", get(keys::ask_revoke).post(keys::revoke))
        .route("/dashboard/account", get(account::show))
        .route("/dashboard/account/slack", post(account::set_slack))
        .route("/dashboard/account/slack/test", post(account::test_slack))
        .route("/dashboard/account/slack/remove", get(account::ask_remove_slack).post(account::remove_slack))
        .route("/dashboard/audit-log", get(audit::show))
        .route("/dashboard/deliveries", get(deliveries::of_all))
        .route("/dashboard/deliveries/redeliver", get(several::ask_deliveries).post(several::redeliver))
        .route("/dashboard/search", get(search::find))
        .route("/dashboard/webhooks", get(webhooks::list).post(edit::create))
        .route("/dashboard/webhooks/new", get(edit::new))
        .route("/dashboard/webhooks/several", get(several::ask_webhooks).post(several::act_on_webhooks))
        .route("/dashboard/webhooks/{id}", get(webhook::show))
        .route("/dashboard/webhooks/{id}/edit", get(edit::edit).post(edit::update))
        .route("/dashboard/webhooks/{id}/try", get(tryout::show))
        .route("/dashboard/webhooks/{id}/verify", post(webhook::verify))
        .route("/dashboard/webhooks/{id}/pause", post(webhook::pause))
        .route("/dashboard/webhooks/{id}/resume", post(webhook::resume))
        .route("/dashboard/webhooks/{id}/retry", post(webhook::retry))
        .route("/dashboard/webhooks/{id}/test", post(webhook::send_test))
        .route("/dashboard/webhooks/{id}/rotate", get(rotate::ask_rotate).post(rotate::rotate))
        .route("/dashboard/webhooks/{id}/rotate/finish", get(rotate::ask_finish).post(rotate::finish))
        .route("/dashboard/webhooks/{id}/rotate/cancel", get(rotate::ask_cancel).post(rotate::cancel))
        .route("/dashboard/webhooks/{id}/discard", get(webhook::ask_discard).post(webhook::discard))
        .route("/dashboard/webhooks/{id}/delete", get(webhook::ask_delete).post(webhook::delete))
        .route("/dashboard/webhooks/{id}/deliveries", get(deliveries::of_webhook))
        .route("/dashboard/webhooks/{id}/redeliver", get(webhook::ask_redeliver).post(deliveries::redeliver))
        .route("/dashboard/webhooks/{id}/deliveries/{delivery}", get(delivery::show))
        .route("/dashboard/webhooks/{id}/deliveries/{delivery}/redeliver", post(delivery::redeliver))
        .route("/dashboard/assets/{file}", get(assets::serve))
        .route("/dashboard/{*rest}", get(async || Refused::NotFound("page")))
}
