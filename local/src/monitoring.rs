//! `GET /metrics` and `GET /readyz`. They need no API key, so they contain only counts and no customer data.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::prometheus_text;
use statuspulse_core::ports::PortResult;
use statuspulse_embedded::{Census, Embedded};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::limits::CENSUS_KEPT;
use crate::metrics::Counters;

/// Whether the server can do its work: the database can be written, and the queues move.
pub(crate) fn readiness(store: Arc<Embedded>) -> Router {
    let check = async move || match store.trouble() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
    };
    Router::new().route("/readyz", get(check))
}

/// The metrics. Counting the store reads whole indexes, and anybody may ask, so a count is served for a few seconds.
pub(crate) fn metrics(metrics: Arc<Counters>, store: Arc<Embedded>) -> Router {
    let kept = Arc::new(Mutex::new(None));
    let page = async move || -> Response {
        match counted(&kept, &store).await {
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

async fn counted(kept: &Mutex<Option<(Instant, Census)>>, store: &Embedded) -> PortResult<Census> {
    let mut kept = kept.lock().await;
    if let Some((at, census)) = &*kept
        && at.elapsed() < CENSUS_KEPT
    {
        return Ok(census.clone());
    }
    let census = store.census().await?;
    *kept = Some((Instant::now(), census.clone()));
    Ok(census)
}

/// Serves these routes on an address of their own, until the program ends.
pub(crate) fn serve_apart(tcp: TcpListener, routes: Router) {
    tokio::spawn(async move {
        if let Err(error) = axum::serve(tcp, routes).await {
            tracing::error!(%error, "the metrics are no longer served");
        }
    });
}
