//! The API described by OpenAPI 3.1.
//!
//! The schemas of answers are derived from the very types the handlers answer with. Bodies and operations are
//! described beside each resource's handlers (`accounts/openapi.rs` and so on), with names and limits taken from the
//! core. The whole is written to `docs/openapi.json`, which a test keeps true and [`docs`](crate::docs) serves: so a
//! running program builds nothing, and of this module nothing but the file is in it.
//!
//! What no type can prove, tests do (`tests/api/document.rs`): that the router has these routes and no others, that each
//! role may do what is said, and that every answer of every test is one that is described.

mod operation;
pub(crate) mod wire;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use statuspulse_core::access::Role;
use utoipa::ToSchema;

pub(crate) use operation::Operation;

use crate::problem;

/// Schemas by their names.
pub(crate) type Schemas = BTreeMap<String, Value>;

/// The document as JSON, as it is committed.
pub fn openapi() -> String {
    let mut schemas = Schemas::new();
    wire::collect::<problem::Document<'_>>(&mut schemas);
    let mut paths = BTreeMap::<&str, Map<String, Value>>::new();
    for operation in operations() {
        schemas.extend(operation.schemas);
        paths.entry(operation.path).or_default().insert(operation.method.to_owned(), operation.value);
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "StatusPulse webhooks",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
        },
        "servers": [{ "url": "/" }],
        "tags": tags(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": operation::responses(),
            "securitySchemes": { "key": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "spk_…",
                "description": roles(),
            } },
        },
    });
    format!("{document:#}\n")
}

fn operations() -> Vec<Operation> {
    [
        crate::accounts::openapi::operations(),
        crate::keys::openapi::operations(),
        crate::dashboard::operations(),
        crate::webhooks::openapi::operations(),
        crate::deliveries::openapi::operations(),
        crate::events::openapi::operations(),
        crate::egress::operations(),
        crate::docs::operations(),
    ]
    .concat()
}

const INTRODUCTION: &str = "Customers register HTTPS endpoints. Incident events fan out to them, and each event is signed, \
POSTed, retried, held and delivered.

Calls carry an API key: `Authorization: Bearer <key>`. Bodies are JSON objects, whatever their Content-Type says. A field or \
parameter that a call does not know is refused, and so is a key that appears more than once. In a body `null` is the same as \
leaving a field out, unless a call says that it removes something. Times are ISO 8601, UTC, with `Z`.

Errors are problem documents (RFC 9457): `code` is for programs and never changes, `detail` is for people, and `errors` names \
every wrong field at once. An unknown path is 404 `unknown_path`, a method that a path does not take is 405 \
`method_not_allowed`. These answers carry `X-Request-Id`. A request that is not valid HTTP gets a plain 400, 414 or 431 \
without one. On AWS the gateway in front of the API may answer 429 or 5xx, and that is not a problem document.

Lists come in pages: `next_cursor` of one page is `cursor` of the next.";

/// In the order in which a reader needs them.
fn tags() -> Value {
    let tags = [
        ("webhooks", "Registered endpoints."),
        ("deliveries", "Each event for each webhook, with every attempt, and redelivery."),
        ("events", "Publishing."),
        ("account", "An account, its allowed domains and the Slack channel of its engineers."),
        ("keys", "API keys, and sign-in links for the dashboard."),
        ("service", "Calls that need no key."),
    ];
    tags.map(|(name, description)| json!({ "name": name, "description": description })).to_vec().into()
}

fn roles() -> String {
    let of = |role| match role {
        Role::Admin => "manages an account and publishes for it",
        Role::Publisher => "publishes events for an account and does nothing else",
        Role::Viewer => "reads an account",
        Role::Operator => "belongs to no account; creates accounts and publishes for any of them",
    };
    let lines = Role::ALL.map(|role| format!("- `{}` {}", role.name(), of(role)));
    format!(
        "An API key. Its role says what it may do; each operation names the roles that may.\n\n{}",
        lines.join("\n")
    )
}

/// The name under which a type's schema stands in the document.
pub(crate) fn reference<T: ToSchema>() -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
}
