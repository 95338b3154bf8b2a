//! The lines with metrics, in the format that CloudWatch reads.

#![expect(clippy::unwrap_used, reason = "a test's own helpers may fail it")]

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_aws::Emf;
use statuspulse_core::attempt::{Began, Class};
use statuspulse_core::ports::Metrics;

fn lines(emf: &Emf) -> Vec<Value> {
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    emf.lines(now).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_an_invocation_counted_is_one_line_and_one_more_for_each_class_of_failure() {
    let emf = Emf::new("statuspulse-dev");
    for lag in [12, 250] {
        emf.attempt_began(Began::First(Duration::from_millis(lag)));
    }
    emf.attempt_began(Began::FirstAfterWait(Duration::from_millis(7)));
    emf.attempt_began(Began::Retry);
    emf.attempt_ended(None, Duration::ZERO, Duration::from_millis(40));
    emf.attempt_ended(Some(Class::Timeout), Duration::ZERO, Duration::from_secs(11));
    emf.attempt_ended(Some(Class::Http5xx), Duration::ZERO, Duration::from_secs(3600));
    emf.attempt_ended(Some(Class::Http5xx), Duration::ZERO, Duration::from_secs(60));
    emf.attempt_not_made();
    emf.webhook_paused();
    let definition = |dimensions: Value, metrics: Value| {
        json!({
            "Timestamp": 1_795_521_600_000_i64,
            "CloudWatchMetrics": [{"Namespace": "StatusPulse", "Dimensions": dimensions, "Metrics": metrics}],
        })
    };
    let counted = json!([
        {"Name": "DeliverySucceeded", "Unit": "Count"},
        {"Name": "Retries", "Unit": "Count"},
        {"Name": "AttemptNotMade", "Unit": "Count"},
        {"Name": "WebhookPaused", "Unit": "Count"},
        {"Name": "OldestUndeliveredAgeSeconds", "Unit": "Seconds"},
        {"Name": "FirstAttemptLagMs", "Unit": "Milliseconds"},
        {"Name": "FirstAttemptAfterWaitLagMs", "Unit": "Milliseconds"},
    ]);
    let failed = json!([{"Name": "DeliveryFailed", "Unit": "Count"}]);
    assert_eq!(
        lines(&emf),
        [
            json!({
                "_aws": definition(json!([["Stack"]]), counted),
                "Stack": "statuspulse-dev",
                "DeliverySucceeded": 1,
                "Retries": 1,
                "AttemptNotMade": 1,
                "WebhookPaused": 1,
                "OldestUndeliveredAgeSeconds": 3600,
                "FirstAttemptLagMs": [12, 250],
                "FirstAttemptAfterWaitLagMs": [7],
            }),
            json!({"_aws": definition(json!([["Stack", "Class"]]), failed.clone()), "Stack": "statuspulse-dev", "Class": "http_5xx", "DeliveryFailed": 2}),
            json!({"_aws": definition(json!([["Stack", "Class"]]), failed), "Stack": "statuspulse-dev", "Class": "timeout", "DeliveryFailed": 1}),
        ]
    );
    assert_eq!(lines(&emf), [Value::Null; 0], "counts must not be written twice");
}

#[test]
fn a_line_has_a_hundred_values_at_most() {
    let emf = Emf::new("statuspulse-dev");
    for lag in 0..250 {
        emf.attempt_began(Began::First(Duration::from_millis(lag)));
    }
    let counts: Vec<_> =
        lines(&emf).iter().map(|line| line["FirstAttemptLagMs"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [100, 100, 50]);
}
