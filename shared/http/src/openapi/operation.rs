//! A builder for one operation. Each step also adds the refusals that it implies, so that all operations describe them
//! in the same way.

use serde_json::{Map, Value, json};
use statuspulse_core::access::{Action, Role};
use statuspulse_core::limits;
use utoipa::ToSchema;

use super::wire::{self, Schemas, closed, reference};
use crate::page::PageView;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// What an answer with a problem has beside its schema: its status, and the codes that it may have.
pub(crate) const STATUS: &str = "x-status";
pub(crate) const CODES: &str = "x-codes";

/// Refusals that are the same for all operations: name, status, code, description.
const REFUSALS: [(&str, u16, &str, &str); 13] = [
    ("Malformed", 400, "malformed_body", "The body is not a JSON object."),
    ("Unauthenticated", 401, "unauthenticated", "The API key is missing or not valid."),
    ("Forbidden", 403, "forbidden", "The role of the key does not allow this call."),
    ("NotFound", 404, "not_found", "The object does not exist, or belongs to another account."),
    ("UnknownPath", 404, "unknown_path", "This path does not exist."),
    (
        "MethodNotAllowed",
        405,
        "method_not_allowed",
        "The path does not support this method; the `Allow` header lists those it supports.",
    ),
    ("TooLarge", 413, "too_large", "The body is larger than its limit."),
    (
        "Encoded",
        415,
        "unsupported_encoding",
        "The body is compressed: its `Content-Encoding` is not `identity`.",
    ),
    ("Invalid", 422, "invalid_fields", "Fields, parameters or headers are invalid; `errors` lists them."),
    (
        "TooManyConnections",
        429,
        "too_many_connections",
        "Your address has too many connections or calls at the same time; wait until some have ended.",
    ),
    ("RateLimited", 429, "rate_limited", "The account has used up one of its rates; `detail` names it."),
    ("Internal", 500, "internal", "The call failed because of an internal error."),
    ("Unavailable", 503, "unavailable", "StatusPulse is temporarily unavailable; repeat the same call."),
];

#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) value: Value,
    pub(crate) schemas: Schemas,
}

impl Operation {
    pub(crate) fn new(tag: &str, method: &'static str, path: &'static str, id: &str, summary: &str) -> Self {
        let value = json!({
            "tags": [tag], "operationId": id, "summary": summary, "parameters": [], "responses": {}, "security": [],
        });
        Self { method, path, value, schemas: Schemas::new() }.refuses("Internal")
    }

    pub(crate) fn describe(mut self, text: impl Into<String>) -> Self {
        self.value["description"] = Value::String(text.into());
        self
    }

    /// The roles that may call the operation. They come from the core, which also decides at run time.
    pub(crate) fn by(mut self, action: Action) -> Self {
        let may = Role::ALL.iter().copied().filter(|role| role.may(action));
        let roles: Vec<_> = may.map(|role| json!({ "key": [role.name()] })).collect();
        self.value["security"] = roles.into();
        self.refuses("Unauthenticated").refuses("Forbidden").refuses("RateLimited").refuses("Unavailable")
    }

    /// Adds an id in the path.
    pub(crate) fn id<T: ToSchema>(mut self, name: &str, example: &str) -> Self {
        self.add::<T>();
        let parameter = json!({ "name": name, "in": "path", "required": true, "schema": reference::<T>(), "example": example });
        self.parameter(parameter).refuses("NotFound")
    }

    pub(crate) fn query(self, name: &str, schema: &Value, description: &str, example: Option<&str>) -> Self {
        let mut parameter =
            json!({ "name": name, "in": "query", "schema": schema, "description": description });
        if let Some(example) = example {
            parameter["example"] = example.into();
        }
        self.parameter(parameter).refuses("Invalid")
    }

    pub(crate) fn parameter(mut self, parameter: Value) -> Self {
        if let Some(parameters) = self.value["parameters"].as_array_mut() {
            parameters.push(parameter);
        }
        self
    }

    /// Adds a required body.
    pub(crate) fn body(self, name: &str, schema: Value, limit: usize, example: &Value) -> Self {
        self.takes(name, schema, true, limit, example)
    }

    /// Adds an optional body.
    pub(crate) fn optional_body(self, name: &str, schema: Value, example: &Value) -> Self {
        self.takes(name, schema, false, limits::REQUEST_BYTES, example)
    }

    /// Adds an optional body that is an empty object.
    pub(crate) fn no_fields(self) -> Self {
        self.takes("Nothing", closed(&[], []), false, limits::REQUEST_BYTES, &json!({}))
    }

    /// Adds a body of at most `limit` bytes.
    pub(crate) fn takes(
        mut self,
        name: &str,
        schema: Value,
        required: bool,
        limit: usize,
        example: &Value,
    ) -> Self {
        self.schemas.insert(name.to_owned(), schema);
        let body = json!({
            "required": required,
            "description": format!("At most {} KiB.", limit / 1024),
            "content": { JSON: { "schema": { "$ref": format!("#/components/schemas/{name}") }, "example": example } },
        });
        self.value["requestBody"] = body;
        self.refuses("Malformed").refuses("TooLarge").refuses("Encoded").refuses("Invalid")
    }

