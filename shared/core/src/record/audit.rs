//! Entries of audit logs: those in a webhook's record, and those of an account, as JSON. The id and the account of the latter
//! are not part of the record.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::values::{Unreadable, from_millis, millis};
use crate::audit::{AccountEntry, Actor, ActorKind, AuditLog, Change, Entry, FieldChange};
use crate::ids::{AccountId, AuditId, KeyId, WebhookId};
use crate::webhook::Later;

#[derive(Serialize, Deserialize)]
struct AccountEntryRecord {
    at: i64,
    action: String,
    by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    webhook: Option<WebhookId>,
    object: String,
    /// Name, old value and new value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<(String, Option<String>, Option<String>)>,
}

/// Serialises an entry.
pub fn write_audit_entry(entry: &AccountEntry) -> Result<String, Unreadable> {
    let fields = entry.fields.iter().cloned().map(|FieldChange { field, old, new }| (field, old, new));
    let record = AccountEntryRecord {
        at: millis(entry.at),
        action: entry.action.clone(),
        by: entry.by.kind.name().to_owned(),
        key: entry.by.key_id,
        address: entry.by.address,
        webhook: entry.webhook_id,
        object: entry.object_id.clone(),
        fields: fields.collect(),
    };
    serde_json::to_string(&record).map_err(Unreadable::because)
}

/// Parses an entry.
pub fn read_audit_entry(id: AuditId, account_id: AccountId, text: &str) -> Result<AccountEntry, Unreadable> {
    let record: AccountEntryRecord = serde_json::from_str(text).map_err(Unreadable::because)?;
    let kind = ActorKind::from_name(&record.by).ok_or_else(|| Unreadable::unknown("actor", &record.by))?;
    let fields = record.fields.into_iter().map(|(field, old, new)| FieldChange { field, old, new });
    Ok(AccountEntry {
        id,
        account_id,
        at: from_millis(record.at)?,
        action: record.action,
        by: Actor { kind, key_id: record.key, address: record.address },
        webhook_id: record.webhook,
        object_id: record.object,
        fields: fields.collect(),
    })
}

/// An entry in a webhook's record.
pub(super) type EntryRecord = (i64, String, Option<KeyId>);

pub(super) fn entry_record(entry: &Entry) -> EntryRecord {
    (millis(entry.at), entry.change.name().to_owned(), entry.by)
}

pub(super) fn restore_audit(records: Vec<EntryRecord>, later: &mut Later) -> Result<AuditLog, Unreadable> {
    let mut entries = vec![];
    for (at, name, by) in records {
        match Change::from_name(&name) {
            Some(change) => entries.push(Entry { at: from_millis(at)?, change, by }),
            None => later.audit.push((at, name, by)),
        }
    }
    Ok(AuditLog::restore(entries))
}
