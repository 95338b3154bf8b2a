//! Metrics in CloudWatch's embedded metric format: lines of JSON in the log, from which CloudWatch extracts the
//! metrics. The counts of an invocation are written when it ends, so a batch of deliveries costs one or two lines. All
//! have the dimension `Stack`.
//!
//! | metric | unit | further dimensions | meaning |
//! |---|---|---|---|
//! | `FirstAttemptLagMs` | ms | – | from the acceptance of an event to its first attempt (rule 4.1: 200 ms) |
//! | `FirstAttemptAfterWaitLagMs` | ms | – | the same from the moment it was due, for a delivery that had to wait or was held |
//! | `DeliverySucceeded` | count | – | attempts that succeeded |
//! | `DeliveryFailed` | count | `Class` | attempts that failed |
//! | `Retries` | count | – | attempts that were not first attempts |
//! | `AttemptNotMade` | count | – | attempts that could not be made for a reason on our side, and were put back |
//! | `WebhookPaused` | count | – | webhooks paused because of failures |
//! | `LostMessages` | count | – | messages that were lost, found every 15 minutes; should be 0 |
//! | `OldestUndeliveredAgeSeconds` | s | – | age of the oldest event with a failed attempt in this invocation |

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use statuspulse_core::attempt::{Began, Class};
use statuspulse_core::ports::Metrics;

/// The namespace of the metrics.
pub const NAMESPACE: &str = "StatusPulse";

/// Collects metrics until they are flushed.
#[derive(Debug)]
pub struct Emf {
    stack: String,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    first_lag_ms: Vec<u64>,
    after_wait_lag_ms: Vec<u64>,
    retries: u64,
    succeeded: u64,
    failed: BTreeMap<&'static str, u64>,
    not_made: u64,
    paused: u64,
    lost_messages: u64,
    oldest: Option<Duration>,
}

impl Metrics for Emf {
    fn attempt_began(&self, began: Began) {
        let millis = |lag: Duration| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        self.count(|counted| match began {
            Began::First(lag) => counted.first_lag_ms.push(millis(lag)),
            Began::FirstAfterWait(lag) => counted.after_wait_lag_ms.push(millis(lag)),
            Began::Retry => counted.retries += 1,
        });
    }

    fn attempt_ended(&self, failure: Option<Class>, _took: Duration, age: Duration) {
        self.count(|counted| match failure {
            None => counted.succeeded += 1,
            Some(class) => {
                *counted.failed.entry(class.name()).or_default() += 1;
                counted.oldest = counted.oldest.max(Some(age));
            }
        });
    }

    fn attempt_not_made(&self) {
        self.count(|counted| counted.not_made += 1);
    }

    fn webhook_paused(&self) {
        self.count(|counted| counted.paused += 1);
    }

    // Counted on one machine only.
    fn notification_ended(&self, _accepted: bool) {}

    fn lost_messages(&self, count: u64) {
        self.count(|counted| counted.lost_messages += count);
    }
}

impl Emf {
    /// Metrics of this stack. Those of another one in the same account and region are told apart by its name.
    pub fn new(stack: impl Into<String>) -> Self {
        Self { stack: stack.into(), counted: Mutex::default() }
    }

    fn count(&self, change: impl FnOnce(&mut Counted)) {
        change(&mut self.counted.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Writes what was counted since the last call to standard output, which is Lambda's log.
    pub fn flush(&self, now: Timestamp) {
        let lines = self.lines(now);
        let mut out = std::io::stdout().lock();
        for line in lines {
            // A delivery must not fail because the log cannot be written.
            drop(writeln!(out, "{line}"));
        }
    }

    /// Returns the lines for what was counted since the last call.
    pub fn lines(&self, now: Timestamp) -> Vec<String> {
        let counted = std::mem::take(&mut *self.counted.lock().unwrap_or_else(PoisonError::into_inner));
        let mut lines = vec![];
        let mut counts = vec![];
        for (name, count) in [
            ("DeliverySucceeded", counted.succeeded),
            ("Retries", counted.retries),
            ("AttemptNotMade", counted.not_made),
            ("WebhookPaused", counted.paused),
            ("LostMessages", counted.lost_messages),
        ] {
            if count > 0 {
                counts.push((name, "Count", json!(count)));
            }
        }
        if let Some(oldest) = counted.oldest {
            counts.push(("OldestUndeliveredAgeSeconds", "Seconds", json!(oldest.as_secs())));
        }
        let mut more = vec![];
        for (name, lags) in [
            ("FirstAttemptLagMs", &counted.first_lag_ms),
            ("FirstAttemptAfterWaitLagMs", &counted.after_wait_lag_ms),
        ] {
            let mut values =
                lags.chunks(crate::limits::METRIC_VALUES).map(|lags| (name, "Milliseconds", json!(lags)));
            counts.extend(values.next());
            more.extend(values);
        }
        if !counts.is_empty() {
            lines.push(self.line(now, None, &counts));
        }
        lines.extend(more.into_iter().map(|values| self.line(now, None, &[values])));
        for (class, count) in counted.failed {
            lines.push(self.line(now, Some(class), &[("DeliveryFailed", "Count", json!(count))]));
        }
        lines
    }

    fn line(&self, now: Timestamp, class: Option<&str>, metrics: &[(&str, &str, Value)]) -> String {
        let dimensions = if class.is_some() { json!([["Stack", "Class"]]) } else { json!([["Stack"]]) };
        let defined: Vec<Value> =
            metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
        let mut line = Map::new();
        line.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": now.as_millisecond(),
                "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": defined}],
            }),
        );
        line.insert("Stack".to_owned(), json!(self.stack));
        if let Some(class) = class {
            line.insert("Class".to_owned(), json!(class));
        }
        line.extend(metrics.iter().map(|(name, _, value)| ((*name).to_owned(), value.clone())));
        Value::Object(line).to_string()
    }
}
