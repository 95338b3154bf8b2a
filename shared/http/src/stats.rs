//! `/v1/stats` and `/v1/webhooks/{id}/stats`: what happened lately, and whether the promise held.

use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use statuspulse_core::access::Action;
use statuspulse_core::admin::stats::Stats;
use statuspulse_core::figures::{Counts, OfResume};
use statuspulse_core::ids::WebhookId;
use statuspulse_core::limits;
use utoipa::ToSchema;

use crate::auth::Reads;
use crate::openapi::operation::Operation;
use crate::openapi::wire::{self, WEBHOOK};
use crate::path::Id;
use crate::{Answer, Api};

pub(crate) fn routes() -> Router<Api> {
    Router::new().route("/v1/stats", get(of_account)).route("/v1/webhooks/{id}/stats", get(of_webhook))
}

async fn of_account(State(api): State<Api>, Reads(account, _): Reads) -> Answer {
    let stats = api.admin.stats(account, None).await?;
    Ok(Json(StatsView::of(&stats)).into_response())
}

async fn of_webhook(State(api): State<Api>, Reads(account, _): Reads, Id(id): Id<WebhookId>) -> Answer {
    let stats = api.admin.stats(account, Some(id)).await?;
    Ok(Json(StatsView::of(&stats)).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = Stats)]
struct StatsView {
    /// The last 24 hours of the clock together. The current hour is the last of them.
    last_24_hours: PeriodView,
    /// The last 30 days together.
    last_30_days: PeriodView,
    /// The last 24 hours of the clock, oldest first.
    hours: Vec<HourView>,
    /// What became of the deliveries that the last resume of the webhook released; null if it was not resumed in the last
    /// 30 days, and for an account.
    #[schema(required)]
    resume: Option<ResumeView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatsOfResume)]
struct ResumeView {
    /// When the webhook was resumed.
    #[schema(value_type = wire::Time)]
    at: Timestamp,
    /// Deliveries of them that succeeded.
    delivered: u64,
    /// Their failed attempts.
    failed_attempts: u64,
    /// Deliveries of them that were given up.
    given_up: u64,
}

/// What happened in a period. A percentile is the upper bound of the bucket that it is in, in milliseconds; `null` if
/// nothing was counted or if it was longer than a minute.
#[derive(Serialize, ToSchema)]
#[schema(as = StatsOfPeriod)]
struct PeriodView {
    /// First attempts that had nothing to wait for.
    first_attempts: u64,
    /// Those of them that began within 200 ms of the acceptance of their event.
    within_200_ms: u64,
    /// Half of these first attempts began within this time.
    #[schema(required)]
    p50_ms: Option<u64>,
    /// 95 % of them did.
    #[schema(required)]
    p95_ms: Option<u64>,
    /// 99 % of them did.
    #[schema(required)]
    p99_ms: Option<u64>,
    /// First attempts of deliveries that waited for an earlier one of their incident, were held, or were delivered again.
    first_attempts_after_wait: u64,
    /// Successful attempts.
    delivered: u64,
    /// Half of the successful attempts took at most this long.
    #[schema(required)]
    response_p50_ms: Option<u64>,
    /// Failed attempts.
    failed_attempts: u64,
    /// Deliveries that were given up.
    given_up: u64,
}

impl PeriodView {
    fn of(counts: &Counts) -> Self {
        let (first, delivered) = (counts.first_attempts(), counts.delivered());
        let millis =
            |time: Option<Duration>| time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Self {
            first_attempts: first.total(),
            within_200_ms: first.within(limits::PROMISED),
            p50_ms: millis(first.percentile(50)),
            p95_ms: millis(first.percentile(95)),
            p99_ms: millis(first.percentile(99)),
            first_attempts_after_wait: counts.after_wait(),
            delivered: delivered.total(),
            response_p50_ms: millis(delivered.percentile(50)),
            failed_attempts: counts.failed_attempts(),
            given_up: counts.given_up(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatsOfHour)]
struct HourView {
    /// The beginning of the hour.
    #[schema(value_type = wire::Time)]
    at: Timestamp,
    /// Successful attempts.
    delivered: u64,
    /// Failed attempts.
    failed_attempts: u64,
    /// Deliveries that were given up.
    given_up: u64,
}

impl StatsView {
    fn of(stats: &Stats) -> Self {
        let hours = stats.hours.iter().map(|(at, counts)| HourView {
            at: *at,
            delivered: counts.delivered().total(),
            failed_attempts: counts.failed_attempts(),
            given_up: counts.given_up(),
        });
        Self {
            last_24_hours: PeriodView::of(&stats.day),
            last_30_days: PeriodView::of(&stats.month),
            hours: hours.collect(),
            resume: stats.resume.map(|OfResume { at, delivered, failed_attempts, given_up }| ResumeView {
                at,
                delivered,
                failed_attempts,
                given_up,
            }),
        }
    }
}

const HOW: &str = "The promise is that the first attempt of a delivery begins within 200 ms of the acceptance of its \
                   event: the connection is opened, or the request is written on a kept connection. Deliveries that \
                   wait for an earlier one of their incident, and held ones, are counted apart. What is counted now is \
                   shown a moment later. If a process of ours dies, what it counted in its last second is missing.";

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new("account", "get", "/v1/stats", "accountStats", "Show what happened lately")
            .describe(format!(
                "Covers all webhooks of the account, also those that were deleted since. {HOW}"
            ))
            .by(Action::Read)
            .answers::<StatsView>(200, "The figures.", &example()),
        Operation::new(
            "webhooks",
            "get",
            "/v1/webhooks/{id}/stats",
            "webhookStats",
            "Show what happened lately",
        )
        .describe(HOW)
        .by(Action::Read)
        .id::<wire::WebhookId>("id", WEBHOOK)
        .answers::<StatsView>(200, "The figures.", &example()),
    ]
}

fn example() -> Value {
    let period = |times: u64| {
        json!({
            "first_attempts": 412 * times, "within_200_ms": 412 * times, "p50_ms": 5, "p95_ms": 20, "p99_ms": 30,
            "first_attempts_after_wait": 17 * times, "delivered": 425 * times, "response_p50_ms": 100,
            "failed_attempts": 9 * times, "given_up": times,
        })
    };
    json!({
        "last_24_hours": period(1), "last_30_days": period(30),
        "hours": [{ "at": "2026-11-24T12:00:00Z", "delivered": 18, "failed_attempts": 1, "given_up": 0 }],
        "resume": { "at": "2026-11-24T11:40:00Z", "delivered": 210, "failed_attempts": 4, "given_up": 1 },
    })
}
