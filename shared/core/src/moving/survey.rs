//! Looks at a whole file before any of it is imported: whether it is complete, and whether its lines fit together.

use std::collections::HashSet;

use super::lines::{End, FORMAT, Line};
use crate::ids::{AccountId, EventId, WebhookId};

/// What was seen of a file. It opens nothing that is sealed.
#[derive(Debug, Default)]
pub struct Survey {
    lines: u64,
    /// The place of the last line in the order of kinds.
    place: u8,
    accounts: HashSet<AccountId>,
    /// The event whose deliveries follow.
    event: Option<EventId>,
    webhooks: HashSet<WebhookId>,
    /// Those that deliveries go to.
    wanted: HashSet<WebhookId>,
    counted: End,
    end: Option<End>,
}

/// A file that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Incomplete {
    /// The number of the line.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

impl Survey {
    /// Looks at the next line.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn see(&mut self, text: &str) -> Result<(), Incomplete> {
        self.lines += 1;
        let line = self.lines;
        let wrong = |why: String| Incomplete { line, why };
        let found: Line = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let place = place_of(&found);
        if (line == 1) != matches!(found, Line::Header(_)) {
            return Err(wrong("the first line, and no other, is the header".to_owned()));
        }
        if place < self.place || self.end.is_some() {
            return Err(wrong("the lines are not in the order of their kinds".to_owned()));
        }
        self.place = place;
        self.fits(&found).map_err(wrong)
    }

    fn fits(&mut self, line: &Line) -> Result<(), String> {
        let account = match line {
            Line::Header(header) if header.format == FORMAT => return Ok(()),
            Line::Header(header) => return Err(format!("the format is {}, and not {FORMAT}", header.format)),
            Line::Account(account) => {
                self.counted.accounts.push(account.id);
                return if self.accounts.insert(account.id) {
                    Ok(())
                } else {
                    Err("a second time".to_owned())
                };
            }
            Line::Event(event) => {
                self.event = Some(event.id);
                self.counted.events += 1;
                event.account_id
            }
            Line::Delivery(delivery) => {
                if self.event != Some(delivery.event_id) {
                    return Err("a delivery follows its event".to_owned());
                }
                self.wanted.insert(delivery.webhook_id);
                self.counted.deliveries += 1;
                delivery.account_id
            }
            Line::Webhook(webhook) => {
                self.webhooks.insert(webhook.id);
                self.counted.webhooks += 1;
                webhook.account_id
            }
            Line::Entry(entry) => {
                self.counted.entries += 1;
                entry.account_id
            }
            Line::Key(key) => {
                self.counted.keys += 1;
                key.account_id
            }
            Line::End(end) => return self.ends(end.clone()),
        };
        if self.accounts.contains(&account) { Ok(()) } else { Err(format!("{account} is not in the file")) }
    }

    fn ends(&mut self, end: End) -> Result<(), String> {
        if end != self.counted {
            return Err(format!(
                "lines are missing: {} were promised, and {} are there",
                words(&end),
                words(&self.counted)
            ));
        }
        if let Some(missing) = self.wanted.difference(&self.webhooks).next() {
            return Err(format!("the webhook {missing}, which a delivery goes to, is missing"));
        }
        self.end = Some(end);
        Ok(())
    }

    /// What is in the file, after its last line.
    ///
    /// # Errors
    /// Fails if the last line is not its end.
    pub fn finish(self) -> Result<End, Incomplete> {
        let why = "the file has no end: it was cut off".to_owned();
        self.end.ok_or(Incomplete { line: self.lines, why })
    }
}

/// Deliveries are among the events they belong to.
fn place_of(line: &Line) -> u8 {
    match line {
        Line::Header(_) => 0,
        Line::Account(_) => 1,
        Line::Event(_) | Line::Delivery(_) => 2,
        Line::Webhook(_) => 3,
        Line::Entry(_) => 4,
        Line::Key(_) => 5,
        Line::End(_) => 6,
    }
}

/// What is in a file, in words.
pub fn words(end: &End) -> String {
    let End { accounts, events, deliveries, webhooks, entries, keys } = end;
    let accounts = accounts.len();
    format!(
        "{accounts} accounts, {keys} keys, {webhooks} webhooks, {events} events, {deliveries} deliveries, \
         {entries} entries of audit logs"
    )
}
