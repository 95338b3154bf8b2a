//! API keys, described.

use serde_json::json;
use statuspulse_core::access::Action;
use statuspulse_core::limits;

use super::{CreatedView, KeyView};
use crate::openapi::Operation;
use crate::openapi::wire::{self, KEY, closed, described, or_null};

pub(crate) fn operations() -> Vec<Operation> {
    let operation = |method, path, id, summary| Operation::new("keys", method, path, id, summary);
    let new = closed(
        &["role"],
        [
            ("role", described::<wire::AccountRole>("What it may do.")),
            ("expires_at", or_null(described::<wire::Time>("Until when it is valid; in the future."))),
        ],
    );
    let key = json!({
        "id": KEY, "prefix": "spk_p3Xw9Lq0", "role": "publisher", "created_at": "2026-11-24T12:00:00Z",
        "expires_at": "2099-12-31T23:59:59Z", "revoked_at": null,
    });
    let mut shown = key.clone();
    shown["key"] = "spk_p3Xw9Lq0Vb2HsyQe6mJ8cX1rTfLwKd4nPgUaZi7oBx3".into();
    vec![
        operation("post", "/v1/keys", "createKey", "Make a key")
            .describe("The key itself is in the answer, and nowhere after.")
            .by(Action::Manage)
            .body(
                "NewKey",
                new,
                limits::REQUEST_BYTES,
                &json!({
                    "role": "publisher", "expires_at": "2099-12-31T23:59:59Z",
                }),
            )
            .answers::<CreatedView<'_>>(201, "The key.", &shown)
            .conflicts(
                &["too_many_keys"],
                &format!("The account has {} valid keys; revoke one first.", limits::KEYS_PER_ACCOUNT),
            ),
        operation("get", "/v1/keys", "listKeys", "List keys")
            .describe("Oldest first, revoked ones included.")
            .by(Action::Read)
            .paged()
            .lists::<KeyView<'_>>("A page of keys.", &key),
        operation("delete", "/v1/keys/{id}", "revokeKey", "Revoke a key")
            .describe("It is refused from the next call on; on AWS everywhere after ten seconds.")
            .by(Action::Manage)
            .id::<wire::KeyId>("id", KEY)
            .answers_nothing("It is revoked."),
    ]
}
