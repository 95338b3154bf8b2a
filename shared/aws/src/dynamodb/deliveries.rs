//! Writes, changes and reads deliveries. [`lanes`](super::lanes) keeps their order within an incident.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::FutureExt;
use jiff::Timestamp;
use statuspulse_core::attempt::Trigger;
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::delivery::{Delivery, DeliveryFilter, FailedIn, State, Timing};
use statuspulse_core::event::Event;
use statuspulse_core::ids::{DeliveryId, EventId, WebhookId};
use statuspulse_core::limits;
use statuspulse_core::message::AttemptKey;
use statuspulse_core::ports::{
    Acceptance, Claim, Conflict, Deliveries, DeliveryQuery, Page, PortResult, Records, Saved, Unavailable,
};
use statuspulse_core::record::{Unreadable, read_attempts, read_state, read_trigger, write_attempts};
use statuspulse_core::webhook::Webhook;

use super::Table;
use super::events::{Kept, later, read_event_type};
use super::item::{Item, Read, expiry, number, text, time};
use super::keys::{Key, Mark};
use super::table::{Change, Condition, Written, all_readable, pause_before, readable, side_by_side};

/// Records and messages are in different services, so the outbox sends the messages.
#[async_trait]
impl Records for Table {
    fn sends(&self) -> bool {
        false
    }

    async fn accept(&self, event: &Event, deliveries: Vec<Delivery>) -> PortResult<Acceptance> {
        let webhooks: Vec<_> = deliveries.iter().map(|delivery| delivery.webhook_id).collect();
        let accepted: Vec<Delivery> = match self.keep_event(event, &webhooks).await? {
            None => self.begin_all(deliveries).await?,
            Some(kept) if kept.event.fingerprint != event.fingerprint => return Ok(Acceptance::Different),
            // Its webhooks may have changed since. It keeps the deliveries of the first acceptance.
            Some(Kept { event, webhooks }) => {
                let again = webhooks.into_iter().map(|webhook| Delivery::new(&event, webhook)).collect();
                self.begin_all(again).await?
            }
        };
        Ok(Acceptance::Accepted(accepted))
    }

    async fn save_delivery(&self, delivery: &Delivery) -> PortResult<Result<Saved, Conflict>> {
        match delivery.state {
            State::Scheduled { number: 1, .. } => self.schedule_in_lane(delivery).await,
            State::Held => {
                self.keep_event_longer(delivery.event_id).await?;
                self.places_around(delivery).await?;
                self.write_delivery(delivery).await
            }
            _ => self.write_delivery(delivery).await,
        }
    }

    async fn create_webhook(&self, webhook: &Webhook) -> PortResult<()> {
        self.put_webhook(webhook).await
    }

    async fn save_webhook(&self, webhook: &Webhook) -> PortResult<Result<(), Conflict>> {
        self.replace_webhook(webhook).await
    }

    async fn remove_unreadable_webhook(&self, id: WebhookId, entry: &AccountEntry) -> PortResult<()> {
        self.delete_unreadable_webhook(id, entry).await
    }
}

#[async_trait]
impl Deliveries for Table {
    async fn event(&self, id: EventId) -> PortResult<Option<Arc<Event>>> {
        Ok(self.read_event(id).await?.map(Arc::new))
    }

    async fn delivery(&self, webhooks: &[WebhookId], id: DeliveryId) -> PortResult<Option<Delivery>> {
        if let [only] = webhooks {
            return self.read_delivery(*only, id).await;
        }
        let keys = webhooks.iter().map(|webhook| (*webhook, id)).collect();
        Ok(self.read_deliveries(keys).await?.pop())
    }

    async fn deliveries_of_event(&self, event: &Event, webhooks: &[WebhookId]) -> PortResult<Vec<Delivery>> {
        let id = |webhook: &WebhookId| (*webhook, DeliveryId::derive(event.id, event.accepted_at, *webhook));
        self.read_deliveries(webhooks.iter().map(id).collect()).await
    }

    async fn claim(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
        key: AttemptKey,
        due_by: Timestamp,
        now: Timestamp,
    ) -> PortResult<Claim> {
        self.take_claim(webhook, id, key, due_by, now).await
    }

    async fn release_until(&self, delivery: &Delivery, at: Timestamp) -> PortResult<()> {
        let State::Scheduled { number, timing, .. } = delivery.state else { return Ok(()) };
        let state = State::Scheduled { number, at, timing };
        let released = Delivery { state, ..delivery.clone() };
        // The place in the lane does not change.
        self.write_delivery(&released).await.map(drop)
    }

