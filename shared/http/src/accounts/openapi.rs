//! Accounts, described.

use serde_json::{Value, json};
use statuspulse_core::access::Action;
use statuspulse_core::limits;

use super::{AccountView, CreatedView};
use crate::openapi::Operation;
use crate::openapi::wire::{ACCOUNT, closed, list, or_null, short_text};
use crate::test_result::TestView;

pub(crate) fn operations() -> Vec<Operation> {
    let operation = |method, path, id, summary| Operation::new("account", method, path, id, summary);
    let new = closed(
        &["name"],
        [
            ("name", short_text(limits::ACCOUNT_NAME_CHARS, "No control characters.")),
            ("allowed_domains", or_null(domains())),
        ],
    );
    let mut shown = account();
    shown["key"] = "spk_Hs2vVbqz6cX1mJ8yQe0rTfLwKd4nPgUaZi7oBx3SyM5".into();
    vec![
        operation("post", "/v1/accounts", "createAccount", "Make an account")
            .describe("Its first admin key is in the answer, and nowhere after.")
            .by(Action::CreateAccount)
            .body("NewAccount", new, limits::REQUEST_BYTES, &json!({ "name": "Your company" }))
            .answers::<CreatedView<'_>>(201, "The account and its first key.", &shown),
        operation("get", "/v1/account", "getAccount", "Show the key's own account")
            .by(Action::Read)
            .answers::<AccountView<'_>>(200, "The account.", &account()),
        operation("patch", "/v1/account", "updateAccount", "Change the key's own account")
            .describe("What is not named stays. `null` lifts the restriction, and removes the channel.")
            .by(Action::Manage)
            .body(
                "AccountChange",
                change(),
                limits::REQUEST_BYTES,
                &json!({ "allowed_domains": ["*.yourcompany.com"] }),
            )
            .answers::<AccountView<'_>>(200, "The changed account.", &account())
            .conflicts(
                &["webhook_outside_domains"],
                "A webhook is registered at a domain that is not on the list.",
            ),
        operation(
            "post",
            "/v1/account/slack/test",
            "testSlack",
            "Send a message to the account's Slack channel",
        )
        .by(Action::Manage)
        .no_fields()
        .answers::<TestView<'_>>(
            200,
            "What came of it.",
            &json!({
                "ok": true, "status_code": 200, "reason": null, "duration_ms": 184, "response": "ok",
            }),
        )
        .conflicts(&["no_slack_url"], "The account has no `slack_url`."),
    ]
}

fn domains() -> Value {
    let domain = json!({ "type": "string" });
    list(
        &domain,
        limits::ALLOWED_DOMAINS,
        "The domains webhooks are restricted to: `example.com` is that host alone, `*.example.com` every host below it. \
         Empty for no restriction.",
    )
}

fn change() -> Value {
    let slack = json!({
        "type": "string", "maxLength": limits::URL_BYTES,
        "description": "An incoming webhook of the engineers' Slack channel: they are told when a webhook fails.",
    });
    closed(&[], [("allowed_domains", or_null(domains())), ("slack_url", or_null(slack))])
}

fn account() -> Value {
    json!({
        "id": ACCOUNT, "name": "Your company", "allowed_domains": ["*.yourcompany.com"], "slack_url": null,
        "created_at": "2026-11-24T12:00:00Z",
    })
}
