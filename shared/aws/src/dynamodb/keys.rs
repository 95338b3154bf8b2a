//! Where everything stands in the one table: one enum, one row of this page a kind of item.
//!
//! | item | `pk` | `sk` | lives |
//! |---|---|---|---|
//! | [`Account`](Key::Account) | `A#<account>` | `a` | for good |
//! | [`AccountListed`](Key::AccountListed): that it exists | `A#all` | `a#<account>` | for good |
//! | [`WebhookOfAccount`](Key::WebhookOfAccount): a copy, for the fan-out | `A#<account>` | `w#<webhook>` | until it is deleted |
//! | [`CredentialOfAccount`](Key::CredentialOfAccount): a copy, for lists | `A#<account>` or `A#operator` | `k#<key>` | for good |
//! | [`Credential`](Key::Credential) | `K#<hash>` | `k` | for good |
//! | [`Webhook`](Key::Webhook) | `W#<webhook>` | `w` | for good; deleted ones a year |
//! | [`Event`](Key::Event) | `E#<event>` | `e` | 30 days; a year where a delivery is held |
//! | [`Delivery`](Key::Delivery) | `D#<webhook>#<shard>` | `d#<delivery>` | 30 days after it is finished |
//! | [`Mark`](Key::Mark): what a sweep goes through | `D#<webhook>#<shard>` | `h#`, `m#`, `r#` or `f#<delivery>` | as long as it is true |
//! | [`Lane`](Key::Lane) | `L#<webhook>#<incident>` | `l` | a year after its last event |
//! | [`Sealing`](Key::Sealing) | `S#data-key` | `s` | for good |
//!
//! **No index.** A secondary index is written beside the table, so it costs a write each and shows yesterday's
//! truth; every question here is answered by a strongly consistent read of the table.
//!
//! **No hot partition.** A partition takes 1,000 writes and 3,000 reads a second. A webhook's deliveries are
//! spread over [`SHARDS`] partitions: 1,000 deliveries a second (three writes each) are 375 writes a second in
//! each. Delivery ids begin with the time of acceptance, so each shard is a list in that order, and lists are
//! merged from them. Lanes have a partition an incident, events one each. What every attempt reads is the webhook,
//! twice: 2,000 reads a second.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use sha2::{Digest, Sha256};
use statuspulse_core::access::KeyHash;
use statuspulse_core::ids::{AccountId, DeliveryId, EventId, KeyId, WebhookId};
use statuspulse_core::ports::RateLimit;

/// Partitions that a webhook's deliveries are spread over.
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
    /// An operator's key has no account.
    CredentialOfAccount(Option<AccountId>, KeyId),
    Credential(KeyHash),
    Webhook(WebhookId),
    Event(EventId),
    Delivery(WebhookId, DeliveryId),
    Mark(Mark, WebhookId, DeliveryId),
    Lane(WebhookId, &'a str),
    RateLimit(RateLimit),
    Session(KeyHash),
    Sealing,
}

/// Which part of a webhook's deliveries an unfinished or failed one belongs to. A first attempt that is due has no
/// mark: its message comes at once and sees what became of the webhook. So a delivery that goes well is never marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Held,
    /// Waiting in its lane, or on a rung of its ladder.
    Moving,
    /// Let go by a resume or a redelivery, and not attempted since.
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
            Key::Lane(webhook, incident) => {
                // Hashed: an incident's id may be longer than what a key is good for.
                let digest: [u8; 32] = Sha256::digest(incident.as_bytes()).into();
                (format!("L#{webhook}#{}", hex(&digest[..16])), "l".to_owned())
            }
            Key::RateLimit(limit) => (format!("T#{}", limit.name()), "t".to_owned()),
            Key::Session(hash) => (format!("B#{}", hex(&hash.0)), "b".to_owned()),
            Key::Sealing => ("S#data-key".to_owned(), "s".to_owned()),
        }
    }

    pub(crate) fn item(&self) -> HashMap<String, AttributeValue> {
        let (pk, sk) = self.parts();
        HashMap::from([(PK.to_owned(), AttributeValue::S(pk)), (SK.to_owned(), AttributeValue::S(sk))])
    }
}

/// The partition that lists the accounts. It is written when one is made, and read now and then.
pub(crate) const ALL_ACCOUNTS: &str = "A#all";

/// What an account has: itself, its webhooks, its keys.
pub(crate) fn account_partition(account: Option<AccountId>) -> String {
    account.map_or_else(|| "A#operator".to_owned(), |account| format!("A#{account}"))
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
    // The last byte comes from a digest: any delivery is as likely in one shard as in another.
    id.to_bytes()[15] % SHARDS
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
