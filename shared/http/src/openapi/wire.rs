//! Schemas for types of the core that appear on the wire. They are here because the core does not depend on OpenAPI.

use serde_json::{Value, json};
use std::collections::BTreeMap;

use statuspulse_core::access::Role;
use statuspulse_core::attempt::{Class, Trigger as Begun};
use statuspulse_core::audit::{Action, ActorKind as Actor, Change as Audited};
use statuspulse_core::delivery::Status;
use statuspulse_core::destination::{ALL, Format};
use statuspulse_core::event::EventType as Kind;
use statuspulse_core::webhook::PauseReason as Reason;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// Schemas by name.
pub(crate) type Schemas = BTreeMap<String, Value>;

/// Ids for examples.
pub(crate) const ACCOUNT: &str = "acc_01JD8V1Q8MZ4T4K0D8N6S2W3Y1";
pub(crate) const KEY: &str = "key_01JD8V1Q8MZ4T4K0D8N6S2W3Y2";
pub(crate) const WEBHOOK: &str = "whe_01JD8V1Q8MZ4T4K0D8N6S2W3Y3";
pub(crate) const EVENT: &str = "evt_01JD8V1Q8MZ4T4K0D8N6S2W3Y4";
pub(crate) const DELIVERY: &str = "dlv_01JD8V1Q8MZ4T4K0D8N6S2W3Y5";
pub(crate) const AUDIT: &str = "aud_01JD8V1Q8MZ4T4K0D8N6S2W3Y6";

/// The form of a secret, as in `secret.rs` of the core.
pub(crate) const SECRET: &str = "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$";

/// Declares types without values, each of which names a schema.
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
    KeyId = id("key", "An API key's id. It is not the key itself.");
    WebhookId = id("whe", "A webhook's id.");
    EventId = id("evt", "An event's id.");
    DeliveryId = id("dlv", "A delivery's id.");
    AuditId = id("aud", "The id of an entry of the audit log.");
    AuditAction = names(
        "What was done. A later version may add others.",
        Action::ALL.iter().map(|each| each.name()),
    );
    ActorKind = names(
        "Who did it. `key`: the holder of a key of the account, with a call or in the dashboard. `operator`: an operator of \
         the service. `owner`: its owner, on the command line. `statuspulse`: the service itself.",
        Actor::ALL.iter().map(|each| each.name()),
    );
    Time = time();
    PayloadTime = payload_time();
    AnyTime = any_time();
    Secret = text(SECRET, "A webhook's secret.");
    EventType = names("What happened to the incident.", Kind::ALL.iter().map(|each| each.name()));
    DeliveryStatus = names(
        "`waiting`: an earlier event of the incident is not finished. `retrying`: an attempt is scheduled, \
         possibly the first one. `held`: sent when the webhook is resumed.",
        Status::ALL.iter().map(|each| each.name()),
    );
    Trigger = names(
        "Why the attempts were started: the event, a resume of the webhook, or a requested redelivery. `unknown`: \
         another version of the service knows.",
        Begun::ALL.iter().map(|each| each.name()),
    );
    FailureClass = names("Why an attempt failed. `unknown`: another version of the service knows.", Class::ALL.iter().map(|each| each.name()));
    PauseReason = names(
        "`failures`: four failed retries in a row. `gone`: the endpoint answered 410. `manual`: paused by \
         hand. `permanent`: the destination answered that it no longer accepts events. \
         `unknown`: another version of the service paused it.",
        Reason::ALL.iter().map(|each| each.name()),
    );
    Change = names(
        "`verified`: a handshake passed after the first one had failed. `resumed_discarding`: resumed, and \
         the held deliveries were discarded.",
        Audited::ALL.iter().map(|each| each.name()),
    );
    AccountRole = names("What a key is allowed to do.", account_roles());
    WebhookStatus = names(
        "`pending` until the handshake passes. While a webhook is `paused`, its deliveries are held.",
        ["pending", "active", "paused"],
    );
    Destination = names("The format in which events are sent.", ALL.map(Format::name));
    RotationStyle = names(
        "`joined`: X-StatusPulse-Signature has both signatures, the new one first. `split`: it has only the old one, and \
         X-StatusPulse-Signature-Next has the new one.",
        ["joined", "split"],
    );
    AskedStyle = names(
        "`auto`: the style that suits the endpoint. Before anything changes, it gets a handshake in the style `joined`; if it \
         does not accept this with 200, the style is `split`.",
        ["auto", "joined", "split"],
    );
    Digests = names(
        "`both`: as in the style `joined`. `old`: as in the style `split`. `new`: the new signature alone, because the endpoint \
         refused the old one and then accepted this.",
        ["both", "old", "new"],
    );
    HeldDeliveries = names("What becomes of held deliveries.", ["deliver", "discard"]);
    TestSecrets = names(
        "`valid`: signed like a delivery. `new`: signed with the new secret alone, as after the rotation that is in \
         progress.",
        ["valid", "new"],
    );
    Address = text("^[0-9a-f.:]+$", "An IP address.");
    Rule = names("The rule that excludes the event.", ["status", "events", "monitor_groups"]);
}

