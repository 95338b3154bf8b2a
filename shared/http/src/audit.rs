//! `GET /v1/audit-log`: who changed what in an account.

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::get;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use statuspulse_core::access::Action;
use statuspulse_core::admin::query::AuditedKey;
use statuspulse_core::audit::{AccountEntry, FieldChange};
use statuspulse_core::ids::{AuditId, KeyId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::target::HIDDEN;
use utoipa::ToSchema;

use crate::auth::Reads;
use crate::openapi::operation::Operation;
use crate::openapi::wire::{self, AUDIT, KEY, WEBHOOK, reference};
use crate::page::List;
use crate::query::Query;
use crate::{Answer, Api};

pub(crate) fn routes() -> Router<Api> {
    Router::new().route("/v1/audit-log", get(list))
}

async fn list(State(api): State<Api>, Reads(account, _): Reads, RawQuery(query): RawQuery) -> Answer {
    let mut query = Query::of(query.as_deref());
    let webhook: Option<WebhookId> = query.id("webhook_id");
    let scope = format!("account-audit-log {}", webhook.map(|id| id.to_string()).unwrap_or_default());
    let list = List::new(&api.cursor_key, account, scope);
    let requested = list.page_request(&mut query);
    query.finish()?;
    let after = requested.after.map(AuditId::from_bytes);
    let page = api.admin.account_audit_log(account, webhook, after, requested.limit).await?;
    let data = page.items.iter().map(|(entry, key)| EntryView::of(entry, key.as_ref())).collect();
    Ok(list.page(data, page.next.map(AuditId::to_bytes)))
}

#[derive(Serialize, ToSchema)]
#[schema(as = AccountAuditEntry)]
struct EntryView<'a> {
    #[schema(value_type = wire::AuditId)]
    id: AuditId,
    #[schema(value_type = wire::Time)]
    at: Timestamp,
    #[schema(value_type = wire::AuditAction)]
    action: &'a str,
    by: ActorView<'a>,
    /// The webhook that it concerns; null if it concerns none.
    #[schema(value_type = Option<wire::WebhookId>, required = true)]
    webhook_id: Option<WebhookId>,
    /// The id of what was changed: an account, a key, a webhook or a delivery. For a sign-in, the key that was used.
    object_id: &'a str,
    /// The fields that changed.
    changes: Vec<ChangeView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Actor)]
struct ActorView<'a> {
    #[schema(value_type = wire::ActorKind)]
    kind: &'static str,
    #[schema(value_type = Option<wire::KeyId>, required = true)]
    key_id: Option<KeyId>,
    /// The first characters of the key; null if there is none, or if it is not a key of the account.
    #[schema(required = true)]
    key_prefix: Option<&'a str>,
    /// What the key is for.
    #[schema(required = true)]
    key_name: Option<&'a str>,
    /// The address that the call came from; null if it is not known.
    #[schema(value_type = Option<wire::Address>, required = true)]
    address: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FieldChange)]
struct ChangeView<'a> {
    /// The name of the field; of a header, `headers/` and its name.
    field: &'a str,
    /// The value before; null if there was none. A secret is shown as `[hidden]`.
    #[schema(required = true)]
    old: Option<&'a str>,
    /// The value since; null if there is none.
    #[schema(required = true)]
    new: Option<&'a str>,
}

impl<'a> EntryView<'a> {
    fn of(entry: &'a AccountEntry, key: Option<&'a AuditedKey>) -> Self {
        let change = |change: &'a FieldChange| ChangeView {
            field: &change.field,
            old: change.old.as_deref(),
            new: change.new.as_deref(),
        };
        Self {
            id: entry.id,
            at: entry.at,
            action: &entry.action,
            by: ActorView {
                kind: entry.by.kind.name(),
                key_id: entry.by.key_id,
                key_prefix: key.map(|key| key.prefix.as_str()).filter(|prefix| !prefix.is_empty()),
                key_name: key.and_then(|key| key.name.as_deref()),
                address: entry.by.address.map(|address| address.to_string()),
            },
            webhook_id: entry.webhook_id,
            object_id: &entry.object_id,
            changes: entry.fields.iter().map(change).collect(),
        }
    }
}

/// The calls of this module for the OpenAPI description.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new("account", "get", "/v1/audit-log", "listAuditLog", "Show who changed what")
            .describe(format!(
                "Every change of a webhook, a key or a setting, every redelivery and every sign-in: who, what, when, from \
                 which address, and the values before and since. Newest first. An entry is kept for {} days, however many \
                 there are. Secrets are never shown.",
                limits::RETENTION.as_secs() / 86_400
            ))
            .by(Action::Read)
            .paged()
            .query(
                "webhook_id",
                &reference::<wire::WebhookId>(),
                "Changes of this webhook, which may be deleted.",
                None,
            )
            .lists::<EntryView<'_>>(
                "A page of the audit log.",
                &json!({
                    "id": AUDIT, "at": "2026-11-24T13:00:00Z", "action": "webhook.updated",
                    "by": {
                        "kind": "key", "key_id": KEY, "key_prefix": "spk_p3Xw9Lq0", "key_name": "deploy job",
                        "address": "203.0.113.7",
                    },
                    "webhook_id": WEBHOOK, "object_id": WEBHOOK,
                    "changes": [
                        { "field": "events", "old": "incident_opened", "new": "incident_opened, incident_resolved" },
                        { "field": "headers/Authorization", "old": HIDDEN, "new": HIDDEN },
                    ],
                }),
            ),
    ]
}
