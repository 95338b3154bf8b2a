//! The receivers: endpoints with behaviours, Slack channels, and the engineers' channel.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use statuspulse_core::attempt::{Class, Failure, Reply};
use statuspulse_core::delivery::{Delivery, State};
use statuspulse_core::ids::{DeliveryId, WebhookId};

use crate::dice::Dice;
use crate::history::short;
use crate::signatures::Verifier;

/// How an endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Well,
    Slow,
    Down,
    /// Down, and sends `Retry-After`.
    Busy,
    Hangs,
    Refuses,
    Gone,
}

const BEHAVIOURS: [Behaviour; 7] = [
    Behaviour::Well,
    Behaviour::Slow,
    Behaviour::Down,
    Behaviour::Busy,
    Behaviour::Hangs,
    Behaviour::Refuses,
    Behaviour::Gone,
];

const SLACK: &str = "hooks.slack.com";
/// Prefixes of host names: of Slack channels, and of other endpoints.
pub(crate) const CHANNEL: &str = "c";
pub(crate) const OTHER: &str = "h";
/// The status with which a channel refuses a message for what is in it.
pub(crate) const REFUSED_CONTENT: u16 = 400;

#[derive(Default)]
pub(crate) struct Receivers {
    /// By host. Missing hosts are [`Behaviour::Well`].
    pub(crate) behaviours: BTreeMap<String, Behaviour>,
    /// Events that receivers refuse, by their id on the wire.
    pub(crate) poison: BTreeSet<String>,
    /// The same, and those that they no longer refuse.
    pub(crate) ever_poison: BTreeSet<String>,
    /// Whether channels refuse them for what is in them. Otherwise they answer as endpoints do.
    pub(crate) channels_read: bool,
    /// Those that check signatures, by webhook.
    pub(crate) verifiers: BTreeMap<WebhookId, Verifier>,
}

/// A POST of an attempt.
pub(crate) struct Post<'a> {
    pub(crate) delivery: DeliveryId,
    pub(crate) event: &'a str,
    pub(crate) number: u8,
    pub(crate) body: Bytes,
}

/// Whether a channel refused the last message of this delivery for what is in it.
pub(crate) fn is_for_content(delivery: &Delivery) -> bool {
    delivery.attempts.last().is_some_and(|last| last.status_code == Some(REFUSED_CONTENT))
}

/// How many messages that the delivery shared with others were refused. It is sent again after each, on the same rung.
pub(crate) fn refused_together(delivery: &Delivery) -> usize {
    let failures = delivery.attempts.iter().filter_map(|attempt| attempt.failure.as_ref());
    failures.filter(|failure| failure.class == Class::RefusedTogether).count()
}

impl Receivers {
    /// Says what is wrong if this delivery was given up for what is in another one.
    pub(crate) fn wrongly_given_up(&self, saved: &Delivery) -> Option<String> {
        let given_up = saved.state == State::Failed && is_for_content(saved);
        let is_wrong = given_up && !self.ever_poison.contains(&saved.event_id.to_string());
        is_wrong.then(|| format!("content: {} is given up for what is in another one", short(saved.id)))
    }

    /// Gives one of the hosts another behaviour, and returns both.
    pub(crate) fn change_one(&mut self, dice: &mut Dice) -> (String, Behaviour) {
        let host = match dice.below(6) {
            5 => SLACK.to_owned(),
            n => format!("{}{n}.example.com", if dice.once_in(3) { CHANNEL } else { OTHER }),
        };
        let behaviour = if dice.once_in(3) { Behaviour::Well } else { dice.one_of(&BEHAVIOURS) };
        self.behaviours.insert(host.clone(), behaviour);
        (host, behaviour)
    }

    pub(crate) fn answer(
        &self,
        host: &str,
        event_id: &str,
        dice: &mut Dice,
    ) -> (Duration, Result<Reply, Failure>) {
        let quick = dice.up_to(Duration::from_millis(300));
        // Slack answers 200 with `ok` when it accepts a message.
        let is_slack = host == SLACK || host.starts_with(CHANNEL);
        let reply = |status| {
            Ok(match status {
                200..300 if is_slack => {
                    Reply { status: 200, retry_after: None, headers: vec![], body: b"ok".to_vec() }
                }
                _ => Reply { status, retry_after: None, headers: vec![], body: vec![] },
            })
        };
        if self.poison.contains(event_id) && is_slack && self.channels_read {
            let body = b"invalid_blocks".to_vec();
            return (quick, Ok(Reply { status: REFUSED_CONTENT, retry_after: None, headers: vec![], body }));
        }
        if self.poison.contains(event_id) {
            return (quick, reply(422));
        }
        match self.behaviours.get(host).unwrap_or(&Behaviour::Well) {
            Behaviour::Well => (quick, reply(dice.one_of(&[200, 200, 202, 204]))),
            Behaviour::Slow => (dice.up_to(Duration::from_secs(9)), reply(200)),
            Behaviour::Down => (quick, reply(dice.one_of(&[500, 502, 503, 301, 404]))),
            Behaviour::Busy => {
                let wait = dice.one_of(&["7", "400", "1200", "99999"]).to_owned();
                (quick, Ok(Reply { status: 503, retry_after: Some(wait), headers: vec![], body: vec![] }))
            }
            Behaviour::Hangs => {
                (Duration::from_secs(10), Err(Failure::new(Class::Timeout, "no answer in time")))
            }
            Behaviour::Refuses => (quick, Err(Failure::new(Class::Connect, "no connection"))),
            Behaviour::Gone => (quick, reply(410)),
        }
    }
}
