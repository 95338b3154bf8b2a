//! A delivery's attempts as JSON, and its state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::values::{Unreadable, from_millis, micros, millis};
use crate::attempt::{Attempt, Class, Failure, ResponseHeaders, Trigger};
use crate::delivery::{State, Status};

#[derive(Serialize, Deserialize)]
struct AttemptRecord {
    number: u8,
    /// Absent if it is the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trigger: Option<String>,
    at: i64,
    /// Absent if it is the same as `at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    micros: u64,
    /// Absent if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: ResponseHeaders,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<String>,
}

/// Serialises attempts.
pub fn write_attempts(attempts: &[Attempt]) -> Result<String, Unreadable> {
    let records: Vec<AttemptRecord> = attempts
        .iter()
        .map(|attempt| AttemptRecord {
            number: attempt.number,
            trigger: (attempt.trigger != Trigger::Event).then(|| attempt.trigger.name().to_owned()),
            at: millis(attempt.at),
            signed: (attempt.signed_at != attempt.at).then(|| millis(attempt.signed_at)),
            status: attempt.status_code,
            class: attempt.failure.as_ref().map(|failure| failure.class.name().to_owned()),
            reason: attempt.failure.as_ref().map(|failure| failure.reason.clone()),
            micros: micros(attempt.duration),
            headers: attempt.response_headers.clone(),
            response: attempt.response.clone(),
        })
        .collect();
    serde_json::to_string(&records).map_err(Unreadable::because)
}

/// Parses attempts.
pub fn read_attempts(text: &str) -> Result<Vec<Attempt>, Unreadable> {
    if text == "[]" {
        return Ok(vec![]);
    }
    let records: Vec<AttemptRecord> = serde_json::from_str(text).map_err(Unreadable::because)?;
    records.into_iter().map(restore).collect()
}

fn restore(record: AttemptRecord) -> Result<Attempt, Unreadable> {
    let class = record.class.map(|name| Class::from_name(&name).unwrap_or(Class::Unknown));
    let trigger = record.trigger.as_deref().map_or(Trigger::Event, read_trigger);
    Ok(Attempt {
        number: record.number,
        trigger,
        at: from_millis(record.at)?,
        signed_at: from_millis(record.signed.unwrap_or(record.at))?,
        status_code: record.status,
        failure: class.map(|class| Failure::new(class, record.reason.unwrap_or_default())),
        duration: Duration::from_micros(record.micros),
        response_headers: record.headers,
        response: record.response,
    })
}

/// Reads a trigger.
pub fn read_trigger(name: &str) -> Trigger {
    Trigger::from_name(name).unwrap_or(Trigger::Unknown)
}

/// Reads the state of a delivery by its name. `scheduled` reads what only a scheduled delivery has.
pub fn read_state(
    name: &str,
    scheduled: impl FnOnce() -> Result<State, Unreadable>,
) -> Result<State, Unreadable> {
    Ok(match Status::from_name(name).ok_or_else(|| Unreadable::unknown("state", name))? {
        Status::Waiting => State::Waiting,
        Status::Retrying => return scheduled(),
        Status::Held => State::Held,
        Status::Delivered => State::Delivered,
        Status::Failed => State::Failed,
        Status::Discarded => State::Discarded,
        Status::Cancelled => State::Cancelled,
    })
}
