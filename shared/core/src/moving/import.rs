//! Takes the lines of an export.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::lines::{self, Header, Moved};
use super::{ExportId, Opener};
use crate::access::{Account, ApiKey};
use crate::audit::{AccountEntry, Action, Actor};
use crate::delivery::{Delivery, State};
use crate::error::Result;
use crate::ids::{AccountId, WebhookId};
use crate::outbox::Outbox;
use crate::ports::arrivals::Arrivals;
use crate::ports::{Accounts, Clock, PortResult};

/// A pass over the file. Each goes through all lines before the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Says what would be refused, and writes nothing.
    Check,
    /// Stores the records.
    Take,
    /// Sends the messages that the records call for. At the end of the file, the accounts have arrived.
    Start,
}

/// Some lines of an export.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_debug_implementations, reason = "lines have what a log must not show")]
pub struct Part {
    pub pass: Pass,
    /// The first line of the file.
    pub header: String,
    /// The number of the first of these lines in the file.
    pub from: u64,
    pub lines: Vec<String>,
}

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// All of its lines are done.
    Done {
        /// How many of them made a record that was not there yet. Zero in other passes than [`Pass::Take`].
        new: u64,
    },
    /// A line cannot be taken. Those before it are.
    Refused {
        /// Its number in the file.
        line: u64,
        /// Why, and what helps.
        why: String,
    },
}

/// Imports into one deployment.
#[derive(Clone)]
pub struct Importer {
    pub arrivals: Arc<dyn Arrivals>,
    pub accounts: Arc<dyn Accounts>,
    pub outbox: Outbox,
    pub opener: Opener,
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Importer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Importer")
    }
}

/// Why a line cannot be taken.
type Refusal = String;

impl Importer {
    /// Takes a part of the file. It can be taken again.
    ///
    /// # Errors
    /// Fails if a port does. What was done is done.
    pub async fn take(&self, part: &Part) -> Result<Taken> {
        let header = match lines::read_header(&part.header, self.opener.recipient()) {
            Ok(header) => header,
            Err(error) => return Ok(Taken::Refused { line: 1, why: error.to_string() }),
        };
        let mut accounts = Known { export: header.export, arriving: vec![] };
        let mut new = 0;
        for (line, text) in (part.from..).zip(&part.lines) {
            let taken = match lines::read(text, &self.opener) {
                Err(error) => Err(error.to_string()),
                Ok(moved) => match part.pass {
                    Pass::Check => self.check(&header, moved).await?.map(|()| false),
                    Pass::Take => self.store(&mut accounts, moved).await?,
                    Pass::Start => self.start(&header, moved).await.map(|()| Ok(false))?,
                },
            };
            match taken {
                Ok(is_new) => new += u64::from(is_new),
                Err(why) => return Ok(Taken::Refused { line, why }),
            }
        }
        Ok(Taken::Done { new })
    }

    async fn check(&self, header: &Header, moved: Moved) -> PortResult<std::result::Result<(), Refusal>> {
        match moved {
            Moved::Account(account) => self.check_account(&account, header.export).await,
            Moved::Key(key) => self.check_key(&key).await,
            _ => Ok(Ok(())),
        }
    }

    async fn check_account(
        &self,
        account: &Account,
        export: ExportId,
    ) -> PortResult<std::result::Result<(), Refusal>> {
        if self.accounts.account(account.id).await?.is_none() {
            return Ok(Ok(()));
        }
        let arriving = self.arrivals.arriving(account.id).await?;
        Ok(if arriving == Some(export) { Ok(()) } else { Err(is_there(account.id, arriving)) })
    }

    async fn check_key(&self, key: &ApiKey) -> PortResult<std::result::Result<(), Refusal>> {
        let known = self.accounts.key_by_hash(&key.hash).await?;
        let other = known.filter(|known| known.id != key.id);
        Ok(other.map_or(Ok(()), |other| Err(format!("the key {} is there already, as {}", key.id, other.id))))
    }

