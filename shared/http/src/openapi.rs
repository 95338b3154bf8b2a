//! The OpenAPI 3.1 description of the API.
//!
//! The schemas of answers are derived from the types that the handlers return. Request bodies and operations are
//! described next to the handlers of each resource (`accounts/openapi.rs` and so on), with names and limits from the
//! core. The document is written to `docs/openapi.json`. A test fails if that file is out of date, and
//! [`docs`](crate::docs) serves it, so the program does not build the document at run time.
//!
//! This module puts the parts together, so it uses all resources. They use only [`operation`] and [`wire`]. [`sent`] describes
//! what endpoints receive.
//!
//! Tests check what the types cannot guarantee (`tests/api/document.rs`): that the router has exactly these routes,
//! that the roles are right, and that every answer seen by a test matches its description.

pub(crate) mod operation;
pub(crate) mod sent;
pub(crate) mod wire;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use statuspulse_core::access::Role;

use crate::problem;
use operation::Operation;
use wire::Schemas;

/// The document as formatted JSON, exactly as committed.
pub fn openapi() -> String {
    let mut schemas = Schemas::new();
    wire::collect::<problem::Document<'_>>(&mut schemas);
    wire::collect::<wire::AnyTime>(&mut schemas);
    wire::collect::<wire::RotationStyle>(&mut schemas);
    wire::collect::<wire::AskedStyle>(&mut schemas);
    wire::collect::<wire::HeldDeliveries>(&mut schemas);
    wire::collect::<wire::TestSecrets>(&mut schemas);
    let mut paths = BTreeMap::<&str, Map<String, Value>>::new();
    for operation in operations() {
        schemas.extend(operation.schemas);
        paths.entry(operation.path).or_default().insert(operation.method.to_owned(), operation.value);
    }
    let (webhooks, bodies) = sent::webhooks();
    schemas.extend(bodies);
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
        "webhooks": webhooks,
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
        crate::audit::operations(),
        crate::quotas::operations(),
        crate::keys::openapi::operations(),
        crate::dashboard::operations(),
        crate::webhooks::openapi::operations(),
        crate::deliveries::openapi::operations(),
        crate::events::openapi::operations(),
        crate::stats::operations(),
        crate::egress::operations(),
        crate::docs::operations(),
    ]
    .concat()
}

const INTRODUCTION: &str = "Customers register HTTPS endpoints as webhooks. An incident event is signed and \
POSTed to each webhook that matches it. Failed deliveries are retried, and deliveries to a paused webhook \
are held until it is resumed.

Send an API key with each call: `Authorization: Bearer <key>`. Request bodies are JSON objects; \
`Content-Type` is ignored. Unknown fields and parameters are refused, and so are duplicate keys. In a \
request body `null` means the same as an absent field, unless a call says otherwise. Times in answers and \
payloads are ISO 8601 in UTC, with `Z`; filters and settings take any offset of RFC 3339.

Errors are problem documents (RFC 9457). `code` is for programs and never changes, `detail` is for people, \
and `errors` lists every invalid field. An unknown path is answered with 404 `unknown_path`, and an \
unsupported method with 405 `method_not_allowed`. Every answer has an `X-Request-Id` header, but for two: a \
request that is not valid HTTP gets a plain 400, 414 or 431, and an address with too many connections gets a \
429 `too_many_connections`. On AWS the gateway in front of the API can \
answer 429 or 5xx without a problem document.

What an account may use is bounded by quotas. Beyond a rate the answer is 429 `rate_limited` with \
`Retry-After`, beyond a number 409 `quota_exceeded`, and `detail` names the quota. Of a rate, a \
sixth may come at once, of bytes a thirtieth, of `probes_per_minute` all. A call other than publishing counts \
once more for each 4 KiB of its body. On AWS each execution environment counts by itself. An operator can set other quotas for an account.

Lists are paged: pass the `next_cursor` of one page as the `cursor` of the next call.";

/// In the order of the reference page.
fn tags() -> Value {
    let tags = [
        ("webhooks", "Registered endpoints."),
        ("deliveries", "Events for webhooks, with all their attempts; redelivery."),
        ("events", "Publishing events."),
        ("account", "The account, its allowed domains and the Slack channel of its engineers."),
        ("keys", "API keys, and sign-in links for the dashboard."),
        ("service", "Calls that need no key."),
    ];
    tags.map(|(name, description)| json!({ "name": name, "description": description })).to_vec().into()
}

fn roles() -> String {
    let of = |role| match role {
        Role::Admin => "manages an account and publishes for it",
        Role::Publisher => "only publishes events for an account",
        Role::Viewer => "reads an account",
        Role::Operator => {
            "belongs to no account; creates accounts, manages their keys and publishes for any of them"
        }
    };
    let line = |role: &Role| format!("- `{}` {}", role.name(), of(*role));
    let lines: Vec<String> = Role::ALL.iter().map(line).collect();
    format!(
        "An API key. Its role determines what it can do; each operation lists the allowed roles.\n\n{}",
        lines.join("\n")
    )
}
