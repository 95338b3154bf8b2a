//! Explains whether an event would reach a webhook, and if not, which rule excludes it.

use super::Admin;
use crate::error::{Error, Result};
use crate::event::EventType;
use crate::ids::{AccountId, EventId, WebhookId};
use crate::webhook::{State, Unwanted};

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The rule that excludes the event; `None` if the event reaches the webhook.
    pub rule: Option<&'static str>,
    /// The explanation as a sentence.
    pub reason: String,
}

impl Admin {
    /// Explains for an event type together with `groups`, or for the id of a published event.
    pub async fn explain(
        &self,
        account: AccountId,
        id: WebhookId,
        event: &str,
        groups: Vec<String>,
    ) -> Result<Explanation> {
        let webhook = self.webhook(account, id).await?;
        let (event_type, groups) = match (EventType::from_name(event), event.parse::<EventId>()) {
            (Some(event_type), _) => (event_type, groups),
            (None, Ok(event_id)) => {
                let event =
                    self.deliveries.event(event_id).await?.filter(|event| event.account_id == account);
                let event = event.ok_or(Error::NotFound("event"))?;
                (event.event_type, event.monitor_groups.clone())
            }
            (None, Err(_)) => {
                let detail = format!("must be an event id, or one of {}", EventType::names());
                return Err(Error::invalid("event", detail));
            }
        };
        let settings = &webhook.settings;
        Ok(match webhook.wants(event_type, &groups) {
            Ok(()) if matches!(webhook.state, State::Paused(_)) => {
                yes("The webhook is paused: the event would be held, and delivered when it is resumed.")
            }
            Ok(()) => yes("The event would be delivered."),
            Err(Unwanted::Status) => no("status", "The webhook has not passed its handshake.".to_owned()),
            Err(Unwanted::EventType) => {
                let bound: Vec<_> = settings.events.iter().map(|event| event.name()).collect();
                no(
                    "events",
                    format!("The webhook receives {}, but not {}.", bound.join(", "), event_type.name()),
                )
            }
            Err(Unwanted::MonitorGroups) => no(
                "monitor_groups",
                format!(
                    "The event's groups are {groups:?}; the webhook wants one of {:?} (names are exact).",
                    settings.monitor_groups
                ),
            ),
        })
    }
}

fn yes(reason: &str) -> Explanation {
    Explanation { rule: None, reason: reason.to_owned() }
}

fn no(rule: &'static str, reason: String) -> Explanation {
    Explanation { rule: Some(rule), reason }
}
