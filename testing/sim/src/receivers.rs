//! The receivers: endpoints with moods, Slack channels, and the engineers' channel.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use statuspulse_core::attempt::{Class, Failure, Reply};

use crate::dice::Dice;

/// How an endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Slow,
    Down,
    /// Down, and sends `Retry-After`.
    Busy,
    Hangs,
    Refuses,
    Gone,
}

pub(crate) const MOODS: [Mood; 7] =
    [Mood::Well, Mood::Slow, Mood::Down, Mood::Busy, Mood::Hangs, Mood::Refuses, Mood::Gone];

pub(crate) const SLACK: &str = "hooks.slack.com";
/// Prefixes of host names: of Slack channels, and of other endpoints.
pub(crate) const CHANNEL: &str = "c";
pub(crate) const OTHER: &str = "h";

#[derive(Default)]
pub(crate) struct Receivers {
    /// By host. Missing hosts are [`Mood::Well`].
    pub(crate) moods: BTreeMap<String, Mood>,
    /// Events that receivers refuse, by their id on the wire.
    pub(crate) poison: BTreeSet<String>,
}

impl Receivers {
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
        if self.poison.contains(event_id) {
            return (quick, reply(422));
        }
        match self.moods.get(host).unwrap_or(&Mood::Well) {
            Mood::Well => (quick, reply(dice.one_of(&[200, 200, 202, 204]))),
            Mood::Slow => (dice.up_to(Duration::from_secs(9)), reply(200)),
            Mood::Down => (quick, reply(dice.one_of(&[500, 502, 503, 301, 404]))),
            Mood::Busy => {
                let wait = dice.one_of(&["7", "400", "1200", "99999"]).to_owned();
                (quick, Ok(Reply { status: 503, retry_after: Some(wait), headers: vec![], body: vec![] }))
            }
            Mood::Hangs => (Duration::from_secs(10), Err(Failure::new(Class::Timeout, "no answer in time"))),
            Mood::Refuses => (quick, Err(Failure::new(Class::Connect, "no connection"))),
            Mood::Gone => (quick, reply(410)),
        }
    }
}
