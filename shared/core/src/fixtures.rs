//! Records that the tests of changes start with.

use jiff::Timestamp;

use crate::destination::Destination;
use crate::event::EventType;
use crate::ids::{AccountId, WebhookId};
use crate::ports::Random;
use crate::secret::Secret;
use crate::signature::SigningKeys;
use crate::target::EndpointUrl;
use crate::webhook::{Headers, Settings, State, Webhook};

struct NotRandom;

impl Random for NotRandom {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// The time this many seconds after the start of the tests.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_521_600 + seconds).unwrap()
}

/// An active webhook.
pub(crate) fn active_webhook() -> Webhook {
    let settings = Settings {
        url: EndpointUrl::restore("https://hooks.example.com/in").unwrap(),
        destination: Destination::default(),
        events: EventType::ALL.to_vec(),
        monitor_groups: vec![],
        description: None,
        headers: Headers::default(),
    };
    let keys = SigningKeys::new(Secret::generate(&NotRandom));
    let (id, account) = (WebhookId::from_bytes([1; 16]), AccountId::from_bytes([2; 16]));
    let new = Webhook::new(id, account, settings, keys, at(0));
    Webhook { state: State::Active, generation: 1, version: 10, ..new }
}
