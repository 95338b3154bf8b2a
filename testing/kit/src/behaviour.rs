//! How the receiver responds to a request: with an answer, or in one of the ways in which real endpoints misbehave.

use std::time::Duration;

use bytes::Bytes;

use crate::answer::Answer;
use crate::services;

/// Which requests a [`Behaviour::Sequence`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// All requests on the path.
    Path,
    /// Requests with the same `x-statuspulse-event-id`, that is, the attempts of one event.
    Event,
}

/// How a response head is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFlood {
    /// One header of 1 MB.
    OneLarge,
    /// 10,000 short headers.
    Many,
}

/// How a path responds. Behaviours that wait until the sender closes the connection hold the connection and nothing
/// else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    Answer(Answer),
    /// Waits, then responds with the other behaviour.
    Delay(Duration, Box<Behaviour>),
    /// The n-th request gets the n-th step, and further requests the last one. A step must not be a sequence.
    Sequence {
        per: Per,
        steps: Vec<Behaviour>,
    },
    /// Checks and answers like PagerDuty: [`pagerduty`](crate::services::pagerduty).
    PagerDuty,
    /// Checks and answers like Slack: [`slack`](crate::services::slack).
    Slack,
    /// Checks and answers like Discord: [`discord`](crate::services::discord).
    Discord,
    /// Reads the request and does not answer; waits until the sender closes the connection.
    Hang,
    /// Reads the request and closes the connection.
    Close,
    /// Reads the request and resets the connection (RST).
    Reset,
    /// Announces 1,000 bytes, sends 5, and closes.
    CloseMidBody {
        status: u16,
    },
    /// A body that never ends, written as fast as the sender reads it.
    EndlessBody {
        status: u16,
    },
    /// A body of 100,000 bytes, one byte at a time.
    DripBody {
        status: u16,
        every: Duration,
    },
    /// A complete small answer, one byte at a time from the status line on.
    DripHeader {
        status: u16,
        every: Duration,
    },
    /// Announces `length` bytes, sends 2, and waits until the sender closes the connection.
    HugeContentLength {
        status: u16,
        length: u64,
    },
    /// These bytes, whatever they are. The connection stays open.
    Raw(Bytes),
    /// A response that is not HTTP.
    Garbage,
    HeaderFlood(HeaderFlood),
    /// An endless series of `103 Early Hints`, without a final answer.
    InformationalFlood,
    /// `101 Switching Protocols`, which the sender did not ask for.
    SwitchingProtocols,
    /// The body `ok`, compressed with gzip and labelled so.
    Gzip {
        status: u16,
    },
}

impl Behaviour {
    pub fn ok() -> Self {
        Self::status(200)
    }

    pub fn status(status: u16) -> Self {
        Answer::status(status).into()
    }

    pub fn delayed(by: Duration, then: impl Into<Self>) -> Self {
        Self::Delay(by, Box::new(then.into()))
    }

    /// The first `n` requests on the path get `behaviour`, all others `then`.
    pub fn first(n: usize, behaviour: impl Into<Self>, then: impl Into<Self>) -> Self {
        Self::repeated(Per::Path, n, behaviour.into(), then.into())
    }

    /// The first `n` attempts of each event get `behaviour`, all others `then`.
    pub fn first_of_each_event(n: usize, behaviour: impl Into<Self>, then: impl Into<Self>) -> Self {
        Self::repeated(Per::Event, n, behaviour.into(), then.into())
    }

    fn repeated(per: Per, n: usize, behaviour: Self, then: Self) -> Self {
        let mut steps = vec![behaviour; n];
        steps.push(then);
        Self::Sequence { per, steps }
    }

    /// The behaviour for request number `seen` (from 0).
    pub(crate) fn step(&self, seen: usize) -> Self {
        match self {
            Self::Sequence { steps, .. } => {
                steps.get(seen).or_else(|| steps.last()).cloned().unwrap_or_else(Self::ok)
            }
            other => other.clone(),
        }
    }

    /// Replaces the mocks by their answer to this body at time `at`, in nanoseconds since 1970.
    pub(crate) fn towards(self, body: &[u8], rate: &mut services::Rate, at: u64) -> Self {
        match self {
            Self::PagerDuty => services::pagerduty(body, rate, at).into(),
            Self::Slack => services::slack(body, rate, at).into(),
            Self::Discord => services::discord(body, rate, at).into(),
            Self::Delay(by, then) => Self::Delay(by, Box::new(then.towards(body, rate, at))),
            other => other,
        }
    }

    /// The final status that this behaviour sends; 0 if it sends none.
    pub(crate) fn status_sent(&self) -> u16 {
        match self {
            Self::Answer(answer) => answer.status,
            Self::Delay(_, then) => then.status_sent(),
            Self::CloseMidBody { status }
            | Self::EndlessBody { status }
            | Self::DripBody { status, .. }
            | Self::DripHeader { status, .. }
            | Self::HugeContentLength { status, .. }
            | Self::Gzip { status } => *status,
            Self::HeaderFlood(_) => 200,
            Self::SwitchingProtocols => 101,
            Self::Sequence { .. }
            | Self::PagerDuty
            | Self::Slack
            | Self::Discord
            | Self::Hang
            | Self::Close
            | Self::Reset
            | Self::Garbage
            | Self::Raw(_)
            | Self::InformationalFlood => 0,
        }
    }
}

impl From<Answer> for Behaviour {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}
