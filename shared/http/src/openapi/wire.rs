//! Schemas of what has a name on the wire and is the core's own type, which knows nothing of OpenAPI.

use serde_json::{Value, json};
use std::collections::BTreeMap;

use statuspulse_core::access::Role;
use statuspulse_core::attempt::{Class, Trigger as Begun};
use statuspulse_core::audit::Change as Audited;
use statuspulse_core::delivery::Status;
use statuspulse_core::event::EventType as Kind;
use statuspulse_core::webhook::PauseReason as Reason;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use super::Schemas;

/// Ids in examples.
pub(crate) const ACCOUNT: &str = "acc_01JD8V1Q8MZ4T4K0D8N6S2W3Y1";
pub(crate) const KEY: &str = "key_01JD8V1Q8MZ4T4K0D8N6S2W3Y2";
pub(crate) const WEBHOOK: &str = "whe_01JD8V1Q8MZ4T4K0D8N6S2W3Y3";
pub(crate) const EVENT: &str = "evt_01JD8V1Q8MZ4T4K0D8N6S2W3Y4";
pub(crate) const DELIVERY: &str = "dlv_01JD8V1Q8MZ4T4K0D8N6S2W3Y5";

/// Types without values: each stands for its schema, and gives it its name.
macro_rules! named {
    ($($name:ident = $schema:expr;)*) => {$(
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $name {}
    )*};
}

named! {
    AccountId = id("acc", "An account's id.");
    KeyId = id("key", "An API key's id, which is not the key.");
    WebhookId = id("whe", "A webhook's id.");
    EventId = id("evt", "An event's id.");
    DeliveryId = id("dlv", "A delivery's id.");
    Time = time();
    Secret = text("^whsec_[A-Za-z0-9+/]{43}=$", "A webhook's secret.");
    EventType = names("What happened to the incident.", Kind::ALL.map(Kind::name));
    DeliveryStatus = names("`waiting` is behind an earlier event of its incident.", Status::ALL.map(Status::name));
    Trigger = names(
        "The event itself, its webhook's resume, or its owner's wish.",
        Begun::ALL.map(Begun::name),
    );
    FailureClass = names("Why an attempt failed.", Class::ALL.map(Class::name));
    PauseReason = names(
        "Four failures in a row, a 410, its owner's wish, or an answer that nothing will be taken any more.",
        Reason::ALL.map(Reason::name),
    );
    Change = names(
        "`verified` is a handshake that passed after the first had not; `resumed_discarding` dropped what was held.",
        Audited::ALL.map(Audited::name),
    );
    AccountRole = names("What a key may do.", account_roles());
    WebhookStatus = names(
        "`pending` until the handshake is passed; a `paused` one holds its deliveries.",
        ["pending", "active", "paused"],
    );
    Destination = names("In which form it is told.", ["json", "slack", "pagerduty"]);
    Address = text("^[0-9a-f.:]+$", "An IP address.");
    Rule = names("Which rule keeps an event away.", ["status", "events", "monitor_groups"]);
}

/// An operator's key belongs to no account.
fn account_roles() -> Vec<&'static str> {
    Role::ALL.into_iter().filter(|role| *role != Role::Operator).map(Role::name).collect()
}

fn text(pattern: &str, description: &str) -> Object {
    let object = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    object.description(Some(description)).build()
}

/// What `fields.rs` of the core takes; the format alone would allow other offsets.
fn time() -> Object {
    let mut time = text(
        "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?Z$",
        "A time: ISO 8601, UTC, with `Z`.",
    );
    time.format = Some(SchemaFormat::KnownFormat(KnownFormat::DateTime));
    time
}

/// A ULID behind a prefix: `ids.rs` of the core.
fn id(prefix: &str, description: &str) -> Object {
    text(&format!("^{prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$"), description)
}

fn names(description: &str, names: impl IntoIterator<Item = &'static str>) -> Object {
    let object = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
    object.description(Some(description)).build()
}

/// Adds a type's schema and those it names.
pub(crate) fn collect<T: ToSchema>(schemas: &mut Schemas) {
    let mut found = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut found);
    schemas.extend(found.into_iter().map(|(name, schema)| (name, json!(schema))));
}

// --- What requests hold ----------------------------------------------------------------------------------

/// An object that takes these fields and no others.
pub(crate) fn closed<const N: usize>(required: &[&str], properties: [(&str, Value); N]) -> Value {
    let mut schema = json!({
        "type": "object",
        "properties": properties.into_iter().collect::<BTreeMap<_, _>>(),
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

/// A text of one to so many characters.
pub(crate) fn short_text(max: usize, description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": max, "description": description })
}

/// A list of at most so many.
pub(crate) fn list(items: &Value, max: usize, description: &str) -> Value {
    json!({ "type": "array", "items": items, "maxItems": max, "description": description })
}

/// The same schema, which takes `null` too.
pub(crate) fn or_null(mut schema: Value) -> Value {
    match schema.get("type").cloned() {
        Some(kind) => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        None => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

/// The schema of that type, with what it means here.
pub(crate) fn described<T: ToSchema>(description: &str) -> Value {
    let mut reference = super::reference::<T>();
    reference["description"] = description.into();
    reference
}
