//! `GET /metrics` and `GET /readyz`. They need no API key, so they contain only counts and no customer data.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::prometheus_text;
use statuspulse_embedded::Embedded;
use tokio::net::TcpListener;

use crate::metrics::Counters;

/// Whether the server can do its work: the database can be written, and the queues move.
pub(crate) fn readiness(store: Arc<Embedded>) -> Router {
    let check = async move || match store.trouble() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
    };
    Router::new().route("/readyz", get(check))
}

/// The metrics.
pub(crate) fn metrics(metrics: Arc<Counters>, store: Arc<Embedded>) -> Router {
    let page = async move || -> Response {
        match store.census().await {
            Ok(census) => {
                let text = metrics.text(&census, store.accepted());
                ([(CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], text).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be counted");
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
        }
    };
    Router::new().route("/metrics", get(page))
}

/// Serves these routes on an address of their own, until the program ends. Returns the address.
pub(crate) async fn serve_apart(address: SocketAddr, routes: Router) -> Result<SocketAddr> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the metrics are no longer served");
        }
    });
    Ok(address)
}
