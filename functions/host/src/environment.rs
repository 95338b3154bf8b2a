//! What the template tells a function: environment variables, read once. A function has only those it needs; what is
//! missing is noticed where it is used.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use statuspulse_aws::{Queues, Schedules};
use statuspulse_core::retry::Ladder;
use statuspulse_core::target::{Cidr, TargetPolicy};

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

pub(crate) fn queues() -> Queues {
    let queue = |name| optional(name).unwrap_or_default();
    Queues {
        first: queue("STATUSPULSE_FIRST_QUEUE_URL"),
        retry_1m: queue("STATUSPULSE_RETRY_1M_QUEUE_URL"),
        retry_5m: queue("STATUSPULSE_RETRY_5M_QUEUE_URL"),
        retry_15m: queue("STATUSPULSE_RETRY_15M_QUEUE_URL"),
        retry_60m: queue("STATUSPULSE_RETRY_60M_QUEUE_URL"),
        sweep: queue("STATUSPULSE_SWEEP_QUEUE_URL"),
        notice: queue("STATUSPULSE_NOTICE_QUEUE_URL"),
    }
}

pub(crate) fn schedules() -> Schedules {
    Schedules {
        group: optional("STATUSPULSE_SCHEDULE_GROUP").unwrap_or_default(),
        role_arn: optional("STATUSPULSE_SCHEDULE_ROLE_ARN").unwrap_or_default(),
        queue_arn: optional("STATUSPULSE_RETRY_60M_QUEUE_ARN").unwrap_or_default(),
        dead_letters_arn: optional("STATUSPULSE_RETRY_60M_DLQ_ARN").unwrap_or_default(),
    }
}

/// The ladder: `60s,300s,900s,3600s`.
pub(crate) fn ladder() -> Result<Ladder, Misconfigured> {
    let name = "STATUSPULSE_LADDER";
    let Some(text) = optional(name) else { return Ok(Ladder::default()) };
    let seconds = |wait: &str| wait.trim().strip_suffix('s')?.parse().ok().map(Duration::from_secs);
    let waits: Option<Vec<Duration>> = text.split(',').map(seconds).collect();
    let waits: Option<[Duration; 4]> = waits.and_then(|waits| waits.try_into().ok());
    waits
        .map(Ladder::new)
        .ok_or_else(|| Misconfigured { name, detail: format!("{text:?} is not four waits in seconds") })
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
