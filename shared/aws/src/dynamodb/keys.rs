//! The layout of the table: one row per kind of item.
//!
//! | item | `pk` | `sk` | lifetime |
//! |---|---|---|---|
//! | [`Account`](Key::Account) | `A#<account>` | `a` | unlimited |
//! | [`AccountListed`](Key::AccountListed) | `A#all` | `a#<account>` | unlimited |
//! | [`WebhookOfAccount`](Key::WebhookOfAccount) | `A#<account>` | `w#<webhook>` | until it is deleted |
//! | [`CredentialOfAccount`](Key::CredentialOfAccount) | `A#<account>` or `A#operator` | `k#<key>` | unlimited |
//! | [`Credential`](Key::Credential): an API key | `K#<hash>` | `k` | unlimited |
//! | [`Webhook`](Key::Webhook) | `W#<webhook>` | `w` | unlimited; a year after it is deleted |
//! | [`Event`](Key::Event) | `E#<event>` | `e` | 30 days; a year if a delivery is held |
//! | [`Delivery`](Key::Delivery) | `D#<webhook>#<shard>` | `d#<delivery>` | 30 days after it is finished |
//! | [`Mark`](Key::Mark) | `D#<webhook>#<shard>` | `h#`, `m#`, `r#` or `f#<delivery>` | until the state changes |
//! | [`Lane`](Key::Lane) | `L#<webhook>#<incident>` | `l` | a year after its last event |
//! | [`LaneSegment`](Key::LaneSegment) | `L#<webhook>#<incident>` | `s#<delivery>` | until its deliveries are finished |
//! | [`RateLimit`](Key::RateLimit) | `T#<name>` | `t` | until its slot is free |
//! | [`Session`](Key::Session) | `B#<hash>` | `b` | until it expires |
//! | [`Sealing`](Key::Sealing): the wrapped data key | `S#data-key` | `s` | unlimited |
//! | [`Stopped`](Key::Stopped): where the check of all webhooks goes on | `S#reconcile` | `s` | unlimited |
//! | [`Figures`](Key::Figures) of a webhook or an account | `F#<id>` | `f#<hour>` | 30 days |
//! | [`Draw`](Key::Draw): what a call that shows something once has drawn | `I#<digest>` | `i` | a day |
//! | [`Audit`](Key::Audit): an entry of an audit log | `G#<account>` and, about a webhook, `G#<account>#<webhook>` | `g#<entry>` | 30 days |
//!
//! `AccountListed` is an entry in the list of accounts. `WebhookOfAccount` is a copy for the fan-out, and
//! `CredentialOfAccount` a copy for lists. Jobs find deliveries by their marks.
//!
//! **No index.** A secondary index costs an additional write for each write, and is only eventually consistent. Every
//! query here is a strongly consistent read of the table.
//!
//! **No hot partition.** A partition takes 1,000 writes and 3,000 reads per second. The deliveries of a webhook are
//! spread over [`SHARDS`] partitions: 1,000 deliveries per second, with three writes each, are 375 writes per second
//! in each partition. Delivery ids begin with the time of acceptance, so each shard is sorted by it, and lists are
//! merged from the shards. Each incident's lane and each event has its own partition. Every attempt reads the webhook
//! twice: 2,000 reads per second.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use statuspulse_core::access::KeyHash;
use statuspulse_core::figures::Owner;
use statuspulse_core::ids::{AccountId, AuditId, DeliveryId, EventId, KeyId, WebhookId};
use statuspulse_core::ports::RateLimit;

use super::item::{Item, Read};

/// The number of partitions for the deliveries of a webhook.
pub(crate) const SHARDS: u8 = 8;

/// The name of the partition key.
pub(crate) const PK: &str = "pk";
/// The name of the sort key.
pub(crate) const SK: &str = "sk";

/// The key of an item.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key<'a> {
    Account(AccountId),
    AccountListed(AccountId),
    WebhookOfAccount(AccountId, WebhookId),
    /// The keys of operators have no account.
    CredentialOfAccount(Option<AccountId>, KeyId),
    Credential(KeyHash),
    Webhook(WebhookId),
    Event(EventId),
    Delivery(WebhookId, DeliveryId),
    Mark(Mark, WebhookId, DeliveryId),
    Lane(WebhookId, &'a str),
    LaneSegment(WebhookId, &'a str, DeliveryId),
    RateLimit(RateLimit),
    Session(KeyHash),
    Sealing,
    Stopped,
    /// The figures of this hour.
    Figures(Owner, Timestamp),
    Audit(LogOf, AuditId),
    Draw([u8; 32]),
}

/// Whose part of an audit log it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LogOf {
    Account(AccountId),
    Webhook(AccountId, WebhookId),
}

/// Lets jobs find an unfinished or failed delivery. A delivery as accepted has no mark, because its message is
/// received at once and its worker reads the webhook. So a delivery that succeeds at once never has a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Held,
    /// Waiting in its lane, or on a rung of the ladder.
    Moving,
    /// Released by a resume or a redelivery, and not attempted since.
    Released,
    Failed,
}

