//! Compares the operations and what is shown of their answers with `docs/openapi.json`.

use serde_json::Value;

use super::*;
use crate::api::views::Column;

const ALL: [&Operation; 23] = [
    &LIST_WEBHOOKS,
    &SHOW_WEBHOOK,
    &CREATE_WEBHOOK,
    &DELETE_WEBHOOK,
    &TEST_WEBHOOK,
    &VERIFY_WEBHOOK,
    &PAUSE_WEBHOOK,
    &RESUME_WEBHOOK,
    &WEBHOOK_STATS,
    &ROTATE_SECRET,
    &FINISH_ROTATION,
    &CANCEL_ROTATION,
    &REDELIVER_FAILED,
    &LIST_DELIVERIES,
    &SHOW_DELIVERY,
    &REDELIVER,
    &PUBLISH,
    &LIST_KEYS,
    &CREATE_KEY,
    &REVOKE_KEY,
    &LIST_KEYS_OF_ACCOUNT,
    &CREATE_KEY_OF_ACCOUNT,
    &REVOKE_KEY_OF_ACCOUNT,
];

fn document() -> Value {
    serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap()
}

/// Follows `$ref`.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => resolved(document, document.pointer(reference.trim_start_matches('#')).unwrap()),
        None => schema,
    }
}

/// The schema at the JSON pointer. An element of a list is `-`.
fn at<'a>(document: &'a Value, schema: &'a Value, pointer: &str) -> Option<&'a Value> {
    let schema = resolved(document, schema);
    let alternatives =
        ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|kind| schema[kind].as_array()).flatten();
    if let Some(found) = alternatives.into_iter().find_map(|one| at(document, one, pointer)) {
        return Some(found);
    }
    if pointer.is_empty() {
        return (schema["type"] != "null").then_some(schema);
    }
    let (name, rest) = pointer
        .strip_prefix('/')?
        .split_once('/')
        .map_or((&pointer[1..], ""), |(name, _)| (name, &pointer[1 + name.len()..]));
    let inner = if name == "-" { schema.get("items") } else { schema["properties"].get(name) };
    at(document, inner?, rest)
}

/// The schema of what the view shows: the answer, or an entry of its list.
fn shown<'a>(document: &'a Value, operation: &Operation) -> Option<&'a Value> {
    let described = &document["paths"][operation.path][operation.method.as_str().to_lowercase()];
    let answers = described["responses"].as_object().unwrap_or_else(|| panic!("no {operation:?}"));
    let (_, answer) = answers.iter().find(|(status, _)| status.starts_with('2')).unwrap();
    let schema = answer.get("content")?.get("application/json")?.get("schema")?;
    Some(at(document, schema, "/data/-").unwrap_or(schema))
}

#[test]
fn every_operation_exists_and_has_everything_that_is_shown() {
    let document = document();
    for operation in ALL {
        let schema = shown(&document, operation);
        assert_eq!(schema.is_some(), operation.view.is_some(), "{operation:?}");
        let (Some(schema), Some(view)) = (schema, operation.view) else { continue };
        let mut pointers: Vec<String> = view.columns.iter().map(Column::in_schema).collect();
        if let Some((list, columns)) = view.list {
            pointers.extend(columns.iter().map(|column| format!("{list}/-{}", column.in_schema())));
        }
        for pointer in pointers {
            assert!(at(&document, schema, &pointer).is_some(), "{} has no {pointer}", operation.path);
        }
    }
}

#[test]
fn a_pointer_that_is_not_in_the_schema_is_found_out() {
    let document = document();
    let delivery = shown(&document, &LIST_DELIVERIES).unwrap();
    for (pointer, exists) in [
        ("/id", true),
        ("/ids", false),
        ("/attempts/-/class", true),
        ("/attempts/class", false),
        ("/next_attempt_at", true),
        ("/next_attempt_at/x", false),
    ] {
        assert_eq!(at(&document, delivery, pointer).is_some(), exists, "{pointer}");
    }
    let webhook = shown(&document, &CREATE_WEBHOOK).unwrap();
    assert!(
        at(&document, webhook, "/paused/reason").is_some() && at(&document, webhook, "/secret").is_some()
    );
}

/// Every operation in this file is in the list above.
#[test]
fn no_operation_is_left_out() {
    let declared = include_str!("../operations.rs").matches("pub(super) static ").count();
    assert_eq!(declared, ALL.len());
}
