//! Checks answers against the OpenAPI document.
//!
//! [`World::send`](super::World::send) checks every answer of every test, so everything the tests see is described.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::Answer;

/// The document as committed and served.
pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../../../docs/openapi.json")).unwrap());

/// An operation of the document.
#[derive(Clone, Copy)]
pub(crate) struct Described {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) value: &'static Value,
}

impl Described {
    pub(crate) fn all() -> Vec<Self> {
        let of_path = |(path, methods): (&'static String, &'static Value)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(move |(method, value)| Self { method, path, value }).collect::<Vec<_>>()
        };
        DOCUMENT["paths"].as_object().unwrap().iter().flat_map(of_path).collect()
    }

    pub(crate) fn id(&self) -> &'static str {
        self.value["operationId"].as_str().unwrap()
    }

    /// The roles that may call the operation.
    pub(crate) fn roles(&self) -> Vec<&'static str> {
        let alternatives = self.value["security"].as_array().map(Vec::as_slice).unwrap_or_default();
        alternatives.iter().map(|one| one["key"][0].as_str().unwrap()).collect()
    }

    /// The status of its only 2xx, and the description of that response.
    pub(crate) fn success(&self) -> (u16, &'static Value) {
        let responses = self.value["responses"].as_object().unwrap();
        let mut good = responses.iter().filter(|(status, _)| status.starts_with('2'));
        let (Some((status, response)), None) = (good.next(), good.next()) else {
            panic!("{} must have exactly one 2xx", self.id())
        };
        (status.parse().unwrap(), response)
    }

    pub(crate) fn parameters(&self) -> &'static [Value] {
        self.value["parameters"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn body(&self) -> Option<&'static Value> {
        self.value.get("requestBody").map(|body| &body["content"]["application/json"])
    }

    fn is_at(&self, path: &str) -> bool {
        let (template, given) = (self.path.split('/'), path.split('/'));
        self.path.split('/').count() == path.split('/').count()
            && template.zip(given).all(|(template, given)| template.starts_with('{') || template == given)
    }
}

/// Panics unless the document describes the answer.
#[track_caller]
pub(super) fn check(method: &str, path: &str, answer: &Answer) {
    // Another test checks which routes the router has.
    for code in ["unknown_path", "method_not_allowed"] {
        if answer.text.contains(&format!("\"code\":\"{code}\"")) {
            return;
        }
    }
    let method = method.to_lowercase();
    let found = Described::all().into_iter().find(|one| one.method == method && one.is_at(path));
    let operation = found.unwrap_or_else(|| panic!("{method} {path} is not described"));
    let status = answer.status.as_str();
    let response = operation.value["responses"].get(status).unwrap_or_else(|| {
        panic!("{} answers {status}, which is not described: {}", operation.id(), answer.text)
    });
    let response = resolved(response);
    let Some(content) = response.get("content") else {
        assert_eq!(answer.text, "", "{} {status} has a body", operation.id());
        return;
    };
    let media_type = answer.header("content-type").split(';').next().unwrap();
    let schema = content.get(media_type).unwrap_or_else(|| {
        panic!("{} {status}: the media type {media_type:?} is not described", operation.id())
    });
    for name in response["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        assert_ne!(answer.header(name), "", "{} {status} has no {name}", operation.id());
    }
    if media_type.ends_with("json") {
        let value: Value = serde_json::from_str(&answer.text).unwrap();
        assert_fits(&schema["schema"], &value, operation.id());
        if let Some(codes) = response["x-codes"].as_array() {
            assert!(codes.contains(&value["code"]), "{} has no code {value:#}", operation.id());
            assert_eq!(value["status"], response["x-status"], "{}", operation.id());
        }
    }
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// Panics unless the value matches the schema.
#[track_caller]
pub(crate) fn assert_fits(schema: &Value, value: &Value, what: &str) {
    let errors: Vec<_> = validator(schema)
        .iter_errors(value)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:#?} in {value:#}");
}

/// The validator of a schema. It is built once and cached, because every answer of every test is checked.
fn validator(schema: &Value) -> Arc<Validator> {
    static BUILT: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut built = BUILT.lock().unwrap();
    let build = || {
        let whole = json!({ "allOf": [schema], "components": DOCUMENT["components"] });
        let options =
            jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
        Arc::new(options.build(&whole).unwrap())
    };
    Arc::clone(built.entry(schema.to_string()).or_insert_with(build))
}
