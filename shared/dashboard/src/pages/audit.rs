//! The account's audit log: who changed what, newest first; of all, or of one webhook.

use askama::Template;
use axum::extract::RawQuery;
use statuspulse_core::admin::query::AuditedKey;
use statuspulse_core::audit::{AccountEntry, Actor, ActorKind, FieldChange};
use statuspulse_core::ids::WebhookId;
use statuspulse_core::limits;

use crate::Answer;
use crate::forms::Form;
use crate::guard::html;
use crate::session::Viewer;
use crate::show::{Frame, Markup, counted, name_of, time};

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    /// Id and name of each webhook to choose from.
    webhooks: Vec<(String, String)>,
    chosen: String,
    rows: Vec<Row>,
    older: Option<String>,
}

struct Row {
    at: Markup,
    who: String,
    key: Option<String>,
    address: Option<String>,
    did: String,
    object: String,
    /// The page of what was changed.
    link: Option<String>,
    /// What changed, in short.
    fields: String,
    /// Field, old value and new value.
    changes: Vec<(String, Option<String>, Option<String>)>,
}

pub(super) async fn show(viewer: Viewer, RawQuery(query): RawQuery) -> Answer {
    let form = Form::of_query(query.as_deref());
    let all = viewer.admin.webhook_page(viewer.account, None, limits::WEBHOOKS_PER_ACCOUNT).await?;
    let webhooks: Vec<_> = all
        .page
        .items
        .iter()
        .map(|webhook| (webhook.id.to_string(), name_of(webhook, viewer.urls)))
        .collect();
    let webhook: Option<WebhookId> = form.text("webhook").parse().ok();
    let after = form.text("after").parse().ok();
    let page = viewer
        .admin
        .account_audit_log(viewer.account, webhook, after, crate::limits::DELIVERIES_PAGE)
        .await?;
    let page = AuditPage {
        frame: viewer.frame().await?,
        chosen: webhook.map(|id| id.to_string()).unwrap_or_default(),
        rows: page.items.iter().map(|(entry, key)| Row::of(entry, key.as_ref(), &webhooks)).collect(),
        older: page.next.map(|next| form.query_with("after", &next.to_string())),
        webhooks,
    };
    Ok(viewer.said(html(&page)))
}

impl Row {
    fn of(entry: &AccountEntry, key: Option<&AuditedKey>, webhooks: &[(String, String)]) -> Self {
        let webhook = entry.webhook_id.map(|id| id.to_string());
        let known = webhook.as_ref().and_then(|id| webhooks.iter().find(|(known, _)| known == id));
        let link = known.map(|(id, _)| {
            if *id == entry.object_id {
                format!("/dashboard/webhooks/{id}")
            } else {
                format!("/dashboard/webhooks/{id}/deliveries/{}", entry.object_id)
            }
        });
        let is_webhook = webhook.as_ref() == Some(&entry.object_id);
        let name = known.map(|(_, name)| name.clone()).filter(|_| is_webhook);
        let change =
            |change: &FieldChange| (change.field.replace('_', " "), change.old.clone(), change.new.clone());
        Self {
            at: time(entry.at),
            who: who(entry.by, key),
            key: key.map(|key| key.prefix.clone()).filter(|prefix| !prefix.is_empty()),
            address: entry.by.address.map(|address| address.to_string()),
            did: done(&entry.action),
            object: name.unwrap_or_else(|| entry.object_id.clone()),
            link,
            fields: in_short(&entry.fields),
            changes: entry.fields.iter().map(change).collect(),
        }
    }
}

fn who(by: Actor, key: Option<&AuditedKey>) -> String {
    match by.kind {
        ActorKind::Key => {
            key.and_then(|key| key.name.clone()).unwrap_or_else(|| "A key without a name".to_owned())
        }
        ActorKind::Operator => "An operator of this service".to_owned(),
        ActorKind::Owner => "The owner of this service".to_owned(),
        ActorKind::Statuspulse => "StatusPulse".to_owned(),
    }
}

/// The name of the field that changed, or their number.
fn in_short(fields: &[FieldChange]) -> String {
    match fields {
        [only] => only.field.replace('_', " "),
        several => counted(several.len() as u64, "field"),
    }
}

/// "webhook.secret_rotated" as "Webhook: secret rotated".
fn done(action: &str) -> String {
    let words = match action {
        "session.created" => return "Signed in".to_owned(),
        "delivery.redelivered" => return "Sent a delivery again".to_owned(),
        "webhook.redelivered" => return "Sent all failed deliveries again".to_owned(),
        action => action.replacen('.', ": ", 1).replace('_', " "),
    };
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_shown_in_words() {
        let table = [
            ("webhook.secret_rotated", "Webhook: secret rotated"),
            ("quotas.updated", "Quotas: updated"),
            ("session.created", "Signed in"),
            ("later.than_this", "Later: than this"),
            ("", ""),
        ];
        for (action, words) in table {
            assert_eq!(done(action), words);
        }
    }
}