    async fn lane_head(&self, webhook: WebhookId, incident_id: &str) -> PortResult<Option<Delivery>> {
        self.head_of_lane(webhook, incident_id).await
    }

    async fn deliveries(
        &self,
        webhooks: &[WebhookId],
        filter: &DeliveryFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> PortResult<Page<Delivery, DeliveryId>> {
        self.list(webhooks, filter, after, limit).await
    }

    async fn query(
        &self,
        webhook: WebhookId,
        query: DeliveryQuery,
        limit: usize,
    ) -> PortResult<Vec<Delivery>> {
        self.marked_page(webhook, query, limit).await
    }

    async fn held(&self, webhook: WebhookId) -> PortResult<u64> {
        self.count_marked(webhook, Mark::Held).await
    }

    /// DynamoDB has stored each write in several data centres when it returns.
    async fn durable(&self) -> PortResult<()> {
        Ok(())
    }
}

impl Table {
    async fn begin_all(&self, deliveries: Vec<Delivery>) -> PortResult<Vec<Delivery>> {
        side_by_side(deliveries.into_iter().map(|delivery| self.begin(delivery).boxed()).collect()).await
    }

    /// Stores a delivery and gives it its place in the lane. Completes one that an interrupted call left without a
    /// place.
    async fn begin(&self, delivery: Delivery) -> PortResult<Delivery> {
        let (kept, places) = match self.put_new(&delivery).await? {
            None => {
                let places = self.append(&delivery).await?;
                (delivery, places)
            }
            // The place in the lane is written second, so only an unchanged delivery can lack it.
            Some(kept) if kept.version > 0 || !kept.attempts.is_empty() => return Ok(kept),
            Some(kept) => {
                let places = self.append_again(&kept).await?;
                (kept, places)
            }
        };
        match self.enter_lane(kept.clone(), places).await? {
            Ok(begun) => Ok(begun),
            Err(Conflict) => Ok(self.read_delivery(kept.webhook_id, kept.id).await?.unwrap_or(kept)),
        }
    }

    /// Stores a new delivery. If it exists already, returns the stored one.
    async fn put_new(&self, delivery: &Delivery) -> PortResult<Option<Delivery>> {
        let doing = "storing a delivery";
        let mut item = readable(delivery_item(delivery), doing)?;
        item.extend(Key::Delivery(delivery.webhook_id, delivery.id).item());
        let found = self.put_if_new(item, doing).await?;
        readable(found.map(|item| read_delivery(&item)).transpose(), doing)
    }

