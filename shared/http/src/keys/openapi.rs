//! The OpenAPI description of API keys.

use serde_json::json;
use statuspulse_core::access::Action;
use statuspulse_core::limits;

use super::{CreatedView, KeyView};
use crate::idempotency::parameter;
use crate::openapi::operation::Operation;
use crate::openapi::wire::{self, ACCOUNT, KEY, closed, described, or_null, short_text};

pub(crate) fn operations() -> Vec<Operation> {
    let operation = |method, path, id, summary| Operation::new("keys", method, path, id, summary);
    let new = closed(
        &["role"],
        [
            ("role", described::<wire::AccountRole>("What the key is allowed to do.")),
            (
                "name",
                or_null(short_text(
                    limits::NAME_CHARS,
                    "What the key is for, for people. Without control characters.",
                )),
            ),
            (
                "expires_at",
                or_null(described::<wire::AnyTime>(
                    "When the key stops being valid. Must be in the future; null means never.",
                )),
            ),
        ],
    );
    let key = json!({
        "id": KEY, "name": "status page", "prefix": "spk_p3Xw9Lq0", "role": "publisher", "created_at": "2026-11-24T12:00:00Z",
        "expires_at": "2099-12-31T23:59:59Z", "revoked_at": null,
        "last_used_at": null,
    });
    let mut shown = key.clone();
    shown["key"] = "spk_p3Xw9Lq0Vb2HsyQe6mJ8cX1rTfLwKd4nPgUaZi7oBx3".into();
    let wanted = json!({ "role": "publisher", "name": "status page", "expires_at": "2099-12-31T23:59:59Z" });
    let full = format!(
        "The account has {} valid keys, which is the maximum; revoke one first. Or the Idempotency-Key was used before \
         with a different body.",
        limits::KEYS_PER_ACCOUNT
    );
    vec![
        operation("post", "/v1/keys", "createKey", "Create a key")
            .describe("The answer contains the key itself, which is not shown again.")
            .by(Action::Manage)
            .parameter(parameter())
            .body("NewKey", new.clone(), limits::REQUEST_BYTES, &wanted)
            .answers::<CreatedView<'_>>(201, "The new key.", &shown)
            .conflicts(&["too_many_keys", "idempotency_key_reused"], &full),
        operation("get", "/v1/keys", "listKeys", "List keys")
            .describe("Oldest first, revoked ones included.")
            .by(Action::Read)
            .paged()
            .lists::<KeyView<'_>>("A page of keys.", &key),
        operation("delete", "/v1/keys/{id}", "revokeKey", "Revoke a key")
            .describe(
                "The next call with the key is refused; on AWS it can still work for up to ten seconds.",
            )
            .by(Action::Manage)
            .id::<wire::KeyId>("id", KEY)
            .answers_nothing("The key was revoked.")
            .conflicts(
                &["last_admin_key"],
                "It is the last valid admin key of the account. An operator can revoke it.",
            ),
        operation("post", "/v1/accounts/{id}/keys", "createKeyOfAccount", "Create a key of any account")
            .describe("For operators. The answer contains the key itself, which is not shown again.")
            .by(Action::ManageKeys)
            .id::<wire::AccountId>("id", ACCOUNT)
            .parameter(parameter())
            .body("NewKey", new, limits::REQUEST_BYTES, &wanted)
            .answers::<CreatedView<'_>>(201, "The new key.", &shown)
            .conflicts(&["too_many_keys", "idempotency_key_reused"], &full),
        operation("get", "/v1/accounts/{id}/keys", "listKeysOfAccount", "List the keys of any account")
            .describe("For operators, who see which keys there are, and nothing else of the account.")
            .by(Action::ManageKeys)
            .id::<wire::AccountId>("id", ACCOUNT)
            .paged()
            .lists::<KeyView<'_>>("A page of keys.", &key),
        operation(
            "delete",
            "/v1/accounts/{id}/keys/{key_id}",
            "revokeKeyOfAccount",
            "Revoke a key of any account",
        )
        .describe(
            "For operators. The last admin key can be revoked, too: create another one for the account.",
        )
        .by(Action::ManageKeys)
        .id::<wire::AccountId>("id", ACCOUNT)
        .id::<wire::KeyId>("key_id", KEY)
        .answers_nothing("The key was revoked."),
    ]
}
