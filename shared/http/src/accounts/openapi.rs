//! The OpenAPI description of accounts.

use serde_json::{Value, json};
use statuspulse_core::access::Action;
use statuspulse_core::limits;
use statuspulse_core::quota::Quotas;

use super::{AccountView, CreatedView};
use crate::idempotency::parameter;
use crate::openapi::operation::Operation;
use crate::openapi::wire::{ACCOUNT, closed, list, or_null, short_text};
use crate::quotas;
use crate::test_result::TestView;

pub(crate) fn operations() -> Vec<Operation> {
    let operation = |method, path, id, summary| Operation::new("account", method, path, id, summary);
    let new = closed(
        &["name"],
        [
            ("name", short_text(limits::NAME_CHARS, "Without control characters.")),
            ("allowed_domains", or_null(domains())),
        ],
    );
    let mut shown = account();
    shown["key"] = "spk_Hs2vVbqz6cX1mJ8yQe0rTfLwKd4nPgUaZi7oBx3SyM5".into();
    vec![
        operation("post", "/v1/accounts", "createAccount", "Create an account")
            .describe("The answer contains the first admin key, which is not shown again.")
            .by(Action::CreateAccount)
            .parameter(parameter())
            .refuses("Invalid")
            .body("NewAccount", new, limits::REQUEST_BYTES, &json!({ "name": "Your company" }))
            .answers::<CreatedView<'_>>(201, "The account and its first key.", &shown)
            .conflicts(
                &["idempotency_key_reused"],
                "The Idempotency-Key was used before with a different body.",
            ),
        operation("get", "/v1/account", "getAccount", "Show the account")
            .by(Action::Read)
            .answers::<AccountView<'_>>(200, "The account.", &account()),
        operation("patch", "/v1/account", "updateAccount", "Change the account")
            .describe(
                "Fields that are left out keep their values. `null` removes the restriction to domains, or \
                 the Slack channel.",
            )
            .by(Action::Manage)
            .body(
                "AccountChange",
                change(),
                limits::REQUEST_BYTES,
                &json!({ "allowed_domains": ["*.yourcompany.com"] }),
            )
            .answers::<AccountView<'_>>(200, "The changed account.", &account())
            .conflicts(
                &["webhook_outside_domains", "slack_url_outside_domains"],
                "A registered webhook or the Slack channel has a domain that is not on the new list.",
            ),
        operation("post", "/v1/account/slack/test", "testSlack", "Send a test message to the Slack channel")
            .by(Action::Manage)
            .no_fields()
            .answers::<TestView<'_>>(
                200,
                "The result.",
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
        "The domains that webhooks are restricted to: `example.com` is only this host, `*.example.com` is \
         every host below it. Empty means no restriction.",
    )
}

fn change() -> Value {
    let slack = json!({
        "type": "string", "maxLength": limits::URL_BYTES,
        "description": "An incoming webhook of the engineers' Slack channel, for notifications.",
    });
    closed(&[], [("allowed_domains", or_null(domains())), ("slack_url", or_null(slack))])
}

fn account() -> Value {
    json!({
        "id": ACCOUNT, "name": "Your company", "allowed_domains": ["*.yourcompany.com"], "slack_url": null,
        "quotas": quotas::view(&Quotas::default()),
        "created_at": "2026-11-24T12:00:00Z",
    })
}
