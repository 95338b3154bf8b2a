//! Calls of the API to copy: as a curl command, and in Python.

use serde_json::Value;

/// What an example call of an operation contains.
struct Example<'a> {
    method: &'a str,
    /// With the examples of the parameters.
    path: String,
    /// Names and values.
    headers: Vec<(&'a str, &'a str)>,
    needs_key: bool,
    body: Option<&'a Value>,
}

impl<'a> Example<'a> {
    fn of(method: &'a str, path: &str, operation: &'a Value) -> Self {
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let (mut path, mut query, mut headers) = (path.to_owned(), String::new(), vec![]);
        for parameter in parameters {
            let (Some(name), Some(example)) = (parameter["name"].as_str(), parameter["example"].as_str())
            else {
                continue;
            };
            match parameter["in"].as_str() {
                Some("path") => path = path.replace(&format!("{{{name}}}"), example),
                Some("query") => {
                    let separator = if query.is_empty() { '?' } else { '&' };
                    query += &format!("{separator}{name}={}", example.replace(' ', "+"));
                }
                _ => headers.push((name, example)),
            }
        }
        let body = operation["requestBody"]["content"]["application/json"].get("example");
        Self {
            method,
            path: path + &query,
            headers,
            needs_key: operation.get("security").is_some(),
            body: body.filter(|body| body.as_object().is_some_and(|fields| !fields.is_empty())),
        }
    }
}

/// A curl command for a shell where `$URL` and `$KEY` are set.
pub(super) fn curl(method: &str, path: &str, operation: &Value) -> String {
    let Example { method, path, headers, needs_key, body } = Example::of(method, path, operation);
    let mut call = "curl".to_owned();
    if method != "get" && !(method == "post" && body.is_some()) {
        call += &format!(" -X {}", method.to_uppercase());
    }
    call += &format!(" \"$URL{path}\"");
    if needs_key {
        call += " \\\n  -H \"Authorization: Bearer $KEY\"";
    }
    for (name, value) in headers {
        call += &format!(" \\\n  -H '{name}: {value}'");
    }
    if let Some(body) = body {
        call += &format!(" \\\n  -d '{}'", format!("{body:#}").replace('\'', "'\\''"));
    }
    call
}

/// The same call in Python, with the library `requests`, where the environment has `URL` and `KEY`.
pub(super) fn python(method: &str, path: &str, operation: &Value) -> String {
    let Example { method, path, headers, needs_key, body } = Example::of(method, path, operation);
    let mut call = "import os\nimport requests\n\n".to_owned();
    call += &format!("answer = requests.{method}(\n    os.environ[\"URL\"] + {},\n", Value::from(path));
    let mut fields: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{}: {}", Value::from(*name), Value::from(*value)))
        .collect();
    if needs_key {
        fields.insert(0, "\"Authorization\": \"Bearer \" + os.environ[\"KEY\"]".to_owned());
    }
    if !fields.is_empty() {
        call += &format!("    headers={{{}}},\n", fields.join(", "));
    }
    if let Some(body) = body {
        call += &format!("    json={},\n", literal(body, 1));
    }
    call + ")\nanswer.raise_for_status()\nprint(answer.text)"
}

/// A JSON value as Python writes it. Strings are written alike.
fn literal(value: &Value, depth: usize) -> String {
    let (inner, outer) = ("    ".repeat(depth + 1), "    ".repeat(depth));
    let lines = |open: char, items: Vec<String>, close: char| match &items[..] {
        [] => format!("{open}{close}"),
        items => {
            let items = items.iter().map(|item| format!("{inner}{item},\n"));
            format!("{open}\n{}{outer}{close}", items.collect::<String>())
        }
    };
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Array(items) => lines('[', items.iter().map(|item| literal(item, depth + 1)).collect(), ']'),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                format!("{}: {}", Value::from(name.as_str()), literal(value, depth + 1))
            };
            lines('{', fields.iter().map(field).collect(), '}')
        }
        Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_is_written_for_the_shell_and_for_python() {
        let operation = json!({
            "security": [{ "key": ["admin"] }],
            "parameters": [
                { "name": "id", "in": "path", "example": "whe_1" },
                { "name": "q", "in": "query", "example": "two words" },
                { "name": "Idempotency-Key", "in": "header", "example": "k" },
            ],
            "requestBody": { "content": { "application/json": { "example": {
                "list": [1, []], "none": null, "on": true, "text": "it's",
            } } } },
        });
        assert_eq!(
            curl("post", "/v1/{id}", &operation),
            "curl \"$URL/v1/whe_1?q=two+words\" \\\n  -H \"Authorization: Bearer $KEY\" \\\n  -H 'Idempotency-Key: k' \\\n  \
             -d '{\n  \"list\": [\n    1,\n    []\n  ],\n  \"none\": null,\n  \"on\": true,\n  \"text\": \"it'\\''s\"\n}'"
        );
        let expected = r#"import os
import requests

answer = requests.post(
    os.environ["URL"] + "/v1/whe_1?q=two+words",
    headers={"Authorization": "Bearer " + os.environ["KEY"], "Idempotency-Key": "k"},
    json={
        "list": [
            1,
            [],
        ],
        "none": None,
        "on": True,
        "text": "it's",
    },
)
answer.raise_for_status()
print(answer.text)"#;
        assert_eq!(python("post", "/v1/{id}", &operation), expected);
        assert_eq!(curl("delete", "/v1/x", &json!({})), "curl -X DELETE \"$URL/v1/x\"");
    }
}