    pub(crate) fn answers<T: ToSchema>(mut self, status: u16, description: &str, example: &Value) -> Self {
        self.add::<T>();
        let content = json!({ JSON: { "schema": reference::<T>(), "example": example } });
        self.answer(status, json!({ "description": description, "content": content }))
    }

    /// Answers with a page of a list of `T`.
    pub(crate) fn lists<T: ToSchema>(mut self, description: &str, example: &Value) -> Self {
        self.add::<T>();
        let name = format!("{}List", T::name());
        self.schemas.insert(name.clone(), json!(<PageView<T> as utoipa::PartialSchema>::schema()));
        let page = json!({ "data": [example], "next_cursor": null });
        let content = json!({ JSON: { "schema": { "$ref": format!("#/components/schemas/{name}") }, "example": page } });
        self.answer(200, json!({ "description": description, "content": content }))
    }

    /// Adds a list of ids, which is left out if it is empty, to the pages of a list of `T`.
    pub(crate) fn lists_also<T: ToSchema, Id: ToSchema>(mut self, name: &str, description: &str) -> Self {
        self.add::<Id>();
        let ids = json!({ "type": "array", "items": reference::<Id>(), "description": description });
        if let Some(schema) = self.schemas.get_mut(&format!("{}List", T::name())) {
            schema["properties"][name] = ids;
        }
        self
    }

    /// Adds the parameters `limit` and `cursor`.
    pub(crate) fn paged(self) -> Self {
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": limits::PAGE_MAX, "default": limits::PAGE_DEFAULT });
        let limit = json!({
            "name": "limit", "in": "query", "schema": limit, "example": 20,
            "description": "Maximum number of entries per page.",
        });
        self.parameter(limit).query(
            "cursor",
            &json!({ "type": "string" }),
            "The `next_cursor` of the previous page; use the same filter.",
            None,
        )
    }

    pub(crate) fn answers_nothing(self, description: &str) -> Self {
        self.answer(204, json!({ "description": description }))
    }

    /// Answers with 200 and a schema that is not derived from a type.
    pub(crate) fn answers_with(
        self,
        media_type: &str,
        description: &str,
        schema: &Value,
        example: Option<&Value>,
    ) -> Self {
        let mut content = json!({ media_type: { "schema": schema } });
        if let Some(example) = example {
            content[media_type]["example"] = example.clone();
        }
        self.answer(200, json!({ "description": description, "content": content }))
    }

    /// Adds a header to the answer with this status. Call it after the answer was added.
    pub(crate) fn answers_header(mut self, status: u16, name: &str, description: &str) -> Self {
        let header = json!({ "description": description, "required": true, "schema": { "type": "string" } });
        self.value["responses"][status.to_string()]["headers"] = json!({ name: header });
        self
    }

    /// Adds a refusal that is specific to this operation.
    pub(crate) fn refused(self, status: u16, codes: &[&str], description: &str) -> Self {
        self.answer(status, problem(status, codes, description))
    }

    pub(crate) fn conflicts(self, codes: &[&str], description: &str) -> Self {
        self.refused(409, codes, description)
    }

    /// Adds one of [`REFUSALS`] by name.
    pub(crate) fn refuses(self, name: &str) -> Self {
        let status = REFUSALS.iter().find(|refusal| refusal.0 == name).map_or(500, |refusal| refusal.1);
        self.answer(status, json!({ "$ref": format!("#/components/responses/{name}") }))
    }

    /// Adds the schema of `T`.
    pub(crate) fn add<T: ToSchema>(&mut self) {
        wire::collect::<T>(&mut self.schemas);
    }

    fn answer(mut self, status: u16, response: Value) -> Self {
        self.value["responses"][status.to_string()] = response;
        self
    }
}

/// The shared responses, which operations refer to by name.
pub(crate) fn responses() -> Map<String, Value> {
    let shared = |(name, status, code, description): (&str, u16, &str, &str)| {
        let mut response = problem(status, &[code], description);
        let header =
            |description: &str, schema: Value| json!({ "description": description, "schema": schema });
        match status {
            401 => {
                let value =
                    header("The authentication scheme.", json!({ "type": "string", "const": "Bearer" }));
                response["headers"] = json!({ "WWW-Authenticate": value });
            }
            429 | 503 => {
                let value =
                    header("Seconds to wait before repeating the call.", json!({ "type": "integer" }));
                response["headers"] = json!({ "Retry-After": value });
            }
            _ => {}
        }
        (name.to_owned(), response)
    };
    REFUSALS.into_iter().map(shared).collect()
}

/// An answer with a problem. Its codes are not part of the schema: generated clients would not read an answer with a code
/// that a later version adds.
fn problem(status: u16, codes: &[&str], description: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    json!({ "description": description, "content": { PROBLEM: { "schema": schema } }, STATUS: status, CODES: codes })
}