/// All roles except the operator, whose keys belong to no account.
fn account_roles() -> Vec<&'static str> {
    Role::ALL.iter().copied().filter(|role| *role != Role::Operator).map(Role::name).collect()
}

fn text(pattern: &str, description: &str) -> Object {
    let object = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    object.description(Some(description)).build()
}

/// The form of times in answers and payloads. `format: date-time` alone would also allow other offsets.
fn time() -> Object {
    let mut time =
        text("^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d+)?Z$", "A time: ISO 8601, UTC, with `Z`.");
    time.format = Some(SchemaFormat::KnownFormat(KnownFormat::DateTime));
    time
}

/// The form of times in payloads. A generated client would send a `date-time` with another offset than `Z`.
fn payload_time() -> Object {
    let mut time = time();
    time.format = None;
    time
}

/// The form of times in filters and settings.
fn any_time() -> Object {
    let mut time = text(
        "^\\d{4}-\\d{2}-\\d{2}[Tt]\\d{2}:\\d{2}:\\d{2}(\\.\\d+)?([Zz]|[+-]\\d{2}:\\d{2})$",
        "A time: RFC 3339, with any offset.",
    );
    time.format = Some(SchemaFormat::KnownFormat(KnownFormat::DateTime));
    time
}

/// A prefix and a ULID, as in `ids.rs` of the core.
fn id(prefix: &str, description: &str) -> Object {
    text(&format!("^{prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$"), description)
}

fn names(description: &str, names: impl IntoIterator<Item = &'static str>) -> Object {
    let object = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
    object.description(Some(description)).build()
}

/// Adds the schema of `T` and the schemas that it refers to.
pub(crate) fn collect<T: ToSchema>(schemas: &mut Schemas) {
    let mut found = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut found);
    schemas.extend(found.into_iter().map(|(name, schema)| (name, json!(schema))));
}

// --- Request bodies --------------------------------------------------------------------------------------

/// An object with these fields and no others.
pub(crate) fn closed<'a>(required: &[&str], properties: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
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

/// A string of 1 to `max` characters.
pub(crate) fn short_text(max: usize, description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": max, "description": description })
}

/// An array of at most `max` items.
pub(crate) fn list(items: &Value, max: usize, description: &str) -> Value {
    json!({ "type": "array", "items": items, "maxItems": max, "description": description })
}

/// The same schema, or `null`.
pub(crate) fn or_null(mut schema: Value) -> Value {
    match schema.get("type").cloned() {
        Some(kind) => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        None => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

/// A reference to the schema of `T`.
pub(crate) fn reference<T: ToSchema>() -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
}

/// A reference to the schema of `T`, with its own description.
pub(crate) fn described<T: ToSchema>(description: &str) -> Value {
    let mut reference = reference::<T>();
    reference["description"] = description.into();
    reference
}
