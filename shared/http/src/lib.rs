//! The HTTP API over [`Admin`] and [`Publisher`], as axum routers without state.
//!
//! # The path of a request
//!
//! ```text
//! outer      request id, security headers, problem documents; a panic becomes a 500       middleware.rs
//!  durable   a change is durable before a 2xx is sent (registration only)                 middleware.rs
//!   auth     401, then 403                                                                auth.rs
//!    path    404, for an unknown id and for a malformed one                               path.rs
//!     input  parameters, then the body: 413, 400, 422                                     query.rs page.rs body.rs
//!      use case of the core; the answer has the names of section 12 of docs/behaviour.md  one file per resource
//! ```
//!
//! A refusal of a use case is an [`Error`](statuspulse_core::Error) of the core. `problem.rs` is the only place that
//! turns refusals into HTTP answers.
//!
//! # Decisions
//!
//! - A body is read as JSON whatever its `Content-Type` says. No call accepts anything else, and a missing header
//!   (curl's `-d` sends another one) should not cost a customer an hour. The API uses no cookies, so a form on another
//!   site cannot forge a call.
//! - A call without fields accepts an empty body or an empty object. Unknown fields are refused, as everywhere.
//! - The routers do not limit how long a client may take to send a request; that is up to the host.

mod accounts;
mod audit;
mod auth;
mod body;
mod dashboard;
mod deliveries;
mod docs;
mod egress;
mod events;
mod header;
mod idempotency;
mod keys;
mod middleware;
mod openapi;
mod page;
mod path;
mod problem;
mod query;
mod quotas;
mod stats;
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

pub use events::PUBLISH_PATH;
pub use openapi::openapi;
pub use page::CursorKey;

use problem::Refusal;

/// What a handler returns.
type Answer = Result<Response, Refusal>;

/// The state of the registration handlers.
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

/// The routes for accounts, keys, webhooks, deliveries, egress addresses and the API description.
///
/// `cursor_key` authenticates the cursors of lists. Each deployment has its own, and all of its processes use the same.
pub fn registration(admin: Arc<Admin>, cursor_key: CursorKey) -> Router {
    let random = Arc::clone(&admin.random);
    finished(registration_routes(admin, cursor_key), random)
}

/// The route `POST /v1/events`.
pub fn publishing(publisher: Arc<Publisher>) -> Router {
    let random = Arc::clone(&publisher.random);
    finished(publishing_routes(publisher), random)
}

/// All routes in one router.
pub fn all(admin: Arc<Admin>, publisher: Arc<Publisher>, cursor_key: CursorKey) -> Router {
    let random = Arc::clone(&admin.random);
    finished(registration_routes(admin, cursor_key).merge(publishing_routes(publisher)), random)
}

fn registration_routes(admin: Arc<Admin>, cursor_key: CursorKey) -> Router {
    let durable = layers::from_fn_with_state(Arc::clone(&admin), middleware::durable);
    Router::new()
        .merge(accounts::routes())
        .merge(quotas::routes())
        .merge(audit::routes())
        .merge(keys::routes())
        .merge(dashboard::routes())
        .merge(webhooks::routes())
        .merge(deliveries::routes())
        .merge(stats::routes())
        .merge(egress::routes())
        .merge(docs::routes())
        .layer(durable)
        .with_state(Api { admin, cursor_key: Arc::new(cursor_key) })
}

/// There is no `durable` layer: [`Publisher::publish`] waits for durability itself, because events also arrive from the
/// bus.
fn publishing_routes(publisher: Arc<Publisher>) -> Router {
    events::routes().with_state(publisher)
}

/// Adds what all routers have: the liveness check, the answers to unknown paths and methods, and the outer layer.
fn finished(routes: Router, random: Arc<dyn Random>) -> Router {
    routes
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || Refusal::UnknownPath)
        .method_not_allowed_fallback(async || Refusal::MethodNotAllowed)
        .layer(layers::from_fn_with_state(random, middleware::outer))
}

/// A duration in whole milliseconds, as the API shows it.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
