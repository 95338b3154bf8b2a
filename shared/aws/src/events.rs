//! Publishes domain events on the EventBridge bus, for customers' automation.

use async_trait::async_trait;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use serde_json::{Value, json};
use statuspulse_core::audit::{AccountEntry, FieldChange};
use statuspulse_core::message::{DomainEvent, DomainEventKind};
use statuspulse_core::ports::{EventPublisher, PortResult, Unavailable};

use crate::error::failed;

/// The source of all events that we publish. Incidents have another source, so our own events do not come back to us.
pub const SOURCE: &str = "statuspulse.webhooks";

/// The type of the event for an entry of an account's audit log.
const AUDIT_LOG: &str = "audit_log.entry";

/// Puts events on a bus.
#[derive(Debug, Clone)]
pub struct Bus {
    client: aws_sdk_eventbridge::Client,
    name: String,
}

impl Bus {
    /// Uses the bus with this name.
    pub fn new(client: aws_sdk_eventbridge::Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }
}

#[async_trait]
impl EventPublisher for Bus {
    async fn publish(&self, event: &DomainEvent) -> PortResult<()> {
        self.put(event.kind.name(), &detail(event)).await
    }

    async fn publish_entry(&self, entry: &AccountEntry) -> PortResult<()> {
        self.put(AUDIT_LOG, &entry_detail(entry)).await
    }
}

impl Bus {
    async fn put(&self, detail_type: &str, detail: &Value) -> PortResult<()> {
        let doing = "publishing an event";
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.name)
            .source(SOURCE)
            .detail_type(detail_type)
            .detail(detail.to_string())
            .build();
        let answer = self.client.put_events().entries(entry).send().await.map_err(failed(doing))?;
        // The call succeeds even if the event was refused.
        match answer.entries().iter().find_map(|entry| entry.error_code()) {
            None => Ok(()),
            Some(code) => Err(Unavailable { doing, source: code.into() }),
        }
    }
}

fn detail(event: &DomainEvent) -> Value {
    let mut detail = match &event.kind {
        DomainEventKind::Paused { reason, last_error } => json!({"reason": reason, "last_error": last_error}),
        DomainEventKind::Resumed => json!({}),
        DomainEventKind::DeliveryFailed { delivery_id, event_id, incident_id, last_error } => json!({
            "delivery_id": delivery_id.to_string(),
            "event_id": event_id.to_string(),
            "incident_id": incident_id,
            "last_error": last_error,
        }),
    };
    detail["account_id"] = json!(event.account_id.to_string());
    detail["webhook_id"] = json!(event.webhook_id.to_string());
    detail["at"] = json!(event.at.to_string());
    detail
}

fn entry_detail(entry: &AccountEntry) -> Value {
    let change =
        |FieldChange { field, old, new }: &FieldChange| json!({"field": field, "old": old, "new": new});
    json!({
        "id": entry.id.to_string(),
        "account_id": entry.account_id.to_string(),
        "at": entry.at.to_string(),
        "action": entry.action,
        "by": entry.by.kind.name(),
        "key_id": entry.by.key_id.map(|key| key.to_string()),
        "address": entry.by.address.map(|address| address.to_string()),
        "webhook_id": entry.webhook_id.map(|webhook| webhook.to_string()),
        "object_id": entry.object_id,
        "changes": entry.fields.iter().map(change).collect::<Vec<_>>(),
    })
}
