//! The environment variables that the template sets, read once at the start. If one is missing or invalid, the start
//! fails with its name.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use statuspulse_aws::{Queues, Schedules};
use statuspulse_core::ids::AccountId;
use statuspulse_core::retry::Ladder;
use statuspulse_core::target::{Cidr, EndpointUrl, TargetPolicy};

/// An environment variable is missing or invalid.
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
    /// First attempts at webhooks that were slow lately.
    Slow,
    /// Second attempts; released, redelivered and early ones.
    Retry1m,
    /// Third attempts.
    Retry5m,
    /// Fourth attempts.
    Retry15m,
    /// Fifth attempts, sent by Scheduler.
    Retry60m,
    /// Pages of jobs.
    Job,
    /// Notifications and domain events.
    Notification,
}

impl SqsQueue {
    /// All queues.
    pub const ALL: [SqsQueue; 8] = [
        SqsQueue::First,
        SqsQueue::Slow,
        SqsQueue::Retry1m,
        SqsQueue::Retry5m,
        SqsQueue::Retry15m,
        SqsQueue::Retry60m,
        SqsQueue::Job,
        SqsQueue::Notification,
    ];

    /// The queues of the functions that change webhooks and deliveries without attempts.
    pub const OF_API: [SqsQueue; 5] =
        [SqsQueue::First, SqsQueue::Slow, SqsQueue::Retry1m, SqsQueue::Job, SqsQueue::Notification];

    fn variable(self) -> &'static str {
        match self {
            SqsQueue::First => "STATUSPULSE_FIRST_QUEUE_URL",
            SqsQueue::Slow => "STATUSPULSE_SLOW_QUEUE_URL",
            SqsQueue::Retry1m => "STATUSPULSE_RETRY_1M_QUEUE_URL",
            SqsQueue::Retry5m => "STATUSPULSE_RETRY_5M_QUEUE_URL",
            SqsQueue::Retry15m => "STATUSPULSE_RETRY_15M_QUEUE_URL",
            SqsQueue::Retry60m => "STATUSPULSE_RETRY_60M_QUEUE_URL",
            SqsQueue::Job => "STATUSPULSE_JOB_QUEUE_URL",
            SqsQueue::Notification => "STATUSPULSE_NOTIFICATION_QUEUE_URL",
        }
    }
}

/// The URLs of the queues that the function sends to.
pub(crate) fn queues(sends_to: &[SqsQueue]) -> Result<Queues, Misconfigured> {
    let mut queues = Queues::default();
    for queue in sends_to {
        let url = required(queue.variable())?;
        let place = match queue {
            SqsQueue::First => &mut queues.first,
            SqsQueue::Slow => &mut queues.slow,
            SqsQueue::Retry1m => &mut queues.retry_1m,
            SqsQueue::Retry5m => &mut queues.retry_5m,
            SqsQueue::Retry15m => &mut queues.retry_15m,
            SqsQueue::Retry60m => &mut queues.retry_60m,
            SqsQueue::Job => &mut queues.job,
            SqsQueue::Notification => &mut queues.notification,
        };
        *place = url;
    }
    Ok(queues)
}

/// The configuration of Scheduler, for a function that uses it.
pub(crate) fn schedules(sends_to: &[SqsQueue]) -> Result<Schedules, Misconfigured> {
    if !sends_to.contains(&SqsQueue::Retry60m) {
        return Ok(Schedules::default());
    }
    Ok(Schedules {
        group: required("STATUSPULSE_SCHEDULE_GROUP")?,
        role_arn: required("STATUSPULSE_SCHEDULE_ROLE_ARN")?,
        queue_arn: required("STATUSPULSE_RETRY_60M_QUEUE_ARN")?,
        dead_letters_arn: required("STATUSPULSE_SCHEDULE_DLQ_ARN")?,
    })
}

/// The ladder, such as `60s,300s,900s,3600s`.
pub(crate) fn ladder() -> Result<Ladder, Misconfigured> {
    parsed("STATUSPULSE_LADDER", Ladder::default())
}

/// Whether deliveries are retried early when an outage ends.
pub(crate) fn retry_early() -> Result<bool, Misconfigured> {
    parsed("STATUSPULSE_RETRY_EARLY", true)
}

/// The egress addresses. Empty if the deployment has no static ones.
pub(crate) fn egress_ips() -> Result<Vec<String>, Misconfigured> {
    let name = "STATUSPULSE_EGRESS_IPS";
    let Some(list) = optional(name) else { return Ok(vec![]) };
    let ips: Result<Vec<std::net::IpAddr>, _> = list.split(',').map(|ip| ip.trim().parse()).collect();
    let wrong = |_| Misconfigured { name, detail: format!("{list:?} is not a list of IP addresses") };
    Ok(ips.map_err(wrong)?.iter().map(ToString::to_string).collect())
}

/// The account whose webhooks get the CloudWatch alarms of this AWS account, if there is one.
///
/// # Errors
/// Fails if the variable is not an account's id.
pub fn alarm_account() -> Result<Option<AccountId>, Misconfigured> {
    let name = "STATUSPULSE_ALARM_ACCOUNT";
    let wrong = |text: String| Misconfigured { name, detail: format!("{text:?} is not an account id") };
    optional(name).map(|text| text.parse().map_err(|_| wrong(text))).transpose()
}

/// An endpoint URL, checked against the policy.
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

/// The target policy: only public addresses. The template never sets the variable for development.
pub(crate) fn policy() -> Result<TargetPolicy, Misconfigured> {
    let name = "STATUSPULSE_DEV_ALLOW_CIDR";
    let Some(text) = optional(name) else { return Ok(TargetPolicy::deployed()) };
    tracing::warn!("{name} is set; use it only for development");
    let cidrs: Result<Vec<Cidr>, _> = text.split(',').map(str::parse).collect();
    let cidrs = cidrs.map_err(|error| Misconfigured { name, detail: format!("{error}") })?;
    Ok(TargetPolicy::development(cidrs))
}

/// Certificate authorities that are trusted in addition to the public ones. For development only.
pub(crate) fn extra_roots() -> Result<Vec<CertificateDer<'static>>, Misconfigured> {
    let name = "STATUSPULSE_DEV_EXTRA_CA";
    let Some(file) = optional(name).map(PathBuf::from) else { return Ok(vec![]) };
    let read = CertificateDer::pem_file_iter(&file).and_then(Iterator::collect);
    read.map_err(|error| Misconfigured { name, detail: error.to_string() })
}
