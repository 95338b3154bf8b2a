//! Payloads as the monitoring system publishes them.

/// An `incident_opened` payload.
pub(crate) fn opened(incident: &str) -> String {
    format!(
        r#"{{"event_type":"incident_opened","incident_id":"{incident}","monitor_name":"checkout-api-prod","status":"investigating","triggered_at":"2024-03-15T14:22:01Z","details":{{"endpoint":"https://api.yourcompany.com/v2/checkout","response_code":503,"latency_ms":1240,"region":"us-east-1"}}}}"#
    )
}

/// An `incident_updated` payload.
pub(crate) fn updated(incident: &str) -> String {
    format!(
        r#"{{"event_type":"incident_updated","incident_id":"{incident}","monitor_name":"checkout-api-prod","status":"identified","updated_at":"2024-03-15T14:31:12Z","details":{{"previous_status":"investigating","message":"Cache nodes are being replaced"}}}}"#
    )
}

/// An `incident_resolved` payload.
pub(crate) fn resolved(incident: &str) -> String {
    format!(
        r#"{{"event_type":"incident_resolved","incident_id":"{incident}","monitor_name":"checkout-api-prod","status":"resolved","resolved_at":"2024-03-15T15:05:44Z","details":{{"downtime_duration_seconds":2623,"auto_resolved":true}}}}"#
    )
}

/// A payload of exactly this many bytes.
pub(crate) fn payload_of_size(bytes: usize) -> String {
    let short = opened("INC-BIG").replace(r#""region":"#, r#""padding":"","region":"#);
    let padding = format!(r#""padding":"{}""#, "x".repeat(bytes - short.len()));
    let payload = short.replace(r#""padding":"""#, &padding);
    assert_eq!(payload.len(), bytes);
    payload
}
