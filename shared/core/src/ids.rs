//! Identifiers. Each kind has its own type, so that a webhook's id cannot be passed as a delivery's.
//!
//! An id is a ULID with a prefix (`whe_01J…`). Ids sort by creation time, are readable in logs, and are made from a
//! time and random bits, so that a simulated run from a seed creates the same ids.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::limits;
use crate::ports::environment::Random;

/// The text is not an id of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_ and 26 characters")]
pub struct NotAnId {
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Ulid);

        impl $name {
            /// A new id, created at this time.
            pub fn new(now: Timestamp, random: &dyn Random) -> Self {
                Self(Ulid::from_parts(millis(now), random_bits(random)))
            }

            /// The 16 bytes for a store.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// The id with these 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Ulid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix(concat!($prefix, "_"))
                    // 26 characters have two bits too many: a first character above 7 would be a second spelling of an
                    // id.
                    .filter(|rest| rest.len() == 26 && matches!(rest.as_bytes()[0], b'0'..=b'7'))
                    .filter(|rest| rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
                    .and_then(|rest| Ulid::from_string(rest).ok())
                    .map(Self)
                    .ok_or(NotAnId { prefix: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(/** A customer. */ AccountId, "acc");
id!(/** An API key (not the key itself). */ KeyId, "key");
id!(/** A registered endpoint. */ WebhookId, "whe");
id!(/** An event of an incident, as published. */ EventId, "evt");
id!(/** One event to one webhook. */ DeliveryId, "dlv");
id!(/** An entry of an account's audit log. */ AuditId, "aud");

impl EventId {
    /// The id of the event that is first published with this idempotency key in this period. The same key gives the
    /// same id, so a repeated call finds the event of the first one.
    pub fn from_idempotency_key(account: AccountId, key: &str, period: KeyPeriod) -> Self {
        Self(Ulid::from_bytes(derived(&[&account.to_bytes(), key.as_bytes(), &period.part()])))
    }

    /// The same for an operator, whose keys are separate: otherwise an account's publisher could use up the key of an
    /// alert that the operator has yet to publish.
    pub fn from_operators_idempotency_key(account: AccountId, key: &str, period: KeyPeriod) -> Self {
        Self(Ulid::from_bytes(derived(&[b"operator", &account.to_bytes(), key.as_bytes(), &period.part()])))
    }
}

/// A period as long as an idempotency key is recognised. An event that was published with a key is found in the current
/// period or in the one before. A key that is used again later makes an event with a new id: receivers that remember the
/// old one must not drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPeriod(i64);

impl KeyPeriod {
    /// The period at this time. The ids of period 0 contain no number: they were derived like this before there were
    /// periods.
    pub fn at(now: Timestamp) -> Self {
        let length = i64::try_from(limits::RETENTION.as_secs()).unwrap_or(i64::MAX);
        Self((now.as_second() - limits::KEY_PERIODS_FROM).div_euclid(length))
    }

    /// The period before this one.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0 - 1)
    }

    fn part(self) -> Vec<u8> {
        if self.0 == 0 { vec![] } else { format!("\nperiod {}", self.0).into_bytes() }
    }
}

impl DeliveryId {
    /// The id of this event's delivery to this webhook. It is derived, so that a repeated fan-out creates the same
    /// deliveries. It begins with the time of acceptance, so that a webhook's deliveries sort by it.
    pub fn derive(event: EventId, accepted_at: Timestamp, webhook: WebhookId) -> Self {
        let mut bytes = derived(&[&event.to_bytes(), &webhook.to_bytes()]);
        bytes[..6].copy_from_slice(&millis(accepted_at).to_be_bytes()[2..]);
        Self(Ulid::from_bytes(bytes))
    }

    /// The lowest possible id of a delivery whose event was accepted at this time.
    pub fn lowest_at(accepted_at: Timestamp) -> Self {
        Self(Ulid::from_parts(millis(accepted_at), 0))
    }
}

impl AuditId {
    /// The id of the entry for a change that these parts identify. It is derived, so that a repeated write of the change
    /// writes the same entry. It begins with the time, so that entries sort by it.
    pub fn derive(at: Timestamp, parts: &[&[u8]]) -> Self {
        let mut bytes = derived(parts);
        bytes[..6].copy_from_slice(&millis(at).to_be_bytes()[2..]);
        Self(Ulid::from_bytes(bytes))
    }
}

/// The first bytes of the digest of these parts, one after the other.
fn derived(parts: &[&[u8]]) -> [u8; 16] {
    let digest = parts.iter().fold(Sha256::new(), |digest, part| digest.chain_update(part)).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes
}

fn millis(now: Timestamp) -> u64 {
    u64::try_from(now.as_millisecond()).unwrap_or(0)
}

fn random_bits(random: &dyn Random) -> u128 {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    u128::from_be_bytes(bytes) >> 48
}

/// A request id for an answer, which a customer can quote: 80 random bits in hexadecimal. It is never taken from the
/// client, because it goes into logs.
pub fn request_id(random: &dyn Random) -> String {
    let mut bytes = [0; 10];
    random.fill(&mut bytes);
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    std::iter::once("req_".to_owned()).chain(digits).collect()
}
