//! What the template tells a function: environment variables, read once at its start. One that is missing or wrong ends the start
//! with its name.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use statuspulse_aws::{Queues, Schedules};
use statuspulse_core::retry::Ladder;
use statuspulse_core::target::{Cidr, EndpointUrl, TargetPolicy};

/// A variable that the template did not set, or not so that it can be read.
#[derive(Debug, thiserror::Error)]
#[error("environment variable {name}: {detail}")]
pub struct Misconfigured {
    name: &'static str,
    detail: String,
}

pub(crate) fn optional(name: &'static str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub(crate) fn required(name: &'static str) -> Result<String, Misconfigured> {
    optional(name).ok_or_else(|| Misconfigured { name, detail: "is missing".to_owned() })
}

/// A queue that a function sends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqsQueue {
    /// First attempts.
    First,
    /// Second attempts, and those let go, redelivered or made early.
    Retry1m,
    /// Third attempts.
    Retry5m,
    /// Fourth attempts.
    Retry15m,
    /// Fifth attempts, by Scheduler.
    Retry60m,
    /// Pages of jobs.
    Sweep,
    /// Notifications and events.
    Notice,
}

impl SqsQueue {
    /// All of them.
    pub const ALL: [SqsQueue; 7] = [
        SqsQueue::First,
        SqsQueue::Retry1m,
        SqsQueue::Retry5m,
        SqsQueue::Retry15m,
        SqsQueue::Retry60m,
        SqsQueue::Sweep,
        SqsQueue::Notice,
    ];

    fn variable(self) -> &'static str {
        match self {
            SqsQueue::First => "STATUSPULSE_FIRST_QUEUE_URL",
            SqsQueue::Retry1m => "STATUSPULSE_RETRY_1M_QUEUE_URL",
            SqsQueue::Retry5m => "STATUSPULSE_RETRY_5M_QUEUE_URL",
            SqsQueue::Retry15m => "STATUSPULSE_RETRY_15M_QUEUE_URL",
            SqsQueue::Retry60m => "STATUSPULSE_RETRY_60M_QUEUE_URL",
            SqsQueue::Sweep => "STATUSPULSE_SWEEP_QUEUE_URL",
            SqsQueue::Notice => "STATUSPULSE_NOTICE_QUEUE_URL",
        }
    }
}

/// The URLs of these queues; the function sends to no others.
pub(crate) fn queues(sends_to: &[SqsQueue]) -> Result<Queues, Misconfigured> {
    let mut queues = Queues::default();
    for queue in sends_to {
        let url = required(queue.variable())?;
        let place = match queue {
            SqsQueue::First => &mut queues.first,
            SqsQueue::Retry1m => &mut queues.retry_1m,
            SqsQueue::Retry5m => &mut queues.retry_5m,
            SqsQueue::Retry15m => &mut queues.retry_15m,
            SqsQueue::Retry60m => &mut queues.retry_60m,
            SqsQueue::Sweep => &mut queues.sweep,
            SqsQueue::Notice => &mut queues.notice,
        };
        *place = url;
    }
    Ok(queues)
}

/// Where Scheduler sends, for a function that sends through it.
pub(crate) fn schedules(sends_to: &[SqsQueue]) -> Result<Schedules, Misconfigured> {
    if !sends_to.contains(&SqsQueue::Retry60m) {
        return Ok(Schedules::default());
    }
    Ok(Schedules {
        group: required("STATUSPULSE_SCHEDULE_GROUP")?,
        role_arn: required("STATUSPULSE_SCHEDULE_ROLE_ARN")?,
        queue_arn: required("STATUSPULSE_RETRY_60M_QUEUE_ARN")?,
        dead_letters_arn: required("STATUSPULSE_RETRY_60M_DLQ_ARN")?,
    })
}

/// The ladder, such as `60s,300s,900s,3600s`.
pub(crate) fn ladder() -> Result<Ladder, Misconfigured> {
    parsed("STATUSPULSE_LADDER", Ladder::default())
}

/// Whether the end of an outage retries early.
pub(crate) fn bring_forward() -> Result<bool, Misconfigured> {
    parsed("STATUSPULSE_BRING_FORWARD", true)
}

/// The addresses that attempts leave from, where the deployment has such.
pub(crate) fn egress_ips() -> Result<Vec<String>, Misconfigured> {
    let name = "STATUSPULSE_EGRESS_IPS";
    let Some(list) = optional(name) else { return Ok(vec![]) };
    let ips: Result<Vec<std::net::IpAddr>, _> = list.split(',').map(|ip| ip.trim().parse()).collect();
    let wrong = |_| Misconfigured { name, detail: format!("{list:?} is not a list of addresses") };
    Ok(ips.map_err(wrong)?.iter().map(ToString::to_string).collect())
}

/// A URL that we call or name, checked at the start.
pub(crate) fn endpoint(
    name: &'static str,
    default: &str,
    policy: &TargetPolicy,
) -> Result<EndpointUrl, Misconfigured> {
    let text = optional(name).unwrap_or_else(|| default.to_owned());
    EndpointUrl::parse(&text, policy)
        .map_err(|refused| Misconfigured { name, detail: refused.detail.to_string() })
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &'static str,
    default: T,
) -> Result<T, Misconfigured> {
    match optional(name) {
        None => Ok(default),
        Some(text) => {
            text.parse().map_err(|error| Misconfigured { name, detail: format!("{text:?}: {error}") })
        }
    }
}

/// Who may be called: public addresses. The template never sets the variable for development.
pub(crate) fn policy() -> Result<TargetPolicy, Misconfigured> {
    let name = "STATUSPULSE_DEV_ALLOW_CIDR";
    let Some(text) = optional(name) else { return Ok(TargetPolicy::deployed()) };
    tracing::warn!("{name} is set: this is for development alone");
    let cidrs: Result<Vec<Cidr>, _> = text.split(',').map(str::parse).collect();
    let cidrs = cidrs.map_err(|error| Misconfigured { name, detail: format!("{error}") })?;
    Ok(TargetPolicy::development(cidrs))
}

/// Certificate authorities for development, trusted beside the public ones.
pub(crate) fn extra_roots() -> Result<Vec<CertificateDer<'static>>, Misconfigured> {
    let name = "STATUSPULSE_DEV_EXTRA_CA";
    let Some(file) = optional(name).map(PathBuf::from) else { return Ok(vec![]) };
    let read = CertificateDer::pem_file_iter(&file).and_then(Iterator::collect);
    read.map_err(|error| Misconfigured { name, detail: error.to_string() })
}
