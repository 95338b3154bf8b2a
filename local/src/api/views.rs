//! What people see of the API's answers: tables of columns. A column is a heading and a JSON pointer, so that there are
//! no types of answers beside those that the OpenAPI document is made of.

use serde_json::Value;

/// What is shown of an object.
#[derive(Debug)]
pub(super) struct View {
    /// The columns of a list, or the lines of one object.
    pub(super) columns: &'static [Column],
    /// A list in the object, by its JSON pointer. It is shown as a table below the object.
    pub(super) list: Option<(&'static str, &'static [Column])>,
}

/// A column of a table.
#[derive(Debug)]
pub(super) struct Column {
    /// The heading.
    pub(super) heading: &'static str,
    pointer: &'static str,
    part: Part,
}

/// What is shown of the value at the pointer.
#[derive(Debug)]
enum Part {
    All,
    /// The number of its elements.
    Count,
    /// What this JSON pointer leads to in its last element.
    Last(&'static str),
}

impl Column {
    const fn new(heading: &'static str, pointer: &'static str) -> Self {
        Self { heading, pointer, part: Part::All }
    }

    const fn count(heading: &'static str, pointer: &'static str) -> Self {
        Self { heading, pointer, part: Part::Count }
    }

    const fn last(heading: &'static str, pointer: &'static str, inner: &'static str) -> Self {
        Self { heading, pointer, part: Part::Last(inner) }
    }

    /// The text of this column for an object. `None` if it has no value there, or an empty one.
    pub(super) fn text(&self, object: &Value) -> Option<String> {
        let value = object.pointer(self.pointer)?;
        match self.part {
            Part::All => text(value),
            Part::Count => value.as_array().map(|all| all.len().to_string()),
            Part::Last(inner) => text(value.as_array()?.last()?.pointer(inner)?),
        }
    }

