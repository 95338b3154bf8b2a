//! Settings > Integrations > Webhooks: pages over [`statuspulse_core::Admin`], made on the server.
//!
//! # What a request passes through
//!
//! ```text
//! outer    request id, security headers, the page of a refusal      guard.rs
//!  guard   a form of another site is refused                         guard.rs
//!   who    a session's cookie, then its key's role                   session.rs
//!    what  a use case of the core                                    pages/, one file a page
//! ```
//!
//! # Decisions
//!
//! - Every page works without JavaScript: a link or a form, and a form answers with a redirect (a reload repeats nothing). What is
//!   to be said on the next page, a new secret too, is in a cookie that no script reads, and that page deletes.
//! - What strangers' endpoints answered is text, and escaped by the templates; [`Markup`](show::Markup) is the only way
//!   around that, and made of our own numbers and words alone.
//! - Who may not change anything sees no button for it; the use case's role is asked again when a form comes.

mod forms;
mod guard;
mod pages;
mod session;
mod show;

use std::sync::Arc;

use axum::response::Response;
use axum::{Router, middleware as layers};
use statuspulse_core::Admin;

/// What a handler answers.
type Answer = Result<Response, guard::Refused>;

/// What the handlers share.
#[derive(Clone)]
struct Dashboard {
    admin: Arc<Admin>,
}

/// The dashboard's pages.
pub fn pages(admin: Arc<Admin>) -> Router {
    let state = Dashboard { admin };
    pages::routes().layer(layers::from_fn_with_state(state.clone(), guard::outer)).with_state(state)
}
