//! The dashboard, Settings > Integrations > Webhooks: server-rendered pages over [`statuspulse_core::Admin`].
//!
//! # The path of a request
//!
//! ```text
//! outer     request id, security headers, error pages              guard.rs
//!  origin   forms of other sites are refused                       guard.rs
//!   auth    the session cookie, then the role of its key           session.rs
//!    page   a use case of the core                                 pages/, one file per page
//! ```
//!
//! # Decisions
//!
//! - Every page works without JavaScript, with links and forms. A form is answered with a redirect, so a reload repeats
//!   nothing. Its flash message, which can contain a new secret, is in a cookie that scripts cannot read. The next page
//!   shows it and deletes the cookie.
//! - Responses of endpoints are shown as text, which the templates escape. Only [`Markup`](show::Markup) is not
//!   escaped; it is made of our own numbers and words.
//! - Viewers see no buttons that make changes. The role is checked again when a form arrives.

mod cookie;
mod day;
mod flash;
mod forms;
mod guard;
mod limits;
mod pages;
mod refused;
mod session;
mod show;

use std::sync::Arc;

use axum::response::Response;
use axum::{Router, middleware as layers};
use statuspulse_core::Admin;

/// What a handler returns.
type Answer = Result<Response, refused::Refused>;

/// The state of the handlers.
#[derive(Clone)]
struct Dashboard {
    admin: Arc<Admin>,
}

/// The router of the dashboard.
pub fn pages(admin: Arc<Admin>) -> Router {
    let state = Dashboard { admin };
    pages::routes().layer(layers::from_fn_with_state(state.clone(), guard::outer)).with_state(state)
}
