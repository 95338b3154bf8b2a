//! The text of the API's problem documents (RFC 9457).

use reqwest::StatusCode;
use serde_json::Value;

use super::views::printable;

/// What the document says: its detail, its code, and a line for each invalid field. `None` if it is not a problem
/// document, for example because a proxy answered.
pub(super) fn text(status: StatusCode, document: &str) -> Option<String> {
    let problem: Value = serde_json::from_str(document).ok()?;
    let field = |object: &Value, name: &str| object[name].as_str().map(printable);
    let (detail, code) = (field(&problem, "detail")?, field(&problem, "code")?);
    let mut said = format!("{detail} ({} {code})", status.as_u16());
    for error in problem["errors"].as_array().into_iter().flatten() {
        let (pointer, detail) = (field(error, "pointer")?, field(error, "detail")?);
        said.push_str(&format!("\n  {pointer}: {detail}"));
    }
    if status.is_server_error() {
        said.push_str(&format!("\nThe request id is {}.", field(&problem, "instance")?));
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_invalid_field_has_a_line() {
        let errors =
            json!([{ "pointer": "/url", "detail": "is required" }, { "pointer": "/events", "detail": "x" }]);
        let document =
            json!({ "detail": "Two fields.", "code": "invalid", "instance": "req_1", "errors": errors });
        let said = |status| text(status, &document.to_string()).unwrap();
        let lines = "Two fields. (422 invalid)\n  /url: is required\n  /events: x";
        assert_eq!(said(StatusCode::UNPROCESSABLE_ENTITY), lines);
        assert!(said(StatusCode::SERVICE_UNAVAILABLE).ends_with("\nThe request id is req_1."));
        assert_eq!(text(StatusCode::BAD_GATEWAY, "<html>"), None);
        assert_eq!(text(StatusCode::BAD_GATEWAY, "{}"), None);
    }
}
