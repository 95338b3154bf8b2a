//! Renders descriptions as HTML, schemas as words, and HTML as plain text.

use serde_json::Value;

/// Escapes text for HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Elements inside a word or a sentence.
const INLINE: [&str; 4] = ["a", "code", "em", "strong"];

/// The text of HTML without its elements.
pub(super) fn plain_text(html: &str) -> String {
    let mut parts = html.split('<');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (element, rest) in parts.filter_map(|part| part.split_once('>')) {
        let name = element.trim_start_matches('/').split(' ').next().unwrap_or_default();
        text += if INLINE.contains(&name) { "" } else { " " };
        text += rest;
    }
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(words, |text, (entity, letter)| text.replace(entity, letter))
}

/// One line of text; parts between backticks become code.
pub(super) fn line(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = escaped(part);
        if index % 2 == 0 { html += &part } else { html += &format!("<code>{part}</code>") }
    }
    html
}

/// Paragraphs, separated by empty lines, and lists, whose lines begin with a dash.
pub(super) fn prose(text: &str) -> String {
    let block = |block: &str| match block.strip_prefix("- ") {
        Some(items) => {
            let items = items.split("\n- ").map(|item| format!("<li>{}</li>", line(item)));
            format!("<ul>{}</ul>", items.collect::<String>())
        }
        None => format!("<p>{}</p>", line(block)),
    };
    text.split("\n\n").map(block).collect()
}

/// A link to a named schema.
pub(super) fn link(reference: &str) -> String {
    let name = escaped(reference.rsplit('/').next().unwrap_or_default());
    format!("<a href=\"schema-{name}\">{name}</a>")
}

/// The type of a schema in words.
pub(super) fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return link(reference);
    }
    if let Some(value) = schema.get("const") {
        return format!("<code>{}</code>", escaped(&plain(value)));
    }
    if let Some(values) = schema["enum"].as_array() {
        return either(values.iter().map(|value| format!("<code>{}</code>", escaped(&plain(value)))));
    }
    for combined in ["anyOf", "oneOf"] {
        if let Some(schemas) = schema[combined].as_array() {
            return either(schemas.iter().map(kind));
        }
    }
    match &schema["type"] {
        Value::Array(types) => {
            either(types.iter().map(|name| of_type(name.as_str().unwrap_or_default(), schema)))
        }
        name => of_type(name.as_str().unwrap_or_default(), schema),
    }
}

fn of_type(name: &str, schema: &Value) -> String {
    let number = |key: &str| schema[key].as_u64();
    match name {
        "string" => match (number("minLength"), number("maxLength"), schema["pattern"].as_str()) {
            (_, _, Some(pattern)) => format!("string matching <code>{}</code>", escaped(pattern)),
            (Some(min), Some(max), None) => format!("string of {min} to {max} characters"),
            (None, Some(max), None) => format!("string of at most {max} characters"),
            _ => "string".to_owned(),
        },
        "integer" => match (number("minimum"), number("maximum")) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            _ => "number".to_owned(),
        },
        "array" => {
            let bounds = match (number("minItems"), number("maxItems")) {
                (Some(min), _) => format!("at least {min}: "),
                (None, Some(max)) => format!("at most {max}: "),
                (None, None) => String::new(),
            };
            format!("array of {bounds}{}", kind(&schema["items"]))
        }
        "object" if schema["additionalProperties"].is_object() => {
            format!("object with values of type {}", kind(&schema["additionalProperties"]))
        }
        "boolean" => "boolean".to_owned(),
        other => escaped(other),
    }
}

/// `a, b or c`.
fn either(kinds: impl Iterator<Item = String>) -> String {
    let kinds: Vec<_> = kinds.collect();
    match kinds.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => kinds.concat(),
    }
}

/// A JSON value as text, strings without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
