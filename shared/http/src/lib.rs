//! The HTTP API: doors of [`Admin`] and [`Publisher`], as axum routers with no state of their own.
//!
//! # What a call passes through
//!
//! ```text
//! outer   request id, security headers, problem documents, a panic becomes a 500   middleware.rs
//!  settle nothing is promised that could still be lost (registration only)         middleware.rs
//!   who   401, then 403                                                             auth.rs
//!    what 404 for an unknown id and a malformed one alike                           path.rs
//!     how parameters, then the body: 413, 400, 422                                  query.rs page.rs body.rs
//!      a use case of the core, its answer in the names of section 12 of docs/behaviour.md      one file a resource
//! ```
//!
//! Every refusal is core's [`Error`](statuspulse_core::Error), and becomes an HTTP answer in one place:
//! `problem.rs`.
//!
//! # Decisions
//!
//! - A body is read as JSON whatever its `Content-Type` says: nothing else is ever expected, and a forgotten
//!   header (curl's `-d`) should not cost a customer an hour. The API takes no cookies, so no browser can be
//!   made to forge such a call.
//! - A call that needs no body takes none, or an object; fields it does not know are refused, as everywhere.
//! - How long a client may take is the host's business, not the router's.

mod accounts;
mod auth;
mod body;
mod dashboard;
mod deliveries;
mod docs;
mod egress;
mod events;
mod keys;
mod middleware;
mod openapi;
mod page;
mod path;
mod problem;
mod query;
mod rest;
mod test_result;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use axum::response::Response;
use axum::routing::get;
use axum::{Router, middleware as layers};
use statuspulse_core::ports::Random;
use statuspulse_core::{Admin, Publisher};

pub use openapi::openapi;
pub use page::CursorKey;

use problem::Refusal;

/// What a handler answers.
type Answer = Result<Response, Refusal>;

/// What the registration handlers share.
#[derive(Clone)]
struct Api {
    admin: Arc<Admin>,
    cursor_key: Arc<CursorKey>,
}

impl FromRef<Api> for Arc<Admin> {
    fn from_ref(api: &Api) -> Self {
        Arc::clone(&api.admin)
    }
}

/// Accounts, keys, webhooks, deliveries, the egress addresses, and what describes the API. `cursor_key` seals the cursors of lists: a
/// deployment's own, and the same in all its processes.
pub fn registration(admin: Arc<Admin>, cursor_key: CursorKey) -> Router {
    let random = Arc::clone(&admin.random);
    finished(registration_routes(admin, cursor_key), random)
}

/// `POST /v1/events`.
pub fn publishing(publisher: Arc<Publisher>) -> Router {
    let random = Arc::clone(&publisher.random);
    finished(publishing_routes(publisher), random)
}

/// The whole API in one router.
pub fn all(admin: Arc<Admin>, publisher: Arc<Publisher>, cursor_key: CursorKey) -> Router {
    let random = Arc::clone(&admin.random);
    finished(registration_routes(admin, cursor_key).merge(publishing_routes(publisher)), random)
}

fn registration_routes(admin: Arc<Admin>, cursor_key: CursorKey) -> Router {
    let settle = layers::from_fn_with_state(Arc::clone(&admin), middleware::settle);
    Router::new()
        .merge(accounts::routes())
        .merge(keys::routes())
        .merge(dashboard::routes())
        .merge(webhooks::routes())
        .merge(deliveries::routes())
        .merge(egress::routes())
        .merge(docs::routes())
        .layer(settle)
        .with_state(Api { admin, cursor_key: Arc::new(cursor_key) })
}

/// Without the `settle` layer: [`Publisher::publish`] settles by itself, since it has doors that are not HTTP.
fn publishing_routes(publisher: Arc<Publisher>) -> Router {
    events::routes().with_state(publisher)
}

/// Adds what every router has: liveness, an answer to whatever is not a route, and the outer layer.
fn finished(routes: Router, random: Arc<dyn Random>) -> Router {
    routes
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || Refusal::UnknownPath)
        .method_not_allowed_fallback(async || Refusal::MethodNotAllowed)
        .layer(layers::from_fn_with_state(random, middleware::outer))
}

/// A duration as shown.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