    pub(super) async fn read_delivery(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> PortResult<Option<Delivery>> {
        let doing = "reading a delivery";
        let item = self.get(Key::Delivery(webhook, id), doing).await?;
        readable(item.map(|item| read_delivery(&item)).transpose(), doing)
    }

    /// Returns the deliveries that exist, in the order of their ids.
    pub(super) async fn read_deliveries(
        &self,
        ids: Vec<(WebhookId, DeliveryId)>,
    ) -> PortResult<Vec<Delivery>> {
        let doing = "reading deliveries";
        let keys = ids.into_iter().map(|(webhook, id)| Key::Delivery(webhook, id).item()).collect();
        let items = self.get_all(keys, doing).await?;
        let mut found: Vec<Delivery> = all_readable(&items, read_delivery, doing);
        found.sort_unstable_by_key(|delivery| delivery.id);
        Ok(found)
    }

    /// Replaces a delivery if it still has this version, and updates its mark. This is a single write if the mark does
    /// not change, as for a delivery that succeeds at once, and a transaction otherwise.
    pub(super) async fn write_delivery(&self, asked: &Delivery) -> PortResult<Result<Saved, Conflict>> {
        self.write_if(asked, asked.claimed_until.map_or(Holder::Anybody, Holder::Until)).await
    }

    /// Like `write_delivery`, but fails if the delivery has a claim. A repeated acceptance may come at any time.
    pub(super) async fn write_unclaimed(&self, asked: &Delivery) -> PortResult<Result<Saved, Conflict>> {
        self.write_if(asked, Holder::Nobody).await
    }

    async fn write_if(&self, asked: &Delivery, holder: Holder) -> PortResult<Result<Saved, Conflict>> {
        let doing = "changing a delivery";
        let next = Delivery { version: asked.version + 1, claimed_until: None, ..asked.clone() };
        let mark = mark_of(&next);
        let token = self.token();
        let saved = |has_successor| {
            Ok(Ok(Saved { has_successor: has_successor && next.is_finished(), delivery: next.clone() }))
        };
        for again in 0..crate::limits::CHANGE_TRIES {
            pause_before(again).await;
            let unmoved = Before { mark, followed: None, holder };
            let change = readable(self.change(&next, unmoved, &token), doing)?;
            let item = match self.update(change, doing).await? {
                Written::Done(item) => return saved(item.contains_key("followed")),
                Written::Refused(item) => item,
            };
            if item.maybe_text("token") == Some(&token) {
                return saved(item.contains_key("followed"));
            }
            if item.is_empty()
                || readable(item.small::<u64>("version"), doing)? != asked.version
                || !holder.may(readable(item.maybe_time("claimed_until"), doing)?)
            {
                return Ok(Err(Conflict));
            }
            // A transaction does not return the item, so its condition includes `followed`.
            let followed = item.contains_key("followed");
            let before = Before {
                mark: item.maybe_text("mark").and_then(Mark::from_letter),
                followed: Some(followed),
                holder,
            };
            let mut writes = vec![self.update_write(readable(self.change(&next, before, &token), doing)?)?];
            if let Some(old) = before.mark {
                writes.push(self.delete_write(Key::Mark(old, asked.webhook_id, asked.id))?);
            }
            if let Some(new) = mark {
                let item = self.mark_item(new);
                writes.push(self.put_write(
                    Key::Mark(new, asked.webhook_id, asked.id),
                    item,
                    Condition::default(),
                )?);
            }
            if self.transact(writes, doing).await?.is_ok() {
                return saved(followed);
            }
        }
        Err(Unavailable { doing, source: "too many concurrent changes".into() })
    }

    /// The change that writes `next` if the stored delivery has the previous version and matches `before`.
    fn change(&self, next: &Delivery, before: Before, token: &str) -> Result<Change<'static>, Unreadable> {
        let mut item = delivery_item(next)?;
        item.insert("token".to_owned(), text(token));
        if next.is_finished() {
            item.insert("expires".to_owned(), expiry(later(self.clock.now(), limits::RETENTION)));
        }
        let optional = [
            "number",
            "due",
            "timing",
            "ladder_due",
            "first_outage",
            "last_outage",
            "trigger",
            "delayed",
            "mark",
            "expires",
        ];
        let absent: Vec<String> = optional
            .into_iter()
            .filter(|name| !item.contains_key(*name))
            .chain(["claimed_until"])
            .map(|name| format!("#{name}"))
            .collect();
        // These attributes never change.
        item.retain(|name, _| !FIXED.contains(&name.as_str()));
        let mut set: Vec<String> = item.keys().map(|name| format!("#{name} = :{name}")).collect();
        set.sort_unstable();
        let update = format!("SET {} REMOVE {}", set.join(", "), absent.join(", "));
        let mut values: HashMap<String, AttributeValue> =
            item.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect();
        values.insert(":read".to_owned(), number(next.version - 1));
        let mut condition = "#version = :read".to_owned();
        match before.mark {
            None => condition.push_str(" AND attribute_not_exists(#mark)"),
            Some(mark) => {
                values.insert(":marked".to_owned(), text(mark.letter()));
                condition.push_str(" AND #mark = :marked");
            }
        }
        match before.followed {
            None => {}
            Some(true) => condition.push_str(" AND attribute_exists(#followed)"),
            Some(false) => condition.push_str(" AND attribute_not_exists(#followed)"),
        }
        match before.holder {
            Holder::Anybody => {}
            Holder::Nobody => condition.push_str(" AND attribute_not_exists(#claimed_until)"),
            Holder::Until(until) => {
                values.insert(":held".to_owned(), time(until));
                condition.push_str(" AND #claimed_until = :held");
            }
        }
        let key = Key::Delivery(next.webhook_id, next.id);
        Ok(Change { key, update, condition: condition.into(), values })
    }

    pub(super) fn mark_item(&self, mark: Mark) -> Item {
        match mark {
            // Expires together with its delivery.
            Mark::Failed => {
                Item::from([("expires".to_owned(), expiry(later(self.clock.now(), limits::RETENTION)))])
            }
            Mark::Held | Mark::Moving | Mark::Released => Item::new(),
        }
    }
}

/// What a change expects of the stored delivery.
#[derive(Clone, Copy)]
struct Before {
    mark: Option<Mark>,
    /// `None` means either.
    followed: Option<bool>,
    holder: Holder,
}

/// Which claim a delivery may have when it is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// Any claim, or none.
    Anybody,
    /// No claim.
    Nobody,
    /// The claim until this time.
    Until(Timestamp),
}

