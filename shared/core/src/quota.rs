//! What an account may use. Each quota has a default, which an operator can override for an account.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::limits;

/// The quotas.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Quota {
    /// Events that its publishers' keys may send in a minute.
    EventsPerMinute,
    /// Bytes of the calls that publish them in a minute.
    EventBytesPerMinute,
    /// Calls of the API, apart from publishing, and of the dashboard in a minute.
    CallsPerMinute,
    /// Handshakes and tests in a minute. Each is a call to an endpoint.
    ProbesPerMinute,
    /// Bytes of its stored events, with an estimate for their deliveries. Not counted on AWS.
    KeptBytes,
    /// Webhooks with the same URL.
    WebhooksPerUrl,
    /// Webhooks with the same host and port, apart from those of a fixed service such as Slack.
    WebhooksPerHost,
}

impl Quota {
    /// All of them.
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What it bounds, in words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::EventsPerMinute => {
                "Events that keys of the account may publish in a minute. Events of operators are not counted."
            }
            Self::EventBytesPerMinute => "Bytes of the calls that publish these events in a minute.",
            Self::CallsPerMinute => {
                "Calls of the API, apart from publishing, and of the dashboard in a minute."
            }
            Self::ProbesPerMinute => "Handshakes and tests in a minute.",
            Self::KeptBytes => {
                "Bytes of the stored events, with 1 KiB for each delivery. Not counted in a deployment on AWS."
            }
            Self::WebhooksPerUrl => "Webhooks with the same URL, apart from pending ones.",
            Self::WebhooksPerHost => {
                "Webhooks with the same host and port, apart from pending ones and those for a service such as Slack."
            }
        }
    }

    /// How much of a rate may come at once: what it allows in this time. Handshakes may all come at once, because scripts
    /// register all of an account's webhooks together. Bytes may not, because all accounts share the disk.
    pub(crate) fn burst(self) -> Duration {
        match self {
            Quota::ProbesPerMinute => limits::RATE_PERIOD,
            Quota::EventBytesPerMinute => limits::BYTES_BURST,
            _ => limits::RATE_BURST,
        }
    }

    /// What an account has without an override.
    pub fn default_value(self) -> u64 {
        match self {
            Quota::EventsPerMinute => limits::EVENTS_PER_MINUTE,
            Quota::EventBytesPerMinute => limits::EVENT_BYTES_PER_MINUTE,
            Quota::CallsPerMinute => limits::CALLS_PER_MINUTE,
            Quota::ProbesPerMinute => limits::PROBES_PER_MINUTE,
            Quota::KeptBytes => limits::KEPT_BYTES,
            Quota::WebhooksPerUrl => limits::WEBHOOKS_PER_URL,
            Quota::WebhooksPerHost => limits::WEBHOOKS_PER_HOST,
        }
    }
}

/// How many calls a request counts as, given its headers: one, and one more for each
/// [`BYTES_PER_CALL`](limits::BYTES_PER_CALL) of its body. A body of unknown length counts as the largest allowed.
pub fn calls_charged<'a>(header: impl Fn(&str) -> Option<&'a [u8]>) -> u64 {
    let length = header("content-length").and_then(|length| str::from_utf8(length).ok()?.parse().ok());
    let unknown = if header("transfer-encoding").is_some() { u64::MAX } else { 0 };
    1 + length.unwrap_or(unknown).min(limits::REQUEST_BYTES as u64) / limits::BYTES_PER_CALL
}

/// An account's quotas: the defaults, apart from those that an operator has set. By name, so that those that only a later
/// version knows are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quotas(BTreeMap<Cow<'static, str>, u64>);

impl Quotas {
    /// The value of a quota.
    pub fn of(&self, quota: Quota) -> u64 {
        self.0.get(quota.name()).copied().unwrap_or_else(|| quota.default_value())
    }

    /// Sets a quota, or with `None` returns it to its default.
    pub fn set(&mut self, quota: Quota, value: Option<u64>) {
        match value {
            Some(value) => self.0.insert(Cow::Borrowed(quota.name()), value),
            None => self.0.remove(quota.name()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_by_the_size_of_its_body() {
        // Content-Length, Transfer-Encoding, calls.
        let table = [
            (None, None, 1),
            (Some("0"), None, 1),
            (Some("4095"), None, 1),
            (Some("4096"), None, 2),
            (Some("60000"), None, 15),
            (Some("99999999999"), None, 17),
            (None, Some("chunked"), 17),
            (Some("many"), None, 1),
        ];
        for (length, encoding, expected) in table {
            let counted = calls_charged(|name| {
                if name == "content-length" { length } else { encoding }.map(str::as_bytes)
            });
            assert_eq!(counted, expected, "{length:?} {encoding:?}");
        }
    }
}