impl Mark {
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Mark::Held => "h",
            Mark::Moving => "m",
            Mark::Released => "r",
            Mark::Failed => "f",
        }
    }

    pub(crate) fn from_letter(letter: &str) -> Option<Self> {
        [Mark::Held, Mark::Moving, Mark::Released, Mark::Failed]
            .into_iter()
            .find(|mark| mark.letter() == letter)
    }

    /// The sort key of this mark on a delivery.
    pub(crate) fn sort(self, id: DeliveryId) -> String {
        format!("{}#{id}", self.letter())
    }
}

/// The id that the sealed text of an item is bound to.
pub(crate) fn owner_of_sealed(item: &Item) -> Option<[u8; 16]> {
    let (pk, sk) = (item.maybe_text(PK)?, item.maybe_text(SK)?);
    if let Some(digest) = pk.strip_prefix("I#") {
        let digits = digest.get(..32)?;
        return u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes);
    }
    if let Some(webhook) = pk.strip_prefix("W#").or_else(|| sk.strip_prefix("w#")) {
        return webhook.parse().ok().map(WebhookId::to_bytes);
    }
    pk.strip_prefix("A#")?.parse().ok().map(AccountId::to_bytes)
}

impl Key<'_> {
    pub(crate) fn parts(&self) -> (String, String) {
        match self {
            Key::Account(account) => (account_partition(Some(*account)), "a".to_owned()),
            Key::AccountListed(account) => (ALL_ACCOUNTS.to_owned(), format!("a#{account}")),
            Key::WebhookOfAccount(account, webhook) => {
                (account_partition(Some(*account)), format!("w#{webhook}"))
            }
            Key::CredentialOfAccount(account, key) => (account_partition(*account), format!("k#{key}")),
            Key::Credential(hash) => (format!("K#{}", hex(&hash.0)), "k".to_owned()),
            Key::Webhook(webhook) => (format!("W#{webhook}"), "w".to_owned()),
            Key::Event(event) => (format!("E#{event}"), "e".to_owned()),
            Key::Delivery(webhook, id) => (delivery_partition(*webhook, shard(*id)), delivery_sort(*id)),
            Key::Mark(mark, webhook, id) => (delivery_partition(*webhook, shard(*id)), mark.sort(*id)),
            Key::Lane(webhook, incident) => (lane_partition(*webhook, incident), "l".to_owned()),
            Key::LaneSegment(webhook, incident, first) => {
                (lane_partition(*webhook, incident), segment_sort(*first))
            }
            Key::RateLimit(limit) => (format!("T#{}", limit.name()), "t".to_owned()),
            Key::Session(hash) => (format!("B#{}", hex(&hash.0)), "b".to_owned()),
            Key::Sealing => ("S#data-key".to_owned(), "s".to_owned()),
            Key::Stopped => ("S#reconcile".to_owned(), "s".to_owned()),
            Key::Figures(owner, hour) => {
                let owner = match owner {
                    Owner::Account(id) => id.to_string(),
                    Owner::Webhook(id) => id.to_string(),
                };
                (format!("F#{owner}"), format!("f#{:012}", hour.as_second()))
            }
            Key::Draw(id) => (format!("I#{}", hex(id)), "i".to_owned()),
            Key::Audit(owner, id) => {
                let owner = match owner {
                    LogOf::Account(id) => id.to_string(),
                    // With its account, so that no other account's log is ever read.
                    LogOf::Webhook(account, id) => format!("{account}#{id}"),
                };
                (format!("G#{owner}"), format!("g#{id}"))
            }
        }
    }

    pub(crate) fn item(&self) -> HashMap<String, AttributeValue> {
        let (pk, sk) = self.parts();
        HashMap::from([(PK.to_owned(), AttributeValue::S(pk)), (SK.to_owned(), AttributeValue::S(sk))])
    }
}

/// The partition that lists the accounts. It is written when an account is created, and read rarely.
pub(crate) const ALL_ACCOUNTS: &str = "A#all";

/// The partition of an account, with its webhooks and keys.
pub(crate) fn account_partition(account: Option<AccountId>) -> String {
    account.map_or_else(|| "A#operator".to_owned(), |account| format!("A#{account}"))
}

/// The next higher id.
pub(crate) fn id_after(id: DeliveryId) -> DeliveryId {
    DeliveryId::from_bytes(u128::from_be_bytes(id.to_bytes()).saturating_add(1).to_be_bytes())
}

/// The next lower id.
pub(crate) fn id_before(id: DeliveryId) -> DeliveryId {
    DeliveryId::from_bytes(u128::from_be_bytes(id.to_bytes()).saturating_sub(1).to_be_bytes())
}

/// The partition of a lane. The incident is hashed, because its id may be too long for a key.
pub(crate) fn lane_partition(webhook: WebhookId, incident: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(incident.as_bytes()).into();
    format!("L#{webhook}#{}", hex(&digest[..16]))
}

/// The sort key of the segment of a lane that begins with this delivery.
pub(crate) fn segment_sort(first: DeliveryId) -> String {
    format!("s#{first}")
}

/// One of the partitions with a webhook's deliveries.
pub(crate) fn delivery_partition(webhook: WebhookId, shard: u8) -> String {
    format!("D#{webhook}#{shard}")
}

/// The sort key of a delivery.
pub(crate) fn delivery_sort(id: DeliveryId) -> String {
    format!("d#{id}")
}

fn shard(id: DeliveryId) -> u8 {
    // The last byte comes from a digest, so deliveries are spread evenly.
    id.to_bytes()[15] % SHARDS
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
