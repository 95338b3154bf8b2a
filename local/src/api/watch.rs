//! What `deliveries list --follow` knows about the deliveries that it has seen.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use serde_json::Value;

use crate::limits::FOLLOW_OVERLAP;

/// The statuses of deliveries that change by themselves.
pub(super) const UNFINISHED: [&str; 3] = ["waiting", "retrying", "held"];

/// The deliveries that have been seen.
///
/// Those that were accepted lately are listed at every poll. The list can only be filtered by acceptance, so older ones
/// that are unfinished are looked at again in turn.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: HashMap<String, Seen>,
    newest: Option<Timestamp>,
    poll: u64,
}

#[derive(Debug)]
struct Seen {
    /// A hash of the whole delivery.
    looks: u64,
    accepted: Timestamp,
    is_unfinished: bool,
    /// The poll that saw it last.
    poll: u64,
}

impl Watch {
    /// Begins the next poll: forgets what cannot change by itself and is not listed any more.
    pub(super) fn begin_poll(&mut self) {
        self.poll += 1;
        let since = self.since();
        self.seen.retain(|_, seen| seen.is_unfinished || since.is_none_or(|since| seen.accepted >= since));
    }

    /// From when on deliveries are listed: a little before the newest one, because one that was accepted earlier can
    /// be listed later. `None` if none has been seen.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.newest.map(|newest| newest.checked_sub(FOLLOW_OVERLAP).unwrap_or(Timestamp::MIN))
    }

    /// Takes note of a delivery. Returns whether it is new or has changed.
    pub(super) fn note(&mut self, delivery: &Value) -> bool {
        let (Some(id), Some(accepted)) = (delivery["id"].as_str(), accepted(delivery)) else { return false };
        let is_unfinished = UNFINISHED.iter().any(|status| delivery["status"] == **status);
        let seen = Seen { looks: hash(delivery), accepted, is_unfinished, poll: self.poll };
        let looks = seen.looks;
        self.newest = self.newest.max(Some(accepted));
        self.seen.insert(id.to_owned(), seen).is_none_or(|before| before.looks != looks)
    }

    /// Whether the delivery has been seen.
    pub(super) fn knows(&self, delivery: &Value) -> bool {
        delivery["id"].as_str().is_some_and(|id| self.seen.contains_key(id))
    }

    /// The unfinished delivery that was not seen for the longest time, and not in this poll: its id and when it was
    /// accepted. Of several the newest, as a list continues with older ones.
    pub(super) fn overdue(&self) -> Option<(String, Timestamp)> {
        let unseen = self.seen.iter().filter(|(_, seen)| seen.is_unfinished && seen.poll < self.poll);
        let (id, seen) = unseen.min_by_key(|(_, seen)| (seen.poll, Reverse(seen.accepted)))?;
        Some((id.clone(), seen.accepted))
    }

    /// Forgets a delivery that does not exist any more.
    pub(super) fn forget(&mut self, id: &str) {
        self.seen.remove(id);
    }
}

/// When the delivery's event was accepted.
pub(super) fn accepted(delivery: &Value) -> Option<Timestamp> {
    delivery["accepted_at"].as_str()?.parse().ok()
}

fn hash(delivery: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    delivery.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delivery(id: &str, minute: u8, status: &str) -> Value {
        json!({ "id": id, "accepted_at": format!("2026-11-24T12:{minute:02}:00Z"), "status": status })
    }

    #[test]
    fn a_delivery_is_noted_once_for_each_change() {
        let mut watch = Watch::default();
        assert!(watch.note(&delivery("a", 0, "retrying")));
        assert!(!watch.note(&delivery("a", 0, "retrying")));
        assert!(watch.note(&delivery("a", 0, "delivered")));
        assert!(!watch.note(&delivery("a", 0, "delivered")));
    }

    #[test]
    fn the_list_begins_a_little_before_the_newest_delivery_that_was_seen() {
        let mut watch = Watch::default();
        assert_eq!(watch.since(), None);
        watch.note(&delivery("new", 30, "delivered"));
        watch.note(&delivery("old", 10, "delivered"));
        let newest: Timestamp = "2026-11-24T12:30:00Z".parse().unwrap();
        assert_eq!(watch.since(), Some(newest.checked_sub(FOLLOW_OVERLAP).unwrap()));
    }

    #[test]
    fn unfinished_deliveries_are_looked_at_in_turn_and_finished_ones_forgotten() {
        let mut watch = Watch::default();
        for (id, minute, status) in
            [("old", 1, "held"), ("older", 0, "held"), ("done", 2, "failed"), ("new", 30, "delivered")]
        {
            watch.note(&delivery(id, minute, status));
        }
        assert_eq!(watch.overdue(), None, "all were seen in this poll");
        watch.begin_poll();
        assert!(
            !watch.knows(&delivery("done", 2, "failed")) && watch.knows(&delivery("new", 30, "delivered"))
        );
        let overdue = |watch: &Watch| watch.overdue().map(|(id, _)| id);
        assert_eq!(overdue(&watch).as_deref(), Some("old"));
        watch.note(&delivery("old", 1, "held"));
        assert_eq!(overdue(&watch).as_deref(), Some("older"));
        watch.begin_poll();
        assert_eq!(overdue(&watch).as_deref(), Some("older"), "it has waited longer");
        watch.forget("older");
        assert_eq!(overdue(&watch).as_deref(), Some("old"));
    }
}
