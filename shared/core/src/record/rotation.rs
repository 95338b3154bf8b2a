//! The old secret during a rotation, as a part of a webhook's sealed record.

use serde::{Deserialize, Serialize};

use super::values::{Unreadable, from_millis, millis};
use crate::rotation::{Digests, Outgoing, Rehearsal, RotationStyle, StyleChoice};
use crate::secret::Secret;

/// An earlier version knows the first three fields only.
#[derive(Serialize, Deserialize)]
pub(super) struct OutgoingRecord {
    secret: String,
    until: i64,
    split: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rehearsal: Option<RehearsalRecord>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unchecked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accepted: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct RehearsalRecord {
    status_code: Option<u16>,
    refusal: Option<String>,
}

impl OutgoingRecord {
    pub(super) fn of(outgoing: &Outgoing) -> Self {
        let rehearsal = match &outgoing.choice {
            StyleChoice::Rehearsed(Rehearsal { status_code, refusal }) => {
                Some(RehearsalRecord { status_code: *status_code, refusal: refusal.clone() })
            }
            StyleChoice::Asked(_) | StyleChoice::Unchecked => None,
        };
        Self {
            secret: outgoing.secret.reveal().to_owned(),
            until: millis(outgoing.until),
            split: outgoing.choice.style() == RotationStyle::Split,
            rehearsal,
            unchecked: outgoing.choice == StyleChoice::Unchecked,
            accepted: outgoing.accepted.map(|digests| digests.name().to_owned()),
        }
    }

    /// What a later version has accepted, and this one does not know, is found out again.
    pub(super) fn restore(&self) -> Result<Outgoing, Unreadable> {
        let style = if self.split { RotationStyle::Split } else { RotationStyle::Joined };
        let choice = match &self.rehearsal {
            Some(RehearsalRecord { status_code, refusal }) => {
                StyleChoice::Rehearsed(Rehearsal { status_code: *status_code, refusal: refusal.clone() })
            }
            None if self.unchecked => StyleChoice::Unchecked,
            None => StyleChoice::Asked(style),
        };
        Ok(Outgoing {
            secret: Secret::parse(&self.secret).map_err(Unreadable::because)?,
            until: from_millis(self.until)?,
            choice,
            accepted: self.accepted.as_deref().and_then(Digests::from_name),
        })
    }
}
