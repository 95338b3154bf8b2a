//! Events: the payload, and the webhooks it goes to. The event is written before its deliveries, so a repeated call
//! finds it and completes what an interrupted call left undone.

use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;
use statuspulse_core::event::{Event, EventType};
use statuspulse_core::ids::{EventId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::ports::PortResult;
use statuspulse_core::record::Unreadable;

use super::Table;
use super::item::{Item, Read, binary, expiry, text, time};
use super::keys::Key;
use super::table::{Change, Written, readable};

/// A stored event, with the webhooks it went to when it was accepted.
pub(super) struct Kept {
    pub(super) event: Event,
    pub(super) webhooks: Vec<WebhookId>,
}

impl Table {
    /// Stores the event. If an event with this id exists already, returns the stored one.
    pub(super) async fn keep_event(&self, event: &Event, webhooks: &[WebhookId]) -> PortResult<Option<Kept>> {
        let doing = "accepting an event";
        let found = self.put_if_new(event_item(event, webhooks), doing).await?;
        readable(found.map(|item| read_event(&item)).transpose(), doing)
    }

    pub(super) async fn read_event(&self, id: EventId) -> PortResult<Option<Event>> {
        let doing = "reading an event";
        let item = self.get(Key::Event(id), doing).await?;
        readable(item.map(|item| read_event(&item)).transpose(), doing).map(|kept| Some(kept?.event))
    }

    /// Extends the lifetime of an event whose delivery is held, so that its payload is not deleted meanwhile.
    pub(super) async fn keep_event_longer(&self, id: EventId) -> PortResult<()> {
        let until = later(self.clock.now(), limits::UNFINISHED_RETENTION);
        let change = Change {
            key: Key::Event(id),
            update: "SET #expires = :until".to_owned(),
            condition: "attribute_exists(#pk)".into(),
            values: HashMap::from([(":until".to_owned(), expiry(until))]),
        };
        match self.update(change, "extending the life of an event").await? {
            Written::Done(_) | Written::Refused(_) => Ok(()),
        }
    }
}

pub(super) fn later(at: Timestamp, wait: std::time::Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

pub(super) fn event_item(event: &Event, webhooks: &[WebhookId]) -> Item {
    let webhooks: Vec<u8> = webhooks.iter().flat_map(|webhook| webhook.to_bytes()).collect();
    let groups = serde_json::Value::from(event.monitor_groups.clone()).to_string();
    let mut item = Key::Event(event.id).item();
    item.extend([
        ("id".to_owned(), text(event.id.to_string())),
        ("account_id".to_owned(), text(event.account_id.to_string())),
        ("event_type".to_owned(), text(event.event_type.name())),
        ("incident_id".to_owned(), text(&event.incident_id)),
        ("monitor_groups".to_owned(), text(groups)),
        ("body".to_owned(), binary(event.body.to_vec())),
        ("fingerprint".to_owned(), binary(event.fingerprint)),
        ("accepted_at".to_owned(), time(event.accepted_at)),
        ("webhooks".to_owned(), binary(webhooks)),
        ("expires".to_owned(), expiry(later(event.accepted_at, limits::RETENTION))),
    ]);
    item
}

pub(super) fn read_event(item: &Item) -> Result<Kept, Unreadable> {
    let event = Event {
        id: item.parsed("id")?,
        account_id: item.parsed("account_id")?,
        event_type: read_event_type(item)?,
        incident_id: item.text("incident_id")?.to_owned(),
        monitor_groups: serde_json::from_str(item.text("monitor_groups")?).map_err(Unreadable::because)?,
        body: Bytes::copy_from_slice(item.bytes("body")?),
        fingerprint: item.array("fingerprint")?,
        accepted_at: item.time("accepted_at")?,
    };
    let webhooks = item.bytes("webhooks")?.as_chunks::<16>().0;
    Ok(Kept { event, webhooks: webhooks.iter().map(|id| WebhookId::from_bytes(*id)).collect() })
}

pub(super) fn read_event_type(item: &Item) -> Result<EventType, Unreadable> {
    let name = item.text("event_type")?;
    EventType::from_name(name).ok_or_else(|| Unreadable::unknown("event type", name))
}
