//! The lines of an export. Each is a JSON object with one member, whose name is the kind of the line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ExportId, Opener, Recipient};
use crate::access::{Account, ApiKey, KeyHash, Role};
use crate::audit::AccountEntry;
use crate::delivery::{Delivery, FailedIn, State, Timing};
use crate::event::{Event, EventType};
use crate::ids::{AccountId, AuditId, DeliveryId, EventId, KeyId, WebhookId};
use crate::ports::Random;
use crate::quota::Quotas;
use crate::record::{
    Unreadable, WebhookParts, read_attempts, read_audit_entry, read_state, read_trigger, read_webhook,
    write_attempts, write_audit_entry, write_webhook,
};
use crate::target::{AllowedDomains, EndpointUrl};
use crate::webhook::Webhook;

/// The format of the file.
pub const FORMAT: &str = "statuspulse-export/1";

/// A line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_debug_implementations, reason = "some lines have what a log must not show")]
pub enum Line {
    /// The first line.
    Header(Header),
    /// An account.
    Account(AccountLine),
    /// An event. Its deliveries follow.
    Event(EventLine),
    /// A delivery of the event before it.
    Delivery(DeliveryLine),
    /// A webhook.
    Webhook(WebhookLine),
    /// An entry of an audit log.
    Entry(EntryLine),
    /// An API key of an account.
    Key(KeyLine),
    /// The last line.
    End(End),
}

/// What the file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    #[serde(with = "as_text")]
    pub export: ExportId,
    /// When it was made.
    pub at: Timestamp,
    /// Who can open what is sealed in it.
    #[serde(with = "as_text")]
    pub recipient: Recipient,
}

/// How many lines of each kind there are, and which accounts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct End {
    pub accounts: Vec<AccountId>,
    pub events: u64,
    pub deliveries: u64,
    pub webhooks: u64,
    pub entries: u64,
    pub keys: u64,
}

/// The record of a line.
#[expect(missing_debug_implementations, reason = "a webhook has secrets")]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Moved {
    Account(Account),
    /// With the webhooks that it went to.
    Event(Event, Vec<WebhookId>),
    Delivery(Delivery),
    Webhook(Webhook),
    Entry(AccountEntry),
    Key(ApiKey),
    End(End),
}

impl Moved {
    /// The account that it belongs to.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Moved::Account(account) => Some(account.id),
            Moved::Event(event, _) => Some(event.account_id),
            Moved::Delivery(delivery) => Some(delivery.account_id),
            Moved::Webhook(webhook) => Some(webhook.account_id),
            Moved::Entry(entry) => Some(entry.account_id),
            Moved::Key(key) => key.account_id,
            Moved::End(_) => None,
        }
    }
}