    /// Stores a record. Returns whether it is new.
    async fn store(
        &self,
        accounts: &mut Known,
        moved: Moved,
    ) -> PortResult<std::result::Result<bool, Refusal>> {
        if let Moved::Account(account) = &moved {
            let new = self.arrivals.take_account(account, accounts.export).await?;
            let arriving = self.arrivals.arriving(account.id).await?;
            return Ok(if arriving == Some(accounts.export) {
                Ok(new)
            } else {
                Err(is_there(account.id, arriving))
            });
        }
        if let Some(account) = moved.account()
            && !accounts.arrives(account, &*self.arrivals).await?
        {
            return Ok(Err(format!("{account} is not arriving with this file")));
        }
        let new = match moved {
            Moved::Account(_) | Moved::End(_) => false,
            Moved::Event(event, webhooks) => self.arrivals.take_event(&event, &webhooks).await?,
            Moved::Delivery(delivery) => self.arrivals.take_delivery(&delivery).await?,
            Moved::Webhook(webhook) => self.arrivals.take_webhook(&webhook).await?,
            Moved::Entry(entry) => self.arrivals.take_entry(&entry).await.map(|()| false)?,
            Moved::Key(key) => self.arrivals.take_key(&key).await?,
        };
        Ok(Ok(new))
    }

    async fn start(&self, header: &Header, moved: Moved) -> Result<()> {
        match moved {
            Moved::Delivery(delivery) => self.start_delivery(&delivery).await?,
            Moved::Webhook(webhook) => self.start_webhook(webhook.id).await?,
            Moved::End(end) => {
                for account in end.accounts {
                    self.end_arrival(account, header).await?;
                }
                // The answer that says so must be true after a crash.
                self.outbox.deliveries.durable().await?;
            }
            Moved::Account(_) | Moved::Event(..) | Moved::Entry(_) | Moved::Key(_) => {}
        }
        Ok(())
    }

    /// Has a worker look at the delivery now. It makes the attempt when it is due, and holds what is to be held.
    async fn start_delivery(&self, as_moved: &Delivery) -> Result<()> {
        if !matches!(as_moved.state, State::Scheduled { .. } | State::Waiting) {
            return Ok(());
        }
        self.outbox.send(vec![as_moved.recheck_message(self.clock.now())]).await
    }

    async fn start_webhook(&self, id: WebhookId) -> Result<()> {
        let Some(webhook) = self.outbox.webhooks.webhook(id).await? else { return Ok(()) };
        self.outbox.send(webhook.messages_to_start_with(self.clock.now())).await?;
        self.outbox.reconcile_webhook(&webhook).await
    }

    async fn end_arrival(&self, account: AccountId, header: &Header) -> Result<()> {
        if self.arrivals.arriving(account).await? != Some(header.export) {
            return Ok(());
        }
        let made = (self.clock.now(), Actor::OWNER);
        let entry = AccountEntry::new(account, made, Action::AccountImported, &account, vec![]);
        self.arrivals.end_arrival(&entry).await?;
        entry.log();
        Ok(())
    }
}

/// Which accounts arrive with an export, as far as it is known.
struct Known {
    export: ExportId,
    arriving: Vec<AccountId>,
}

impl Known {
    async fn arrives(&mut self, account: AccountId, arrivals: &dyn Arrivals) -> PortResult<bool> {
        if self.arriving.contains(&account) {
            return Ok(true);
        }
        let arrives = arrivals.arriving(account).await? == Some(self.export);
        if arrives {
            self.arriving.push(account);
        }
        Ok(arrives)
    }
}

fn is_there(account: AccountId, arriving: Option<ExportId>) -> Refusal {
    match arriving {
        None => format!("the account {account} is there already"),
        Some(other) => format!("the account {account} is there already: it is arriving with {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{active_webhook, at};
    use crate::message::{Message, ScheduledMessage};
    use crate::notification::{Notification, NotificationKind};
    use crate::webhook::{PauseReason, Webhook};

    #[test]
    fn a_webhook_without_messages_gets_those_of_its_job_and_of_its_notification() {
        let kinds = |webhook: &Webhook| -> Vec<&str> {
            let message = |sent: &ScheduledMessage| match sent.message {
                Message::Job(_) => "page",
                Message::Notify(_) => "notification",
                _ => "other",
            };
            webhook.messages_to_start_with(at(1)).iter().map(message).collect()
        };
        assert!(kinds(&active_webhook()).is_empty());
        let failing = Notification::new(NotificationKind::Failing { last_error: "503".to_owned() }, 1, at(0));
        let failing = Webhook { notification: Some(failing), ..active_webhook() };
        assert_eq!(kinds(&failing), ["notification"]);
        let kind = NotificationKind::Paused { reason: PauseReason::Failures, last_error: "503".to_owned() };
        let mut paused = active_webhook();
        paused.pause(PauseReason::Failures, None, Actor::OWNER, at(0));
        paused.notification = Some(Notification::new(kind, 2, at(0)));
        assert_eq!(
            kinds(&paused),
            ["page"],
            "its end sends the notification, with the count of what is held"
        );
        assert_eq!(kinds(&Webhook { job: None, ..paused }), ["notification"]);
    }
}