    /// Where the value is in the schema of the object. An element of a list is `-`.
    #[cfg(test)]
    pub(super) fn in_schema(&self) -> String {
        match self.part {
            Part::All => self.pointer.to_owned(),
            Part::Count => format!("{}/-", self.pointer),
            Part::Last(inner) => format!("{}/-{inner}", self.pointer),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => printable(text),
        Value::Array(values) => values.iter().filter_map(text).collect::<Vec<_>>().join(", "),
        other => printable(&other.to_string()),
    };
    (!text.is_empty() && text != "{}").then_some(text)
}

/// The text with control characters escaped. Endpoints choose parts of what is shown, and a terminal obeys some
/// characters.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Characters that change the order in which others are shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

const fn view(columns: &'static [Column]) -> View {
    View { columns, list: None }
}

pub(super) static WEBHOOKS: View = view(&[
    Column::new("ID", "/id"),
    Column::new("STATUS", "/status"),
    Column::new("HELD", "/held_deliveries"),
    Column::new("DESTINATION", "/destination"),
    Column::new("URL", "/url"),
    Column::new("GROUPS", "/monitor_groups"),
    Column::new("DESCRIPTION", "/description"),
]);

pub(super) static WEBHOOK: View = view(&[
    Column::new("id", "/id"),
    Column::new("url", "/url"),
    Column::new("destination", "/destination"),
    Column::new("description", "/description"),
    Column::new("events", "/events"),
    Column::new("monitor groups", "/monitor_groups"),
    Column::new("headers", "/headers"),
    Column::new("status", "/status"),
    Column::new("paused because of", "/paused/reason"),
    Column::new("paused since", "/paused/since"),
    Column::new("last error", "/paused/last_error"),
    Column::new("failures in a row", "/consecutive_failures"),
    Column::new("failing since", "/failing_since"),
    Column::new("held deliveries", "/held_deliveries"),
    Column::new("handshake passed", "/handshake/ok"),
    Column::new("handshake at", "/handshake/at"),
    Column::new("to fix", "/handshake/reason"),
    Column::new("old secret until", "/secret_window_ends_at"),
    Column::new("signature header", "/rotation/header"),
    Column::new("created", "/created_at"),
    Column::new("updated", "/updated_at"),
]);

pub(super) static CREATED_WEBHOOK: View = view(&[
    Column::new("id", "/id"),
    Column::new("secret", "/secret"),
    Column::new("url", "/url"),
    Column::new("status", "/status"),
    Column::new("to fix", "/handshake/reason"),
]);

pub(super) static TESTED: View = view(&[
    Column::new("passed", "/ok"),
    Column::new("status code", "/status_code"),
    Column::new("milliseconds", "/duration_ms"),
    Column::new("reason", "/reason"),
    Column::new("response", "/response"),
]);

pub(super) static RESUMED: View =
    view(&[Column::new("status", "/status"), Column::new("held deliveries", "/held")]);

/// In the statistics of a webhook.
pub(super) static RELEASE: View =
    view(&[Column::new("delivered", "/resume/delivered"), Column::new("given up", "/resume/given_up")]);

pub(super) static ROTATED: View = view(&[
    Column::new("secret", "/secret"),
    Column::new("old secret until", "/window_ends_at"),
    Column::new("style", "/style"),
    Column::new("why", "/reason"),
]);

pub(super) static REDELIVERED: View = view(&[Column::new("deliveries", "/deliveries")]);

pub(super) static DELIVERIES: View = view(&[
    Column::new("ACCEPTED", "/accepted_at"),
    Column::new("ID", "/id"),
    Column::new("STATUS", "/status"),
    Column::count("ATTEMPTS", "/attempts"),
    Column::last("ANSWER", "/attempts", "/status_code"),
    Column::new("EVENT", "/event_type"),
    Column::new("WEBHOOK", "/webhook_id"),
    Column::new("INCIDENT", "/incident_id"),
]);

pub(super) static DELIVERY: View = View {
    columns: &[
        Column::new("id", "/id"),
        Column::new("webhook", "/webhook_id"),
        Column::new("event", "/event_id"),
        Column::new("event type", "/event_type"),
        Column::new("incident", "/incident_id"),
        Column::new("accepted", "/accepted_at"),
        Column::new("status", "/status"),
        Column::new("attempted because of", "/trigger"),
        Column::new("next attempt", "/next_attempt_at"),
    ],
    list: Some((
        "/attempts",
        &[
            Column::new("ATTEMPT", "/number"),
            Column::new("AT", "/at"),
            Column::new("BECAUSE OF", "/trigger"),
            Column::new("ANSWER", "/status_code"),
            Column::new("MILLISECONDS", "/duration_ms"),
            Column::new("CLASS", "/class"),
            Column::new("REASON", "/reason"),
        ],
    )),
};

pub(super) static PUBLISHED: View =
    view(&[Column::new("event", "/event_id"), Column::new("deliveries", "/deliveries")]);

pub(super) static KEYS: View = view(&[
    Column::new("ID", "/id"),
    Column::new("PREFIX", "/prefix"),
    Column::new("ROLE", "/role"),
    Column::new("CREATED", "/created_at"),
    Column::new("LAST USED", "/last_used_at"),
    Column::new("EXPIRES", "/expires_at"),
    Column::new("REVOKED", "/revoked_at"),
    Column::new("NAME", "/name"),
]);

pub(super) static CREATED_KEY: View = view(&[Column::new("key", "/key")]);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_shows_what_the_pointer_leads_to() {
        let object = json!({
            "null": null, "text": "é", "list": ["a", "b"], "empty": [], "object": {}, "number": 12,
            "attempts": [{ "code": 500 }, { "code": 200 }], "nested": { "ok": true },
        });
        let shown = |column: Column| column.text(&object);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(shown(Column::new("", "/text")), some("é"));
        assert_eq!(shown(Column::new("", "/list")), some("a, b"));
        assert_eq!(shown(Column::new("", "/number")), some("12"));
        assert_eq!(shown(Column::new("", "/nested/ok")), some("true"));
        assert_eq!(shown(Column::count("", "/attempts")), some("2"));
        assert_eq!(shown(Column::count("", "/empty")), some("0"));
        assert_eq!(shown(Column::last("", "/attempts", "/code")), some("200"));
        for empty in ["/null", "/empty", "/object", "/unknown", "/null/x"] {
            assert_eq!(shown(Column::new("", empty)), None, "{empty}");
        }
        assert_eq!(shown(Column::last("", "/empty", "/code")), None);
    }

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(printable("a\u{1b}[2J\r\n\u{202e}b日"), "a\\u{1b}[2J\\r\\n\\u{202e}b日");
    }
}