/// A field of a line that is a public type's text.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[expect(missing_debug_implementations, reason = "it has a secret, though sealed")]
pub struct AccountLine {
    pub(super) id: AccountId,
    name: String,
    allowed_domains: Vec<String>,
    quotas: Quotas,
    created_at: Timestamp,
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slack: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct EventLine {
    pub(super) id: EventId,
    pub(super) account_id: AccountId,
    event_type: String,
    incident_id: String,
    monitor_groups: Vec<String>,
    body: String,
    fingerprint: String,
    accepted_at: Timestamp,
    webhooks: Vec<WebhookId>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DeliveryLine {
    pub(super) id: DeliveryId,
    pub(super) event_id: EventId,
    event_type: String,
    incident_id: String,
    pub(super) account_id: AccountId,
    pub(super) webhook_id: WebhookId,
    accepted_at: Timestamp,
    round: u32,
    trigger: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed_in: Option<(u32, u32)>,
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timing: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ladder_due: Option<Timestamp>,
    delayed: bool,
    attempts: Box<RawValue>,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[expect(missing_debug_implementations, reason = "it has secrets, though sealed")]
pub struct WebhookLine {
    pub(super) id: WebhookId,
    pub(super) account_id: AccountId,
    record: Box<RawValue>,
    secrets: String,
    version: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct EntryLine {
    pub(super) id: AuditId,
    pub(super) account_id: AccountId,
    entry: Box<RawValue>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct KeyLine {
    pub(super) id: KeyId,
    pub(super) account_id: AccountId,
    role: String,
    name: Option<String>,
    prefix: String,
    hash: String,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

// --- Writing ---------------------------------------------------------------------------------------------

/// Writes the line of a record, with its secrets sealed for the recipient.
///
/// # Errors
/// Fails if the record cannot be written, or if nothing can be sealed for this recipient.
pub fn write(moved: &Moved, recipient: &Recipient, random: &dyn Random) -> Result<String, Unreadable> {
    let seal = |owner, text: &str| {
        let sealed = recipient.seal(owner, text, random).map_err(Unreadable::because)?;
        Ok::<_, Unreadable>(STANDARD.encode(sealed))
    };
    let line = match moved {
        Moved::Account(account) => Line::Account(AccountLine {
            id: account.id,
            name: account.name.clone(),
            allowed_domains: account.allowed_domains.as_strings().to_vec(),
            quotas: account.quotas.clone(),
            created_at: account.created_at,
            version: account.version,
            slack: account.slack.as_ref().map(|url| seal(account.id.to_bytes(), url.as_str())).transpose()?,
        }),
        Moved::Event(event, webhooks) => Line::Event(EventLine {
            id: event.id,
            account_id: event.account_id,
            event_type: event.event_type.name().to_owned(),
            incident_id: event.incident_id.clone(),
            monitor_groups: event.monitor_groups.clone(),
            body: str::from_utf8(&event.body).map_err(Unreadable::because)?.to_owned(),
            fingerprint: STANDARD.encode(event.fingerprint),
            accepted_at: event.accepted_at,
            webhooks: webhooks.clone(),
        }),
        Moved::Delivery(delivery) => Line::Delivery(delivery_line(delivery)?),
        Moved::Webhook(webhook) => {
            let parts = write_webhook(webhook)?;
            Line::Webhook(WebhookLine {
                id: parts.id,
                account_id: parts.account_id,
                record: RawValue::from_string(parts.record).map_err(Unreadable::because)?,
                secrets: seal(parts.id.to_bytes(), &parts.secrets)?,
                version: parts.version,
            })
        }
        Moved::Entry(entry) => Line::Entry(EntryLine {
            id: entry.id,
            account_id: entry.account_id,
            entry: RawValue::from_string(write_audit_entry(entry)?).map_err(Unreadable::because)?,
        }),
        Moved::Key(key) => Line::Key(KeyLine {
            id: key.id,
            account_id: key.account_id.ok_or_else(|| Unreadable::because("an operator's key"))?,
            role: key.role.name().to_owned(),
            name: key.name.clone(),
            prefix: key.prefix.clone(),
            hash: STANDARD.encode(key.hash.0),
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
        }),
        Moved::End(end) => Line::End(end.clone()),
    };
    serde_json::to_string(&line).map_err(Unreadable::because)
}

/// Writes the first line.
///
/// # Errors
/// Never in practice.
pub fn write_header(header: &Header) -> Result<String, Unreadable> {
    serde_json::to_string(&Line::Header(header.clone())).map_err(Unreadable::because)
}

fn delivery_line(delivery: &Delivery) -> Result<DeliveryLine, Unreadable> {
    let (number, due, timing) = match delivery.state {
        State::Scheduled { number, at, timing } => (Some(number), Some(at), Some(timing)),
        _ => (None, None, None),
    };
    Ok(DeliveryLine {
        id: delivery.id,
        event_id: delivery.event_id,
        event_type: delivery.event_type.name().to_owned(),
        incident_id: delivery.incident_id.clone(),
        account_id: delivery.account_id,
        webhook_id: delivery.webhook_id,
        accepted_at: delivery.accepted_at,
        round: delivery.round,
        trigger: delivery.trigger.name().to_owned(),
        failed_in: delivery.failed_in.map(|failed| (failed.first, failed.last)),
        state: delivery.status().name().to_owned(),
        number,
        due,
        timing: timing.map(|timing| timing.name().to_owned()),
        ladder_due: timing.and_then(Timing::ladder_at),
        delayed: delivery.delayed,
        attempts: RawValue::from_string(write_attempts(&delivery.attempts)?).map_err(Unreadable::because)?,
        version: delivery.version,
    })
}

// --- Reading ---------------------------------------------------------------------------------------------

/// Reads the first line of a file that was sealed for this deployment.
///
/// # Errors
/// Says why the file cannot be imported here.
pub fn read_header(text: &str, own: &Recipient) -> Result<Header, Unreadable> {
    let Ok(Line::Header(header)) = serde_json::from_str(text) else {
        return Err(Unreadable::because("the first line is no header of an export"));
    };
    if header.format != FORMAT {
        return Err(Unreadable::because(format!("the format is {}, and not {FORMAT}", header.format)));
    }
    if header.recipient != *own {
        let why = format!("the file was sealed for {}, and this deployment is {own}", header.recipient);
        return Err(Unreadable::because(why));
    }
    Ok(header)
}

/// Reads any line but the first, and opens what is sealed in it.
///
/// # Errors
/// Says what is wrong with the line.
pub fn read(text: &str, opener: &Opener) -> Result<Moved, Unreadable> {
    // The parser's words would quote what the line has, but for its place.
    let line = serde_json::from_str(text).map_err(Unreadable::because)?;
    let open = |owner, sealed: &str| {
        let sealed = STANDARD.decode(sealed).map_err(Unreadable::because)?;
        opener.open(owner, &sealed).map_err(Unreadable::because)
    };
    Ok(match line {
        Line::Header(_) => return Err(Unreadable::because("a second header")),
        Line::Account(line) => Moved::Account(Account {
            slack: match line.slack {
                None => None,
                Some(sealed) => {
                    let url = open(line.id.to_bytes(), &sealed)?;
                    Some(EndpointUrl::restore(&url).map_err(Unreadable::because)?)
                }
            },
            id: line.id,
            name: line.name,
            allowed_domains: AllowedDomains::restore(line.allowed_domains),
            quotas: line.quotas,
            created_at: line.created_at,
            version: line.version,
        }),
        Line::Event(line) => {
            let event = Event {
                id: line.id,
                account_id: line.account_id,
                event_type: event_type(&line.event_type)?,
                incident_id: line.incident_id,
                monitor_groups: line.monitor_groups,
                body: Bytes::from(line.body),
                fingerprint: digest(&line.fingerprint)?,
                accepted_at: line.accepted_at,
            };
            Moved::Event(event, line.webhooks)
        }
        Line::Delivery(line) => Moved::Delivery(delivery(line)?),
        Line::Webhook(line) => Moved::Webhook(read_webhook(&WebhookParts {
            id: line.id,
            account_id: line.account_id,
            record: line.record.get().to_owned(),
            secrets: open(line.id.to_bytes(), &line.secrets)?,
            version: line.version,
        })?),
        Line::Entry(line) => Moved::Entry(read_audit_entry(line.id, line.account_id, line.entry.get())?),
        Line::Key(line) => {
            let role = Role::from_name(&line.role).filter(|role| *role != Role::Operator);
            Moved::Key(ApiKey {
                id: line.id,
                account_id: Some(line.account_id),
                role: role.ok_or_else(|| Unreadable::unknown("role", &line.role))?,
                name: line.name,
                prefix: line.prefix,
                hash: KeyHash(digest(&line.hash)?),
                created_at: line.created_at,
                expires_at: line.expires_at,
                revoked_at: line.revoked_at,
                last_used_at: line.last_used_at,
            })
        }
        Line::End(end) => Moved::End(end),
    })
}

fn delivery(line: DeliveryLine) -> Result<Delivery, Unreadable> {
    let state = read_state(&line.state, || {
        let incomplete = || Unreadable::because("a delivery that is retrying has number, due and timing");
        let name = line.timing.as_deref().ok_or_else(incomplete)?;
        let timing = Timing::from_parts(name, line.ladder_due);
        Ok(State::Scheduled {
            number: line.number.ok_or_else(incomplete)?,
            at: line.due.ok_or_else(incomplete)?,
            timing: timing.ok_or_else(|| Unreadable::unknown("timing", name))?,
        })
    })?;
    Ok(Delivery {
        id: line.id,
        event_id: line.event_id,
        event_type: event_type(&line.event_type)?,
        incident_id: line.incident_id,
        account_id: line.account_id,
        webhook_id: line.webhook_id,
        accepted_at: line.accepted_at,
        round: line.round,
        trigger: read_trigger(&line.trigger),
        failed_in: line.failed_in.map(|(first, last)| FailedIn { first, last }),
        state,
        delayed: line.delayed,
        attempts: read_attempts(line.attempts.get())?,
        version: line.version,
        claimed_until: None,
    })
}

fn event_type(name: &str) -> Result<EventType, Unreadable> {
    EventType::from_name(name).ok_or_else(|| Unreadable::unknown("event type", name))
}

fn digest(text: &str) -> Result<[u8; 32], Unreadable> {
    let bytes = STANDARD.decode(text).map_err(Unreadable::because)?;
    bytes.try_into().map_err(|_| Unreadable::because("a digest has 32 bytes"))
}
