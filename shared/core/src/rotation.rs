//! The rotation of a secret: for 24 hours both secrets sign, and no receiver is to notice.
//!
//! `webhook-signature` lists both signatures. `X-StatusPulse-Signature` cannot please every receiver: one takes the header
//! as a list, another compares it as a whole, and the owner may install the new secret at any moment. So the header has
//! one of the [`Digests`], and a call that is refused as a receiver refuses a wrong signature is repeated at once with the
//! next of them. What got through is remembered.

use jiff::Timestamp;

use crate::secret::Secret;

/// How `X-StatusPulse-Signature` shows two digests when a rotation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStyle {
    /// `X-StatusPulse-Signature: <new>,<old>`.
    Joined,
    /// The header has only the old digest, for receivers that compare strictly. The new one has its own header.
    Split,
}

impl RotationStyle {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Split => "split",
        }
    }
}

/// What `X-StatusPulse-Signature` has during a rotation. The order is the one in which a receiver moves on, so that what
/// is remembered only goes forward, also if some servers of a receiver have the new secret and some do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Digests {
    /// `<new>,<old>`.
    Both,
    /// The old one.
    Old,
    /// The new one.
    New,
}

impl Digests {
    /// The name on the wire and in a store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Old => "old",
            Self::New => "new",
        }
    }

    /// Those with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Both, Self::Old, Self::New].into_iter().find(|digests| digests.name() == name)
    }

    /// What to try, in this order, if the receiver refuses these.
    fn others(self) -> &'static [Self] {
        match self {
            Self::Both => &[Self::Old, Self::New],
            Self::Old => &[Self::New],
            Self::New => &[Self::Old],
        }
    }
}

/// What a receiver answered to a handshake that was signed in the style `joined` before the rotation began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// The status of the answer, if there was one.
    pub status_code: Option<u16>,
    /// Why it is not known that the style `joined` can be used, as a sentence; `None` if it is.
    pub refusal: Option<String>,
}

impl Rehearsal {
    /// Whether the receiver may refuse a wrong signature with this status. If it answered the handshake in another way than
    /// a check does, it may have been down, and it is not known how it refuses: an exception becomes a 5xx.
    fn allows_refusal_with(&self, status: u16) -> bool {
        let is_known = self.status_code.is_some_and(refuses_access);
        self.refusal.is_some() && (self.status_code == Some(status) || !is_known && status >= 500)
    }
}

/// Whether a check of signatures usually refuses with this status.
fn refuses_access(status: u16) -> bool {
    matches!(status, 400 | 401 | 403)
}

/// How a rotation came to its style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StyleChoice {
    /// The owner asked for it.
    Asked(RotationStyle),
    /// By a rehearsal. The style `split` suits each receiver that it says nothing about.
    Rehearsed(Rehearsal),
    /// The destination checks no signatures.
    Unchecked,
}

impl StyleChoice {
    /// The style.
    pub fn style(&self) -> RotationStyle {
        match self {
            Self::Asked(style) => *style,
            Self::Rehearsed(Rehearsal { refusal: Some(_), .. }) => RotationStyle::Split,
            Self::Rehearsed(Rehearsal { refusal: None, .. }) | Self::Unchecked => RotationStyle::Joined,
        }
    }

    /// Why the rotation has its style, as sentences.
    pub fn reason(&self) -> String {
        match self {
            Self::Asked(_) => "The call asked for it.".to_owned(),
            Self::Unchecked => "The destination checks no signatures.".to_owned(),
            Self::Rehearsed(Rehearsal { refusal: None, .. }) => {
                "The endpoint accepted a handshake that had both signatures in one header.".to_owned()
            }
            Self::Rehearsed(Rehearsal { refusal: Some(refusal), .. }) => refusal.clone(),
        }
    }
}

/// The old secret during a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The secret from before the rotation.
    pub secret: Secret,
    /// When it stops signing.
    pub until: Timestamp,
    /// The style of the rotation.
    pub choice: StyleChoice,
    /// The digests that got through after the receiver had refused others.
    pub accepted: Option<Digests>,
}

impl Outgoing {
    /// What `X-StatusPulse-Signature` has in the first call of an attempt.
    pub fn digests(&self) -> Digests {
        match (self.accepted, self.choice.style()) {
            (Some(accepted), _) => accepted,
            (None, RotationStyle::Joined) => Digests::Both,
            (None, RotationStyle::Split) => Digests::Old,
        }
    }

    /// What to try, in this order, after an answer with this status, which is not a success. There is nothing to try if
    /// the receiver does not refuse a wrong signature so.
    pub fn next_tries(&self, status: u16) -> &'static [Digests] {
        let may_be_refusal = match &self.choice {
            StyleChoice::Unchecked => false,
            StyleChoice::Asked(_) => refuses_access(status),
            StyleChoice::Rehearsed(rehearsal) => {
                refuses_access(status) || rehearsal.allows_refusal_with(status)
            }
        };
        if may_be_refusal { self.digests().others() } else { &[] }
    }
}