impl Holder {
    fn may(self, claimed_until: Option<Timestamp>) -> bool {
        match self {
            Holder::Anybody => true,
            Holder::Nobody => claimed_until.is_none(),
            Holder::Until(until) => claimed_until == Some(until),
        }
    }
}

const FIXED: [&str; 7] =
    ["id", "event_id", "event_type", "incident_id", "account_id", "webhook_id", "accepted_at"];

pub(super) fn mark_of(delivery: &Delivery) -> Option<Mark> {
    match delivery.state {
        State::Held => Some(Mark::Held),
        State::Waiting => Some(Mark::Moving),
        State::Failed => Some(Mark::Failed),
        _ if delivery.is_released() => Some(Mark::Released),
        State::Scheduled { .. } if !delivery.is_as_accepted() => Some(Mark::Moving),
        State::Scheduled { .. } | State::Delivered | State::Discarded | State::Cancelled => None,
    }
}

pub(super) fn delivery_item(delivery: &Delivery) -> Result<Item, Unreadable> {
    let mut item = HashMap::from([
        ("id".to_owned(), text(delivery.id.to_string())),
        ("event_id".to_owned(), text(delivery.event_id.to_string())),
        ("event_type".to_owned(), text(delivery.event_type.name())),
        ("incident_id".to_owned(), text(&delivery.incident_id)),
        ("account_id".to_owned(), text(delivery.account_id.to_string())),
        ("webhook_id".to_owned(), text(delivery.webhook_id.to_string())),
        ("accepted_at".to_owned(), time(delivery.accepted_at)),
        ("round".to_owned(), number(delivery.round)),
        ("state".to_owned(), text(delivery.status().name())),
        ("attempts".to_owned(), text(write_attempts(&delivery.attempts)?)),
        ("version".to_owned(), number(delivery.version)),
    ]);
    if let State::Scheduled { number: attempt, at, timing } = delivery.state {
        item.insert("number".to_owned(), number(attempt));
        item.insert("due".to_owned(), time(at));
        if timing != Timing::OnTime {
            item.insert("timing".to_owned(), text(timing.name()));
        }
        if let Some(ladder_at) = timing.ladder_at() {
            item.insert("ladder_due".to_owned(), time(ladder_at));
        }
    }
    if let Some(failed) = delivery.failed_in {
        item.insert("first_outage".to_owned(), number(failed.first));
        item.insert("last_outage".to_owned(), number(failed.last));
    }
    if delivery.trigger != Trigger::Event {
        item.insert("trigger".to_owned(), text(delivery.trigger.name()));
    }
    if delivery.delayed {
        item.insert("delayed".to_owned(), AttributeValue::Bool(true));
    }
    if let Some(mark) = mark_of(delivery) {
        item.insert("mark".to_owned(), text(mark.letter()));
    }
    Ok(item)
}

fn timing(item: &Item) -> Result<Timing, Unreadable> {
    let Some(name) = item.maybe_text("timing") else { return Ok(Timing::OnTime) };
    Timing::from_parts(name, item.maybe_time("ladder_due")?)
        .ok_or_else(|| Unreadable::unknown("timing", name))
}

fn failed_in(item: &Item) -> Result<Option<FailedIn>, Unreadable> {
    if !item.contains_key("first_outage") {
        return Ok(None);
    }
    Ok(Some(FailedIn { first: item.small("first_outage")?, last: item.small("last_outage")? }))
}

pub(super) fn read_delivery(item: &Item) -> Result<Delivery, Unreadable> {
    let state = read_state(item.text("state")?, || {
        Ok(State::Scheduled { number: item.small("number")?, at: item.time("due")?, timing: timing(item)? })
    })?;
    Ok(Delivery {
        id: item.parsed("id")?,
        event_id: item.parsed("event_id")?,
        event_type: read_event_type(item)?,
        incident_id: item.text("incident_id")?.to_owned(),
        account_id: item.parsed("account_id")?,
        webhook_id: item.parsed("webhook_id")?,
        accepted_at: item.time("accepted_at")?,
        round: item.small("round")?,
        trigger: item.maybe_text("trigger").map_or(Trigger::Event, read_trigger),
        failed_in: failed_in(item)?,
        claimed_until: None,
        state,
        delayed: item.contains_key("delayed"),
        attempts: read_attempts(item.text("attempts")?)?,
        version: item.small("version")?,
    })
}
